"""The house: imports go downwards only, and each room loads no more than it may."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "bayeslaw"

# room -> the rooms of ours that it may import
MAY = {
    "errors": set(),
    "quantity": set(),
    "whole": set(),
    "cell": set(),
    "toml": {"errors"},
    "plugin": {"errors"},
    "cost": {"errors", "quantity"},
    "runs": {"card", "cell", "errors", "quantity", "whole"},
    "readers": {"errors", "plugin", "quantity", "runs", "whole"},
    "laws": {"errors", "plugin"},
    "infer": {"card", "cost", "errors", "laws", "runs", "toml", "whole"},
    "backtest": {"card", "errors", "infer", "laws", "runs"},
    "calibrate": {"errors", "infer", "laws", "runs", "whole"},
    "forecast": {"card", "cell", "errors", "infer", "laws", "quantity"},
    "accuracy": {"cell", "backtest", "errors", "forecast", "infer", "laws", "runs", "whole"},
    "plan": {
        "accuracy",
        "card",
        "cell",
        "cost",
        "errors",
        "infer",
        "laws",
        "plugin",
        "quantity",
        "toml",
        "whole",
    },
    "plots": {
        "backtest",
        "cost",
        "errors",
        "forecast",
        "infer",
        "laws",
        "plan",
        "quantity",
        "runs",
        "whole",
    },
    "corpus": {"errors"},
    "sweep": {"cell", "errors", "quantity", "toml"},
    "train": {"cell", "corpus", "cost", "errors", "runs", "sweep", "whole"},
    "evaluate": {"cell", "corpus", "errors", "train", "whole"},
    "verify": {
        "backtest",
        "card",
        "cell",
        "cost",
        "errors",
        "infer",
        "laws",
        "plan",
        "runs",
        "sweep",
        "whole",
    },
    "report": {"errors", "infer", "laws", "plan", "plots", "quantity", "verify", "whole"},
    "cli": {
        "accuracy",
        "backtest",
        "calibrate",
        "corpus",
        "errors",
        "evaluate",
        "forecast",
        "infer",
        "laws",
        "plan",
        "plots",
        "quantity",
        "readers",
        "report",
        "runs",
        "sweep",
        "train",
        "verify",
        "whole",
    },
    "__init__": {
        "accuracy",
        "az",
        "backtest",
        "calibrate",
        "errors",
        "forecast",
        "infer",
        "laws",
        "plan",
        "plots",
        "readers",
        "report",
        "runs",
        "verify",
    },
    "__main__": {"cli"},
    "az": set(),
    "card": {"quantity"},
    "explore": {"infer", "plan", "quantity"},
}
HEAVY = {"jax", "torch", "pandas", "pandera", "numpyro", "matplotlib", "arviz_plots"}
# module -> the heavy libraries that it must not load
WITHOUT = {
    "bayeslaw": HEAVY,
    "bayeslaw.cli": HEAVY,
    "bayeslaw.cost": HEAVY,
    "bayeslaw.runs": {"jax", "torch", "pandera", "matplotlib"},
    "bayeslaw.readers": {"jax", "torch", "pandera", "matplotlib"},
    "bayeslaw.laws": {"torch", "pandas", "matplotlib"},
    "bayeslaw.infer.fit": {"torch"},
    "bayeslaw.plan": {"torch"},
    "bayeslaw.plots": HEAVY,
    "bayeslaw.verify": {"torch"},
    "bayeslaw.report": {"torch", "arviz_plots"},
    "bayeslaw.sweep": {"jax", "torch"},
    "bayeslaw.corpus": {"jax", "torch"},
    "bayeslaw.train.study": {"jax", "numpyro", "pandas"},
    "bayeslaw.evaluate.model_file": {"jax", "torch", "pandas"},
    "bayeslaw.evaluate.evaluation": {"jax", "numpyro", "pandas", "sklearn", "lm_eval"},
    "bayeslaw.accuracy": {"torch", "matplotlib"},
}


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: p.name)
def test_imports_go_downwards_only(path):
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("bayeslaw."):
            found.add(node.module.split(".")[1])
    assert found - {room(path)} <= MAY[room(path)]


@pytest.mark.parametrize("module", WITHOUT)
def test_a_room_loads_no_more_than_it_may(module):
    code = f"import sys, {module}; print(' '.join(m for m in sys.modules if '.' not in m))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not WITHOUT[module] & set(done.stdout.split())
