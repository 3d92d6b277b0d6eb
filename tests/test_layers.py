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
    "runs": {"cell", "errors", "quantity", "whole"},
    "readers": {"runs", "errors", "plugin", "quantity", "whole"},
    "laws": {"errors", "plugin"},
    "infer": {"laws", "runs", "cost", "errors", "toml", "whole"},
    "backtest": {"infer", "laws", "runs", "errors"},
    "calibrate": {"infer", "laws", "runs", "errors", "whole"},
    "forecast": {"infer", "laws", "cell", "errors", "quantity"},
    "accuracy": {"backtest", "forecast", "infer", "laws", "runs", "errors", "whole"},
    "plan": {
        "accuracy",
        "infer",
        "laws",
        "cost",
        "cell",
        "errors",
        "plugin",
        "quantity",
        "toml",
        "whole",
    },
    "plots": {
        "plan",
        "forecast",
        "backtest",
        "infer",
        "laws",
        "runs",
        "cost",
        "errors",
        "quantity",
        "whole",
    },
    "corpus": {"errors"},
    "sweep": {"cell", "errors", "quantity", "toml"},
    "train": {"corpus", "sweep", "runs", "cell", "cost", "errors", "whole"},
    "evaluate": {"train", "corpus", "errors", "whole"},
    "verify": {
        "plan",
        "sweep",
        "backtest",
        "infer",
        "laws",
        "runs",
        "cell",
        "cost",
        "errors",
        "whole",
    },
    "report": {"verify", "plots", "plan", "infer", "laws", "errors", "quantity", "whole"},
    "cli": {
        "report",
        "accuracy",
        "evaluate",
        "whole",
        "calibrate",
        "verify",
        "sweep",
        "plots",
        "readers",
        "backtest",
        "laws",
        "plan",
        "forecast",
        "infer",
        "runs",
        "train",
        "corpus",
        "errors",
        "quantity",
    },
    "__init__": {
        "accuracy",
        "calibrate",
        "backtest",
        "plan",
        "forecast",
        "infer",
        "readers",
        "runs",
        "laws",
        "errors",
        "verify",
        "report",
        "plots",
    },
    "__main__": {"cli"},
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
    "bayeslaw.report": {"torch", "matplotlib", "arviz_plots"},
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
