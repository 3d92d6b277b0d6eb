"""Fence: bounds on N, D and D′ themselves, which no box of ratios can express.

Bounds on logs and on differences of two logs: of two designs that keep them, the smaller of each
coordinate keeps them too, and so does the larger. So there is a least and a greatest design, and
between them any design can be drawn inside.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

STIFF = 10.0  # nats for a squared e-fold outside: some hundred times the curvature of a loss
TOUCH = 1e-7  # e-folds: nearer to a bound is at it
Step = tuple[int, int, np.ndarray, np.ndarray]
PASSES = 8  # of tightening: more than there are steps from any coordinate to any other


@dataclass(frozen=True)
class Fence:
    """Ranges of the logs of N, D and D′, (domain, 3), and how hard a design is held by them.

    steps: (later, earlier, low, high), the range of a later log less an earlier one, (domain,).
    together: which of the three are the same for all domains. here: which of them there are. pull:
    (…, domain, 3), multipliers, nats an e-fold; positive from above.
    """

    low: np.ndarray
    high: np.ndarray
    steps: tuple[Step, ...]
    together: np.ndarray
    here: np.ndarray
    pull: np.ndarray

    @cached_property
    def bounded(self) -> bool:
        """Whether it bounds anything."""
        return bool(np.isfinite(self.low).any() or np.isfinite(self.high).any())

    @cached_property
    def least(self) -> np.ndarray:
        """(domain, 3): no design that keeps the bounds has a smaller log of anything."""
        return -self._tightened(-self.low, [(a, b, -hi, -lo) for a, b, lo, hi in self.steps])

    @cached_property
    def greatest(self) -> np.ndarray:
        """(domain, 3): no design that keeps the bounds has a larger log of anything."""
        return self._tightened(self.high, self.steps)

    def _tightened(self, high: np.ndarray, steps: Sequence[Step]) -> np.ndarray:
        x = high.copy()
        for _ in range(PASSES):
            before = x.copy()
            for later, earlier, low, further in steps:
                x[:, later] = np.minimum(x[:, later], x[:, earlier] + further)
                x[:, earlier] = np.minimum(x[:, earlier], x[:, later] - low)
            x[:, self.together] = x[:, self.together].min(0)
            if (x == before).all():
                break
        return x

    @property
    def possible(self) -> bool:
        """Whether any design keeps the bounds."""
        agree = all(
            (low.max() <= high.min() + TOUCH)
            if self.together[later] and self.together[earlier]
            else (low <= high + TOUCH).all()
            for later, earlier, low, high in self.steps
        )
        return agree and bool((self.least <= self.greatest + TOUCH)[:, self.here].all())

    def clamped(self, x: np.ndarray) -> np.ndarray:
        """Logs (…, domain, 3) whose differences keep their ranges, drawn between the least and the
        greatest design; their differences keep them still."""
        return np.where(self.here, np.clip(x, self.least, self.greatest), x)

    def force(self, x: np.ndarray) -> np.ndarray:
        """The multipliers that the augmented Lagrangian has learnt once it has seen x."""
        above = np.maximum(0.0, self.pull + STIFF * (x - self.high))
        below = np.minimum(0.0, self.pull + STIFF * (x - self.low))
        return above + below

    def held(
        self, x: np.ndarray, value: np.ndarray, slopes: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """A risk and its slopes in the logs, with the augmented Lagrangian of the bounds added
        (Rockafellar 1973, doi:10.1007/BF01580138)."""
        force = self.force(x)
        return value + ((force**2 - self.pull**2) / (2 * STIFF)).sum((-2, -1)), slopes + force

    def stiffness(self, x: np.ndarray) -> np.ndarray:
        """Its curvature, (…, domain, 3, 3)."""
        return np.eye(3) * (STIFF * (self.force(x) != 0))[..., None, :]

    def learnt(self, x: np.ndarray) -> Fence:
        """With the multipliers that x gives."""
        return replace(self, pull=self.force(x))

    def out(self, x: np.ndarray) -> float:
        """By how many e-folds x is outside, or is held without touching."""
        force = self.force(x)
        return float(np.abs(force - self.pull).max(initial=0.0)) / STIFF

    def touched(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Which logs are at their lower and at their upper bounds, (…, domain, 3)."""
        return x <= self.low + TOUCH, x >= self.high - TOUCH
