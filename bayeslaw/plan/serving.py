"""Serving: what models cost once they are trained, 2 N FLOPs for a token read or written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from bayeslaw.cost import serving_flops
from bayeslaw.errors import PlanError
from bayeslaw.infer.ensemble import Ensemble
from bayeslaw.laws import Run
from bayeslaw.plan.faults import Faults, quantity


@dataclass(frozen=True)
class Serving:
    """tokens: (domain,), served over the models' lives. price: what a FLOP of serving counts in
    FLOPs of training."""

    tokens: np.ndarray
    price: float = 1.0

    @classmethod
    def of(cls, fitted: Ensemble, tokens: Mapping[str, Any], price: float | None) -> Serving | None:
        """None where nothing is served. tokens: domain -> numbers, or `5T`. Raises `PlanError` with
        all faults."""
        faults, served = Faults(), np.zeros(len(fitted.domains))
        for name, amount in tokens.items():
            if name not in fitted.domains:
                known = ", ".join(fitted.domains)
                faults.append(f"serving of unknown domain '{name}'; the fit has {known}")
            elif (read := faults.of(lambda n=name, a=amount: _tokens(n, a))) is not None:  # type: ignore[misc]
                served[fitted.domains.index(name)] = read
        if price is not None:
            faults.unless(0 < price < np.inf, f"serve_price must be positive, finite; got {price}")
            faults.unless(bool(tokens), "serve_price is of served tokens: say how many there are")
        faults.tell()
        return cls(served, 1.0 if price is None else price) if served.any() else None

    @property
    def flops_per_param(self) -> np.ndarray:
        """(domain,): 2 Tₖ, at the price."""
        return np.asarray(self.price * serving_flops(1.0, self.tokens))

    def flops(self, run: Run) -> float:
        """Of a design's models, at the price: Σ 2 Nₖ Tₖ."""
        return float(run.params @ self.flops_per_param)


def _tokens(name: str, amount: Any) -> float:
    tokens = quantity(f"serving of {name}", amount)
    if not 0 <= tokens < np.inf:
        raise PlanError(f"serving of {name}: {amount}; it must be 0 or more, and finite")
    return tokens
