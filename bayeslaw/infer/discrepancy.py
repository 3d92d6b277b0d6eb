"""The discrepancy: what a law gets wrong beyond the sweep, as a random function that grows with
the distance.

    δ(x) = τ √s Σⱼ dⱼ(x) zⱼ,   zⱼ ~ Normal(0, 1),   log τ ~ Normal

d are the distances, in e-folds, by which a design leaves the sweep along compute, N, D + D′ and the
branch; s is the sd of the training log losses. z is drawn once for a whole function: neighbouring
designs share it, so that differences between plans are not drowned. Domains share a part of it.
The prior of τ was learnt from public sweeps (`bench/discrepancy.py`); a sweep's own refits update
it.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from bayeslaw.laws import Run

AXES = ("compute", "params", "tokens", "branch")
GRID = np.linspace(-3.5, 3.5, 71)  # prior sd of log τ at which an update looks


@lru_cache(maxsize=1)
def learnt() -> dict[str, dict[str, float]]:
    """The shipped numbers."""
    return tomllib.loads((Path(__file__).parent / "discrepancy.toml").read_text())


def axes_of(x: Run, shortest: float) -> np.ndarray:
    """Log coordinates (design, axis) in which the distance is measured.

    shortest: the smallest D′ > 0 of the sweep; 0 where there is none.
    """
    n, d, split = (np.asarray(f, float) for f in (x.params, x.pretrain_tokens, x.specialize_tokens))
    tokens = d + split
    branch = np.log1p(split / shortest) if shortest > 0 else np.zeros_like(tokens)
    with np.errstate(divide="ignore"):
        return np.stack([np.log(6 * n * tokens), np.log(n), np.log(tokens), branch], axis=-1)


@dataclass(frozen=True)
class Hull:
    """The box that the training runs fill, along each of `AXES`."""

    low: tuple[float, ...]
    high: tuple[float, ...]
    shortest: float

    @classmethod
    def of(cls, x: Run) -> Hull:
        split = np.asarray(x.specialize_tokens, float)
        shortest = float(split[split > 0].min()) if (split > 0).any() else 0.0
        axes = axes_of(x, shortest)
        return cls(tuple(axes.min(0).tolist()), tuple(axes.max(0).tolist()), shortest)

    def distance(self, x: Run) -> np.ndarray:
        """(design, axis): e-folds outside the box, each times what it counts; 0 inside."""
        axes = axes_of(x, self.shortest)
        out = np.maximum(axes - np.array(self.high), 0) + np.maximum(np.array(self.low) - axes, 0)
        return out * np.array([learnt()["distance"][name] for name in AXES])


@dataclass(frozen=True)
class Discrepancy:
    """The scale of δ for one sweep. center, log_sd: of τ, a log-normal. unit: √s."""

    hull: Hull
    unit: float
    center: float
    log_sd: float

    @classmethod
    def prior(cls, x: Run, log_loss: np.ndarray, domain: Sequence[str]) -> Discrepancy:
        """Before the sweep's own refits have been looked at."""
        names, member = np.unique(np.asarray(domain, str), return_inverse=True)
        spread = [log_loss[member == k].std() for k in range(len(names))]
        scale = learnt()["scale"]
        unit = float(np.sqrt(np.mean(spread)))
        return cls(Hull.of(x), unit, scale["center"], scale["log_sd"])

    def sample(self, x: Run, domains: int, draws: int, seed: int) -> np.ndarray:
        """Draws of δ, (draw, design, domain). The functions depend on the seed alone: the same
        design among other designs gets the same values."""
        rng = np.random.default_rng([seed, 7])
        scale = self.unit * self.center * np.exp(self.log_sd * rng.standard_normal(draws))
        shared = learnt()["domains"]["correlation"]
        z = np.sqrt(shared) * rng.standard_normal((draws, len(AXES), 1))
        z = z + np.sqrt(1 - shared) * rng.standard_normal((draws, len(AXES), domains))
        return np.einsum("t,xa,tak->txk", scale, self.hull.distance(x), z, optimize=True)

    def updated(self, misses: Sequence[Miss]) -> Discrepancy:
        """After refits to the smaller part of the sweep have missed the larger by so much.

        Each miss is a normal with the refit's covariance and δ's; their log likelihoods are
        averaged, because they are of the same runs.
        """
        usable = [m for m in misses if m.distance.any()]
        if not usable:
            return self
        log_tau = np.log(self.center) + self.log_sd * GRID
        shared = learnt()["domains"]["correlation"]
        likelihood = np.mean([m.log_likelihood(np.exp(log_tau), shared) for m in usable], axis=0)
        posterior = np.exp(likelihood - likelihood.max() - 0.5 * GRID**2)
        posterior /= posterior.sum()
        center = float(posterior @ log_tau)
        sd = float(np.sqrt(posterior @ (log_tau - center) ** 2))
        return Discrepancy(self.hull, self.unit, float(np.exp(center)), sd)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, said: Mapping[str, Any]) -> Discrepancy:
        hull = said["hull"]
        box = Hull(tuple(hull["low"]), tuple(hull["high"]), hull["shortest"])
        return cls(box, said["unit"], said["center"], said["log_sd"])


@dataclass(frozen=True)
class Miss:
    """By how much a refit missed runs beyond it.

    residual: (run,) measured less predicted log loss.  draws: (draw, run) the predictions.
    noise: (run,) variance of a run around them.  distance: (run, axis) from the refit's hull.
    unit: √s of the rows refitted.  domain: (run,) number of each run's domain.
    """

    residual: np.ndarray
    draws: np.ndarray
    noise: np.ndarray
    distance: np.ndarray
    unit: float
    domain: np.ndarray

    def log_likelihood(self, scales: np.ndarray, shared: float) -> np.ndarray:
        """At each τ, up to a constant."""
        covariance = np.cov(self.draws, rowvar=False).reshape(len(self.noise), -1)
        lower = np.linalg.cholesky(covariance + np.diag(self.noise + 1e-10))
        missed = np.linalg.solve(lower, np.clip(self.residual, -1.0, 1.0))
        # δ in independent coordinates: what domains share, and what each has of its own.
        own = (self.domain[:, None] == np.unique(self.domain)).astype(float)
        parts = [np.sqrt(shared) * self.distance]
        parts += [np.sqrt(1 - shared) * self.distance * one[:, None] for one in own.T]
        basis = np.linalg.solve(lower, self.unit * np.concatenate(parts, axis=1))
        values, vectors = np.linalg.eigh(basis.T @ basis)
        along = (vectors.T @ (basis.T @ missed)) ** 2
        values = np.maximum(values, 0.0)
        gain = np.log1p(scales[:, None] ** 2 * values).sum(1)
        explained = (along * scales[:, None] ** 2 / (1 + scales[:, None] ** 2 * values)).sum(1)
        return -0.5 * (gain - explained)
