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
    "plugin": {"errors"},
    "az": set(),
    "card": {"quantity"},
    "cost": {"errors", "quantity"},
    "runs": {"card", "errors", "quantity", "whole"},
    "readers": {"runs", "errors", "quantity", "whole"},
    "laws": {"errors", "plugin"},
    "infer": {"card", "laws", "runs", "cost", "errors", "whole"},
    "backtest": {"card", "infer", "laws", "runs", "errors"},
    "calibrate": {"infer", "laws", "runs", "errors", "whole"},
    "forecast": {"card", "infer", "laws", "errors", "quantity"},
    "plan": {"card", "infer", "laws", "cost", "errors", "plugin", "quantity", "whole"},
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
    "explore": {"plan", "infer", "quantity"},
    "corpus": {"errors"},
    "sweep": {"errors", "quantity"},
    "train": {"corpus", "sweep", "runs", "cost", "errors", "whole"},
    "verify": {
        "card",
        "plan",
        "sweep",
        "backtest",
        "infer",
        "laws",
        "runs",
        "cost",
        "errors",
        "whole",
    },
    "cli": {
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
        "plots",
        "az",
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
    "bayeslaw.sweep": {"jax", "torch"},
    "bayeslaw.corpus": {"jax", "torch"},
    "bayeslaw.train.study": {"jax", "numpyro", "pandas"},
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
