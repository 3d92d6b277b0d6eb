"""The backtest's picture: how often intervals held, and how good they were."""

from __future__ import annotations

from typing import Any

import numpy as np

from bayeslaw.backtest import KINDS, Backtest
from bayeslaw.plots import palette
from bayeslaw.plots.canvas import WIDTH, Axis, Canvas

PROBS = (50, 80, 90, 95)


def backtest(found: Backtest, backend: str = "matplotlib", width: int = WIDTH) -> Any:
    """Of every kind of interval: the share of left-out runs inside it, over all cuts, against what
    it says (on the line where intervals are honest, below it where they are too narrow); and its
    continuous ranked probability score by the share of runs that was fitted, lower is better.

    backend: `matplotlib`, `plotly` or `none`. width: pixels. Raises `BayeslawError` on an unknown
    backend.
    """
    canvas = Canvas.of(2, backend, width, height=300)
    held, score = canvas.panels
    held.line([45, 100], [45, 100], palette.GREY, "as it says", dash=1, width=1.0)
    for i, kind in enumerate(KINDS):
        rows = [r for r in found.rows if r.kind == kind]
        if not rows:
            continue
        style = {"color": palette.color(i), "label": f"{kind} intervals"}
        counts = np.array([r.n_test for r in rows], float)
        inside = [
            100 * float(np.average([getattr(r, f"cov{p}") for r in rows], weights=counts))
            for p in PROBS
        ]
        for panel, x, y in (
            (held, list(PROBS), inside),
            (score, [100 * r.cut for r in rows], [r.crps for r in rows]),
        ):
            panel.line(x, y, style["color"], dash=i, width=1.2)
            panel.points(x, y, style["color"], style["label"], palette.marker(i), size=24)
    ticks = (PROBS, [str(p) for p in PROBS])
    held.title("how often they held")
    held.axes(
        Axis("the interval says, %", ticks=ticks, low=45, high=100),
        Axis("runs inside, %", low=0, high=102),
    )
    score.title("how good they were")
    score.axes(Axis(f"runs fitted, % by {found.by}"), Axis("CRPS, nats/token", low=0.0))
    return canvas.done(
        "Backtest: the smaller runs fitted, the larger predicted, by kind of interval"
    )
