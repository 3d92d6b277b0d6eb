"""What to train and where: the spec, its cells, the recipes, the executors. No torch here."""

from bayeslaw.sweep.cells import Cell, Cells, cells
from bayeslaw.sweep.execute import EXECUTORS, Executor, local
from bayeslaw.sweep.recipe import RECIPES, Recipe
from bayeslaw.sweep.second_stage import KINDS, SecondStage
from bayeslaw.sweep.spec import SweepSpec, read_sweep

__all__ = [
    "EXECUTORS", "KINDS", "RECIPES", "Cell", "Cells", "Executor", "Recipe", "SecondStage",
    "SweepSpec", "cells", "local", "read_sweep",
]  # fmt: skip
