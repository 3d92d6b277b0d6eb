"""Files: pictures that the command line writes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bayeslaw.infer.ensemble import Ensemble
from bayeslaw.plots import palette
from bayeslaw.plots.weights import stacking_weights
from bayeslaw.whole import whole

DPI = 100


def draw_comparison(fitted: Ensemble, file: str | Path) -> Path:
    """Weights of the laws, and how far each is behind the best, with their uncertainty."""
    return save(stacking_weights(fitted, width=800), file)


def draw_frontier(said: Mapping[str, Any], path: Path) -> Path:
    """The loss of the best plan at every budget, with its interval, and what else the budget buys.

    said: `Frontier.to_json`.
    """
    import matplotlib.pyplot as plt

    points = said["points"]
    budgets = [p["budget"] for p in points]
    figure, axes = plt.subplots(figsize=(6.4, 4.2), layout="constrained")
    low, high = zip(*(p["loss"]["interval"] for p in points), strict=True)
    axes.fill_between(budgets, low, high, color=palette.SKY, alpha=0.35, linewidth=0)
    percent = f"{100 * said['prob']:g} % ({said['kind']})"
    mean = [p["loss"]["mean"] for p in points]
    axes.plot(budgets, mean, marker="o", color=palette.BLUE, label=f"plan, {percent}")
    names = list(dict.fromkeys(b["name"] for p in points for b in p["baselines"]))
    for i, name in enumerate(names):
        each = [
            (p["budget"], b["loss"]["mean"])
            for p in points
            for b in p["baselines"]
            if b["name"] == name
        ]
        x, y = zip(*each, strict=True)
        axes.plot(x, y, linewidth=1, linestyle="--", color=palette.color(i + 1), label=name)
    axes.set(xscale="log", xlabel="budget, FLOPs", ylabel="weighted loss, nats/token")
    return _saved(figure, axes, path)


def draw_pareto(said: Mapping[str, Any], path: Path) -> Path:
    """The designs of a front, one objective against the other, by arrangement.

    said: `Front.to_json`.
    """
    import matplotlib.pyplot as plt

    first, second = said["between"]
    figure, axes = plt.subplots(figsize=(5.4, 4.2), layout="constrained")
    every = [p["values"] for p in said["points"]]
    axes.plot([v[first] for v in every], [v[second] for v in every], color="0.7", linewidth=1)
    names = dict.fromkeys(p["arrangement"] for p in said["points"])
    for i, name in enumerate(names):
        each = [p["values"] for p in said["points"] if p["arrangement"] == name]
        x, y = ([v[key] for v in each] for key in (first, second))
        axes.plot(x, y, palette.marker(i), color=palette.color(i), label=name)
    axes.set(xlabel=f"{first}, nats/token", ylabel=f"{second}, nats/token")
    # The ends of a front may differ in the fifth digit: whole numbers, few enough to stand apart.
    axes.ticklabel_format(useOffset=False)
    axes.locator_params(nbins=4)
    return _saved(figure, axes, path)


def save(figure: Any, file: str | Path) -> Path:
    """Write a matplotlib figure as PNG, atomically."""
    file = Path(file)
    with whole(file) as beside:
        figure.savefig(beside, dpi=DPI, format="png")
    return file


def _saved(figure: Any, axes: Any, path: Path) -> Path:
    """A figure of one panel, with its legend, written and closed."""
    import matplotlib.pyplot as plt

    axes.legend(frameon=False, fontsize="small")
    axes.grid(alpha=0.3)
    try:
        return save(figure, path)
    finally:
        plt.close(figure)
