"""Separated modes: each sampled on its own, and weighted by the mass under it.

Chains do not cross between separated modes, so how many of them sit in each says where they were
started, not where the mass is. The mass of each mode is an integral over its own region: the points
nearer to it, in its own scale, than to any other. Bridge sampling (Meng & Wong 1996) estimates it
from that mode's draws and those of a normal fitted to them; unlike importance sampling it needs no
proposal with longer tails, and unlike tempering no path between the modes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy.special import logsumexp

from bayeslaw.infer.diagnose import MIN_AGREEING, MIN_MASS, Diagnostics, with_mass
from bayeslaw.infer.model import Rows, Spec, pooled_shapes
from bayeslaw.infer.modes import Mode
from bayeslaw.infer.sample import Draws, Settings, at_points, compiled, sample

CHAINS = 4  # that the joined draws are dealt out to
BRIDGE_STEPS = 200
MOST = 2000  # draws of a mode that its mass is estimated from


def sample_modes(
    spec: Spec, rows: Rows, found: tuple[Mode, ...], seed: int, settings: Settings
) -> Draws:
    """Draws of the posterior, whether its modes are joined or separated.

    Chains from all modes that agree need no more. Where they do not, and several modes have mass
    (by Laplace at least `MIN_MASS`), each is sampled alone and they are joined by bridge sampling;
    the gate then asks of each what it asks of one. A hierarchy's coordinates are chosen per
    sample, so its modes are not joined: there the gate stays closed.
    """
    worth = with_mass(found)
    if len(worth) < 2 or pooled_shapes(spec):
        return sample(spec, rows, found, seed, settings)
    # One attempt: whitened over two modes, further ones would creep between them.
    together = sample(spec, rows, found, seed, replace(settings, attempts=1, nuts_chains=0))
    if together.diagnostics.passed:
        return together
    # How many starts end in it is asked of the best mode only; a lesser one has fewer by right.
    alone = [worth[0], *(replace(m, agree=max(m.agree, MIN_AGREEING)) for m in worth[1:])]
    apart = [sample(spec, rows, (m,), seed + 1 + i, settings) for i, m in enumerate(alone)]
    rng = np.random.default_rng(seed)
    mass = [log_mass(spec, rows, worth, k, draws.z, rng, settings) for k, draws in enumerate(apart)]
    return _joined(apart, worth, np.array(mass), rng)


def nearest(z: np.ndarray, found: Sequence[Mode]) -> np.ndarray:
    """The mode whose region each point (point, dim) is in: of least Mahalanobis distance."""
    away = [(np.linalg.solve(m.scale, (z - m.z).T) ** 2).sum(0) for m in found]
    return np.argmin(away, axis=0)


def log_mass(
    spec: Spec,
    rows: Rows,
    found: Sequence[Mode],
    k: int,
    z: np.ndarray,
    rng: np.random.Generator,
    settings: Settings,
) -> float:
    """Log of the integral of the unnormalised posterior over the region of mode k.

    z: draws (chain, draw, dim) from chains in that region.
    """
    p = compiled(spec, settings)

    def log_posterior(points: np.ndarray) -> np.ndarray:
        potential, _ = at_points(p, points, rows, {}, settings)
        return np.where(np.isfinite(potential), -potential, -np.inf)

    flat = z.reshape(-1, z.shape[-1])
    flat = flat[nearest(flat, found) == k]
    flat = flat[np.linspace(0, len(flat) - 1, min(2 * MOST, len(flat))).astype(int)]
    # One half of the draws makes the normal, the other is bridged to it.
    fitted, used = flat[::2], flat[1::2]
    center = fitted.mean(0)
    lower = np.linalg.cholesky(np.cov(fitted, rowvar=False).reshape(len(center), -1))
    normal = center + rng.standard_normal((len(used), len(center))) @ lower.T

    def log_normal(points: np.ndarray) -> np.ndarray:
        u = np.linalg.solve(lower, (points - center).T)
        constant = np.log(np.diag(lower)).sum() + 0.5 * len(center) * np.log(2 * np.pi)
        return -0.5 * (u**2).sum(0) - constant

    inside = nearest(normal, found) == k
    drawn = np.where(inside, log_posterior(normal) - log_normal(normal), -np.inf)
    kept = log_posterior(used) - log_normal(used)
    return bridge(kept, drawn)


def bridge(kept: np.ndarray, drawn: np.ndarray) -> float:
    """Log normalising constant from log ratios of target to proposal, at draws of the target and
    at as many of the proposal."""
    log_z = float(np.median(kept))
    for _ in range(BRIDGE_STEPS):
        above = logsumexp(drawn - np.logaddexp(drawn, log_z)) - np.log(len(drawn))
        below = logsumexp(-np.logaddexp(kept, log_z)) - np.log(len(kept))
        step = above - below
        if abs(step - log_z) < 1e-10:
            break
        log_z = float(step)
    return log_z


def _joined(
    apart: Sequence[Draws], worth: Sequence[Mode], mass: np.ndarray, rng: np.random.Generator
) -> Draws:
    """Draws of all modes in proportion to their mass, dealt out at random to a few chains."""
    share = np.exp(mass - logsumexp(mass))
    flat = [
        np.flatnonzero(nearest(d.z.reshape(-1, d.z.shape[-1]), worth) == k)
        for k, d in enumerate(apart)
    ]
    # As many as the mode that runs out first allows.
    total = min(len(rows) / s for rows, s in zip(flat, share, strict=True) if s > 1e-6)
    total = min(int(total), 6400) // CHAINS * CHAINS
    counts = rng.multinomial(total, share)
    picked = [
        rows[np.linspace(0, len(rows) - 1, n).astype(int)]
        for rows, n in zip(flat, counts, strict=True)
    ]
    order = rng.permutation(total)

    def join(field: str) -> np.ndarray:
        parts = [
            getattr(d, field).reshape(-1, *getattr(d, field).shape[2:])[rows]
            for d, rows in zip(apart, picked, strict=True)
        ]
        every = np.concatenate(parts)[order]
        return every.reshape(CHAINS, total // CHAINS, *every.shape[1:])

    fields = {f: join(f) for f in ("z", "energy", "diverging", "steps", "accept")}
    seen = [d.diagnostics for d in apart]
    failures = tuple(
        f"mode {k + 1}: {f}" for k, d in enumerate(seen) for f in d.failures if share[k] > MIN_MASS
    )
    first = int(np.argmax(share))
    together = Diagnostics(
        max(d.r_hat for d in seen), min(d.ess_bulk for d in seen), min(d.ess_tail for d in seen),
        sum(d.divergences for d in seen), min(d.bfmi for d in seen), float("nan"),
        sum(d.gradients for d in seen), worth[first].starts, worth[first].agree,
        tuple(map(float, share)), failures,
    )  # fmt: skip
    return Draws(**fields, centring={}, diagnostics=together, sampler=f"hmc in {len(apart)} modes")
