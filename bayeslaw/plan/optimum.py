"""The optimiser: one arrangement, one budget, one risk, on one fixed set of joint draws."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy.optimize import minimize

from bayeslaw.infer.curves import Curves
from bayeslaw.laws import Run
from bayeslaw.plan.arrangement import ARRANGEMENTS, Coordinate
from bayeslaw.plan.bounds import Bounds
from bayeslaw.plan.risk import Risk

THIN = 64  # draws that find the neighbourhood; all of them decide
EDGE = 1e-6  # of the log of a ratio: nearer to its bound it is at its bound
GRADIENT = 1e-8  # nats for a unit of the log of a ratio; curvatures are some hundredths
# Objectives are divided by this. scipy's projected gradient is never longer than the way to the
# bound: its tolerance must be small against the box as well.
UNIT = 1e-5
STEP = 3e-6  # a last step of less than this in the log of a ratio; the next would be far less
SETTLED = 1e-8  # nats that a round gained; the next gains a hundredth of it
ROUNDS = 6


@dataclass(frozen=True)
class Optimum:
    """The best design of an arrangement. Fields of `run` have shape (domain,)."""

    arrangement: str
    run: Run
    at_bound: tuple[str, ...]
    evaluations: int


def optimise(
    arrangement: str,
    curves: Curves,
    flops: float,
    weights: np.ndarray,
    risk: Risk,
    bounds: Bounds,
    names: tuple[str, ...],
    pins: Mapping[str, float] | None = None,
) -> Optimum:
    """Minimise ρ(Σ wₖ Lₖ) over the arrangement's coordinates, by L-BFGS-B with jax gradients.

    Starts are compared and followed on `THIN` draws, then all draws decide. The draws are fixed,
    so the objective is deterministic. pins: coordinate -> log value to hold (all its elements).
    """
    two_stage = any(law.two_stage for law in curves.laws)
    groups = ARRANGEMENTS[arrangement].coordinates(len(names), two_stage, bounds)
    pins = pins or {}
    groups = [
        Coordinate(g.name, g.size, pins[g.name], pins[g.name], (pins[g.name],))
        if g.name in pins
        else g
        for g in groups
    ]
    low = np.concatenate([np.full(g.size, g.low) for g in groups])
    high = np.concatenate([np.full(g.size, g.high) for g in groups])
    layout = tuple((g.name, g.size) for g in groups)
    sizes = tuple(g.size for g in groups)
    problem = _Problem(_objective(arrangement, layout, risk), flops, weights, low, high, sizes)
    # Many domains average out the draws as well.
    few = thinned(curves, int(np.clip(16 * THIN / len(names), THIN / 4, THIN)))
    starts = [
        np.concatenate([np.full(g.size, s) for g, s in zip(groups, point, strict=True)])
        for point in product(*(g.starts for g in groups))
    ]
    x = min(starts, key=lambda x: np.nan_to_num(problem.value(few, x)[0], nan=np.inf))
    for iterations in (60, 100):  # curvatures at the start are not those at the end
        problem.rescale(few, x)
        x = problem.descend(few, x, iterations)
    if few is not curves:
        x = problem.corrected(curves, few, x)
    edges = [
        f"{g.name} {side}" + (f" ({names[j]})" if g.size > 1 else "")
        for g, first in zip(groups, np.cumsum([0, *(g.size for g in groups)]), strict=False)
        if g.name not in pins and g.name != "share"
        for j in range(g.size)
        for side, bound in (("low", g.low), ("high", g.high))
        if abs(x[first + j] - bound) < EDGE
    ]
    run = Run(*(np.asarray(f) for f in _design(arrangement, layout)(x, flops, len(names))[:3]))
    return Optimum(arrangement, run, tuple(edges), problem.evaluations)


class _Problem:
    """One objective over a box, on draws of the caller's choice."""

    def __init__(self, objective: Any, flops: float, weights: Any, low: Any, high: Any, sizes: Any):
        self.objective, self.flops, self.weights = objective, flops, weights
        self.low, self.high, self.sizes = low, high, sizes
        self.unit = np.ones_like(low)
        self.evaluations = 0

    def value(self, curves: Curves, x: np.ndarray) -> tuple[float, np.ndarray]:
        """The risk and its gradient in x."""
        self.evaluations += 1
        value, gradient = self.objective(x, curves, self.flops, self.weights)
        return float(value), np.asarray(gradient)

    def rescale(self, curves: Curves, x: np.ndarray, h: float = 1e-3) -> None:
        """Units in which curvatures are alike: 1 / √(the Hessian's diagonal).

        v ∘ Hv with random signs v on one group of coordinates is its diagonal where domains do not
        interact, and nearly so where they do.
        """
        rng, diagonal, first = np.random.default_rng(0), np.zeros_like(x), 0
        for size in self.sizes:
            v = np.zeros_like(x)
            v[first : first + size] = rng.choice([-1.0, 1.0], size)
            first += size
            slope = self.value(curves, x + h * v)[1] - self.value(curves, x - h * v)[1]
            diagonal += np.abs(v * slope) / (2 * h)
        known = diagonal[np.isfinite(diagonal) & (diagonal > 0)]
        typical = float(np.median(known)) if len(known) else 1.0
        clipped = np.clip(np.nan_to_num(diagonal, nan=typical), 1e-2 * typical, 1e2 * typical)
        self.unit = 1 / np.sqrt(clipped / typical) * np.sqrt(max(self.sizes))

    def descend(
        self,
        curves: Curves,
        x: np.ndarray,
        iterations: int = 300,
        tilt: np.ndarray | float = 0.0,
    ) -> np.ndarray:
        """L-BFGS-B from x on the risk plus a linear term, to a gradient of `GRADIENT`."""

        def fun(y: np.ndarray) -> tuple[float, np.ndarray]:
            value, gradient = self.value(curves, y * self.unit)
            value += float(np.sum(tilt * (y * self.unit)))
            return value / UNIT, (gradient + tilt) * self.unit / UNIT

        box = np.stack([self.low, self.high], 1) / self.unit[:, None]
        options = {"ftol": 1e-16, "gtol": GRADIENT / UNIT, "maxiter": iterations, "maxcor": 20}
        found = minimize(
            fun, x / self.unit, jac=True, method="L-BFGS-B", bounds=box, options=options
        )
        return np.clip(found.x * self.unit, self.low, self.high)

    def corrected(self, curves: Curves, few: Curves, x: np.ndarray) -> np.ndarray:
        """The optimum on all draws, from that on a few.

        The few draws are tilted to have the gradient of all of them where that was last looked at.
        They know the curvature, so each round costs all draws one evaluation and brings most of a
        Newton step. Where that does not descend (a quantile has no curvature to know), L-BFGS-B.
        """
        best, before = x, np.inf
        for _ in range(ROUNDS):
            value, gradient = self.value(curves, x)
            if value > before:
                break
            trial = self.descend(few, x, 60, gradient - self.value(few, x)[1])
            if before - value < SETTLED or np.abs(trial - x).max() < STEP:
                return trial
            best, before, x = x, value, trial
        # Many coordinates cost much a step and are many small matters: fewer steps for them.
        return self.descend(curves, best, max(5, 2000 // len(best)))


def thinned(curves: Curves, draws: int) -> Curves:
    """About `draws` of the draws, evenly spaced within each law."""
    if curves.draws <= 2 * draws:
        return curves
    step = curves.draws // draws
    some = tuple({n: v[step // 2 :: step] for n, v in theta.items()} for theta in curves.thetas)
    return Curves(curves.laws, some, curves.ats)


def total(log_loss: Any, weights: Any) -> Any:
    """Σ wₖ Lₖ of every draw; log_loss (draw, domain)."""
    return jnp.exp(log_loss) @ weights


@lru_cache(maxsize=256)
def _objective(arrangement: str, layout: tuple[tuple[str, int], ...], risk: Risk) -> Any:
    """Compiled (value, gradient) of the risk; draws, budget and weights are arguments."""
    design = _design(arrangement, layout)

    def value(x: Any, curves: Curves, flops: Any, weights: Any) -> Any:
        return risk(total(curves.log_loss(design(x, flops, curves.domains)), weights))

    return jax.jit(jax.value_and_grad(value))


@lru_cache(maxsize=256)
def _design(arrangement: str, layout: tuple[tuple[str, int], ...]) -> Any:
    def design(x: Any, flops: Any, domains: int) -> Run:
        parts, first = {}, 0
        for name, size in layout:
            parts[name] = x[first : first + size]
            first += size
        return ARRANGEMENTS[arrangement].design(parts, flops, domains)

    return jax.jit(design, static_argnums=2)
