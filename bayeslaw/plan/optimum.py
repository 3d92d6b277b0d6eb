"""The optimiser: one arrangement, one budget, one risk, on one fixed set of joint draws."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy.optimize import minimize

from bayeslaw.infer.curves import Curves
from bayeslaw.laws import Run
from bayeslaw.plan.arrangement import ARRANGEMENTS
from bayeslaw.plan.bounds import Bounds
from bayeslaw.plan.risk import Risk
from bayeslaw.plan.space import Space

THIN = 64  # draws that know the curvature; all of them decide
NEAR = 1e-5  # nats still to gain from the few draws, when all of them take over
SETTLED = 1e-10  # nats still to gain, for each domain: next to nothing
LEAST = 0.2  # of the price: the least curvature of what a domain has of its own
LONGEST = 2.0  # a step in the log of a ratio
FURTHEST = 12.0  # of the log of a ratio, from the optimum of the mean to that of another risk
ITERATIONS = 60
CROSSINGS = 5  # times that a step is cut at the edges of the box
EDGE = 1e-6  # of the log of a ratio: nearer to its bound it is at its bound
UNIT = 1e-5  # nats: scipy's tolerances are about numbers near 1
GRADIENT = 1e-8  # nats for a unit of the log of a ratio; curvatures are some hundredths
RESTARTS = 4
KINK = 1e-7  # nats gained by starting again: less is not worth it
MEAN = Risk("mean")


@dataclass(frozen=True)
class Question:
    """What is asked of every arrangement: a risk of Σ wₖ Lₖ at a budget, on these draws.

    The draws are fixed, so that the answer is deterministic.
    """

    curves: Curves
    flops: float
    weights: np.ndarray
    risk: Risk
    bounds: Bounds
    names: tuple[str, ...]

    @cached_property
    def few(self) -> Curves:
        """Draws that stand for all of them where only curvature matters."""
        return thinned(self.curves, THIN)


@dataclass(frozen=True)
class Optimum:
    """The best design of an arrangement. Fields of `run` have shape (domain,)."""

    arrangement: str
    run: Run
    at_bound: tuple[str, ...]
    point: np.ndarray  # the design in its `Space`


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
    two_stage = any(law.two_stage for law in asked.curves.laws)
    space = Space(
        ARRANGEMENTS[arrangement], len(asked.names), two_stage, asked.bounds, asked.flops, pins
    )
    few = _Problem(space, asked.few, asked.weights, MEAN)
    everything = _Problem(space, asked.curves, asked.weights, asked.risk)
    starts = few.best(space.starts()) if start is None else [space.spent(start)]
    near = (few.newton(few.bends(u), few.bends, NEAR) for u in starts)
    found = min(near, key=lambda seen: seen.value)
    if asked.risk == MEAN:
        first = everything.slopes(found.point, found.blocks)
        enough = SETTLED * space.domains
        u = everything.newton(
            first, lambda u: everything.slopes(u, few.bends(u).blocks), enough
        ).point
    else:
        u = everything.descend(found)
    return Optimum(arrangement, space.design(u), tuple(space.edges(u, asked.names, EDGE)), u)


class _Seen(NamedTuple):
    """A risk around a point: what a Newton step needs. Fields have the space's shape."""

    point: np.ndarray
    value: float
    slopes: np.ndarray  # with N giving what the ratios take from the budget
    blocks: np.ndarray  # (domain, 3, 3)
    cost: np.ndarray  # the gradient of the log of the cost


class _Problem:
    """A risk over a space, on some draws."""

    def __init__(self, space: Space, curves: Curves, weights: np.ndarray, risk: Risk):
        self.space, self.curves, self.risk = space, curves, risk
        self.weights = jnp.asarray(weights)

    def bends(self, u: np.ndarray) -> _Seen:
        """The expected loss, and the Hessian of it and of what it costs."""
        space = self.space
        value, in_logs, blocks = _bends()(self.curves, self._fields(u), self.weights)
        slopes, cost, prices = self._priced(u, np.asarray(in_logs))
        blocks = space.exponents.T @ np.asarray(blocks) @ space.exponents + prices
        return _Seen(u, float(value), slopes, _tempered(blocks, prices, space.own), cost)

    def slopes(self, u: np.ndarray, blocks: np.ndarray) -> _Seen:
        """The risk, with the curvature `blocks` of the expected loss of fewer draws."""
        value, in_logs = _slopes(self.risk)(self.curves, self._fields(u), self.weights)
        slopes, cost, _ = self._priced(u, np.asarray(in_logs))
        return _Seen(u, float(value), slopes, blocks, cost)

    def _fields(self, u: np.ndarray) -> np.ndarray:
        return np.stack(self.space.design(u)[:3])

    def _priced(
        self, u: np.ndarray, in_logs: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        # What the log of the budget is worth: cost goes with the square of all N together.
        slopes = in_logs @ self.space.exponents
        price = -slopes[:, 0].sum() / 2
        cost, bent = self.space.shares(u)
        return slopes + price * cost, cost, price * bent

    def best(self, starts: list[np.ndarray]) -> list[np.ndarray]:
        """The best start; and where that has next to no second stage, the best that has one."""
        fields = np.stack([self._fields(u) for u in starts])
        values = np.nan_to_num(np.asarray(_values()(self.curves, fields, self.weights)), nan=np.inf)
        least = int(values.argmin())
        split = np.array([u[0, 2] for u in starts])
        longer = split > split.min()
        if longer[least] or not longer.any():
            return [starts[least]]
        return [starts[least], starts[int(np.where(longer, values, np.inf).argmin())]]

    def newton(self, seen: _Seen, look: Callable[[np.ndarray], _Seen], enough: float) -> _Seen:
        """Damped Newton steps, until the next one leaves less than `enough` nats to gain.

        With the curvature of other draws a step leaves a part of what there was to gain: as large a
        one as the step before. What is returned was seen before the last step, but for its point.
        """
        damping, before = 0.0, 0.0
        for _ in range(ITERATIONS):
            trial = self.space.spent(seen.point + self._step(seen, damping))
            gain = -np.sum(seen.slopes * (trial - seen.point)) / 2
            left = min(1.0, gain / before) if before > 0 else 1.0
            if 0 <= gain * left < enough and damping == 0:
                return seen._replace(point=trial)
            ahead = look(trial)
            if ahead.value <= seen.value:
                seen, before = ahead, gain
                damping = damping / 10 if damping > 0.01 else 0.0
            elif damping > 1e6:
                break
            else:
                damping = max(10 * damping, 0.1)
        return seen

    def _step(self, seen: _Seen, damping: float) -> np.ndarray:
        """The Newton step of equal cost within the box, (domain, 3)."""
        space, u = self.space, seen.point
        whole = np.where(space.shared, seen.slopes.sum(0), seen.slopes)
        pressed = (u <= space.low) & (whole >= 0) | (u >= space.high) & (whole <= 0)
        free = (space.low < space.high) & ~pressed
        given = np.zeros_like(u)
        for _ in range(CROSSINGS):
            step = self._equal_cost(seen, damping, free, given)
            ahead = u + step
            crossing = free & ((ahead < space.low) | (ahead > space.high))
            if not crossing.any():
                break
            # What would leave the box goes as far as its edge, and the rest is solved again.
            given = np.where(crossing, np.clip(ahead, space.low, space.high) - u, given)
            free = free & ~crossing
        for some in (space.own, space.shared):
            furthest = np.abs(step[:, some]).max(1, initial=LONGEST, keepdims=True)
            step[:, some] *= LONGEST / furthest
        return step

    def _equal_cost(
        self, seen: _Seen, damping: float, free: np.ndarray, given: np.ndarray
    ) -> np.ndarray:
        """The Newton step at equal cost: domains on their own, then what they share.

        free: which coordinates move; the others move by `given`.
        """
        own, shared = self.space.own, self.space.shared
        _, _, slopes, blocks, cost = seen
        slopes = slopes + (blocks @ given[:, :, None])[:, :, 0]
        scale = np.abs(blocks).max() + 1e-300
        # Own coordinates: (domain, q). Columns: the gradient, the shared coordinates, the cost.
        keep = free[:, own, None]
        rows = blocks[:, own]
        columns = np.concatenate([slopes[:, own, None], rows[:, :, shared], cost[:, own, None]], 2)
        columns = columns * keep
        local = rows[:, :, own] * (keep & free[:, None, own])
        solved = _solve(local, columns, scale, damping) * keep
        reduced = np.tensordot(columns, solved, ((0, 1), (0, 1)))
        # Shared coordinates, with the price of the budget put in.
        loose = free[0, shared]
        by = cost[:, shared].sum(0) - reduced[1:-1, -1]
        give = max(reduced[-1, -1], 1e-8 / scale)
        short = np.sum(cost * given) - reduced[-1, 0]
        moved = np.zeros(len(loose))
        if loose.any():
            joint = blocks[:, shared][:, :, shared].sum(0) - reduced[1:-1, 1:-1]
            joint = (joint + np.outer(by, by) / give) * np.outer(loose, loose)
            right = reduced[1:-1, 0] - slopes[:, shared].sum(0) - by * short / give
            moved = _solve(joint, (right * loose)[:, None], scale, damping)[:, 0] * loose
        step = given.copy()
        step[:, shared] += moved
        step[:, own] -= solved @ np.concatenate([[1.0], moved, [(by @ moved + short) / give]])
        return step

    def descend(self, start: _Seen) -> np.ndarray:
        """L-BFGS-B over the free coordinates, in units in which curvatures are alike."""
        space, u = self.space, start.point
        diagonal = np.einsum("kii->ki", start.blocks)
        diagonal = np.where(space.shared, diagonal.sum(0), diagonal)
        typical = np.median(np.abs(diagonal[:, space.present]))
        unit = 1 / np.sqrt(np.clip(np.abs(diagonal) / typical, 1e-2, 1e2))
        # One N for all is what the ratios leave; several divide it. What is shared moves once.
        first = np.arange(space.domains)[:, None] == 0
        moved = (space.low < space.high) & np.where(space.own, True, space.shared & first)
        moved[:, 0] &= space.own[0]
        if not moved.any():
            return u

        def point(v: np.ndarray) -> np.ndarray:
            here = u.copy()
            here[moved] = v * unit[moved]
            here[:, space.shared] = here[0, space.shared]
            return space.spent(here)

        def fun(v: np.ndarray) -> tuple[float, np.ndarray]:
            u = point(v)
            seen = self.slopes(u, start.blocks)
            slopes = np.where(space.shared, seen.slopes.sum(0), seen.slopes)
            return seen.value / UNIT, (slopes * unit)[moved] / UNIT

        low = np.maximum(space.low, u - FURTHEST)
        high = np.minimum(space.high, u + FURTHEST)
        box = np.stack([bound[moved] / unit[moved] for bound in (low, high)], 1)
        options = {"ftol": 1e-16, "gtol": GRADIENT / UNIT, "maxcor": 20}
        options["maxiter"] = max(20, 4000 // len(box))
        v, value = u[moved] / unit[moved], np.inf
        for _ in range(RESTARTS):  # at a kink what was learnt of curvature misleads
            found = minimize(fun, v, jac=True, method="L-BFGS-B", bounds=box, options=options)
            v, gain, value = found.x, value - found.fun * UNIT, found.fun * UNIT
            if gain < KINK:
                break
        return point(v)


def _tempered(blocks: np.ndarray, prices: np.ndarray, own: np.ndarray) -> np.ndarray:
    """A Hessian, with what a domain has of its own made positive.

    Where D′ is too short to matter, the loss in log D′ bends down nearly as much as the price bends
    up, and a Newton step would leap: at least a part of the price stays.
    """
    own = np.flatnonzero(own)
    if not len(own):
        return blocks
    rows, columns = own[:, None], own
    values, vectors = np.linalg.eigh(blocks[:, rows, columns])
    turned = np.swapaxes(vectors, -1, -2)
    least = LEAST * ((turned @ prices[:, rows, columns]) * turned).sum(-1)
    blocks[:, rows, columns] = (vectors * np.maximum(np.abs(values), least)[:, None, :]) @ turned
    return blocks


def _solve(blocks: np.ndarray, columns: np.ndarray, scale: float, damping: float) -> np.ndarray:
    """|H|⁻¹ b of every block: directions of negative curvature are gone down, not up."""
    values, vectors = np.linalg.eigh(blocks)
    values = np.maximum(np.abs(values), 1e-10 * scale) + damping * scale
    return vectors @ ((np.swapaxes(vectors, -1, -2) @ columns) / values[..., None])


def thinned(curves: Curves, draws: int) -> Curves:
    """About `draws` of the draws, evenly spaced within each law."""
    if curves.draws <= 2 * draws:
        return curves
    step = curves.draws // draws
    some = tuple({n: v[step // 2 :: step] for n, v in theta.items()} for theta in curves.thetas)
    return Curves(curves.laws, some, curves.ats)


def total(log_loss: Any, weights: Any) -> Any:
    """Σ wₖ Lₖ of every draw; log_loss (draw, domain)."""
    return jnp.exp(log_loss) @ weights


def _moved(run: Run, by: Any) -> Run:
    """The design with the logs of N, D and D′ moved, by (domain, 3)."""
    n, d, split = (field * jnp.exp(by[:, j]) for j, field in enumerate(run[:3]))
    return Run(n, d, split)


def _loss(curves: Curves, fields: Any, by: Any, weights: Any) -> Any:
    """Draws of the loss of the design with the logs of N, D and D′ moved, by (domain, 3)."""
    return total(curves.log_loss(Run(*(fields * jnp.exp(by.T)))), weights)


@lru_cache(maxsize=32)
def _slopes(risk: Risk) -> Any:
    """Compiled: the risk and its gradient in the logs of N, D and D′, (domain, 3)."""

    def slopes(curves: Curves, fields: Any, weights: Any) -> Any:
        still = jnp.zeros((curves.domains, 3))
        return jax.value_and_grad(lambda by: risk(_loss(curves, fields, by, weights)))(still)

    return jax.jit(slopes)


@lru_cache(maxsize=1)
def _bends() -> Any:
    """Compiled: the expected loss, its gradient, and the blocks of its Hessian, (domain, 3, 3).

    Domains do not meet in it, so one pass with a unit tangent in every domain is one column of
    every block.
    """

    def bends(curves: Curves, fields: Any, weights: Any) -> Any:
        value = jax.value_and_grad(lambda by: jnp.mean(_loss(curves, fields, by, weights)))
        still = jnp.zeros((curves.domains, 3))
        units = jnp.eye(3)[:, None, :] * jnp.ones((curves.domains, 1))
        (first, slopes), push = jax.linearize(value, still)
        return first, slopes, jnp.moveaxis(jax.vmap(push)(units)[1], 0, -1)

    return jax.jit(bends)


@lru_cache(maxsize=1)
def _values() -> Any:
    """Compiled: the expected loss of several designs."""

    def value(curves: Curves, fields: Any, weights: Any) -> Any:
        return jnp.mean(total(curves.log_loss(Run(*fields)), weights))

    return jax.jit(jax.vmap(value, in_axes=(None, 0, None)))
