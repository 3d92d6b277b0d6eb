"""Weights: how much each domain counts."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from bayeslaw.errors import PlanError
from bayeslaw.infer.ensemble import Ensemble


def weights_of(fitted: Ensemble, weights: Mapping[str, float] | None) -> np.ndarray:
    """(domain,), summing to 1; a domain that is not named has 1 before that. Raises `PlanError`."""
    weights = weights or {}
    share = np.array([weights.get(d, 1.0) for d in fitted.domains], float)
    faults = [
        f"weight of unknown domain '{d}'; the fit has {', '.join(fitted.domains)}"
        for d in weights if d not in fitted.domains
    ]  # fmt: skip
    faults += [
        f"weight of '{d}' is {w:g}; it must be 0 or more, and finite"
        for d, w in weights.items() if not 0 <= w < float("inf")
    ]  # fmt: skip
    if not faults and not share.sum() > 0:
        faults.append("all weights are 0; give at least one domain a positive weight")
    if faults:
        raise PlanError("the weights cannot be used: " + "; ".join(faults))
    return share / share.sum()
