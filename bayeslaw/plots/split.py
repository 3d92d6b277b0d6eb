"""The split frontier: what every budget buys, and how it is spent."""

from __future__ import annotations

from typing import Any

import numpy as np

from bayeslaw.cost import CostLaw
from bayeslaw.laws import Run
from bayeslaw.plan.arrangement import arrangement_of
from bayeslaw.plan.candidate import Candidate
from bayeslaw.plan.frontier import Frontier
from bayeslaw.plots import palette
from bayeslaw.plots.canvas import WIDTH, Axis, Canvas


def split_frontier(frontier: Frontier, backend: str = "matplotlib", width: int = WIDTH) -> Any:
    """The plan of every budget: its weighted loss with 50 % and `prob` intervals, beside what else
    the budget could buy; the share of training compute that goes into second stages; and its sizes
    (of several models their mean; D′ of all branches together).

    backend: `matplotlib`, `plotly` or `none`. width: pixels. Raises `BayeslawError` on an unknown
    backend.
    """
    points = frontier.points
    budgets = [p.flops for p in points]
    canvas = Canvas.of(3, backend, width)
    loss, share, sizes = canvas.panels
    totals = np.stack([p.chosen.totals for p in points], 1)
    for i, prob in enumerate(sorted({0.5, frontier.prob}, reverse=True)):
        lower, upper = np.quantile(totals, [(1 - prob) / 2, (1 + prob) / 2], axis=0)
        said = f"plan, {100 * prob:g} % ({frontier.kind})"
        loss.band(budgets, lower, upper, palette.SKY, said, alpha=0.25 + 0.3 * i)
    loss.line(budgets, totals.mean(0), palette.BLUE, "plan, mean")
    loss.points(budgets, totals.mean(0), palette.BLUE)
    names = list(dict.fromkeys(o.name for p in points for o in p.others))
    for i, name in enumerate(names):
        each = [(p.flops, o.totals.mean()) for p in points for o in p.others if o.name == name]
        x, y = zip(*each, strict=True)
        loss.line(x, y, palette.color(i + 1), name, dash=1 + i % 3, width=1.1)
    loss.title("weighted loss")
    loss.axes(Axis("budget, FLOPs", log=True), Axis("loss, nats/token"))
    share.line(budgets, [100 * stage_share(p.chosen) for p in points], palette.BLUE)
    share.points(budgets, [100 * stage_share(p.chosen) for p in points], palette.BLUE)
    share.title("compute after the split")
    share.axes(Axis("budget, FLOPs", log=True), Axis("share, %", low=0.0, high=100.0))
    runs = [p.chosen.run for p in points]
    for i, (said, values) in enumerate(_sizes(runs).items()):
        if max(values) > 0:
            shown = [v if v > 0 else np.nan for v in values]
            sizes.line(budgets, shown, palette.color(i + 2), said, dash=i)
            sizes.points(budgets, shown, palette.color(i + 2), marker=palette.marker(i + 1))
    sizes.title("what is trained")
    sizes.axes(Axis("budget, FLOPs", log=True), Axis("parameters, tokens", log=True))
    asked = f"risk {frontier.risk} of the {frontier.on}"
    return canvas.done(
        f"The best plan of every budget, {asked}; {100 * frontier.prob:g} % ({frontier.kind})"
    )


def stage_share(c: Candidate) -> float:
    """The share of training compute that a candidate spends on second stages."""
    return 1 - _flops(c, c.run._replace(specialize_tokens=0 * c.run.specialize_tokens)) / c.flops


def _flops(c: Candidate, run: Run) -> float:
    cost: CostLaw = c.cost
    return float(arrangement_of(c.arrangement).flops(run, cost))


def _sizes(runs: list[Run]) -> dict[str, list[float]]:
    return {
        "N": [float(np.mean(r.params)) for r in runs],
        "D": [float(np.mean(r.pretrain_tokens)) for r in runs],
        "D′, all branches": [float(np.sum(r.specialize_tokens)) for r in runs],
    }
