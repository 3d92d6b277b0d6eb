"""Constraints: what the caller asks of a plan beside its least risk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypedDict

from bayeslaw.infer.ensemble import Ensemble
from bayeslaw.plan.bounds import Bound, own_bounds
from bayeslaw.plan.data import Data
from bayeslaw.plan.faults import Faults


class Wishes(TypedDict, total=False):
    """Arguments that `plan`, `frontier`, `reach` and `evaluate_plan` share.

    pins: quantity -> value; bounds: quantity -> (low, high) or `LOW:HIGH`, see `own_bounds`.
    unique: `general` or a domain -> its distinct tokens; epochs: how often they may be seen, see
    `Data`.
    """

    pins: Mapping[str, Any] | None
    bounds: Mapping[str, Any] | None
    unique: Mapping[str, Any] | None
    epochs: float | None


@dataclass(frozen=True)
class Constraints:
    """Those arguments, checked. bounds: what they bound."""

    bounds: tuple[Bound, ...]
    data: Data

    @classmethod
    def of(cls, fitted: Ensemble, wishes: Wishes) -> Constraints:
        """Raises `PlanError` with all faults."""
        faults = Faults()
        pins, bounds = wishes.get("pins") or {}, wishes.get("bounds") or {}
        unique, epochs = wishes.get("unique") or {}, wishes.get("epochs")
        own = faults.of(lambda: own_bounds(pins, bounds, fitted.domains))
        data = faults.of(lambda: Data.of(fitted, unique, epochs))
        faults.tell()
        assert own is not None
        assert data is not None
        return cls(own + data.caps(fitted.domains), data)
