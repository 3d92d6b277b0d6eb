"""`docs/json.md` says what programs read: real answers are held against its tables."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bayeslaw import Run, Runs, frontier, pareto, plan, reach, suggest, verify
from bayeslaw.cli import DONE
from bayeslaw.cli.answer import finite
from bayeslaw.plan.architecture import Architecture
from bayeslaw.plan.devices import Hardware, find_device
from tests.conftest import simulated, two_stage
from tests.fitted import split
from tests.plan.drawn import ensemble
from tests.readers.logs import CASES
from tests.verify.planned import plan_file, posterior, table

TEXT = (Path(__file__).resolve().parents[1] / "docs" / "json.md").read_text()
NULL = type(None)
PLAIN = {"number": (int, float), "text": str, "boolean": bool, "null": NULL, "any": object}


def shapes() -> dict[str, list[tuple[str, str]]]:
    """Name -> its rows (key, type)."""
    found: dict[str, list[tuple[str, str]]] = {}
    for section in re.split(r"^### ", TEXT, flags=re.M)[1:]:
        name = re.match(r"\w+", section)[0]
        rows = re.findall(r"^\| ([^|]+) \| ([^|]*?) ?\|", section, re.M)
        assert name not in found
        found[name] = [(k, t.strip()) for k, t in rows if k not in ("key",)]
    return found


SHAPES = shapes()


def keys(name: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for key, kind in SHAPES[name]:
        found |= keys(key.removeprefix("... ")) if key.startswith("... ") else {key: kind}
    return found


def faults(value: Any, kind: str, at: str) -> list[str]:
    """Where a value is not of the type that is written."""
    parts = re.split(r" or (?![^\[{]*[\]}])", kind)
    if len(parts) > 1:
        each = [faults(value, part, at) for part in parts]
        return [] if [] in each else min(each, key=len)
    if kind in PLAIN:
        odd = isinstance(value, bool) and kind == "number"
        return [] if isinstance(value, PLAIN[kind]) and not odd else [f"{at}: {value!r} no {kind}"]
    if kind[0] == "[":
        if not isinstance(value, list):
            return [f"{at}: no list"]
        return [f for i, v in enumerate(value) for f in faults(v, kind[1:-1], f"{at}[{i}]")]
    if not isinstance(value, dict):
        return [f"{at}: no object"]
    if kind[0] == "{":
        return [f for k, v in value.items() for f in faults(v, kind[1:-1], f"{at}.{k}")]
    of = keys(kind)
    missing = [k for k in of if not k.endswith("?") and k not in value]
    of = {k.removesuffix("?"): t for k, t in of.items()}
    return [
        *(f"{at}.{k}: not documented" for k in value if k not in of),
        *(f"{at}.{k}: missing" for k in missing),
        *(f for k, v in value.items() if k in of for f in faults(v, of[k], f"{at}.{k}")),
    ]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("json")
    simulated(60).to_csv(folder / "single.csv", index=False)
    two_stage().to_csv(folder / "split.csv", index=False)
    split().save(folder / "split.nc")
    CASES["trainer_state"].write(folder)
    return folder


COMMANDS = {
    "Import": "import small/checkpoint-1000/trainer_state.json --out NEW.csv --set params=1M "
              "--set tokens_per_step=1M",
    "Schema": "schema",
    "Laws": "laws",
    "Fit": "fit split.csv --law additive --method huber --out NEW.nc",
    "Check": "check split.nc",
    "Compare": "compare split.nc",
    "Backtest": "backtest single.csv --law chinchilla --cut 0.6",
    "Plan": "plan split.nc --flops 1e18",
    "Forecast": "forecast split.nc --params 64M --pretrain-tokens 1B --specialize-tokens 20M",
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", COMMANDS)
def test_what_a_command_answers_is_what_is_documented(name, say, files, monkeypatch):
    monkeypatch.chdir(files)
    code, said, err = say(*COMMANDS[name].split(), "--json")
    assert (code, err) == (DONE, "")
    answer = json.loads(said)
    assert faults(answer, name.split(",")[0], "$") == []
    assert answer["schema"] == 1


def answers() -> dict[str, Callable[[], Any]]:
    """What plans and their kin answer, of draws that were chosen; as the command line prints it."""
    of, how = ensemble(count=40), {"kind": "mean", "draws": 40}
    hardware = Hardware(find_device("a100"), "bf16", 0.5, 8)
    sizes = [Architecture("small", 1e8, {"layers": 12}), Architecture("large", 1e9)]
    mine = {"ours": Run(np.array([1e8] * 2), np.array([1e10] * 2), np.array([1e9] * 2))}
    posterior_, plot = {"posterior": {"path": "p.nc", "sha256": "00"}}, {"plot": None}
    asked = {
        "Plan": {"designs": mine},
        "Plan, on devices": {"hardware": hardware, "serve": {"d0": 5e9}},
        "Plan, of a list": {"architectures": sizes, "arrangements": ["independent"]},
        "Plan, of little data": {"unique": {"d1": 2e9}, "epochs": 2, "at_least_generalist": 0.6},
    }
    plans = {
        n: lambda more=more: plan(of, 1e19, **how, **more).to_json() | posterior_
        for n, more in asked.items()
    }
    return {
        **plans,
        "Plan, of a target": lambda: reach(of, {"d0": 2.2}, **how).to_json() | posterior_,
        "Frontier": lambda: frontier(of, (1e18, 1e19), 2, **how).to_json() | plot,
        "Pareto": lambda: pareto(of, 1e19, ("domain:d0", "domain:d1"), 2, **how).to_json() | plot,
        "Suggest": lambda: suggest(of, 1e19, 1e18, 2, **how).to_json(),
    }


@pytest.mark.slow
@pytest.mark.parametrize("name", answers())
def test_what_a_plan_answers_is_what_is_documented(name):
    answer = json.loads(json.dumps(finite(answers()[name]())))
    assert faults(answer, name.split(",")[0], "$") == []


@pytest.mark.slow
def test_what_a_verification_answers_is_what_is_documented(tmp_path):
    plan = plan_file(tmp_path)
    seen = verify(posterior(), plan, Runs.from_table(table(plan, seeds=2)))
    path = seen.write(tmp_path / "verify.json")
    assert faults(json.loads(path.read_text()), "Verify", "$") == []


def test_simulated_fits_and_clusters_are_documented():
    from bayeslaw.calibrate import Calibration
    from bayeslaw.corpus.split import Cluster

    ranks = Calibration("additive", ("a_size",), np.zeros((2, 1), int), 1)
    answer = {**json.loads(json.dumps(ranks.to_json())), "plot": None}
    assert faults(answer, "Calibrate", "$") == []
    found = vars(Cluster("00-a", 3, 9, ("a",)))
    said = json.loads(json.dumps({"schema": 1, "out": "x", "clusters": [found]}))
    assert faults(said, "Domains", "$") == []


def test_every_answer_of_the_command_line_is_documented():
    """Every command that has `--json`."""
    import typer

    from bayeslaw.cli import app

    command = typer.main.get_command(app)
    said = {
        name.capitalize() for name, c in command.commands.items()  # type: ignore[attr-defined]
        if any("--json" in p.opts for p in c.params)
    }  # fmt: skip
    assert said <= set(SHAPES)
    commands = re.findall(r"^### (\w+): `bayeslaw", TEXT, re.M)
    assert set(commands) == said


def test_every_shape_is_used_and_every_type_is_one():
    said = [kind for rows in SHAPES.values() for row in rows for kind in row]
    named = {w for kind in said for w in re.findall(r"\b[A-Z]\w+", kind)}
    commands = set(re.findall(r"^### (\w+): `bayeslaw", TEXT, re.M))
    assert named == set(SHAPES) - commands


@pytest.mark.parametrize(
    ("value", "kind", "wrong"),
    [(1, "number", 0), (True, "number", 1), (None, "number or null", 0), ([1, "a"], "[number]", 1),
     ({"a": [1.0]}, "[number] or {[number]}", 0), ({"path": "a"}, "Source", 1),
     ({"path": "a", "sha256": "b", "new": 1}, "Source", 1)],
)  # fmt: skip
def test_what_is_not_as_documented_is_found(value, kind, wrong):
    assert len(faults(value, kind, "$")) == wrong
