"""The optimiser: one arrangement, one budget, one risk, on one fixed set of joint draws."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import jax
import numpy as np
from scipy.optimize import minimize

from bayeslaw.cost import SIX_ND, CostLaw
from bayeslaw.laws import Run
from bayeslaw.plan import stakes as compiled
from bayeslaw.plan.arrangement import ARRANGEMENTS
from bayeslaw.plan.bounds import Bounds
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
KINK = 1e-7  # nats gained by starting again: less is not worth it


@dataclass(frozen=True)
class Question:
    """What is asked of every arrangement: a risk of Σ wₖ Lₖ at a budget, on these draws.

    The draws are fixed, so that the answer is deterministic. reference: (draw,), taken off the
    loss: each draw's best, where the risk is on regret. credence: (draw,), how much a draw counts
    in an expectation; equally where it is None. targets: (domain + 1,), losses to be reached; then
    the risk is of the largest shortfall (see `Stakes`). others: arrangement -> its outlook, where
    that is not the laws' own. copies: branches of each domain. cost: of
    training. second: of a `Pair` of risks (see `Stakes`).
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
    others: Mapping[str, Outlook] = field(default_factory=dict)
    copies: float = 1.0
    cost: CostLaw = SIX_ND
    second: np.ndarray | None = None

    def of(self, arrangement: str) -> Question:
        """The question of one arrangement, on its own outlook."""
        if arrangement not in self.others:
            return self
        return self._keeping(outlook=self.others[arrangement], others={})

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
        return jax.device_put(Stakes(weights, reference, credence, self.targets, self.second))

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
        return Space(
            kind, len(self.names), two_stage, self.bounds, self.flops, pins, self.copies, self.cost
        )

    def at(self, flops: float) -> Question:
        """The same question at another budget."""
        return self._keeping(flops=flops)

    def _keeping(self, **changed: Any) -> Question:
        """Another question of the same stakes."""
        other = replace(self, **changed)
        for name in ("stakes", "few_stakes"):  # what depends on neither budget nor outlook
            if name in self.__dict__:
                other.__dict__[name] = self.__dict__[name]
        return other


@dataclass(frozen=True)
class Optimum:
    """The best design of an arrangement. Fields of `run` have shape (domain,).

    rising: whether more of the budget would carry more risk, where that is known already.
    """

    arrangement: str
    run: Run
    at_bound: tuple[str, ...]
    point: np.ndarray  # the design in its `Space`, (domain, 3)
    rising: bool | None = None


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
    few = Problem(space, asked.outlook.few, asked.few_stakes, MEAN)
    everything = Problem(space, asked.outlook, asked.stakes, asked.risk)
    starts = few.best(space.starts()) if start is None else [space.spent(start)]
    near = (newton(space, few.bends(u[None]), few.bends, NEAR) for u in starts)
    found = min(near, key=lambda seen: seen.value[0])
    if asked.risk == MEAN:
        first = everything.slopes(found.point, found.blocks)
        enough = SETTLED * space.domains
        seen = newton(space, first, lambda u: everything.slopes(u, few.bends(u).blocks), enough)
        rising = bool(seen.price[0] < -FREE)
    else:
        seen, rising = everything.descend(found), None
    u = seen.point[0]
    at_bound = tuple(space.edges(u, asked.names, EDGE))
    return Optimum(arrangement, space.design(u), at_bound, u, rising)


def price(asked: Question, optimum: Optimum) -> float:
    """Nats that an e-fold more of the budget takes off the risk, N growing: at an optimum no other
    use of it is better (the envelope theorem). Of a risk that has a smooth stand-in it is that of
    the stand-in: one order statistic's own slope is chance. A reference is held. Within
    `double()`."""
    asked, space = asked.of(optimum.arrangement), asked.space(optimum.arrangement)
    fields = np.stack(optimum.run[:3])
    found = compiled.slopes(asked.risk.descents[0])
    _, in_logs = found(asked.outlook, fields, asked.stakes)
    return float(priced(space, optimum.point[None], np.asarray(in_logs)[None])[2][0])


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
    u = everything.descend(few, ceiling=True).point[0]
    at_bound = tuple(space.edges(u, asked.names, EDGE))
    return Optimum(optimum.arrangement, space.design(u), at_bound, u)


class Problem:
    """A risk over a space, on some draws. Points are batches of one."""

    def __init__(self, space: Space, outlook: Outlook, stakes: Stakes, risk: Risk):
        self.space, self.outlook, self.stakes, self.risk = space, outlook, stakes, risk

    def bends(self, u: np.ndarray) -> Seen:
        """The expected loss, and the Hessian of it and of what it costs."""
        value, in_logs, blocks = compiled.bends()(self.outlook, self._fields(u), self.stakes)
        return bent(self.space, u, np.asarray(value)[None], np.asarray(in_logs)[None],
                    np.asarray(blocks)[None])  # fmt: skip

    def slopes(self, u: np.ndarray, blocks: np.ndarray) -> Seen:
        """The risk, with the curvature `blocks` of the expected loss of fewer draws."""
        found = compiled.slopes(self.risk)(self.outlook, self._fields(u), self.stakes)
        value, in_logs = (np.asarray(v)[None] for v in found)
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

    def descend(self, start: Seen, ceiling: bool = False) -> Seen:
        """L-BFGS-B over the free coordinates, in units in which curvatures are alike.

        ceiling: the log of the budget is free too, downwards.
        """
        space, u = self.space, start.point[0]
        diagonal = np.einsum("kii->ki", start.blocks[0])
        diagonal = np.where(space.shared, diagonal.sum(0), diagonal)
        typical = np.median(np.abs(diagonal[:, space.present]))
        unit = 1 / np.sqrt(np.clip(np.abs(diagonal) / typical, 1e-2, 1e2))
        # One N for all is what the ratios leave; several divide it. What is shared moves once.
        first = np.arange(space.domains)[:, None] == 0
        moved = (space.low < space.high) & np.where(space.own, True, space.shared & first)
        moved[:, 0] &= space.own[0]
        if not (moved.any() or ceiling):
            return start

        def point(v: np.ndarray) -> np.ndarray:
            here = u.copy()
            here[moved] = v[1:] * unit[moved]
            here[:, space.shared] = here[0, space.shared]
            return space.spent(here, v[0])

        def fun(v: np.ndarray, risk: Risk) -> tuple[float, np.ndarray]:
            here = point(v)[None]
            value, in_logs = compiled.slopes(risk)(self.outlook, self._fields(here), self.stakes)
            slopes, _, price = priced(space, here, np.asarray(in_logs)[None])
            slopes = np.where(space.shared, slopes[0].sum(0), slopes[0])
            each = np.concatenate([-price.ravel(), (slopes * unit)[moved]])
            return float(value) / UNIT, each / UNIT

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
        return start._replace(point=point(v)[None], value=np.array([value]))


def bent(
    space: Space, u: np.ndarray, value: np.ndarray, in_logs: np.ndarray, blocks: np.ndarray
) -> Seen:
    """What a Newton step needs, from a gradient and Hessian in the logs of N, D and D′."""
    slopes, cost, price = priced(space, u, in_logs)
    prices = price[:, None, None, None] * space.shares(u)[1]
    blocks = space.exponents.T @ blocks @ space.exponents + prices
    return Seen(u, value, slopes, tempered(blocks, prices, space.own), cost, price)


def priced(
    space: Space, u: np.ndarray, in_logs: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Slopes with the budget's price in them, the gradient of the log of the cost, and the price:
    nats that an e-fold of the budget takes off where N takes it, (batch,)."""
    # Under 6 N the cost goes with the square of all N together.
    slopes = in_logs @ space.exponents
    cost, _ = space.shares(u)
    price = -slopes[..., 0].sum(-1) / cost[..., 0].sum(-1)
    return slopes + price[:, None, None] * cost, cost, price
