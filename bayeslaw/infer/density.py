"""Densities: of measured log losses, given what a law's draws predict."""

from __future__ import annotations

import numpy as np
from scipy.special import gammaln, logsumexp

from bayeslaw.infer.model import STUDENT_DF, Likelihood
from bayeslaw.infer.refit import Predicted


def log_density(p: Predicted, log_loss: np.ndarray, likelihood: Likelihood) -> np.ndarray:
    """log p(run | draw), (draw, run)."""
    z = (log_loss - p.run) / p.scale
    if likelihood == "normal":
        return -0.5 * z**2 - np.log(p.scale) - 0.5 * np.log(2 * np.pi)
    v = STUDENT_DF
    constant = gammaln((v + 1) / 2) - gammaln(v / 2) - 0.5 * np.log(v * np.pi)
    return constant - (v + 1) / 2 * np.log1p(z**2 / v) - np.log(p.scale)


def mixture(density: np.ndarray) -> np.ndarray:
    """Log of the mean density over draws, (run,), from (draw, run)."""
    return np.asarray(logsumexp(density, axis=0) - np.log(len(density)))
