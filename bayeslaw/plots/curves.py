"""Curves: joint draws of a loss that are smooth in the design, as those that plans are made on."""

from __future__ import annotations

import numpy as np

from bayeslaw.errors import BayeslawError, FitError
from bayeslaw.infer.ensemble import Ensemble
from bayeslaw.laws import Run

KINDS = ("mean", "calibrated")


def curve_losses(
    fitted: Ensemble, run: Run, kind: str = "mean", draws: int = 1000, seed: int = 0
) -> np.ndarray:
    """Draws (draw, design, domain) of the laws' curve, nats/token; `calibrated`: with what laws get
    wrong beyond the sweep. Without the noise of runs, which differs from design to design.

    Raises `BayeslawError` on another kind, and `FitError` where the fit knows no discrepancy.
    """
    if kind not in KINDS:
        raise BayeslawError(f"kind '{kind}' is not one of {', '.join(KINDS)}")
    losses = fitted.losses(run, "mean", draws)
    if kind == "mean":
        return losses
    if fitted.discrepancy is None:
        raise FitError("this fit knows no discrepancy; use kind 'mean', or fit again")
    wrong = fitted.discrepancy.sample(run, len(fitted.domains), draws, seed)
    return losses * np.exp(wrong)
