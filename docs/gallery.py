"""Draw the gallery: every plot, of the bundled sweep, into docs/gallery/.

python docs/gallery.py [POSTERIOR]     # without one, two laws are fitted first: a few minutes
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image

from bayeslaw import (
    backtest,
    fit,
    forecast,
    frontier,
    plan,
    plots,
    read_posterior,
    read_runs,
    suggest,
)
from bayeslaw.plots.files import save

ROOT = Path(__file__).resolve().parents[1]
LAWS = ["additive", "transfer"]
DRAWS = 400
DESIGNS = [
    {"params": "400k", "pretrain_tokens": "20M", "specialize_tokens": "4M"},
    {"params": "400k", "pretrain_tokens": "20M"},
]


def main() -> None:
    runs = read_runs(ROOT / "runs" / "quickstart.csv")
    fitted = read_posterior(sys.argv[1]) if sys.argv[1:] else fit(runs, LAWS)
    answer = plan(fitted, 1e14, draws=DRAWS)
    budgets = frontier(fitted, (1e12, 1e16), points=7, draws=DRAWS)
    pictures: dict[str, Callable[[], Any]] = {
        "forecast_fan": lambda: plots.forecast_fan(fitted),
        "isoflop_profiles": lambda: plots.isoflop_profiles(fitted),
        "isoloss_map": lambda: plots.isoloss_map(fitted, answer),
        "split_frontier": lambda: plots.split_frontier(budgets, width=900),
        "domain_forest": lambda: plots.domain_forest(answer),
        "domain_forest-forecast": lambda: plots.domain_forest(forecast(fitted, DESIGNS)),
        "residuals": lambda: plots.residuals(fitted.members[0], width=900),
        "backtest": lambda: plots.backtest(backtest(runs, LAWS, cuts=(0.5, 0.6, 0.7, 0.8))),
        "stacking_weights": lambda: plots.stacking_weights(fitted),
        "regret_curve": lambda: plots.regret_curve(answer),
        "regret_curve-frontier": lambda: plots.regret_curve(budgets),
        "evsi": lambda: plots.evsi(suggest(fitted, 1e14, 1e12)),
    }
    for name, draw in pictures.items():
        file = save(draw(), ROOT / "docs" / "gallery" / f"{name}.png")
        small(file)
        print(file.relative_to(ROOT), flush=True)


def small(file: Path) -> None:
    """A PNG of 64 colours: a third of the bytes, and no difference to be seen."""
    with Image.open(file) as picture:
        fewer = picture.convert("RGB").quantize(64)
    fewer.save(file, optimize=True)


if __name__ == "__main__":
    main()
