"""From a loss to the accuracy on tasks: its table, its fit, its forecasts and their backtest."""

from bayeslaw.accuracy.ladder import Ladder, fit_accuracy, read_ladder
from bayeslaw.accuracy.table import Scores, read_scores

__all__ = ["Ladder", "Scores", "fit_accuracy", "read_ladder", "read_scores"]
