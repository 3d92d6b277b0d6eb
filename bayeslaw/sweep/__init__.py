"""What to train and where: the spec, its cells, the recipes, the executors. No torch here."""

from bayeslaw.sweep.design import Cell, cells
from bayeslaw.sweep.execute import EXECUTORS, Executor, local
from bayeslaw.sweep.recipe import RECIPES, Recipe
from bayeslaw.sweep.spec import SweepSpec, read_sweep

__all__ = [
    "EXECUTORS", "RECIPES", "Cell", "Executor", "Recipe", "SweepSpec", "cells", "local",
    "read_sweep",
]  # fmt: skip
