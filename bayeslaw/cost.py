"""What training and serving cost in FLOPs, declared or as runs have counted it, and the budget that
a plan must keep.

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


EXACT = 0.01  # of a cost: a simpler law of it that is as near is taken
COSTS = ("6nd", "runs")


@dataclass(frozen=True)
class CostLaw:
    """FLOPs of a training token: 6 κ N (1 + (N₀/N)^g).

    κ (`factor`): what a weight costs above 6. N₀ (`overhead`), g (`power`): what is not in N and
    counts for less the larger the model: the unembedding, attention; 0: nothing. The default is
    6 N. error: the largest relative error on the runs that it was fitted to.
    """

    factor: float = 1.0
    overhead: float = 0.0
    power: float = 0.5
    error: float = 0.0

    @property
    def plain(self) -> bool:
        """Whether a token costs 6 N."""
        return self.factor == 1 and self.overhead == 0

    @property
    def terms(self) -> tuple[tuple[float, float], ...]:
        """(c, e) of every term c N^e of a token's cost."""
        first = FLOPS_PER_TOKEN * self.factor
        if not self.overhead:
            return ((first, 1.0),)
        return ((first, 1.0), (first * self.overhead**self.power, 1 - self.power))

    def per_token(self, params: Any) -> Any:
        """FLOPs of a training token of a model of so many params."""
        (first, _), *rest = self.terms
        return first * params + sum(c * params**e for c, e in rest)


SIX_ND = CostLaw()


def fit_cost(params: np.ndarray, tokens: np.ndarray, flops: np.ndarray) -> CostLaw:
    """The cost law of runs: N, tokens of both stages and FLOPs of each, as they were counted.

    One factor on 6 N where that is within 1 % of all of them, or where there are fewer than three
    sizes; else an overhead (least squares on the log), unless one factor is nearer.
    """
    over = np.log(flops / (FLOPS_PER_TOKEN * params * tokens))
    middle = float((over.max() + over.min()) / 2)
    flat = float(np.expm1(over.max() - middle))
    # What differs by rounding only is 6 N.
    even = SIX_ND if abs(middle) + flat < 1e-6 else CostLaw(float(np.exp(middle)), error=flat)
    sizes = np.unique(params)
    if flat <= EXACT or len(sizes) < 3:
        return even
    from scipy.optimize import least_squares  # half a second, and seldom wanted

    def miss(x: np.ndarray) -> np.ndarray:
        return np.log1p(np.exp(x[1] * (x[0] - np.log(params)))) - over

    start = [float(np.log(sizes[0])), 0.5]
    found = least_squares(miss, start, bounds=([-20.0, 0.05], [40.0, 1.0])).x
    error = float(np.expm1(np.abs(miss(found)).max()))
    if error >= flat:
        return even
    return CostLaw(1.0, float(np.exp(found[0])), float(found[1]), error)


def stage_flops(params: Any, tokens: Any, law: CostLaw = SIX_ND) -> Any:
    """Training for some tokens: 6 N tokens, or what another law says."""
    return law.per_token(params) * tokens


def serving_flops(params: Any, tokens: Any) -> Any:
    """Reading or writing some tokens: 2 N tokens."""
    return SERVING_FLOPS_PER_TOKEN * params * tokens


def trunk_flops(params: Any, pretrain: Any, specialize: Any, law: CostLaw = SIX_ND) -> Any:
    """One trunk and its branches: 6 N (D + Σ D′ₖ). N and D have no domain axis."""
    return stage_flops(params, pretrain + _over_domains(specialize), law)


def independent_flops(params: Any, pretrain: Any, specialize: Any, law: CostLaw = SIX_ND) -> Any:
    """A model of its own for every domain: Σ 6 Nₖ (Dₖ + D′ₖ)."""
    return _over_domains(stage_flops(params, pretrain + specialize, law))


def generalist_flops(params: Any, pretrain: Any, law: CostLaw = SIX_ND) -> Any:
    """One model that is never split: 6 N D."""
    return stage_flops(params, pretrain, law)


def joint_flops(params: Any, pretrain: Any, specialize: Any, law: CostLaw = SIX_ND) -> Any:
    """One model, its second stage on all domains together: 6 N (D + D′)."""
    return stage_flops(params, pretrain + specialize, law)


def scratch_flops(params: Any, specialize: Any, law: CostLaw = SIX_ND) -> Any:
    """A model for every domain, without pretraining: Σ 6 Nₖ D′ₖ."""
    return _over_domains(stage_flops(params, specialize, law))


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
