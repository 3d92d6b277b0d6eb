"""The preview: draws around the mode, importance-weighted, with the k-hat that judges them."""

from __future__ import annotations

import numpy as np
from scipy.optimize import brentq

from bayeslaw.infer.diagnose import MAX_KHAT, Diagnostics, agreement, mode_failures, pareto_k
from bayeslaw.infer.model import Rows, Spec, non_centred
from bayeslaw.infer.modes import Mode
from bayeslaw.infer.sample import Draws, Settings, at_points, compiled

DF = 10.0  # degrees of freedom of the draws
WORTH = 100.0  # draws that the weights are worth at least


def laplace(
    spec: Spec, rows: Rows, found: tuple[Mode, ...], seed: int, settings: Settings
) -> Draws:
    """Draws of the Laplace approximation, importance-resampled by PSIS weights.

    The draws have a Student's tails: a posterior's are mostly longer than its Gaussian's.
    """
    mode, centring, rng = found[0], non_centred(spec), np.random.default_rng(seed)
    count = settings.chains * settings.draws * settings.block
    dim = len(mode.z)
    u = rng.standard_normal((count, dim)) / np.sqrt(rng.chisquare(DF, (count, 1)) / DF)
    z = mode.z + u @ mode.scale.T
    log_proposal = -0.5 * (DF + dim) * np.log1p((u**2).sum(-1) / DF)
    potential, _ = at_points(compiled(spec, settings), z, rows, centring, settings)
    log_ratio = np.where(np.isfinite(potential), -potential - log_proposal, -np.inf)
    log_weights, k = pareto_k(np.maximum(log_ratio, log_ratio.max() - 700))
    weights = tempered(log_weights)
    z = z[rng.choice(count, count, p=weights)].reshape(4, count // 4, -1)
    zero = np.zeros(z.shape[:2])
    # These draws are independent: R-hat and BFMI say nothing, the weights say all.
    nan, ess = float("nan"), float(1 / (weights**2).sum())
    failures = mode_failures(found) + ((f"k-hat {k:.2f} > {MAX_KHAT}",) if k > MAX_KHAT else ())
    d = Diagnostics(nan, ess, ess, 0, nan, k, 0, *agreement(found), failures)
    return Draws(z, zero, zero, zero, zero + 1, centring, d, "laplace")


def tempered(log_weights: np.ndarray) -> np.ndarray:
    """Normalised weights, raised to the largest power ≤ 1 at which they are worth `WORTH` draws.

    Where the posterior is far from its Gaussian a few draws would have all the weight, and what
    they predict would be luck; so near the Gaussian as this it is rough, and the k-hat says so.
    """

    def weights(power: float) -> np.ndarray:
        w = np.exp(power * (log_weights - log_weights.max()))
        return w / w.sum()

    def surplus(power: float) -> float:
        return float(1 / (weights(power) ** 2).sum() - WORTH)

    return weights(1.0 if surplus(1.0) >= 0 else brentq(surplus, 0.0, 1.0))
