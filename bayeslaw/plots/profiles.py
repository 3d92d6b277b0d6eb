"""Iso-FLOP profiles: loss against size at budgets, and where the optimum lies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from bayeslaw.infer.ensemble import Ensemble
from bayeslaw.laws import Run
from bayeslaw.plots import palette
from bayeslaw.plots.canvas import WIDTH, Axis, Canvas
from bayeslaw.plots.curves import curve_losses
from bayeslaw.plots.measured import Measured, measured
from bayeslaw.plots.path import domains_of, split_ratio
from bayeslaw.quantity import format_quantity, parse_quantity
from bayeslaw.runs import Runs

BUDGETS, SIZES = 4, 81
WITHIN, ALIKE = 1.25, 2.0  # a run stands for a budget, and for D′/D, within these factors


def isoflop_profiles(
    fitted: Ensemble,
    flops: Sequence[float | str] | None = None,
    runs: Runs | None = None,
    domain: str | None = None,
    kind: str = "mean",
    prob: float = 0.9,
    draws: int = 1000,
    seed: int = 0,
    backend: str = "matplotlib",
    width: int = WIDTH,
) -> Any:
    """Loss against N at several budgets C, where D = C / 6N (1 + D′/D), with the posterior of the
    optimum: the N at which each draw's own curve is lowest.

    D′/D is held in the middle of the sweep's; 0 where nothing was split. flops: the budgets
    (default: 4, from the middle of the sweep's to 100 times its largest). kind: of the bands,
    `mean`, or `calibrated` (what laws get wrong beyond the sweep, without the noise of a run, which
    would make a draw's curve jump). prob: of the bands and of the optimum's interval. runs: those
    to be drawn (default: those of the fit), as points at a budget within a quarter of their own
    compute, where their D′/D is within a factor 2.

    Raises `BayeslawError` on an unknown domain or backend.
    """
    shown, points = domains_of(fitted, domain), measured(fitted, runs)
    first, end = fitted.ranges["flops"]
    asked = [
        parse_quantity(c) for c in flops or np.geomspace(np.sqrt(first * end), 100 * end, BUDGETS)
    ]
    budgets, split = np.array(sorted(asked)), split_ratio(fitted)
    curves = []  # of every budget: N, and losses (draw, N, domain)
    for c in budgets:
        n = _sizes(fitted, c, split)
        d = c / (6 * n * (1 + split))
        curves.append((n, curve_losses(fitted, Run(n, d, d * split), kind, draws, seed)))
    canvas = Canvas.of(len(shown), backend, width)
    tail = (1 - prob) / 2
    for panel, k in zip(canvas.panels, shown, strict=True):
        here, optima = points.of(k), []
        for i, (c, color) in enumerate(zip(budgets, palette.ramp(len(budgets)), strict=True)):
            n, losses = curves[i][0], curves[i][1][:, :, k]
            low, middle, high = np.quantile(losses, [tail, 0.5, 1 - tail], axis=0)
            panel.band(n, low, high, color, alpha=0.18)
            panel.line(n, middle, color, f"{format_quantity(c)} FLOPs", dash=i)
            near = here.where(_near(here, c, split))
            if len(near.loss):
                panel.points(near.params, near.loss, color, "measured runs", size=14)
            ends = np.quantile(n[losses.argmin(1)], [tail, 0.5, 1 - tail])
            optima.append((*ends, float(np.interp(np.log(ends[1]), np.log(n), middle))))
        left, best, right, height = np.array(optima).T
        said = f"optimum, {100 * prob:g} % ({kind})"
        panel.interval(left, right, height, palette.RED, said, width=3)
        panel.points(best, height, palette.RED, "its median", marker="d", size=36)
        panel.title(fitted.domains[k])
        panel.axes(Axis("N, parameters", log=True), Axis("loss, nats/token"))
    held = f", D′/D = {split:.3g}" if split else ""
    return canvas.done(f"Iso-FLOP profiles, {100 * prob:g} % intervals ({kind}){held}")


def _near(here: Measured, flops: float, split: float) -> np.ndarray:
    """Runs that stand for a budget, and for the D′/D that is held."""
    far = np.abs(np.log(here.flops / flops)) <= np.log(WITHIN)
    if not split:
        return far & (here.specialize_tokens == 0)
    ratio = here.specialize_tokens / np.maximum(here.pretrain_tokens, 1e-300)
    return far & (ratio > split / ALIKE) & (ratio < split * ALIKE)


def _sizes(fitted: Ensemble, flops: float, split: float) -> np.ndarray:
    """N on either side of what the sweep's ratios D/N give at a budget."""
    low, high = fitted.ranges.get("tokens_per_param", (20.0, 20.0))
    n = np.sqrt(flops / (6 * (1 + split) * np.array([high * 4, low / 16])))
    return np.geomspace(n[0], n[1], SIZES)
