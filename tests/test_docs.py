"""The documents: they build without a warning, say the tree as it is, and their commands run."""

from __future__ import annotations

import importlib.util
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import bayeslaw
from bayeslaw.cli import DONE

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"


def script(name: str):
    """A file of docs/ as a module."""
    spec = importlib.util.spec_from_file_location(f"docs_{name}", DOCS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_the_documents_build_without_a_warning(tmp_path):
    pytest.importorskip("sphinx")
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html"]
    done = subprocess.run(
        [*command, "-d", tmp_path / "trees", DOCS, tmp_path / "html"],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    page = (tmp_path / "html" / "api.html").read_text()
    assert "Read and check tables of runs" in page
    pages = {p.stem for p in (tmp_path / "html").glob("*.html")}
    assert pages >= {p.stem for p in DOCS.glob("*.md")}


def test_the_layout_is_the_tree():
    assert (DOCS / "layout.md").read_text() == script("rooms").layout(), "python docs/rooms.py"


def test_every_file_of_the_package_says_what_it_is():
    sentence = script("rooms").sentence
    rooms = [p for p in (ROOT / "bayeslaw").rglob("*.py") if p.name != "__init__.py"]
    assert [p for p in rooms if not sentence(p)] == []


def test_every_public_name_is_in_the_api():
    said = set(re.findall(r"bayeslaw\.(\w+)", (DOCS / "api.md").read_text()))
    assert said == set(bayeslaw.__all__)


def test_every_reference_is_one_that_the_sources_give():
    """None is invented, and none of the sources' is left out."""
    cited = re.compile(r"arXiv:(\d{4}\.\d{5})")
    given = {i for p in (ROOT / "bayeslaw").rglob("*.py") for i in cited.findall(p.read_text())}
    others = {i for p in DOCS.glob("*.md") if p.stem not in ("references", "log")
              for i in cited.findall(p.read_text())}  # fmt: skip
    text = (DOCS / "references.md").read_text()
    listed = re.findall(r"\[(\d{4}\.\d{5})\]\(https://arxiv.org/abs/(\d{4}\.\d{5})\)", text)
    assert all(a == b for a, b in listed)
    assert {a for a, _ in listed} == given | others


def commands() -> list[str]:
    blocks = re.findall(r"```sh\n(.*?)```", (DOCS / "start.md").read_text(), re.S)
    return [line for block in blocks for line in block.splitlines()]


@pytest.mark.long
def test_the_five_minutes_run_as_written_but_for_the_method_of_the_fit(say, tmp_path, monkeypatch):
    (tmp_path / "runs").symlink_to(ROOT / "runs")
    monkeypatch.chdir(tmp_path)
    assert [c.split()[1] for c in commands()] == [
        "fit", "check", "compare", "forecast", "plan", "suggest", "schema",
    ]  # fmt: skip
    for line in commands():
        program, *arguments = shlex.split(line)
        quick = ["--method", "huber"] if arguments[0] == "fit" else []
        code, said, err = say(*arguments, *quick)
        assert (program, code, err) == ("bayeslaw", DONE, ""), line
        assert said
    assert {p.name for p in tmp_path.iterdir()} == {"runs", "posterior.nc", "plan.json", "mine.csv"}


def test_docstrings_become_markup_that_says_the_same():
    as_rst = script("docstrings").as_rst
    assert as_rst(["Its `loss`.", "", "flops: the budget,", "    in FLOPs.", "", "    6 N D"]) == [
        "Its ``loss``.", "", "* **flops**: the budget, in FLOPs.", "", "::", "", "    6 N D", "",
    ]  # fmt: skip
    assert as_rst(["`Law`s"]) == [r"``Law``\ s"]
    assert as_rst(["a *b* |c| d_"]) == [r"a \*b\* \|c\| d\_"]
