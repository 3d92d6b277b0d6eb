"""bayeslaw: Bayesian scaling laws for models that are pretrained, then split.

The public names load what they need when they are first used: importing bayeslaw loads neither
jax nor torch.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bayeslaw import az, plots
    from bayeslaw.accuracy import Ladder, Scores, fit_accuracy, read_ladder, read_scores
    from bayeslaw.accuracy.ahead import forecast_accuracy
    from bayeslaw.accuracy.back import backtest_accuracy
    from bayeslaw.backtest import Backtest, backtest
    from bayeslaw.calibrate import Calibration, calibrate
    from bayeslaw.errors import (
        BayeslawError,
        FitError,
        PlanError,
        RunsError,
        SweepError,
        TaskError,
    )
    from bayeslaw.forecast import Forecast, forecast
    from bayeslaw.infer.ensemble import Ensemble, read_posterior
    from bayeslaw.infer.fit import fit, point_fit
    from bayeslaw.infer.posterior import Posterior
    from bayeslaw.laws import LAWS, Law, Param, Run, SumLaw, find_law
    from bayeslaw.plan.frontier import Frontier, frontier
    from bayeslaw.plan.inverse import reach
    from bayeslaw.plan.own import evaluate_plan
    from bayeslaw.plan.pareto import Front, pareto
    from bayeslaw.plan.plan import Plan, plan
    from bayeslaw.plan.suggest import Suggestion, suggest
    from bayeslaw.readers import Imported, import_runs
    from bayeslaw.report.document import Report, report
    from bayeslaw.runs import Runs, read_runs
    from bayeslaw.verify.verification import Verification, verify

    __version__: str

__all__ = [
    "LAWS",
    "Backtest",
    "BayeslawError",
    "Calibration",
    "Ensemble",
    "FitError",
    "Forecast",
    "Front",
    "Frontier",
    "Imported",
    "Ladder",
    "Law",
    "Param",
    "Plan",
    "PlanError",
    "Posterior",
    "Report",
    "Run",
    "Runs",
    "RunsError",
    "Scores",
    "Suggestion",
    "SumLaw",
    "SweepError",
    "TaskError",
    "Verification",
    "__version__",
    "az",
    "backtest",
    "backtest_accuracy",
    "calibrate",
    "evaluate_plan",
    "find_law",
    "fit",
    "fit_accuracy",
    "forecast",
    "forecast_accuracy",
    "frontier",
    "import_runs",
    "pareto",
    "plan",
    "plots",
    "point_fit",
    "reach",
    "read_ladder",
    "read_posterior",
    "read_runs",
    "read_scores",
    "report",
    "suggest",
    "verify",
]  # fmt: skip

# The room that each public name lives in.
_HOME = {
    "BayeslawError": "errors", "FitError": "errors", "PlanError": "errors", "RunsError": "errors",
    "SweepError": "errors", "TaskError": "errors",
    "Ladder": "accuracy", "Scores": "accuracy", "fit_accuracy": "accuracy",
    "read_ladder": "accuracy", "read_scores": "accuracy",
    "forecast_accuracy": "accuracy.ahead", "backtest_accuracy": "accuracy.back",
    "Runs": "runs", "read_runs": "runs",
    "Imported": "readers", "import_runs": "readers",
    "LAWS": "laws", "Law": "laws", "Param": "laws", "Run": "laws", "SumLaw": "laws",
    "find_law": "laws",
    "fit": "infer.fit", "point_fit": "infer.fit", "Posterior": "infer.posterior",
    "Ensemble": "infer.ensemble", "read_posterior": "infer.ensemble",
    "Calibration": "calibrate", "calibrate": "calibrate",
    "Backtest": "backtest", "backtest": "backtest",
    "Forecast": "forecast", "forecast": "forecast",
    "Plan": "plan.plan", "plan": "plan.plan", "reach": "plan.inverse",
    "evaluate_plan": "plan.own", "Suggestion": "plan.suggest", "suggest": "plan.suggest",
    "Frontier": "plan.frontier", "frontier": "plan.frontier",
    "Verification": "verify.verification", "verify": "verify.verification",
    "Report": "report.document", "report": "report.document",
    "Front": "plan.pareto", "pareto": "plan.pareto",
}  # fmt: skip

_ROOMS = ("az", "plots")  # public as they are


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("bayeslaw")
    if name in _ROOMS:
        return importlib.import_module(f"bayeslaw.{name}")
    if name not in _HOME:
        raise AttributeError(f"module 'bayeslaw' has no attribute '{name}'")
    value = getattr(importlib.import_module(f"bayeslaw.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)


class _Package(ModuleType):
    """Two rooms share their name with their verb. Importing a room would put the module where
    `from bayeslaw import forecast` looks for the function: here the verb stays."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _HOME and isinstance(value, ModuleType):
            value = getattr(value, name)
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
