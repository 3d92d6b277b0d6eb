"""The example that goes round the whole loop: what it does with a fit that may not be used, and
that it ends in a plan that was measured."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import bayeslaw
from tests.conftest import two_stage
from tests.verify.planned import posterior

SCRIPT = Path(__file__).parent.parent / "examples" / "closed_loop.py"


@pytest.fixture
def example():
    spec = importlib.util.spec_from_file_location("closed_loop", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules["closed_loop"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    yield module
    del sys.modules["closed_loop"]


def loop(example, folder, monkeypatch, fits):
    """A loop that trains nothing: its table is a simulated sweep. fits: of the rounds, in order."""
    made, asked, fits = example.Loop(example.SETTINGS["synthetic"], folder), [], iter(fits)

    def train(number, body):
        asked.append(body)
        if number == 0:
            table = two_stage()
            table["flops"] = (
                6 * table["params"] * (table["pretrain_tokens"] + table["specialize_tokens"])
            )
            table.to_csv(made.table, index=False)

    monkeypatch.setattr(made, "train", train)
    monkeypatch.setattr(bayeslaw, "fit", lambda *a, **k: next(fits))
    return made, asked


def failed():
    member = posterior().members[0]
    bad = replace(member.diagnostics, failures=("R-hat 1.3 > 1.01",))
    return replace(posterior(), members=(replace(member, diagnostics=bad, weight=0.0),))


def test_a_fit_that_fails_plans_nothing_and_a_larger_trunk_is_trained(
    example, tmp_path, monkeypatch, capsys
):
    made, asked = loop(example, tmp_path, monkeypatch, [failed()] * 4)
    assert made.run(rounds=1, seeds=1) == 2
    said = json.loads((tmp_path / "loop.json").read_text())
    assert [r["laws"] for r in said["rounds"]] == [[], []]
    assert said["verified"] is None
    assert not (tmp_path / "plan.json").exists()
    wanted = (tmp_path / "round1.csv").read_text().splitlines()
    assert len(wanted) == 4
    assert all(float(row.split(",")[0]) == 2 * 1.6e7 for row in wanted[1:])
    assert 'design = "runs"' in asked[1]
    assert "failed its checks: R-hat 1.3 > 1.01" in capsys.readouterr().out


def test_a_simpler_law_is_tried_before_that(example, tmp_path, monkeypatch):
    made, _ = loop(example, tmp_path, monkeypatch, [failed(), posterior()])
    made.pilot()
    assert made.fitted() is not None


@pytest.mark.long
def test_the_loop_ends_in_a_plan_that_was_measured(tmp_path):
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--out", str(tmp_path), "--seeds", "2"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    said = json.loads((tmp_path / "loop.json").read_text())
    first, last = said["rounds"]
    assert last["rows"] > first["rows"]
    assert last["spent"] > first["spent"]
    assert first["laws"]
    assert last["laws"]
    assert said["verified"]["gain"]["seeds"] == [1, 2]
    assert said["verified"]["rows"] == 2 * 2 * 2  # arms, domains, seeds
    table = bayeslaw.read_runs(tmp_path / "loop.csv")
    assert len(table) > last["rows"]  # what was measured is there for the next fit
