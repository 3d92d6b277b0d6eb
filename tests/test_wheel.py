"""The wheel: built from the sources alone, installed, used from outside the checkout. And the words
of the project for others: citation, extras."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from tests.conftest import simulated

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
SOURCES = ("bayeslaw", "pyproject.toml", "README.md", "LICENSE")


def pip(*arguments: object) -> None:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Built of a copy, so that nothing is left in the checkout."""
    place = tmp_path_factory.mktemp("wheel")
    for name in SOURCES:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, place / "src" / name, ignore=shutil.ignore_patterns("__py*"))
        else:
            shutil.copy(source, place / "src" / name)
    pip("wheel", "--no-deps", "--no-build-isolation", "--no-index", "-w", place, place / "src")
    return next(place.glob("*.whl"))


@pytest.mark.slow
def test_the_wheel_has_all_of_the_package_and_nothing_else(wheel):
    held = {n for n in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in n}
    ours = {
        str(p.relative_to(ROOT)) for p in (ROOT / "bayeslaw").rglob("*")
        if p.is_file() and "__pycache__" not in p.parts
    }  # fmt: skip
    assert held == ours
    assert "bayeslaw/py.typed" in held


@pytest.mark.slow
def test_the_wheel_works_from_outside_the_checkout(wheel, tmp_path):
    site = tmp_path / "site"
    pip("install", "--no-deps", "--no-index", "--target", site, wheel)
    simulated(40).to_csv(tmp_path / "mine.csv", index=False)
    env = {**os.environ, "PYTHONPATH": str(site)}

    def run(*arguments: str) -> str:
        done = subprocess.run(
            arguments, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=600
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    where = run(sys.executable, "-c", "import bayeslaw; print(bayeslaw.__file__)").strip()
    assert where == str(site / "bayeslaw" / "__init__.py")
    program = str(site / "bin" / "bayeslaw")
    assert run(program, "--version").splitlines()[0] == f"bayeslaw {PROJECT['version']}"
    said = run(program, "fit", "mine.csv", "--law", "chinchilla", "--method", "huber", "--json")
    assert json.loads(said)["passed"]
    assert (tmp_path / "posterior.nc").is_file()


def test_the_citation_is_of_this_version_and_has_what_the_format_wants():
    text = (ROOT / "CITATION.cff").read_text()
    fields = dict(re.findall(r"^([a-z-]+): *(.*)$", text, re.M))
    assert {"cff-version", "message", "title", "authors", "version", "license"} <= set(fields)
    assert fields["cff-version"] == "1.2.0"
    assert fields["version"].strip('"') == PROJECT["version"]
    assert fields["license"] == PROJECT["license"]
    assert re.search(r"^ {2}- (name|family-names): ", text, re.M)


def test_the_extra_all_is_of_extras_that_are_there():
    extras = PROJECT["optional-dependencies"]
    (of,) = re.findall(r"bayeslaw\[(.*)\]", extras["all"][0])
    assert set(of.split(",")) <= set(extras) - {"dev", "docs", "all"}
