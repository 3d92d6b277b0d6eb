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


@dataclass(frozen=True)
class Optimum:
    """The best design of an arrangement. Fields of `run` have shape (domain,)."""

    arrangement: str
    run: Run
    value: float  # the risk there
    at_bound: tuple[str, ...]
    gradient: float  # largest free component of the gradient
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
    # One of K ratios moves a mean of K losses by 1/K: longer units make the curvatures alike.
    unit = np.concatenate([np.full(g.size, np.sqrt(g.size)) for g in groups])
    layout = tuple((g.name, g.size) for g in groups)
    objective = _objective(arrangement, layout, risk)
    thin = thinned(curves, THIN)
    count = 0

    def solve(some: Curves, x: np.ndarray, precision: float) -> Any:
        def fun(y: np.ndarray) -> tuple[float, np.ndarray]:
            nonlocal count
            count += 1
            value, gradient = objective(y * unit, some, flops, weights)
            return float(value) / precision, np.asarray(gradient) * unit / precision

        box = list(zip(low / unit, high / unit, strict=True))
        found = minimize(
            fun, x / unit, jac=True, method="L-BFGS-B", bounds=box,
            options={"ftol": 1e-16, "gtol": 1e-3, "maxiter": 300, "maxcor": 20},
        )  # fmt: skip
        return np.clip(found.x * unit, low, high), found

    starts = [
        np.concatenate([np.full(g.size, s) for g, s in zip(groups, point, strict=True)])
        for point in product(*(g.starts for g in groups))
    ]
    values = [float(objective(x, thin, flops, weights)[0]) for x in starts]
    x = starts[int(np.nanargmin(values))]
    # Objectives are divided by the precision wanted, so that the gradient test means the same.
    if curves.draws > 2 * THIN:
        x, _ = solve(thin, x, 1e-3)
    x, found = solve(curves, x, 1e-6)
    edges = [
        f"{g.name} {side}" + (f" ({names[j]})" if g.size > 1 else "")
        for g, first in zip(groups, np.cumsum([0, *(g.size for g in groups)]), strict=False)
        if g.name not in pins and g.name != "share"
        for j in range(g.size)
        for side, bound in (("low", g.low), ("high", g.high))
        if abs(x[first + j] - bound) < EDGE
    ]
    run = Run(*(np.asarray(f) for f in _design(arrangement, layout)(x, flops, len(names))[:3]))
    free = (x > low + EDGE) & (x < high - EDGE)
    gradient = float(np.abs(found.jac[free] * 1e-6).max()) if free.any() else 0.0
    return Optimum(arrangement, run, float(found.fun) * 1e-6, tuple(edges), gradient, count)


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
