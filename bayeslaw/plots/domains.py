"""The forest of domains: what each will lose, with intervals."""

from __future__ import annotations

from typing import Any

import numpy as np

from bayeslaw.forecast import Forecast
from bayeslaw.plan.plan import Plan
from bayeslaw.plots import palette
from bayeslaw.plots.canvas import WIDTH, Axis, Canvas
from bayeslaw.quantity import format_quantity

ROW = 26  # pixels
INNER = 0.5


def domain_forest(answer: Plan | Forecast, backend: str = "matplotlib", width: int = WIDTH) -> Any:
    """The loss on every domain: its mean, and equal-tailed intervals.

    Of a plan: 50 % (thick) and `plan.prob` (thin), of every domain and of the weighted loss, beside
    the same of the best generalist. Of a forecast: the interval of each row, as it was asked for.

    backend: `matplotlib`, `plotly` or `none`. width: pixels. Raises `BayeslawError` on an unknown
    backend.
    """
    if isinstance(answer, Forecast):
        return _forecast(answer, backend, width)
    # Under an objective of tasks what is weighted is no loss.
    together = len(answer.domains) > 1 and answer.asked.outlook.objective is None
    of = "weighted" if not together or answer.asked.outlook.routed is None else "the system"
    names = [*answer.domains, of] if together else list(answer.domains)
    rival = answer.by_arrangement.get("generalist")
    shown = [("plan", answer.chosen, palette.BLUE, "o")]
    if rival is not None and rival is not answer.chosen:
        shown.append(("generalist", rival, palette.ORANGE, "s"))
    canvas = Canvas.of(1, backend, width, height=60 + ROW * len(names) * len(shown))
    panel = canvas.panels[0]
    tail = (1 - answer.prob) / 2
    for i, (said, c, color, marker) in enumerate(shown):
        every = np.concatenate([answer.losses_of(c), c.totals[:, None]], 1)[:, : len(names)]
        y = -(np.arange(len(names)) + 0.36 * (i - (len(shown) - 1) / 2))
        low, inner_low, inner_high, high = np.quantile(
            every, [tail, (1 - INNER) / 2, (1 + INNER) / 2, 1 - tail], axis=0
        )
        percent = f"{100 * answer.prob:g} % ({answer.kind})"
        panel.interval(low, high, y, color, f"{said}, {percent}", width=1.2)
        panel.interval(inner_low, inner_high, y, color, f"{said}, 50 %", width=4, alpha=0.6)
        panel.points(every.mean(0), y, color, f"{said}, mean", marker=marker, size=22)
    ticks = ([-float(i) for i in range(len(names))], names)
    panel.axes(Axis("loss, nats/token"), Axis(ticks=ticks, low=-len(names) + 0.4, high=0.6))
    name = answer.chosen.arrangement
    return canvas.done(
        f"Loss by domain, {name} at {format_quantity(answer.flops)} FLOPs: 50 and "
        f"{100 * answer.prob:g} % intervals ({answer.kind})"
    )


def _forecast(answer: Forecast, backend: str, width: int) -> Any:
    rows = answer.rows
    designs = list(dict.fromkeys(_design(r) for r in rows))
    canvas = Canvas.of(1, backend, width, height=60 + ROW * len(rows))
    panel = canvas.panels[0]
    y = -np.arange(len(rows), dtype=float)
    for i, design in enumerate(designs):
        mine = [j for j, r in enumerate(rows) if _design(r) == design]
        some = [rows[j] for j in mine]
        color = palette.color(i)
        panel.interval([r.lo for r in some], [r.hi for r in some], y[mine], color, width=1.6)
        panel.points([r.mean for r in some], y[mine], color, design, palette.marker(i), size=26)
    ticks = (y.tolist(), [r.domain for r in rows])
    panel.axes(Axis("loss, nats/token"), Axis(ticks=ticks, low=-len(rows) + 0.4, high=0.6))
    said = " and ".join(sorted({f"{100 * r.prob:g} % ({r.kind})" for r in rows}))
    return canvas.done(f"Forecast by domain: mean and {said} interval")


def _design(row: Any) -> str:
    n, d, split = (
        format_quantity(v) for v in (row.params, row.pretrain_tokens, row.specialize_tokens)
    )
    return f"N {n}, D {d}" + (f", D′ {split}" if row.specialize_tokens else "")
