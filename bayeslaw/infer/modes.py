"""Modes of a density: many starts from the prior, damped Newton, and how many starts agree."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

# Modes further than this below the best (nats) hold no mass worth sampling.
WORTH_SAMPLING = 12.0


@dataclass(frozen=True)
class Mode:
    """A local minimum of the potential. `agree` of the `starts` starts ended here."""

    z: np.ndarray
    potential: float
    scale: np.ndarray  # lower Cholesky factor of the inverse Hessian: the Laplace approximation
    agree: int
    starts: int

    @property
    def log_evidence(self) -> float:
        """Laplace's approximation of the log of the mass under this mode (unnormalised)."""
        log_det = np.log(np.diag(self.scale)).sum()
        return float(-self.potential + log_det + 0.5 * len(self.z) * np.log(2 * np.pi))


def find_modes(
    derivatives: Callable[[np.ndarray], tuple[Any, Any, Any]],
    starts: np.ndarray,
    iterations: int = 100,
    tolerance: float = 1e-8,
) -> tuple[Mode, ...]:
    """The separated modes, best first, from damped Newton at all starts at once.

    derivatives: z (start, dim) -> potential (start,), gradient, Hessian.
    Negative curvature is turned round (|eigenvalues|), and the step is damped until it descends;
    the Newton decrement g' H^-1 g / 2 < `tolerance` nats ends a start. Starts that end more than
    `WORTH_SAMPLING` nats above the best, or not at all, count as disagreeing.
    """
    z = np.array(starts, dtype=float)
    potential, gradient, hessian = (np.array(a) for a in derivatives(z))
    count = len(z)
    potential = np.where(np.isfinite(potential), potential, np.inf)
    damping = np.full(count, 1e-3)
    done = ~np.isfinite(potential)
    for _ in range(iterations):
        values, vectors = _eigen(hessian)
        along = np.einsum("sij,si->sj", vectors, gradient)
        size = np.abs(values)
        decrement = 0.5 * (along**2 / np.maximum(size, 1e-10)).sum(-1)
        done |= (decrement < tolerance) & (values.min(-1) > 0)
        done |= damping > 1e12
        if done.all():
            break
        curvature = np.maximum(size, 1e-6) + (damping * (1 + size.max(-1)))[:, None]
        step = -np.einsum("sij,sj->si", vectors, along / curvature)
        # A step of more than a few units on the real line leaves the region the Hessian knows.
        step *= np.minimum(1.0, 4.0 / np.maximum(np.abs(step).max(-1), 1e-300))[:, None]
        trial = np.where(done[:, None], z, z + step)
        new = [np.array(a) for a in derivatives(trial)]
        better = (new[0] < potential) & np.isfinite(new[0]) & ~done
        damping = np.where(done, damping, np.where(better, damping / 8, damping * 8))
        damping = np.maximum(damping, 1e-12)
        z = np.where(better[:, None], trial, z)
        potential = np.where(better, new[0], potential)
        gradient = np.where(better[:, None], new[1], gradient)
        hessian = np.where(better[:, None, None], new[2], hessian)
    return _distinct(z, potential, gradient, hessian)


def _eigen(hessian: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.linalg.eigh(np.nan_to_num(hessian, nan=0.0, posinf=1e12, neginf=-1e12))


def _distinct(z, potential, gradient, hessian) -> tuple[Mode, ...]:
    """Group ends that are the same mode: nearer than one posterior sd of the better one."""
    order = np.argsort(potential)
    modes: list[Mode] = []
    left = [i for i in order if np.isfinite(potential[i])]
    while left:
        best = left[0]
        if modes and potential[best] > modes[0].potential + WORTH_SAMPLING:
            break
        values, vectors = _eigen(hessian[best])
        values = np.maximum(values, 1e-8 * max(values.max(), 1e-300))
        apart = (z[left] - z[best]) @ vectors * np.sqrt(values)
        same = (np.abs(apart).max(-1) < 1.0) & (potential[left] < potential[best] + 1.0)
        same[0] = True
        covariance = (vectors / values) @ vectors.T
        scale = np.linalg.cholesky(covariance + 1e-14 * np.trace(covariance) * np.eye(len(values)))
        modes.append(Mode(z[best], float(potential[best]), scale, int(same.sum()), len(z)))
        left = [i for i, s in zip(left, same, strict=True) if not s]
        # What is neither the same nor settled (a start that ran out of steps) is not a mode.
        left = [
            i
            for i in left
            if np.linalg.eigvalsh(hessian[i]).min() > 0 and _settled(gradient[i], hessian[i])
        ]
    return tuple(modes)


def _settled(gradient: np.ndarray, hessian: np.ndarray) -> bool:
    return bool(0.5 * gradient @ np.linalg.solve(hessian, gradient) < 1e-3)
