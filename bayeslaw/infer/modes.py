"""Modes of a density: many starts from the prior, damped Newton, and how many starts agree.

Hierarchies have hundreds of coordinates, of which those of two domains never meet in one term: the
Hessian is an arrow. `blocks` tells it (coordinate -> its domain, or -1 where it meets all), and a
difference then measures one column of every domain at once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.linalg import LinAlgError, cho_factor, cho_solve

# Modes further than this below the best (nats) hold no mass worth sampling.
WORTH_SAMPLING = 12.0
DIFFERENCE = 1e-5  # half of the step between two gradients that a second derivative is read from
MEMORY = 30  # steps that the curvature on the way down is taken from


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


def find_modes(
    gradients: Gradients,
    starts: np.ndarray,
    blocks: np.ndarray | None = None,
    tilt: np.ndarray | None = None,
) -> tuple[Mode, ...]:
    """The separated modes, best first: L-BFGS down from all starts at once, then damped Newton.

    tilt: (dim,) added to the gradient (see `Density.tilt`); curvature does not change.

    Starts that end more than `WORTH_SAMPLING` nats above the best, or not at all, count as
    disagreeing. Only the gradient is ever compiled: Hessians are its central differences.
    """
    blocks = np.full(starts.shape[1], -1) if blocks is None else blocks
    gradients = gradients if tilt is None else _tilted(gradients, tilt)
    z = _descend(gradients, np.array(starts, dtype=float))
    return _distinct(*_polish(gradients, z, blocks))


def _tilted(gradients: Gradients, tilt: np.ndarray) -> Gradients:
    def tilted(z: np.ndarray) -> tuple[Any, Any]:
        potential, gradient = gradients(z)
        return np.asarray(potential) + z @ tilt, np.asarray(gradient) + tilt

    return tilted


def _at(gradients: Gradients, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    potential, gradient = (np.array(a) for a in gradients(z))
    return np.where(np.isfinite(potential), potential, np.inf), np.nan_to_num(gradient)


def hessians(gradients: Gradients, z: np.ndarray, blocks: np.ndarray) -> np.ndarray:
    """The Hessian at every point of z (start, dim); all columns are measured side by side."""
    probes = _probes(blocks)
    steps = np.zeros((len(probes), z.shape[1]))
    for step, columns in zip(steps, probes, strict=True):
        step[columns] = DIFFERENCE
    ends = np.stack([z[:, None] + steps, z[:, None] - steps])
    slopes = _at(gradients, ends.reshape(-1, z.shape[1]))[1].reshape(ends.shape)
    change = (slopes[0] - slopes[1]) / (2 * DIFFERENCE)
    return _assembled(probes, change.transpose(1, 0, 2), blocks)


def _assembled(probes: list[list[int]], change: np.ndarray, blocks: np.ndarray) -> np.ndarray:
    """Hessians (start, dim, dim) from the change of the gradient (probe, start, dim)."""
    _, count, dim = change.shape
    hessian = np.zeros((count, dim, dim))
    for columns, along in zip(probes, change, strict=True):
        for i in columns:
            met = blocks == blocks[i] if blocks[i] >= 0 else slice(None)
            hessian[:, met, i] = along[:, met]
    every = blocks < 0
    hessian[:, every] = hessian[:, :, every].transpose(0, 2, 1)
    return (hessian + hessian.transpose(0, 2, 1)) / 2


def _probes(blocks: np.ndarray) -> list[list[int]]:
    """Coordinates whose columns one difference can tell apart: at most one of every block."""
    probes = [[int(i)] for i in np.flatnonzero(blocks < 0)]
    members = [np.flatnonzero(blocks == k) for k in np.unique(blocks[blocks >= 0])]
    for j in range(max(map(len, members), default=0)):
        probes.append([int(m[j]) for m in members if j < len(m)])
    return probes


def _descend(gradients: Gradients, z: np.ndarray, tolerance: float = 1e-3) -> np.ndarray:
    """L-BFGS with backtracking, all starts in step, until a step promises < `tolerance`."""
    count = len(z)
    potential, gradient = _at(gradients, z)
    done = ~np.isfinite(potential)
    length = np.full(count, 1.0)
    past: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []  # step, change of gradient, 1 / dot
    size = np.full(count, np.nan)  # of the inverse curvature; unknown: the first step is one unit
    for _ in range(600 + 5 * z.shape[1]):
        step = -_times_inverse(past, np.nan_to_num(size, nan=1.0), gradient)
        promise = -np.einsum("si,si->s", step, gradient)
        done |= ((promise < tolerance) & np.isfinite(size)) | (length < 1e-12)
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
        if update.any():  # a start without one remembers a step of weight 0
            past.append((taken, y, np.where(update, 1 / np.where(update, curvature, 1.0), 0.0)))
            past = past[-MEMORY:]
        newest = curvature / np.maximum(np.einsum("si,si->s", y, y), 1e-300)
        size = np.where(update, newest, size)
        length = np.where(better, 1.0, np.minimum(length, cap) * 0.3)
        z = np.where(better[:, None], trial, z)
        potential = np.where(better, new, potential)
        gradient = np.where(better[:, None], slope, gradient)
    return z


def _times_inverse(past: list, size: np.ndarray, v: np.ndarray) -> np.ndarray:
    """The inverse Hessian, as past steps know it, times v (start, dim): the two-loop recursion."""
    kept = []
    for s, y, rho in reversed(past):
        a = rho * np.einsum("si,si->s", s, v)
        v = v - a[:, None] * y
        kept.append(a)
    v = size[:, None] * v
    for (s, y, rho), a in zip(past, reversed(kept), strict=True):
        v = v + (a - rho * np.einsum("si,si->s", y, v))[:, None] * s
    return v


def _polish(
    gradients: Gradients,
    z: np.ndarray,
    blocks: np.ndarray,
    iterations: int = 40,
    tolerance: float = 1e-8,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Damped Newton: z, potential, gradient and Hessian where the decrement is < `tolerance` nats.

    Negative curvature is turned round (|eigenvalues|); the step is damped until it descends.
    """
    potential, gradient = _at(gradients, z)
    hessian = hessians(gradients, z, blocks)
    damping = np.full(len(z), 1e-6)
    done = ~np.isfinite(potential)
    for _ in range(iterations):
        step = np.zeros_like(z)
        for i in np.flatnonzero(~done):
            step[i], decrement, convex = _newton(hessian[i], gradient[i], damping[i])
            # A start that ends far above the best has ended elsewhere: its digits do not matter.
            far = potential[i] - decrement > potential.min() + WORTH_SAMPLING
            done[i] = (decrement < tolerance and convex) or far
        if done.all():
            break
        step *= np.minimum(1.0, 4.0 / np.maximum(np.abs(step).max(-1), 1e-300))[:, None]
        trial = np.where(done[:, None], z, z + step)
        new, slope = _at(gradients, trial)
        better = (new < potential) & ~done
        damping = np.clip(np.where(better, damping / 8, damping * 8), 1e-12, 1e12)
        z = np.where(better[:, None], trial, z)
        potential = np.where(better, new, potential)
        gradient = np.where(better[:, None], slope, gradient)
        if better.any():
            hessian[better] = hessians(gradients, z[better], blocks)
    return z, potential, gradient, hessian


def _newton(
    hessian: np.ndarray, gradient: np.ndarray, damping: float
) -> tuple[np.ndarray, float, bool]:
    """The damped step, the decrement in nats, and whether the curvature is positive."""
    damping *= 1 + np.abs(hessian).sum(0).max()
    try:
        downhill = cho_solve(cho_factor(hessian), gradient)
        damped = cho_solve(cho_factor(hessian + damping * np.eye(len(gradient))), gradient)
        return -damped, 0.5 * float(gradient @ downhill), True
    except (LinAlgError, ValueError):
        values, vectors = _eigen(hessian)
        along, size = gradient @ vectors, np.abs(values)
        step = -vectors @ (along / (np.maximum(size, 1e-6) + damping))
        return step, 0.5 * float((along**2 / np.maximum(size, 1e-10)).sum()), False


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
