"""The optimiser: one arrangement, one budget, one risk, on one fixed set of joint draws."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import jax
import numpy as np
from scipy.optimize import minimize

from bayeslaw.laws import Run
from bayeslaw.plan import stakes as compiled
from bayeslaw.plan.arrangement import ARRANGEMENTS
from bayeslaw.plan.bounds import Bounds
from bayeslaw.plan.fence import TOUCH, Fence
from bayeslaw.plan.newton import Seen, newton, tempered
from bayeslaw.plan.outlook import THIN, Outlook
from bayeslaw.plan.risk import MEAN, Risk
from bayeslaw.plan.space import Space
from bayeslaw.plan.stakes import Stakes

NEAR = 1e-5  # nats still to gain from the few draws, when all of them take over
SETTLED = 1e-10  # nats still to gain, for each domain: next to nothing
FURTHEST = 12.0  # of the log of a ratio, from the optimum of the mean to that of another risk
EDGE = 1e-6  # of the log of a ratio: nearer to its bound it is at its bound
UNIT = 1e-5  # nats: scipy's tolerances are about numbers near 1
GRADIENT = 1e-8  # nats for a unit of the log of a ratio; curvatures are some hundredths
SLOW = 1e-10  # of a risk gained by a step: fewer nats than draws can tell
RESTARTS = 4
DEEPEST = np.log(1e6)  # below the budget, in which a lesser risk is sought
FREE = 1e-9  # nats for an e-fold of the budget: less is no price
HOLDS = 12  # times that a design is drawn to its bounds
ROUGH = 1e-4  # e-folds: near enough to a bound where a risk is slow to descend
BALANCED = 1e-9  # of the log of a ratio: nearer to its bound it is held there
KINK = 1e-7  # nats gained by starting again: less is not worth it


@dataclass(frozen=True)
class Question:
    """What is asked of every arrangement: a risk of Σ wₖ Lₖ at a budget, on these draws.

    The draws are fixed, so that the answer is deterministic. reference: (draw,), taken off the
    loss: each draw's best, where the risk is on regret. credence: (draw,), how much a draw counts
    in an expectation; equally where it is None. targets: (domain + 1,), losses to be reached; then
    the risk is of the largest shortfall (see `Stakes`).
    """

    outlook: Outlook
    flops: float
    weights: np.ndarray
    risk: Risk
    bounds: Bounds
    names: tuple[str, ...]
    reference: np.ndarray | None = None
    credence: np.ndarray | None = None
    targets: np.ndarray | None = None

    @property
    def expected(self) -> Question:
        """The same of the expected loss."""
        return replace(self, risk=MEAN, reference=None, credence=None, targets=None)

    @cached_property
    def stakes(self) -> Stakes:
        draws = self.outlook.draws
        reference = np.zeros(draws) if self.reference is None else self.reference
        credence = np.full(draws, 1 / draws) if self.credence is None else self.credence
        weights = np.asarray(self.weights, float)
        return jax.device_put(Stakes(weights, reference, credence, self.targets))

    @cached_property
    def few_stakes(self) -> Stakes:
        """Of the few draws that know the curvature."""
        draws = self.outlook.few.draws
        credence = np.full(draws, 1 / draws)
        if self.credence is not None:
            some = self.credence[self.outlook.thinned_rows(THIN)]
            credence = some / some.sum() if some.sum() > 0 else credence
        return jax.device_put(Stakes(self.stakes.weights, np.zeros(draws), credence))

    def space(self, arrangement: str, pins: Mapping[str, float] | None = None) -> Space:
        two_stage = any(law.two_stage for law in self.outlook.curves.laws)
        kind = ARRANGEMENTS[arrangement]
        return Space(kind, len(self.names), two_stage, self.bounds, self.flops, pins)

    def at(self, flops: float) -> Question:
        """The same question at another budget."""
        return self._like(replace(self, flops=flops))

    def bounded(self, bounds: Bounds) -> Question:
        """The same question within other bounds."""
        return self._like(replace(self, bounds=bounds))

    def _like(self, other: Question) -> Question:
        for name in ("stakes", "few_stakes"):  # they depend on neither budget nor bounds
            if name in self.__dict__:
                other.__dict__[name] = self.__dict__[name]
        return other


@dataclass(frozen=True)
class Optimum:
    """The best design of an arrangement. Fields of `run` have shape (domain,).

    rising: whether more of the budget would carry more risk, where that is known already.
    at_limit: which bounds of the caller's hold it, in the caller's words.
    """

    arrangement: str
    run: Run
    at_bound: tuple[str, ...]
    point: np.ndarray  # the design in its `Space`, (domain, 3)
    rising: bool | None = None
    at_limit: tuple[str, ...] = ()


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
    space = asked.space(arrangement, pins)
    if space.exhausted:
        return _greatest(asked, arrangement, space)
    few = Problem(space, asked.outlook.few, asked.few_stakes, MEAN)
    everything = Problem(space, asked.outlook, asked.stakes, asked.risk)
    starts = few.best(space.starts()) if start is None else [space.spent(start)]
    ends = []
    for u in starts:
        near = fenced(lambda f, v: newton(space, few.bends(v, f), lambda w: few.bends(w, f), NEAR),
                      space, u[None])  # fmt: skip
        ends.append((float(near[1].value[0]), near))
    fence, found = min(ends, key=lambda end: end[0])[1]
    if asked.risk == MEAN:
        enough = SETTLED * space.domains

        def settled(f: Fence, u: np.ndarray) -> Seen:
            first = everything.slopes(u, few.bends(u, f).blocks, f)
            look = lambda w: everything.slopes(w, few.bends(w, f).blocks, f)  # noqa: E731
            return newton(space, first, look, enough)

        fence, seen = fenced(settled, space, found.point, fence)
        rising: bool | None = bool(seen.price[0] < -FREE)
    else:
        blocks = found.blocks
        fence, seen = fenced(
            lambda f, u: everything.descend(u, blocks, f), space, found.point, fence, ROUGH
        )
        rising = None
    return _ended(asked, arrangement, space, seen.point[0], rising)


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


def _ended(
    asked: Question, arrangement: str, space: Space, u: np.ndarray, rising: bool | None = None
) -> Optimum:
    """The design where a descent has ended, within all bounds."""
    u = space.inside(u) if space.fence.bounded else u
    at_bound = tuple(space.edges(u, asked.names, EDGE))
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
    space, u = asked.space(optimum.arrangement), optimum.point
    found = compiled.slopes(risk)(asked.outlook, np.stack(optimum.run[:3]), asked.stakes)
    in_logs = np.asarray(found[1])
    slopes, _, price = (v[0] for v in priced(space, u[None], in_logs[None]))
    held = np.argwhere(np.logical_or(*space.fence.touched(space.logs(u))) & space.fence.here)
    if len(held):
        # The price and what the bounds bear, by least squares over what is free to move.
        whole = lambda v: np.where(space.shared, v.sum(-2, keepdims=True), v)  # noqa: E731
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
    space = asked.space(optimum.arrangement, pins)
    few = Problem(space, asked.outlook.few, asked.few_stakes, MEAN).bends(optimum.point[None])
    everything = Problem(space, asked.outlook, asked.stakes, asked.risk)
    _, seen = fenced(
        lambda f, u: everything.descend(u, few.blocks, f, ceiling=True),
        space, optimum.point[None], near=ROUGH,
    )  # fmt: skip
    u = seen.point[0]
    spends = asked.at(float(space.costs(u).sum())).space(optimum.arrangement, pins)
    return _ended(asked, optimum.arrangement, spends, u)


@dataclass(frozen=True)
class Problem:
    """A risk over a space, on some draws. Points are batches of one."""

    space: Space
    outlook: Outlook
    stakes: Stakes
    risk: Risk

    def bends(self, u: np.ndarray, fence: Fence | None = None) -> Seen:
        """The expected loss, and the Hessian of it and of what it costs."""
        found = compiled.bends()(self.outlook, self._fields(u), self.stakes)
        value, in_logs, blocks = (np.asarray(v)[None] for v in found)
        return bent(self.space, u, value, in_logs, blocks, fence)

    def slopes(self, u: np.ndarray, blocks: np.ndarray, fence: Fence | None = None) -> Seen:
        """The risk, with the curvature `blocks` of the expected loss of fewer draws."""
        found = compiled.slopes(self.risk)(self.outlook, self._fields(u), self.stakes)
        value, in_logs = (np.asarray(v)[None] for v in found)
        if fence is not None and fence.bounded:
            value, in_logs = fence.held(self.space.logs(u), value, in_logs)
        slopes, cost, price = priced(self.space, u, in_logs)
        return Seen(u, value, slopes, blocks, cost, price)

    def _fields(self, u: np.ndarray) -> np.ndarray:
        return np.stack(self.space.design(u[0])[:3])

    def best(self, starts: list[np.ndarray]) -> list[np.ndarray]:
        """The best start; and where that has next to no second stage, the best that has one."""
        fields = np.stack([np.stack(self.space.design(u)[:3]) for u in starts])
        found = compiled.totals()(self.outlook, fields, self.stakes.weights)
        values = np.nan_to_num(np.asarray(found).mean(1), nan=np.inf)
        least = int(values.argmin())
        split = np.array([u[0, 2] for u in starts])
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
    return Seen(u, value, slopes, tempered(blocks, prices, space.own), cost, price)


def priced(
    space: Space, u: np.ndarray, in_logs: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Slopes with the budget's price in them, the gradient of the log of the cost, and the price:
    nats that an e-fold of the budget takes off where N takes it, (batch,)."""
    slopes = in_logs @ space.exponents
    cost, _ = space.shares(u)
    price = -slopes[..., 0].sum(-1) / cost[..., 0].sum(-1)
    return slopes + price[:, None, None] * cost, cost, price
