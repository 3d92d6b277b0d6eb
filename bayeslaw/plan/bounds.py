"""The domain of validity: the ratios that the sweep has seen, stretched."""

from __future__ import annotations

import math
from dataclasses import dataclass

from bayeslaw.errors import PlanError
from bayeslaw.infer.ensemble import Ensemble

Interval = tuple[float, float]
FREE: Interval = (0.0, math.inf)


@dataclass(frozen=True)
class Bounds:
    """Where a plan's ratios D/N and D′/D may lie. Levels of N, D and D′ are free."""

    tokens_per_param: Interval = FREE
    split_ratio: Interval = FREE


def bounds_of(fitted: Ensemble, stretch: float) -> Bounds:
    """The sweep's range of each ratio, divided and multiplied by `stretch` (≥ 1; inf: no bound)."""
    if not stretch >= 1:
        raise PlanError(f"stretch must be at least 1 (or inf), got {stretch:g}")

    def stretched(name: str) -> Interval:
        low, high = fitted.ranges.get(name, FREE)
        return low / stretch, high * stretch

    return Bounds(stretched("tokens_per_param"), stretched("split_ratio"))
