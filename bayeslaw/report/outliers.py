"""Outliers: the runs that the laws explain least."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bayeslaw.infer.ensemble import Ensemble
from bayeslaw.infer.posterior import Posterior

SHOWN = 6
CENTRAL = (0.15865525, 0.84134475)  # of a normal distribution, one sd to either side


@dataclass(frozen=True)
class Outlier:
    """A run on a domain. away: (log loss - median of the predicted) / sd of a predicted run; the
    sd is half of the central 68 % of the predictive draws."""

    run: str
    domain: str
    params: float
    pretrain_tokens: float
    specialize_tokens: float
    loss: float
    expected: float
    away: float


def outliers(fitted: Ensemble, count: int = SHOWN) -> list[Outlier]:
    """By the law of most weight, those furthest away first. Empty for a point fit, which predicts
    no spread."""
    m = fitted.heaviest
    if "posterior_predictive" not in m.tree or "constant_data" not in m.tree:
        return []
    drawn = np.asarray(m.tree["posterior_predictive"]["log_loss"], float)
    low, middle, high = np.quantile(
        drawn.reshape(-1, drawn.shape[-1]), [CENTRAL[0], 0.5, CENTRAL[1]], axis=0
    )
    measured = np.asarray(m.tree["observed_data"]["log_loss"], float)
    away = (measured - middle) / np.maximum((high - low) / 2, 1e-12)
    design = m.tree["constant_data"]
    names, domains = np.asarray(m.tree["observed_data"]["run"]), _domains(m, len(measured))
    return [
        Outlier(
            str(names[i]), domains[i], float(design["params"][i]),
            float(design["pretrain_tokens"][i]), float(design["specialize_tokens"][i]),
            float(np.exp(measured[i])), float(np.exp(middle[i])), float(away[i]),
        )
        for i in np.argsort(-np.abs(away), kind="stable")[:count]
    ]  # fmt: skip


def _domains(m: Posterior, count: int) -> list[str]:
    """What every run was measured on; empty words where the file does not say."""
    if len(m.domains) == 1:
        return [m.domains[0]] * count
    design = m.tree["constant_data"]
    if "measured_on" not in design:
        return [""] * count
    return [m.domains[int(k)] for k in np.asarray(design["measured_on"])]
