"""The problem: a risk over the space of one arrangement, and how it is gone down."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import minimize

from bayeslaw.plan import stakes as compiled
from bayeslaw.plan.chance import Hold, held_slopes
from bayeslaw.plan.fence import TOUCH, Fence
from bayeslaw.plan.newton import Seen, tempered
from bayeslaw.plan.outlook import Outlook
from bayeslaw.plan.risk import Risk
from bayeslaw.plan.space import Space
from bayeslaw.plan.stakes import Stakes

FURTHEST = 12.0  # of the log of a ratio, from the optimum of the mean to that of another risk
UNIT = 1e-5  # nats: scipy's tolerances are about numbers near 1
GRADIENT = 1e-8  # nats for a unit of the log of a ratio; curvatures are some hundredths
SLOW = 1e-10  # of a risk gained by a step: fewer nats than draws can tell
RESTARTS = 4
DEEPEST = np.log(1e6)  # below the budget, in which a lesser risk is sought
HOLDS = 12  # times that a design is drawn to its bounds
ROUGH = 1e-4  # e-folds: near enough to a bound where a risk is slow to descend
KINK = 1e-7  # nats gained by starting again: less is not worth it


@dataclass(frozen=True)
class Problem:
    """A risk over a space, on some draws. Points are batches of one. hold: limits that hold it."""

    space: Space
    outlook: Outlook
    stakes: Stakes
    risk: Risk
    hold: Hold | None = None

    def bends(self, u: np.ndarray, fence: Fence | None = None) -> Seen:
        """The expected loss, and the Hessian of it and of what it costs."""
        found = compiled.bends()(self.outlook, self._fields(u), self.stakes)
        value, in_logs, blocks = (np.asarray(v)[None] for v in found)
        return bent(self.space, u, value, in_logs, blocks, fence)

    def slopes(self, u: np.ndarray, blocks: np.ndarray, fence: Fence | None = None) -> Seen:
        """The risk, with the curvature `blocks` of the expected loss of fewer draws."""
        given = (self.outlook, self._fields(u), self.stakes)
        if self.hold is None:
            found = compiled.slopes(self.risk)(*given)
        else:
            found = held_slopes(self.risk)(*given, self.hold)
        value, in_logs = (np.asarray(v)[None] for v in found)
        if fence is not None and fence.bounded:
            value, in_logs = fence.held(self.space.logs(u), value, in_logs)
        slopes, cost, price = priced(self.space, u, in_logs)
        return Seen(u, value, slopes, blocks, cost, price)

    def _fields(self, u: np.ndarray) -> np.ndarray:
        return self.space.fields(u[0])

    def best(self, starts: np.ndarray) -> list[np.ndarray]:
        """The best start; and where that has next to no second stage, the best that has one."""
        fields = np.moveaxis(self.space.fields(starts), 0, 1)
        found = compiled.totals()(self.outlook, fields, self.stakes.weights)
        values = np.nan_to_num(np.asarray(found).mean(1), nan=np.inf)
        least = int(values.argmin())
        split = starts[:, 0, 2]
        longer = split > split.min()
        if longer[least] or not longer.any():
            return [starts[least]]
        return [starts[least], starts[int(np.where(longer, values, np.inf).argmin())]]

    def descend(
        self,
        start: np.ndarray,
        blocks: np.ndarray,
        fence: Fence | None = None,
        ceiling: bool = False,
    ) -> Seen:
        """L-BFGS-B over the free coordinates, in units in which the curvatures `blocks` are alike.

        ceiling: the log of the budget is free too, downwards.
        """
        space, u = self.space, start[0]
        first_seen = self.slopes(start, blocks, fence)
        diagonal = np.einsum("kii->ki", blocks[0])
        diagonal = np.where(space.shared, diagonal.sum(0), diagonal)
        typical = np.median(np.abs(diagonal[:, space.present]))
        unit = 1 / np.sqrt(np.clip(np.abs(diagonal) / typical, 1e-2, 1e2))
        # One N for all is what the ratios leave; several divide it. What is shared moves once.
        first = np.arange(space.domains)[:, None] == 0
        moved = (space.low < space.high) & np.where(space.own, True, space.shared & first)
        moved[:, 0] &= space.own[0]
        if not (moved.any() or ceiling):
            return first_seen

        def point(v: np.ndarray) -> np.ndarray:
            here = u.copy()
            here[moved] = v[1:] * unit[moved]
            here[:, space.shared] = here[0, space.shared]
            return space.spent(here, v[0])

        def fun(v: np.ndarray, risk: Risk) -> tuple[float, np.ndarray]:
            here = point(v)[None]
            seen = replace(self, risk=risk).slopes(here, blocks, fence)
            slopes = np.where(space.shared, seen.slopes[0].sum(0), seen.slopes[0])
            each = np.concatenate([-seen.price, (slopes * unit)[moved]])
            return float(seen.value[0]) / UNIT, each / UNIT

        low = np.maximum(space.low, u - FURTHEST)
        high = np.minimum(space.high, u + FURTHEST)
        box = np.stack([bound[moved] / unit[moved] for bound in (low, high)], 1)
        box = np.concatenate([[[-DEEPEST if ceiling else 0.0, 0.0]], box])
        options = {"ftol": SLOW, "gtol": GRADIENT / UNIT, "maxcor": 20}
        options["maxiter"] = max(20, 1000 // len(box))
        v = np.concatenate([[0.0], u[moved] / unit[moved]])
        for risk in self.risk.descents:
            value = np.inf
            for _ in range(RESTARTS):  # at a kink what was learnt of curvature misleads
                found = minimize(
                    fun, v, risk, method="L-BFGS-B", jac=True, bounds=box, options=options
                )
                v, gain, value = found.x, value - found.fun * UNIT, found.fun * UNIT
                if gain < KINK:
                    break
        return first_seen._replace(point=point(v)[None], value=np.array([value]))


def bent(
    space: Space,
    u: np.ndarray,
    value: np.ndarray,
    in_logs: np.ndarray,
    blocks: np.ndarray,
    fence: Fence | None = None,
) -> Seen:
    """What a Newton step needs, from a gradient and Hessian in the logs of N, D and D′, and the
    fence that holds it."""
    if fence is not None and fence.bounded:
        x = space.logs(u)
        value, in_logs = fence.held(x, value, in_logs)
        blocks = blocks + fence.stiffness(x)
    slopes, cost, price = priced(space, u, in_logs)
    prices = price[:, None, None, None] * space.shares(u)[1]
    blocks = space.exponents.T @ blocks @ space.exponents + prices
    return Seen(u, value, slopes, tempered(blocks, prices, space.own_at), cost, price)


def priced(
    space: Space, u: np.ndarray, in_logs: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Slopes with the budget's price in them, the gradient of the log of the cost, and the price:
    nats that an e-fold of the budget takes off where N takes it, (batch,)."""
    slopes = in_logs @ space.exponents
    cost, _ = space.shares(u)
    price = -slopes[..., 0].sum(-1) / cost[..., 0].sum(-1)
    return slopes + price[:, None, None] * cost, cost, price


def fenced(
    solve: Callable[[Fence, np.ndarray], Seen],
    space: Space,
    u: np.ndarray,
    fence: Fence | None = None,
    near: float = TOUCH,
    holds: int = HOLDS,
) -> tuple[Fence, Seen]:
    """The end of a descent from u that the space's bounds on N, D and D′ hold: solved again with
    the multipliers of the last end, until that is `near` to the bounds and no more."""
    fence = space.fence if fence is None else fence
    seen = solve(fence, u)
    for _ in range(holds if fence.bounded else 0):
        x = space.logs(seen.point)
        if fence.out(x) < near:
            break
        fence = fence.learnt(x)
        seen = solve(fence, seen.point)
    return fence, seen
