"""The weights of laws in a stack."""

from __future__ import annotations

from typing import Any

import numpy as np

from bayeslaw.infer.ensemble import Ensemble
from bayeslaw.plots import palette
from bayeslaw.plots.canvas import WIDTH, Axis, Canvas

ROW = 24  # pixels


def stacking_weights(ensemble: Ensemble, backend: str = "matplotlib", width: int = WIDTH) -> Any:
    """Every law that was looked at: its weight ± a standard deviation (of Bayesian bootstraps of
    the trunks), and how far it is behind the best in the log density of a left-out run, ± 2
    standard errors. Of a fit that stacked nothing, the members' weights alone.

    backend: `matplotlib`, `plotly` or `none`. width: pixels. Raises `BayeslawError` on an unknown
    backend.
    """
    stand = sorted(ensemble.standings, key=lambda s: s.weight)
    weights = dict(sorted(ensemble.weights().items(), key=lambda kv: kv[1]))
    names = [s.law for s in stand] or list(weights)
    y = np.arange(len(names), dtype=float)
    canvas = Canvas.of(2 if stand else 1, backend, width, height=90 + ROW * len(names))
    ticks, low, high = (y.tolist(), names), -0.6, len(names) - 0.4
    share = np.array([s.weight for s in stand] or list(weights.values()))
    left = canvas.panels[0]
    left.interval(np.zeros(len(y)), share, y, palette.SKY, width=7)
    if stand:
        sd = np.array([s.weight_sd for s in stand])
        left.interval(np.maximum(share - sd, 0), np.minimum(share + sd, 1), y, palette.BLUE,
                      "weight ± sd", width=1.4)  # fmt: skip
    left.points(share, y, palette.BLUE, "" if stand else "weight")
    left.axes(Axis("weight", low=0.0, high=1.02), Axis(ticks=ticks, low=low, high=high))
    if stand:
        right = canvas.panels[1]
        behind = -np.array([s.behind for s in stand])
        se = 2 * np.array([s.behind_se for s in stand])
        right.interval(behind - se, behind + se, y, palette.RED, "± 2 standard errors", width=1.4)
        right.points(behind, y, palette.RED, "distance to the best law", marker="s")
        right.vertical(0.0, dash=0)
        right.axes(Axis("log density of a left-out run"), Axis(ticks=ticks, low=low, high=high))
    return canvas.done("Weights of the laws, by how each predicted the larger runs")
