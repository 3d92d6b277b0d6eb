"""Regret: what a decision may cost, against what else could have been decided."""

from __future__ import annotations

from typing import Any

import numpy as np

from bayeslaw.plan.frontier import Frontier
from bayeslaw.plan.plan import Plan
from bayeslaw.plots import palette
from bayeslaw.plots.canvas import WIDTH, Axis, Canvas
from bayeslaw.quantity import format_quantity

MOST = 6  # of the other designs: those of least expected loss
PLACES = 121


def regret_curve(answer: Frontier | Plan, backend: str = "matplotlib", width: int = WIDTH) -> Any:
    """Of a plan: the probability that it, or another design, loses more than so many nats against
    the best that a draw allows within the budget. Of a frontier: how much more than the plan each
    other design of a budget is expected to lose, with the `prob` interval of the difference.

    backend: `matplotlib`, `plotly` or `none`. width: pixels. Raises `BayeslawError` on an unknown
    backend.
    """
    draw = _frontier if isinstance(answer, Frontier) else _plan
    return draw(answer, backend, width)  # type: ignore[arg-type]


def _plan(plan: Plan, backend: str, width: int) -> Any:
    canvas = Canvas.of(1, backend, width, height=300)
    panel = canvas.panels[0]
    others = sorted(plan.others, key=lambda c: c.totals.mean())[:MOST]
    draws = [plan.regrets(c) for c in (plan.chosen, *others)]
    furthest = max(float(np.quantile(r, 0.99)) for r in draws)
    x = np.linspace(0, max(furthest, 1e-9), PLACES)
    for i, (c, regret) in enumerate(zip((plan.chosen, *others), draws, strict=True)):
        over = 100 * (regret[:, None] > x).mean(0)
        name = f"plan ({c.name})" if i == 0 else c.name
        label = f"{name}: {regret.mean():.3g} nats expected"
        panel.line(x, over, palette.color(i), label, dash=i, width=2.2 if i == 0 else 1.3)
    panel.axes(Axis("regret, nats/token", low=0.0), Axis("probability of more, %", low=0, high=102))
    return canvas.done(
        f"Regret at {format_quantity(plan.flops)} FLOPs, over joint draws ({plan.kind})"
    )


def _frontier(frontier: Frontier, backend: str, width: int) -> Any:
    canvas = Canvas.of(1, backend, width, height=300)
    panel, tail = canvas.panels[0], (1 - frontier.prob) / 2
    names = list(dict.fromkeys(o.name for p in frontier.points for o in p.others))
    percent = f"{100 * frontier.prob:g} % ({frontier.kind})"
    for i, name in enumerate(names):
        each = [
            (p.flops, o.totals - p.chosen.totals)
            for p in frontier.points for o in p.others if o.name == name
        ]  # fmt: skip
        # Beside each other, not on top of each other.
        flops = np.array([f for f, _ in each]) * 1.04 ** (i - (len(names) - 1) / 2)
        low, high = np.quantile([more for _, more in each], [tail, 1 - tail], axis=1)
        color = palette.color(i + 1)
        panel.interval(low, high, flops, color, width=1.0, upright=True, alpha=0.7)
        mean = [float(more.mean()) for _, more in each]
        panel.line(flops, mean, color, dash=i, width=1.2)
        panel.points(flops, mean, color, name, palette.marker(i), size=22)
    panel.horizontal(0.0, dash=0)
    panel.axes(Axis("budget, FLOPs", log=True), Axis("loss above the plan's, nats/token"))
    return canvas.done(f"What other designs lose against the plan: mean and {percent}")
