"""The gate: convergence diagnostics of a set of draws, and whether they may be used."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy.special import logsumexp

from bayeslaw.infer.modes import Mode

MAX_R_HAT = 1.01
MIN_ESS = 400.0
MIN_BFMI = 0.3
TAIL = (0.05, 0.95)
MAX_KHAT = 0.7
MIN_AGREEING = 2  # a mode found by a single start is luck
MIN_MASS = 0.01  # a second mode with less Laplace mass than this changes no interval


@dataclass(frozen=True)
class Diagnostics:
    """What the gate looked at. `failures` says in words why it is closed; empty when open."""

    r_hat: float  # worst rank-normalised split R-hat over coordinates
    ess_bulk: float  # smallest, all chains together
    ess_tail: float
    divergences: int
    bfmi: float  # smallest over chains
    k_hat: float  # Pareto k of Laplace draws against the posterior; NaN when not looked at
    gradients: int  # spent on sampling
    starts: int
    agree: int  # starts that ended in the best mode
    modes: tuple[float, ...]  # Laplace mass of each separated mode, best first
    failures: tuple[str, ...]

    @property
    def passed(self) -> bool:
        return not self.failures

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "passed": self.passed}


def array_stats() -> Any:
    """ArviZ's statistics of plain arrays. Loaded late: the import takes half a second."""
    from arviz_stats.base import array_stats

    return array_stats


def diagnose(
    z: np.ndarray,
    energy: np.ndarray,
    diverging: np.ndarray,
    steps: np.ndarray,
    found: Sequence[Mode],
) -> Diagnostics:
    """Diagnostics of draws z (chain, draw, dim) on the real line.

    Rank-normalised R-hat and ESS do not change under monotone maps, so looking at the
    unconstrained coordinates looks at every parameter.
    """
    r_hat, bulk, tail = convergence(z)
    change = np.diff(energy, axis=1)
    bfmi = float(((change**2).mean(1) / np.maximum(energy.var(1), 1e-300)).mean())
    divergences = int(diverging.sum())
    failures = []
    if not np.isfinite(z).all():
        failures.append("some draws are not finite")
    if not r_hat <= MAX_R_HAT:
        failures.append(f"R-hat {r_hat:.3f} > {MAX_R_HAT}")
    if not bulk >= MIN_ESS:
        failures.append(f"bulk ESS {bulk:.0f} < {MIN_ESS:.0f}")
    if not tail >= MIN_ESS:
        failures.append(f"tail ESS {tail:.0f} < {MIN_ESS:.0f}")
    if divergences:
        failures.append(f"{divergences} divergent transitions")
    if not bfmi >= MIN_BFMI:
        failures.append(f"BFMI {bfmi:.2f} < {MIN_BFMI}")
    return Diagnostics(
        r_hat, bulk, tail, divergences, bfmi, float("nan"), int(steps.sum()),
        *agreement(found), tuple(failures) + mode_failures(found),
    )  # fmt: skip


def convergence(z: np.ndarray) -> tuple[float, float, float]:
    """Of draws z (chain, draw, dim): the worst rank-normalised R-hat, and the least effective draws
    in the bulk and in the tails."""
    columns, stats = np.moveaxis(z, -1, 0), array_stats()
    r_hat = float(np.max(stats.rhat(columns, chain_axis=-2, draw_axis=-1)))
    bulk = float(np.min(stats.ess(columns, chain_axis=-2, draw_axis=-1, method="bulk")))
    tail = float(np.min(stats.ess(columns, chain_axis=-2, draw_axis=-1, method="tail", prob=TAIL)))
    return r_hat, bulk, tail


def agreement(found: Sequence[Mode]) -> tuple[int, int, tuple[float, ...]]:
    mass = np.array([m.log_evidence for m in found])
    share = np.exp(mass - mass.max())
    return found[0].starts, found[0].agree, tuple(map(float, share / share.sum()))


def with_mass(found: Sequence[Mode]) -> tuple[Mode, ...]:
    """The modes that have `MIN_MASS` or more by Laplace; chains would stay in the others too."""
    mass = np.array([m.log_evidence for m in found])
    share = np.exp(mass - logsumexp(mass))
    return tuple(m for m, s in zip(found, share, strict=True) if s >= MIN_MASS)


def mode_failures(found: Sequence[Mode]) -> tuple[str, ...]:
    """Why the modes found do not allow the posterior to be trusted."""
    starts, agree, _ = agreement(found)
    if agree < MIN_AGREEING:
        return (f"only {agree} of {starts} starts agree on the best mode",)
    return ()


def pareto_k(log_ratios: np.ndarray) -> tuple[np.ndarray, float]:
    """Smoothed normalised log weights of importance ratios, and their Pareto k-hat.

    Where the largest ratios are copies of one draw, or as good as, no tail can be fitted: k-hat is
    infinite and the weights are as they came. Equal ratios are weights that cannot be better: 0.
    """
    plain = log_ratios - logsumexp(log_ratios)
    if np.ptp(log_ratios) == 0:
        return plain, 0.0
    try:
        # It takes log likelihoods, whose importance ratios are their inverses.
        with np.errstate(divide="ignore", invalid="ignore"):
            weights, k = array_stats().psislw(-log_ratios)
    except ValueError:  # all values of the tail are the same
        return plain, np.inf
    if not (np.isfinite(k) and np.isfinite(weights).all()):
        return plain, np.inf
    return np.asarray(weights), float(k)
