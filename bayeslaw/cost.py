"""What training and serving cost in FLOPs, and the budget that a plan must keep."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bayeslaw.errors import PlanError
from bayeslaw.quantity import parse_quantity

FLOPS_PER_TOKEN = 6.0  # a weight's forward and backward (Kaplan et al. 2020, arXiv:2001.08361)
SERVING_FLOPS_PER_TOKEN = 2.0


def stage_flops(params: Any, tokens: Any) -> Any:
    """6 N tokens. Works on floats and arrays."""
    return FLOPS_PER_TOKEN * params * tokens


def trunk_flops(params: Any, pretrain: Any, specialize: Any) -> Any:
    """One trunk and its branches: 6 N (D + Σ D′ₖ)."""
    return stage_flops(params, pretrain + specialize.sum())


def independent_flops(params: Any, pretrain: Any, specialize: Any) -> Any:
    """A model of its own for every domain: Σ 6 Nₖ (Dₖ + D′ₖ)."""
    return stage_flops(params, pretrain + specialize).sum()


@dataclass(frozen=True)
class Budget:
    """A ceiling on training compute, FLOPs."""

    flops: float

    @classmethod
    def of(cls, flops: str | float) -> Budget:
        """From a number or its human form. Raises `PlanError` unless positive and finite."""
        try:
            value = parse_quantity(flops)
        except ValueError as error:
            raise PlanError(f"flops: {error}") from None
        if not 0 < value < float("inf"):
            raise PlanError(f"flops must be positive and finite, got {flops}")
        return cls(value)
