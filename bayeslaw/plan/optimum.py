"""The optimiser: one arrangement, one budget, one risk, on one fixed set of joint draws."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from bayeslaw.laws import Run
from bayeslaw.plan import stakes as compiled
from bayeslaw.plan.chance import losses_of
from bayeslaw.plan.constrained import constrained
from bayeslaw.plan.fence import Fence
from bayeslaw.plan.newton import Seen, newton
from bayeslaw.plan.problem import ROUGH, Problem, fenced, priced
from bayeslaw.plan.question import Question
from bayeslaw.plan.risk import MEAN, Risk
from bayeslaw.plan.space import Space

NEAR = 1e-5  # nats still to gain from the few draws, when all of them take over
SETTLED = 1e-10  # nats still to gain from one domain: next to nothing
MANY = 1.5  # power of the domains that it grows by: 2e-9 nats of 8, 3e-6 of 1024
SLOW_HOLDS = 4  # times that a slow descent is drawn to bounds; the mean has learnt most of it
EDGE = 1e-6  # of the log of a ratio: nearer to its bound it is at its bound
FREE = 1e-9  # nats for an e-fold of the budget: less is no price
BALANCED = 1e-9  # of the log of a ratio: nearer to its bound it is held there


@dataclass(frozen=True)
class Optimum:
    """The best design of an arrangement. Fields of `run` have shape (domain,).

    rising: whether more of the budget would carry more risk, where that is known already.
    at_limit: which bounds of the caller's hold it, in the caller's words. architectures: their
    names, of each domain, where its N are theirs.
    """

    arrangement: str
    run: Run
    at_bound: tuple[str, ...]
    point: np.ndarray  # the design in its `Space`, (domain, 3)
    rising: bool | None = None
    at_limit: tuple[str, ...] = ()
    architectures: tuple[str, ...] = ()
    over: float | None = None

    @property
    def kept(self) -> bool:
        """Whether it keeps the limits on losses."""
        return self.over is None or self.over <= 0


def optimise(
    asked: Question,
    arrangement: str,
    pins: Mapping[str, float] | None = None,
    start: np.ndarray | None = None,
) -> Optimum:
    """The arrangement's design of least risk among those that spend the budget.

    Newton's method on the expected loss of a few draws, from the best of several starts (or from
    `start`); then all draws decide: their gradients with the curvature of the few for the mean,
    L-BFGS-B for any other risk. pins: coordinate -> log value to hold for every domain. Within
    `double()`.
    """
    asked, space = asked.of(arrangement), asked.space(arrangement, pins)
    found = (
        _greatest(asked, arrangement, space)
        if space.exhausted
        else _free(asked, arrangement, space, start)
    )
    over = excess(asked, found.run)
    if over <= 0:
        return found
    if space.exhausted:
        return replace(found, over=over)
    few = Problem(space, asked.outlook.few, asked.few_stakes, MEAN).bends(found.point[None])
    everything = Problem(space, asked.outlook, asked.stakes, asked.risk)
    end = constrained(asked, space, everything, found.point, few.blocks)
    return replace(_ended(asked, arrangement, space, end.point, rising=False), over=end.over)


def excess(asked: Question, run: Run) -> float:
    """Nats by which a design exceeds the limits on losses; at most 0 where it keeps them, and where
    there are none; of one arrangement's question. Within `double()`."""
    if asked.chances is None:
        return 0.0
    losses = losses_of()(asked.outlook, np.stack(run[:3]))
    return float(asked.chances.exact(np.asarray(losses)).max())


def _free(asked: Question, arrangement: str, space: Space, start: np.ndarray | None) -> Optimum:
    """The optimum that no limits on losses hold."""
    few = Problem(space, asked.outlook.few, asked.few_stakes, MEAN)
    everything = Problem(space, asked.outlook, asked.stakes, asked.risk)
    starts = few.best(space.starts()) if start is None else [space.spent(start)]
    ends = []
    for u in starts:
        near = fenced(lambda f, v: newton(space, few.bends(v, f), lambda w: few.bends(w, f), NEAR),
                      space, u[None])  # fmt: skip
        ends.append((float(near[1].value[0]), near))
    fence, found = min(ends, key=lambda end: end[0])[1]
    began = fence
    if asked.risk == MEAN:
        enough = SETTLED * space.domains**MANY

        def settled(f: Fence, u: np.ndarray) -> Seen:
            blocks = found.blocks if u is found.point else few.bends(u, f).blocks
            first = everything.slopes(u, blocks, f)
            look = lambda w: everything.slopes(w, few.bends(w, f).blocks, f)  # noqa: E731
            return newton(space, first, look, enough)

        fence, seen = fenced(settled, space, found.point, fence)
        rising: bool | None = bool(seen.price[0] < -FREE)
    else:
        blocks = found.blocks
        fence, seen = fenced(
            lambda f, u: everything.descend(u, blocks, f),
            space, found.point, fence, ROUGH, SLOW_HOLDS,
        )  # fmt: skip
        rising = None
    end = _ended(asked, arrangement, space, space.pushed(seen.point, fence)[0], rising)
    if not asked.risk.steps:
        return end
    # Where hardly a draw is on the good side of the step, what stands in for it leads anywhere.
    return _better(
        asked, _ended(asked, arrangement, space, space.pushed(found.point, began)[0]), end
    )


def _better(asked: Question, before: Optimum, after: Optimum) -> Optimum:
    """Of two designs of one arrangement's question the one of less risk; the first, where alike."""
    fields = np.stack([np.stack(o.run[:3]) for o in (before, after)])
    *_, risks = compiled.scores(asked.risk)(asked.outlook, fields, asked.stakes)
    return before if risks[0] <= risks[1] else after


def _ended(
    asked: Question, arrangement: str, space: Space, u: np.ndarray, rising: bool | None = None
) -> Optimum:
    """The design where a descent has ended, within all bounds."""
    u = space.inside(u) if space.fence.bounded else u
    at_bound = tuple(space.edges(u, asked.names, EDGE, asked.wanted))
    return Optimum(arrangement, space.design(u), at_bound, u, rising, tuple(space.limits(u, EDGE)))


def _greatest(asked: Question, arrangement: str, space: Space) -> Optimum:
    """The greatest design within the bounds, which costs less than the budget."""
    u = space.inside(space.starts()[0])
    found = _ended(asked, arrangement, space, u)
    _, in_logs = compiled.slopes(asked.risk.descents[0])(
        asked.outlook, np.stack(found.run[:3]), asked.stakes
    )
    return replace(found, rising=bool((np.asarray(in_logs) > FREE).any()))


def price(asked: Question, optimum: Optimum) -> float:
    """Nats that an e-fold more of the budget takes off the risk, N growing: at an optimum no other
    use of it is better (the envelope theorem). Of a risk that has a smooth stand-in it is that of
    the stand-in: one order statistic's own slope is chance. A reference is held. Within
    `double()`."""
    return balance(asked, optimum, asked.risk.descents[0])[0]


def balance(asked: Question, optimum: Optimum, risk: Risk) -> tuple[float, np.ndarray]:
    """The price of the budget at a design, and the slopes, (domain, 3), that it and the bounds do
    not balance: 0 at an optimum. Within `double()`."""
    asked, space, u = (
        asked.of(optimum.arrangement), asked.space(optimum.arrangement), optimum.point,
    )  # fmt: skip
    found = compiled.slopes(risk)(asked.outlook, np.stack(optimum.run[:3]), asked.stakes)
    in_logs = np.asarray(found[1])
    slopes, _, price = (v[0] for v in priced(space, u[None], in_logs[None]))
    held = np.argwhere(np.logical_or(*space.fence.touched(space.logs(u))) & space.fence.here)
    if len(held):
        # The price and what the bounds bear, by least squares over what is free to move.
        def whole(v: np.ndarray) -> np.ndarray:
            return np.where(space.shared, v.sum(-2, keepdims=True), v)

        free = space.present & (
            ((u > space.low + BALANCED) & (u < space.high - BALANCED)) | (np.arange(3) == 0)
        )
        normals = np.zeros((len(held), *u.shape))
        normals[np.arange(len(held)), held[:, 0]] = space.exponents[held[:, 1]]
        columns = np.stack([whole(space.shares(u)[0]), *whole(normals)])[:, free]
        plain = in_logs @ space.exponents
        right = whole(plain)[free]
        solved = np.linalg.lstsq(columns.T, -right, rcond=None)[0]
        left = np.zeros(u.shape)
        left[free] = right + solved @ columns
        return float(solved[0]), left
    return float(price), slopes


def within(asked: Question, optimum: Optimum, pins: Mapping[str, float] | None = None) -> Optimum:
    """The optimum of a budget, or of the smaller one at which its arrangement carries less risk.
    Within `double()`.

    Further out a law is less to be trusted: a risk of the upper tail can rise with the budget. Its
    price says so; then the budget is one more coordinate.
    """
    rising = optimum.rising
    if not (price(asked, optimum) < -FREE if rising is None else rising):
        return optimum
    asked, space = asked.of(optimum.arrangement), asked.space(optimum.arrangement, pins)
    few = Problem(space, asked.outlook.few, asked.few_stakes, MEAN).bends(optimum.point[None])
    everything = Problem(space, asked.outlook, asked.stakes, asked.risk)
    fence, seen = fenced(
        lambda f, u: everything.descend(u, few.blocks, f, ceiling=True),
        space, optimum.point[None], near=ROUGH,
    )  # fmt: skip
    spends = asked.at(float(space.costs(seen.point).sum())).space(optimum.arrangement, pins)
    end = _ended(asked, optimum.arrangement, spends, space.pushed(seen.point, fence)[0])
    return _better(asked, optimum, end) if asked.risk.steps else end
