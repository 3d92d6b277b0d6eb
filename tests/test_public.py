"""The public names: all there, loaded when they are used, and the verbs stay verbs."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version

import pytest

import bayeslaw


def python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout


@pytest.mark.parametrize("name", bayeslaw.__all__)
def test_every_public_name_is_there_and_listed(name):
    assert getattr(bayeslaw, name) is not None
    assert name in dir(bayeslaw)


def test_the_version_is_that_of_the_installed_package():
    assert bayeslaw.__version__ == version("bayeslaw")


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'fitt'"):
        _ = bayeslaw.fitt


def test_importing_the_package_loads_nothing_heavy():
    loaded = python("import sys, bayeslaw; print(*sys.modules)").split()
    assert not {"jax", "torch", "pandas", "numpy", "typer"} & set(loaded)


@pytest.mark.parametrize(
    "first",
    [
        "from bayeslaw import Forecast, Plan",
        "import bayeslaw.forecast, bayeslaw.plan.plan",
        "from bayeslaw.plan import parse_risk; from bayeslaw.forecast import read_designs",
    ],
)
def test_a_verb_is_a_function_whatever_was_imported_before(first):
    code = f"{first}\nfrom bayeslaw import forecast, plan\nprint(forecast.__name__, plan.__name__)"
    assert python(code).split() == ["forecast", "plan"]
