"""A certificate: why an optimum is to be believed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bayeslaw.plan import stakes as compiled
from bayeslaw.plan.optimum import Optimum, balance, optimise
from bayeslaw.plan.outlook import Outlook
from bayeslaw.plan.question import Question
from bayeslaw.plan.risk import MEAN

GRID = 12  # points an axis
AGREE = 1e-6  # nats
ROUGHLY = 5e-4  # nats, where a limit holds the plan: the excess of one draw moves by jumps
OTHERS = 3  # starts that are tried where a risk is slow to descend

# Laws that are sums of powers of N, D and D′, once these parameters are 0: convex in the logs.
CONVEX: dict[str, tuple[str, ...]] = {
    "chinchilla": (),
    "additive": ("s_branch",),
    "interaction": ("s_branch", "b_decay"),
}
NOTHING = 1e-9  # of D′ at the anchor, and of an exponent: `interaction` is not finite at S = 0


@dataclass(frozen=True)
class Certificate:
    """Of one optimum.

    gradient: the largest slope left along designs of equal cost, nats for a unit of the log of a
        ratio, edges of the box aside; None where the risk has kinks or a limit on losses holds it.
        starts, agree: how many designs were sought, the plan and one from each start, and how many
        of them are within 1e-6 of the best. start_gap, grid_gap: by how much the best of the
        starts, and that of a coarse grid (the same ratios for every domain), are above the plan, in
        units of the risk; less than -tolerance is a fault; None where none of them keeps the
        limits. convex: whether every local optimum is global; None where that is not known.
    """

    gradient: float | None
    starts: int
    agree: int
    start_gap: float | None
    grid_gap: float | None
    convex: bool | None
    tolerance: float = AGREE

    @property
    def faults(self) -> tuple[str, ...]:
        """What was found that is better than the optimum; empty where nothing was."""
        gaps = {"another start ended": self.start_gap, "a design of a grid is": self.grid_gap}
        return tuple(
            f"not the optimum: {what} {-gap:.2g} lower in risk"
            for what, gap in gaps.items() if gap is not None and gap < -self.tolerance
        )  # fmt: skip


def certify(asked: Question, optimum: Optimum) -> Certificate:
    """Look at an optimum again, from other sides. Within `double()`."""
    asked, space = asked.of(optimum.arrangement), asked.space(optimum.arrangement)
    here = float(_risk(asked, np.stack(optimum.run[:3])[None])[0])
    starts = space.starts()
    if asked.risk != MEAN or asked.chances is not None:
        starts = starts[:: max(1, len(starts) // OTHERS)][:OTHERS]
    runs = [optimise(asked, optimum.arrangement, start=u).run for u in starts]
    ended = np.stack([np.stack(run[:3]) for run in runs])
    every = np.array([here, *_risk(asked, ended)])
    agree = int((every <= np.nanmin(every) + AGREE).sum())
    grid = np.moveaxis(space.fields(space.grid(GRID)), 0, 1)
    started, gridded = (_gap(f, here) for f in (every[1:], _risk(asked, grid)))
    near = AGREE if optimum.over is None else ROUGHLY
    slope = _gradient(asked, optimum)
    return Certificate(slope, len(every), agree, started, gridded, convex(asked), near)


def _gap(risks: np.ndarray, here: float) -> float | None:
    told = risks[np.isfinite(risks)]
    return float(told.min() - here) if len(told) else None


def convex(asked: Question) -> bool | None:
    """Whether the problem is convex in the logs of N, D and D′, hence every optimum global.

    A geometric program: laws that are sums of powers, on their own curves, under the mean or CVaR.
    """
    if asked.risk.name not in ("mean", "cvar") or asked.risk.function is not None:
        return None
    if asked.chances is not None:
        return None
    powers = all(_sum_of_powers(asked.outlook, i) for i in range(len(asked.outlook.curves.laws)))
    return True if powers and asked.outlook.curves_alone else None


def _sum_of_powers(outlook: Outlook, i: int) -> bool:
    law, theta = outlook.curves.laws[i], outlook.curves.thetas[i]
    zero = CONVEX.get(law.name)
    return zero is not None and all(np.all(np.abs(theta[n]) <= NOTHING) for n in zero)


def _gradient(asked: Question, optimum: Optimum) -> float | None:
    kinks = asked.risk.name in ("quantile", "cvar", "reach") or asked.risk.function is not None
    if kinks or optimum.over is not None:
        return None
    space, u = asked.space(optimum.arrangement), optimum.point[None]
    slopes = balance(asked, optimum, asked.risk)[1][None]
    whole = np.where(space.shared, slopes.sum(1, keepdims=True), slopes)
    edge = 1e-9
    pressed = (u <= space.low + edge) & (whole >= 0) | (u >= space.high - edge) & (whole <= 0)
    free = (space.low < space.high) & ~pressed
    free[..., 0] &= space.own[0]  # one N for all is what the ratios leave
    return float(np.abs(np.where(free, whole, 0.0)).max())


def _risk(asked: Question, fields: np.ndarray) -> np.ndarray:
    """Of designs (design, 3, domain)."""
    losses, _, risks = compiled.scores(asked.risk)(asked.outlook, fields, asked.stakes)
    if asked.chances is None:
        return np.asarray(risks)
    kept = [asked.chances.exact(each).max() <= 0 for each in np.asarray(losses)]
    return np.where(kept, np.asarray(risks), np.nan)
