"""The space of designs of one arrangement that cost a given budget."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from itertools import product

import numpy as np

from bayeslaw.cost import SIX_ND, CostLaw
from bayeslaw.laws import Run
from bayeslaw.plan.arrangement import Arrangement
from bayeslaw.plan.bounds import LEVELS, UNBOUNDED, Bounds, logs
from bayeslaw.plan.fence import Fence
from bayeslaw.plan.serving import Serving

COORDINATES = ("params", "tokens_per_param", "split_ratio")
NEWTON, ROUNDING = 50, 1e-13  # steps at most, and of the log of a cost
HALVINGS = 80  # of how far levels are moved, to spend a budget between bounds
SAME = 1e-9  # of a budget
PUSH = 1e-5  # e-folds: more than a descent is off its bounds
FURTHEST = 60.0  # e-folds that they are moved at most


class Space:
    """Designs as points u of shape (…, domain, 3): logs of N, of D/N and of D′/D.

    The logs of N, D and D′ are u Tᵀ for a constant matrix T, and every stage costs the exponential
    of something linear in u. Without a first stage the second coordinate is D′/N. What an
    arrangement has in common is the same in every row. N takes what the ratios leave of the budget,
    so a plan's domain of validity is a box of the ratios. Bounds on N, D and D′ themselves are a
    `Fence`. What the caller wants of tokens that an arrangement does not have is left out. copies:
    second stages of each domain.
    """

    def __init__(
        self,
        arrangement: Arrangement,
        domains: int,
        two_stage: bool,
        bounds: Bounds,
        flops: float,
        pins: Mapping[str, float] | None = None,
        serving: Serving | None = None,
        copies: float = 1.0,
        cost: CostLaw = SIX_ND,
    ):
        first, second = arrangement.stages[0], arrangement.stages[1] and two_stage
        self.domains = domains
        self.flops: float | np.ndarray = flops  # or one for each point
        self.tokens = np.array([[1.0, 1, 0], [1, 1, float(first)]])  # logs of D and of D′, from u
        self.stages = np.array([first, second])
        # T: the logs of N, D and D′ from u; nothing goes with the tokens of a stage that is absent.
        self.exponents = np.vstack([[1.0, 0, 0], self.tokens * self.stages[:, None]])
        self.here = np.array([True, first, second])  # N, D and D′
        # Logs of the parts of the cost: of both stages for every term of the cost law, then of
        # serving where there is any; from logs of N, D and D′, and from u.
        levels = [[e, *stage] for _, e in cost.terms for stage in ((1.0, 0.0), (0.0, 1.0))]
        self.levels = np.array([*levels, *([] if serving is None else [[1.0, 0.0, 0.0]])])
        self.slopes = self.levels @ np.vstack([[1.0, 0, 0], self.tokens])
        self.present = np.array([True, True, first and second])
        self.own = np.array([name in arrangement.own for name in COORDINATES]) & self.present
        self.shared = self.present & ~self.own
        self.own_at, self.shared_at = np.flatnonzero(self.own), np.flatnonzero(self.shared)
        # A stage that is trained once is a part of every domain's cost.
        once = np.array([not self.own[1], not arrangement.own])
        each = np.where(once, 1.0 / domains, [1.0, copies * arrangement.work])
        trained = np.where(self.stages, each, 0.0)
        self.times = np.tile(np.concatenate([c * trained for c, _ in cost.terms]), (domains, 1))
        if serving is not None:
            self.times = np.concatenate([self.times, serving.flops_per_param[:, None]], 1)
        self.low, self.high = np.full((2, domains, 3), [[[-np.inf]], [[np.inf]]])
        held = pins or {}
        for j in (1, 2):
            name = COORDINATES[j]
            here = [b for b in bounds.every if b.given or name not in held]
            box = logs(here if self.present[j] else [], name, domains)
            if name in held:
                box = np.stack([np.maximum(box[0], held[name]), np.minimum(box[1], held[name])])
            if not self.own[j]:
                box = np.stack([np.repeat(box[0].max(), domains), np.repeat(box[1].min(), domains)])
            self.low[:, j], self.high[:, j] = np.clip(box, -UNBOUNDED, UNBOUNDED)
        self.fence = self._fence(bounds)
        self.given = bounds.own
        ratios = np.log(np.maximum([bounds.tokens_per_param, bounds.split_ratio], 1e-300))
        self.sweep = np.clip(ratios, -UNBOUNDED, UNBOUNDED)

    def _fence(self, bounds: Bounds) -> Fence:
        here = self.here
        free = not self.own.any()
        together = here & [not self.own[0], not self.own[:2].any(), free]
        low, high = np.stack([logs(bounds.own, n, self.domains) for n in LEVELS], -1)
        low, high = (np.where(here, v, out) for v, out in ((low, -np.inf), (high, np.inf)))
        # What is the same for all domains is bounded once.
        low[1:, together], low[0, together] = -np.inf, low[:, together].max(0)
        high[1:, together], high[0, together] = np.inf, high[:, together].min(0)
        first = 1 if here[1] else 2
        chain = [(first, 0, 1)] + ([(2, 1, 2)] if here[1] and here[2] else [])
        steps = tuple((a, b, self.low[:, j], self.high[:, j]) for a, b, j in chain)
        return Fence(low, high, steps, together, here, np.zeros((self.domains, 3)))

    def logs(self, u: np.ndarray) -> np.ndarray:
        """Logs of N, D and D′, (…, domain, 3); 0 of what is not there."""
        return u @ self.exponents.T

    def fields(self, u: np.ndarray) -> np.ndarray:
        """N, D and D′, (3, …, domain)."""
        return np.moveaxis(np.exp(u @ self.exponents.T) * self.here, -1, 0)

    def design(self, u: np.ndarray) -> Run:
        """Fields of shape (domain,)."""
        return Run(*self.fields(u))

    def costs(self, u: np.ndarray) -> np.ndarray:
        """FLOPs of each domain's stages, a part for each term of the cost law, and of serving it
        where it is, (…, domain, part); they sum to what the arrangement costs."""
        return np.exp(u @ self.slopes.T) * self.times

    def spent(self, u: np.ndarray, less: float | np.ndarray = 0.0) -> np.ndarray:
        """The point within the box, of the same ratios, whose N spends the budget times e^less."""
        u = np.clip(u, self.low, self.high)
        # The log of the cost is convex in log N, and linear under 6 N: Newton's method on it.
        for _ in range(NEWTON):
            costs = self.costs(u)
            total = costs.sum((-2, -1))
            over = np.log(self.flops / total) + less
            u[..., 0] += (over * total / (costs @ self.slopes[:, 0]).sum(-1))[..., None]
            if len(self.slopes) == 2 or np.abs(over).max() < ROUNDING:
                break
        return u

    @cached_property
    def reach(self) -> tuple[float, float]:
        """What the least and the greatest design within the bounds cost."""
        least, greatest = map(self._cost, (self.fence.least, self.fence.greatest))
        return least, greatest

    @property
    def exhausted(self) -> bool:
        """Whether the bounds allow no more than the budget."""
        return self.fence.bounded and bool(self.reach[1] <= self.flops * (1 + SAME))

    def _cost(self, x: np.ndarray) -> float:
        """What the logs of a design, finite or not, cost."""
        parts = np.zeros((self.domains, *self.levels.shape))  # what a part does not go with: 0
        np.multiply(self.levels, x[:, None, :], out=parts, where=self.levels != 0)
        parts = parts.sum(-1)
        here = self.times > 0
        return float((np.exp(parts[here]) * self.times[here]).sum())

    @property
    def possible(self) -> bool:
        """Whether any design keeps the bounds within the budget."""
        return self.fence.possible and bool(self.reach[0] <= self.flops * (1 + SAME))

    def _point(self, x: np.ndarray) -> np.ndarray:
        """The point of logs of N, D and D′."""
        first = x[..., 1] if self.stages[0] else x[..., 2]
        ratio = first - x[..., 0]
        split = x[..., 2] - x[..., 1] if self.present[2] else np.zeros_like(ratio)
        return np.stack([x[..., 0], ratio, split], -1)

    def pushed(self, u: np.ndarray, fence: Fence) -> np.ndarray:
        """The point with what a fence holds pushed a little outwards, so that `inside` moves it to
        its bound exactly."""
        if not fence.bounded:
            return u
        x = self.logs(u)
        way = np.sign(fence.force(x))
        way = np.where(fence.together, way.sum(-2, keepdims=True), way)  # bounded in one row
        return self._point(x + PUSH * way)

    def inside(self, u: np.ndarray) -> np.ndarray:
        """The point within all bounds that spends the budget, with N, D and D′ moved together as
        far as they may; the greatest, where that costs less."""
        if not self.fence.bounded:
            return self.spent(u)
        x = self.logs(np.clip(u, self.low, self.high))
        low = np.full(u.shape[:-2], -FURTHEST)
        high = -low
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            moved = self._point(self.fence.clamped(x + middle[..., None, None]))
            over = self.costs(moved).sum((-2, -1)) > self.flops
            low, high = np.where(over, low, middle), np.where(over, middle, high)
        return self._point(self.fence.clamped(x + low[..., None, None]))

    def shares(self, u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Gradient (…, domain, 3) of the log of the cost, and its Hessian's blocks
        (…, domain, 3, 3).

        The log of a sum of exponentials; the part of its Hessian that is the gradient's outer
        product is left out, because it vanishes along designs of equal cost.
        """
        costs = self.costs(u)
        part = costs / costs.sum((-2, -1), keepdims=True)
        return part @ self.slopes, (part[..., None, :] * self.slopes.T) @ self.slopes

    def starts(self) -> np.ndarray:
        """Designs (design, domain, 3) with the same ratios for every domain, those with the
        shortest second stage first: where D′ is next to nothing the loss is flat, and no gradient
        leads away."""
        even = -np.log(self.domains) if not self.own[1] else 0.0
        ratios = ((2.0, 4.0, 6.0), (even - 3.0, even, even + 3.0))
        inside = [
            sorted({float(np.clip(r, lo, hi)) for r in rs}) if here else [0.0]
            for rs, (lo, hi), here in zip(ratios, self._hull(), self.present[1:], strict=True)
        ]
        return self._alike([(r, s) for s, r in product(inside[1], inside[0])])

    def _alike(self, ratios: Sequence[tuple[float, float]]) -> np.ndarray:
        """Designs (design, domain, 3) with the same ratios for every domain."""
        each = np.insert(np.array(ratios), 0, 0.0, axis=1)
        return self.inside(np.repeat(each[:, None], self.domains, axis=1))

    def grid(self, points: int) -> np.ndarray:
        """A coarse grid (design, domain, 3) over the box, the same ratios for every domain; where
        an axis has no bound, over what people train."""
        usual = np.log(((1.0, 1e4), (1e-3 / self.domains, 1e2)))
        axes = [
            np.linspace(max(lo, few), max(min(hi, many), max(lo, few)), points) if here else [0.0]
            for (lo, hi), (few, many), here in zip(
                self._hull(), usual, self.present[1:], strict=True
            )
        ]
        return self._alike(list(product(*axes)))

    def _hull(self) -> list[tuple[float, float]]:
        """The widest range of each ratio."""
        return [(self.low[:, j].min(), self.high[:, j].max()) for j in (1, 2)]

    def edges(
        self, u: np.ndarray, names: tuple[str, ...], near: float, wanted: np.ndarray
    ) -> list[str]:
        """Which ratios lie at the sweep's bounds, in words; what is pinned does not count, nor what
        only domains have that are not wanted."""
        found = []
        for j in (1, 2):
            for k in range(self.domains if self.own[j] else 1):
                if not self.present[j] or self.low[k, j] == self.high[k, j]:
                    continue
                if self.own[j] and not wanted[k]:
                    continue
                where = f" ({names[k]})" if self.own[j] and self.domains > 1 else ""
                for side, bound, box in zip(
                    ("low", "high"), (self.low, self.high), self.sweep[j - 1], strict=True
                ):
                    if abs(u[k, j] - bound[k, j]) < near and abs(bound[k, j] - box) < near:
                        found.append(f"{COORDINATES[j]} {side}{where}")
        return found

    def limits(self, u: np.ndarray, near: float) -> list[str]:
        """Which of the caller's bounds hold the design, in the caller's words; of pins, none."""
        values = dict(zip((*LEVELS, *COORDINATES[1:]), (*self.logs(u).T, *u.T[1:]), strict=True))
        here = dict(zip(values, (True, *self.stages, *self.present[1:]), strict=True))
        found = []
        for b in self.given:
            if b.low == b.high or not here[b.quantity]:
                continue
            each = values[b.quantity] if b.domain is None else values[b.quantity][[b.domain]]
            ends = np.log([max(b.low, 1e-300), b.high])
            if (np.abs(each[:, None] - ends) < near).any():
                found.append(b.said)
        return found
