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


# A function of z (start, dim) -> potential (start,), gradient (start, dim).
Gradients = Callable[[np.ndarray], tuple[Any, Any]]


def find_modes(gradients: Gradients, starts: np.ndarray) -> tuple[Mode, ...]:
    """The separated modes, best first: BFGS down from all starts at once, then damped Newton.

    Starts that end more than `WORTH_SAMPLING` nats above the best, or not at all, count as
    disagreeing. Only the gradient is ever compiled: Hessians are its central differences.
    """
    z = _descend(gradients, np.array(starts, dtype=float))
    return _distinct(*_polish(gradients, z))


def _at(gradients: Gradients, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    potential, gradient = (np.array(a) for a in gradients(z))
    return np.where(np.isfinite(potential), potential, np.inf), np.nan_to_num(gradient)


def _hessian(gradients: Gradients, z: np.ndarray, h: float = 1e-5) -> np.ndarray:
    columns = [
        (_at(gradients, z + h * e)[1] - _at(gradients, z - h * e)[1]) / (2 * h)
        for e in np.eye(z.shape[1])
    ]
    hessian = np.stack(columns, axis=-1)
    return (hessian + hessian.transpose(0, 2, 1)) / 2


def _descend(
    gradients: Gradients, z: np.ndarray, iterations: int = 600, tolerance: float = 1e-5
) -> np.ndarray:
    """BFGS with backtracking, all starts in step, until a step promises < `tolerance`."""
    count, dim = z.shape
    potential, gradient = _at(gradients, z)
    done = ~np.isfinite(potential)
    inverse = np.tile(np.eye(dim), (count, 1, 1))
    length = np.full(count, 1.0)
    fresh = np.ones(count, bool)  # no curvature known yet: the first step is one unit long
    for _ in range(iterations):
        step = -np.einsum("sij,sj->si", inverse, gradient)
        promise = -np.einsum("si,si->s", step, gradient)
        done |= ((promise < tolerance) & ~fresh) | (length < 1e-12)
        if done.all():
            break
        # A step of more than a unit on the real line leaves the region that the curvature knows.
        cap = 1.0 / np.maximum(np.abs(step).max(-1), 1e-300)
        taken = np.minimum(length, cap)[:, None] * step
        trial = np.where(done[:, None], z, z + taken)
        new, slope = _at(gradients, trial)
        better = (new <= potential + 1e-4 * np.einsum("si,si->s", taken, gradient)) & ~done
        y = slope - gradient
        curvature = np.einsum("si,si->s", taken, y)
        update = better & (curvature > 1e-12)
        first = update & fresh
        scale = curvature / np.maximum(np.einsum("si,si->s", y, y), 1e-300)
        inverse = np.where(first[:, None, None], scale[:, None, None] * np.eye(dim), inverse)
        fresh &= ~update
        rho = np.where(update, 1 / np.where(update, curvature, 1.0), 0.0)[:, None, None]
        left = np.eye(dim) - rho * taken[:, :, None] * y[:, None, :]
        inverse = left @ inverse @ left.transpose(0, 2, 1)
        inverse += rho * taken[:, :, None] * taken[:, None, :]
        length = np.where(better, 1.0, np.minimum(length, cap) * 0.3)
        z = np.where(better[:, None], trial, z)
        potential = np.where(better, new, potential)
        gradient = np.where(better[:, None], slope, gradient)
    return z


def _polish(
    gradients: Gradients, z: np.ndarray, iterations: int = 20, tolerance: float = 1e-8
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Damped Newton: z, potential, gradient and Hessian where the decrement is < `tolerance` nats.

    Negative curvature is turned round (|eigenvalues|); the step is damped until it descends.
    """
    potential, gradient = _at(gradients, z)
    hessian = _hessian(gradients, z)
    damping = np.full(len(z), 1e-6)
    done = ~np.isfinite(potential)
    for _ in range(iterations):
        values, vectors = _eigen(hessian)
        along = np.einsum("sij,si->sj", vectors, gradient)
        size = np.abs(values)
        decrement = 0.5 * (along**2 / np.maximum(size, 1e-10)).sum(-1)
        done |= (decrement < tolerance) & (values.min(-1) > 0)
        # A start that is far above the best has ended elsewhere: its digits do not matter.
        done |= potential > potential.min() + WORTH_SAMPLING
        if done.all():
            break
        curvature = np.maximum(size, 1e-6) + (damping * (1 + size.max(-1)))[:, None]
        step = -np.einsum("sij,sj->si", vectors, along / curvature)
        step *= np.minimum(1.0, 4.0 / np.maximum(np.abs(step).max(-1), 1e-300))[:, None]
        trial = np.where(done[:, None], z, z + step)
        new, slope = _at(gradients, trial)
        better = (new < potential) & ~done
        damping = np.clip(np.where(better, damping / 8, damping * 8), 1e-12, 1e12)
        z = np.where(better[:, None], trial, z)
        potential = np.where(better, new, potential)
        gradient = np.where(better[:, None], slope, gradient)
        if better.any():
            hessian = _hessian(gradients, z)
    return z, potential, gradient, hessian


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
