"""Plots. Each is one function that takes our objects and gives the figure.

Diagnostics of a posterior are ArviZ's (`PLOTS`); `GALLERY` names the rest: forecasts, plans and
evidence, drawn by matplotlib, or by plotly with `backend="plotly"`. Nothing that draws is loaded
until a plot is asked for.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bayeslaw.plots.coverage import backtest
    from bayeslaw.plots.diagnostics import PLOTS, caption, draw_all, plots_of
    from bayeslaw.plots.domains import domain_forest
    from bayeslaw.plots.fan import forecast_fan
    from bayeslaw.plots.files import draw_comparison, draw_frontier, draw_pareto, save
    from bayeslaw.plots.isoloss import isoloss_map
    from bayeslaw.plots.profiles import isoflop_profiles
    from bayeslaw.plots.quantities import PANELS
    from bayeslaw.plots.regret import regret_curve
    from bayeslaw.plots.residual import residuals
    from bayeslaw.plots.split import split_frontier
    from bayeslaw.plots.weights import stacking_weights
    from bayeslaw.plots.worth import evsi

GALLERY = (
    "forecast_fan", "isoflop_profiles", "isoloss_map", "split_frontier", "domain_forest",
    "residuals", "backtest", "stacking_weights", "regret_curve", "evsi",
)  # fmt: skip

__all__ = [
    "GALLERY", "PANELS", "PLOTS", "backtest", "caption", "domain_forest", "draw_all",
    "draw_comparison", "draw_frontier", "draw_pareto", "evsi", "forecast_fan", "isoflop_profiles",
    "isoloss_map", "plots_of", "regret_curve", "residuals", "save", "split_frontier",
    "stacking_weights",
]  # fmt: skip

# The file that each public name lives in.
_HOME = {
    "PANELS": "quantities",
    "PLOTS": "diagnostics", "caption": "diagnostics", "draw_all": "diagnostics",
    "plots_of": "diagnostics",
    "draw_comparison": "files", "draw_frontier": "files", "draw_pareto": "files", "save": "files",
    "forecast_fan": "fan", "isoflop_profiles": "profiles", "isoloss_map": "isoloss",
    "split_frontier": "split", "domain_forest": "domains", "residuals": "residual",
    "backtest": "coverage", "stacking_weights": "weights", "regret_curve": "regret",
    "evsi": "worth",
}  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'bayeslaw.plots' has no attribute '{name}'")
    value = getattr(importlib.import_module(f"bayeslaw.plots.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
