"""Constraints: what the caller asks of a plan beside its least risk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypedDict

from bayeslaw.infer.ensemble import Ensemble
from bayeslaw.plan.bounds import Bound, own_bounds
from bayeslaw.plan.faults import Faults


class Wishes(TypedDict, total=False):
    """Arguments that `plan`, `frontier`, `reach` and `evaluate_plan` share.

    pins: quantity -> value; bounds: quantity -> (low, high) or `LOW:HIGH`, see `own_bounds`.
    """

    pins: Mapping[str, Any] | None
    bounds: Mapping[str, Any] | None


@dataclass(frozen=True)
class Constraints:
    """Those arguments, checked. bounds: what they bound."""

    bounds: tuple[Bound, ...] = ()

    @classmethod
    def of(cls, fitted: Ensemble, wishes: Wishes) -> Constraints:
        """Raises `PlanError` with all faults."""
        faults = Faults()
        pins, bounds = wishes.get("pins") or {}, wishes.get("bounds") or {}
        own = faults.of(lambda: own_bounds(pins, bounds, fitted.domains))
        faults.tell()
        return cls(own or ())
