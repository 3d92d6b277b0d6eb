"""The worth of the next runs."""

from __future__ import annotations

from typing import Any

import numpy as np

from bayeslaw.plan.pool import NextRun
from bayeslaw.plan.suggest import Suggestion
from bayeslaw.plots import palette
from bayeslaw.plots.canvas import WIDTH, Axis, Canvas
from bayeslaw.quantity import format_quantity

ROW = 34  # pixels


def evsi(suggestion: Suggestion, backend: str = "matplotlib", width: int = WIDTH) -> Any:
    """The suggested runs, the best per FLOP first: what each is worth given those that were chosen
    before it (its EVSI, nats, ± 2 standard errors), and how often that repays what its FLOPs would
    buy in the plan; 1 where both are alike.

    backend: `matplotlib`, `plotly` or `none`. width: pixels. Raises `BayeslawError` on an unknown
    backend.
    """
    runs = suggestion.runs
    priced = suggestion.price > 0 and bool(runs)
    canvas = Canvas.of(2 if priced else 1, backend, width, height=110 + ROW * max(len(runs), 2))
    y = -np.arange(len(runs), dtype=float)
    ticks = (y.tolist(), [f"{i + 1}. {described(s.run)}" for i, s in enumerate(runs)])
    low, high = -max(len(runs), 1) + 0.4, 0.6
    worth = np.array([s.evsi for s in runs])
    error = 2 * np.array([s.error for s in runs])
    left = canvas.panels[0]
    if runs:
        left.interval(np.zeros(len(y)), worth, y, palette.SKY, width=7)
        left.interval(worth - error, worth + error, y, palette.BLUE, "± 2 standard errors",
                      width=1.4)  # fmt: skip
        left.points(worth, y, palette.BLUE, "EVSI")
    else:
        left.text(0.5, 0.0, "no run is worth its FLOPs")
    left.axes(
        Axis("nats/token", low=0.0, high=None if runs else 1.0),
        Axis(ticks=ticks, low=low, high=high),
    )
    if priced:
        right = canvas.panels[1]
        repaid = np.array([s.evsi / (s.run.flops * suggestion.price) for s in runs])
        right.points(repaid, y, palette.GREEN, "worth / price of its FLOPs", marker="s", size=30)
        right.vertical(1.0, palette.RED, label="as much as in the plan")
        # Its ticks name the runs by their number: their words stand on the left.
        numbers = (y.tolist(), [f"{i + 1}." for i in range(len(runs))])
        right.axes(Axis("times its price", log=True), Axis(ticks=numbers, low=low, high=high))
    return canvas.done(
        f"Worth of the next runs; knowing everything would be worth {suggestion.evpi:.3g} nats"
    )


def described(run: NextRun) -> str:
    """N, D and what it branches to."""
    n, d = format_quantity(run.params), format_quantity(run.pretrain_tokens)
    split = f"\n+ {format_quantity(run.specialize_tokens)} {run.branch}" if run.branch else ""
    return f"N {n}, D {d}{split}"
