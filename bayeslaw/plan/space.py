"""The space of designs of one arrangement that cost a given budget."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product

import numpy as np

from bayeslaw.cost import SIX_ND, CostLaw
from bayeslaw.laws import Run
from bayeslaw.plan.arrangement import Arrangement
from bayeslaw.plan.bounds import Bounds

COORDINATES = ("params", "tokens_per_param", "split_ratio")
NEWTON, ROUNDING = 50, 1e-13  # steps at most, and of the log of a cost
UNBOUNDED = 40.0  # |log ratio| that stands for no bound: further out nothing can be told apart


class Space:
    """Designs as points u of shape (…, domain, 3): logs of N, of D/N and of D′/D.

    The logs of N, D and D′ are u Tᵀ for a constant matrix T, and every stage costs the exponential
    of something linear in u. Without a first stage the second coordinate is D′/N. What an
    arrangement has in common is the same in every row. N takes what the ratios leave of the budget,
    so a plan's domain of validity is a box of the ratios. copies: second stages of each domain.
    """

    def __init__(
        self,
        arrangement: Arrangement,
        domains: int,
        two_stage: bool,
        bounds: Bounds,
        flops: float,
        pins: Mapping[str, float] | None = None,
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
        # Logs of the parts of the cost, from u: of both stages, for every term of the cost law.
        self.slopes = np.vstack([self.tokens + np.array([e, 0, 0]) for _, e in cost.terms])
        self.present = np.array([True, True, first and second])
        self.own = np.array([name in arrangement.own for name in COORDINATES]) & self.present
        self.shared = self.present & ~self.own
        # A stage that is trained once is a part of every domain's cost.
        once = np.array([not self.own[1], not arrangement.own])
        times = np.where(self.stages, np.where(once, 1.0 / domains, [1.0, copies]), 0.0)
        self.times = np.concatenate([c * times for c, _ in cost.terms])
        self.low, self.high = np.array(
            [
                (-np.inf, np.inf),
                _logs(bounds.tokens_per_param),
                _logs(bounds.split_ratio),
            ]
        ).T
        for name, value in (pins or {}).items():
            j = COORDINATES.index(name)
            self.low[j] = self.high[j] = value

    def design(self, u: np.ndarray) -> Run:
        """Fields of shape (domain,)."""
        pretrain, specialize = np.moveaxis(np.exp(u @ self.tokens.T) * self.stages, -1, 0)
        return Run(np.exp(u[..., 0]), pretrain, specialize)

    def costs(self, u: np.ndarray) -> np.ndarray:
        """FLOPs of each domain's stages, (…, domain, part), a part for each term of the cost law;
        they sum to the arrangement's cost."""
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

    def shares(self, u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Gradient (…, domain, 3) of the log of the cost, and its Hessian's blocks
        (…, domain, 3, 3).

        The log of a sum of exponentials; the part of its Hessian that is the gradient's outer
        product is left out, because it vanishes along designs of equal cost.
        """
        costs = self.costs(u)
        part = costs / costs.sum((-2, -1), keepdims=True)
        return part @ self.slopes, (part[..., None, :] * self.slopes.T) @ self.slopes

    def starts(self) -> list[np.ndarray]:
        """Designs with the same ratios for every domain, those with the shortest second stage
        first: where D′ is next to nothing the loss is flat, and no gradient leads away."""
        even = -np.log(self.domains) if not self.own[1] else 0.0
        ratios = ((2.0, 4.0, 6.0), (even - 3.0, even, even + 3.0))
        inside = [
            sorted({float(np.clip(r, lo, hi)) for r in rs}) if here else [0.0]
            for rs, lo, hi, here in zip(
                ratios, self.low[1:], self.high[1:], self.present[1:], strict=True
            )
        ]
        one = np.ones((self.domains, 1))
        return [self.spent(one * [0.0, r, s]) for s, r in product(inside[1], inside[0])]

    def grid(self, points: int) -> list[np.ndarray]:
        """A coarse grid over the box, the same ratios for every domain; where an axis has no bound,
        over what people train."""
        usual = np.log(((1.0, 1e4), (1e-3 / self.domains, 1e2)))
        axes = [
            np.linspace(max(lo, few), max(min(hi, many), max(lo, few)), points) if here else [0.0]
            for lo, hi, (few, many), here in zip(
                self.low[1:], self.high[1:], usual, self.present[1:], strict=True
            )
        ]
        one = np.ones((self.domains, 1))
        return [self.spent(one * [0.0, r, s]) for r, s in product(*axes)]

    def edges(self, u: np.ndarray, names: tuple[str, ...], near: float) -> list[str]:
        """Which ratios lie at their bounds, in words; what is pinned does not count."""
        found = []
        for j in (1, 2):
            if not self.present[j] or self.low[j] == self.high[j]:
                continue
            for k in range(self.domains if self.own[j] else 1):
                where = f" ({names[k]})" if self.own[j] and self.domains > 1 else ""
                for side, bound in (("low", self.low[j]), ("high", self.high[j])):
                    if abs(u[k, j] - bound) < near:
                        found.append(f"{COORDINATES[j]} {side}{where}")
        return found


def _logs(box: tuple[float, float]) -> tuple[float, float]:
    low, high = (np.log(b) if b > 0 else -np.inf for b in box)
    return float(max(low, -UNBOUNDED)), float(min(high, UNBOUNDED))
