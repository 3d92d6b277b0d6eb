"""The forecast fan: predicted loss against compute."""

from __future__ import annotations

from typing import Any

import numpy as np

from bayeslaw.infer.ensemble import Ensemble, Kind
from bayeslaw.plots import palette
from bayeslaw.plots.canvas import WIDTH, Axis, Canvas
from bayeslaw.plots.measured import measured
from bayeslaw.plots.path import best_paths, domains_of
from bayeslaw.runs import Runs

FURTHER = 100.0  # times the sweep's largest compute
POINTS = 41
PROBS = (0.5, 0.9)


def forecast_fan(
    fitted: Ensemble,
    runs: Runs | None = None,
    domain: str | None = None,
    flops: tuple[float, float] | None = None,
    kind: Kind = "calibrated",
    probs: tuple[float, ...] = PROBS,
    draws: int = 2000,
    seed: int = 0,
    backend: str = "matplotlib",
    width: int = WIDTH,
) -> Any:
    """Predicted loss against compute, with intervals; measured runs; where the sweep ends.

    Compute is 6 N (D + D′) of one model. At each the design of least expected loss is forecast,
    within the ratios D/N and D′/D of the sweep: runs lie on the curve or above it. A panel for
    every domain, or for `domain` alone.

    runs: those to be drawn (default: those of the fit). flops: the range (default: from the
    sweep's smallest to 100 times its largest). kind: what the bands cover, `mean`, `run` or
    `calibrated`. probs: of the equal-tailed bands, (draw)-quantiles of `fitted.losses`. backend:
    `matplotlib`, `plotly` or `none`. width: pixels.

    Raises `BayeslawError` on an unknown domain or backend, and `FitError` as `Ensemble.losses`.
    """
    shown, points = domains_of(fitted, domain), measured(fitted, runs)
    first, end = fitted.ranges["flops"]
    low, high = flops or (first, FURTHER * end)
    places = np.geomspace(low, high, POINTS)
    paths = best_paths(fitted, places)
    canvas = Canvas.of(len(shown), backend, width)
    for panel, k in zip(canvas.panels, shown, strict=True):
        losses = fitted.losses(paths[k], kind, draws, seed)[:, :, k]
        ordered = sorted(probs, reverse=True)
        for i, prob in enumerate(ordered):
            lower, upper = np.quantile(losses, [(1 - prob) / 2, (1 + prob) / 2], axis=0)
            panel.band(places, lower, upper, palette.SKY, f"{100 * prob:g} % ({kind})",
                       alpha=0.25 + 0.3 * i)  # fmt: skip
        panel.line(places, np.median(losses, axis=0), palette.BLUE, "median of the forecast")
        here = points.of(k)
        panel.points(here.flops, here.loss, palette.BLACK, "measured runs", size=9, alpha=0.7)
        if low < end < high:
            panel.vertical(end, palette.RED, label="the sweep ends")
        panel.title(fitted.domains[k])
        panel.axes(Axis("compute, FLOPs", log=True), Axis("loss, nats/token"))
    return canvas.done(f"Forecast of the best design of every compute, {_said(probs, kind)}")


def _said(probs: tuple[float, ...], kind: str) -> str:
    return f"{' and '.join(f'{100 * p:g}' for p in sorted(probs))} % intervals ({kind})"
