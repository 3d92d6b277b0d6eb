"""What training and serving cost in FLOPs, and the budget that a plan must keep.

Every cost is arithmetic on floats or on arrays, NumPy's or jax's, of params N, pretrain tokens D
and specialise tokens D′. Where an arrangement has several domains, they are the last axis.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from bayeslaw.errors import PlanError
from bayeslaw.quantity import parse_quantity

FLOPS_PER_TOKEN = 6.0  # a weight's forward and backward (Kaplan et al. 2020, arXiv:2001.08361)
SERVING_FLOPS_PER_TOKEN = 2.0  # forward alone


def stage_flops(params: Any, tokens: Any) -> Any:
    """Training for some tokens: 6 N tokens."""
    return FLOPS_PER_TOKEN * params * tokens


def serving_flops(params: Any, tokens: Any) -> Any:
    """Reading or writing some tokens: 2 N tokens."""
    return SERVING_FLOPS_PER_TOKEN * params * tokens


def trunk_flops(params: Any, pretrain: Any, specialize: Any) -> Any:
    """One trunk and its branches: 6 N (D + Σ D′ₖ). N and D have no domain axis."""
    return stage_flops(params, pretrain + _over_domains(specialize))


def independent_flops(params: Any, pretrain: Any, specialize: Any) -> Any:
    """A model of its own for every domain: Σ 6 Nₖ (Dₖ + D′ₖ)."""
    return _over_domains(stage_flops(params, pretrain + specialize))


def generalist_flops(params: Any, pretrain: Any) -> Any:
    """One model that is never split: 6 N D."""
    return stage_flops(params, pretrain)


def joint_flops(params: Any, pretrain: Any, specialize: Any) -> Any:
    """One model, its second stage on all domains together: 6 N (D + D′)."""
    return stage_flops(params, pretrain + specialize)


def scratch_flops(params: Any, specialize: Any) -> Any:
    """A model for every domain, without pretraining: Σ 6 Nₖ D′ₖ."""
    return _over_domains(stage_flops(params, specialize))


def _over_domains(values: Any) -> Any:
    # np.sum asks an array for its own `sum`, so that a jax array stays one, traced or not.
    return np.sum(values, axis=-1)


@dataclass(frozen=True)
class Budget:
    """A ceiling on training compute, FLOPs. Raises `PlanError` unless positive and finite."""

    flops: float

    def __post_init__(self) -> None:
        if not 0 < self.flops < float("inf"):
            raise PlanError(f"flops must be positive and finite, got {self.flops:g}")

    @classmethod
    def of(cls, flops: str | float) -> Budget:
        """From a number or its human form (`1e22`). Raises `PlanError` on anything else."""
        try:
            return cls(parse_quantity(flops))
        except ValueError as error:
            raise PlanError(f"flops: {error}") from None
