"""Plug-ins: the example in `examples/plugin`, found as pip would leave it, and broken ones."""

from __future__ import annotations

import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path

import jax.numpy as jnp
import pytest

from bayeslaw import FitError, PlanError, Runs, find_law, fit, import_runs, plan
from bayeslaw.plan import parse_risk
from tests.conftest import two_stage
from tests.plan.drawn import ensemble

PLUGIN = Path(__file__).resolve().parents[1] / "examples" / "plugin"


def installed(place: Path, name: str, groups: dict[str, dict[str, str]]) -> None:
    """The metadata that pip writes of a distribution."""
    info = place / f"{name}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Name: {name}\nVersion: 1.0\n")
    lines = [
        f"[{group}]\n" + "".join(f"{n} = {value}\n" for n, value in entries.items())
        for group, entries in groups.items()
    ]
    (info / "entry_points.txt").write_text("\n".join(lines))


@pytest.fixture
def plugged(tmp_path, monkeypatch):
    about = tomllib.loads((PLUGIN / "pyproject.toml").read_text())["project"]
    installed(tmp_path / "site", "bayeslaw_example_plugin", about["entry-points"])
    monkeypatch.syspath_prepend(tmp_path / "site")
    monkeypatch.syspath_prepend(PLUGIN)


def test_a_law_of_a_plug_in_is_found_and_fitted(plugged):
    law = find_law("fading")
    assert law.two_stage
    fitted = fit(Runs.from_table(two_stage()), ["fading"], method="huber")
    assert fitted.members[0].law.name == "fading"
    with pytest.raises(FitError, match="replay, fading; wrappers"):
        find_law("nonesuch")


def test_the_same_law_is_found_by_its_file():
    assert find_law(f"{PLUGIN}/bayeslaw_example/law.py:Fading").name == "fading"


def test_a_risk_of_a_plug_in_is_minimised(plugged):
    risk = parse_risk("worst_tenth")
    assert risk(jnp.arange(20.0)) == 18.5
    assert plan(ensemble(count=50), 1e19, risk="worst_tenth").risk.name == "worst_tenth"
    with pytest.raises(PlanError, match=r"reach:LEVEL, worst_tenth, FILE\.py"):
        parse_risk("dice")


def test_a_reader_of_a_plug_in_reads_what_it_recognises(plugged, tmp_path):
    path = tmp_path / "small.log"
    path.write_text("#tokens\tloss\n1e9\t3.5\n2e9\t3.25\n")
    found = import_runs(path, set={"params": "85M"})
    assert (found.sources[0].reader, found.sources[0].guessed) == ("tab_log", True)
    assert found.runs.table["loss"].tolist() == [3.5, 3.25]
    assert found.runs.table["pretrain_tokens"].tolist() == [1e9, 2e9]


def test_a_plug_in_that_does_not_load_is_named(tmp_path, monkeypatch):
    broken = {"bad": "no_such_module:Law"}
    groups = {"bayeslaw.laws": broken, "bayeslaw.risks": broken}
    installed(tmp_path, "bayeslaw_broken", groups)
    monkeypatch.syspath_prepend(tmp_path)
    said = r"'bad' \(no_such_module:Law\) of a plug-in does not load: ModuleNotFoundError"
    with pytest.raises(FitError, match=said):
        find_law("bad")
    with pytest.raises(PlanError, match=said):
        parse_risk("bad")


def test_every_entry_point_of_the_example_names_something_that_is_there(plugged):
    about = tomllib.loads((PLUGIN / "pyproject.toml").read_text())["project"]
    entries = [EntryPoint(n, v, g) for g, e in about["entry-points"].items() for n, v in e.items()]
    assert {e.group for e in entries} == {"bayeslaw.laws", "bayeslaw.risks", "bayeslaw.readers"}
    assert all(e.load() for e in entries)
