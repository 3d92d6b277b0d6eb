"""bayeslaw verify: what it says, writes, refuses, and trains."""

from __future__ import annotations

import json
import shutil
import subprocess
from types import SimpleNamespace

import pytest

from bayeslaw.cli import DONE, INTERRUPTED, USER_ERROR
from bayeslaw.infer.source import Source
from bayeslaw.runs import read_runs
from tests.conftest import two_stage
from tests.verify.planned import PLAN, plan_file, posterior, table, written


@pytest.fixture
def files(tmp_path):
    """plan.json with its posterior, measured.csv, and a sweep's own table."""
    source = Source.of(posterior().save(tmp_path / "p.nc"))
    data = table(plan_file(tmp_path))
    data.loc[0, "params"] *= 2
    data.loc[0, "arm"] = ""
    data.to_csv(tmp_path / "measured.csv", index=False)
    two_stage().to_csv(tmp_path / "mine.csv", index=False)
    written(tmp_path, posterior=source.to_json())
    return tmp_path


def test_results_trained_elsewhere_are_compared_and_appended(say, files):
    asked = ("verify", files / "plan.json", "--runs", files / "measured.csv", "--out",
             files / "v", "--append", files / "mine.csv")  # fmt: skip
    code, said, err = say(*asked)
    assert (code, err) == (DONE, "")
    for part in ("in 90%", "weighted generalist", "gain of the split (plan) over the generalist",
                 "cover other", "realised regret", "1 rows are of no arm (tolerance 0.25",
                 "not measured: plan: d0 (seed 0)", "rows added to", "wrote "):  # fmt: skip
        assert part in said
    assert max(map(len, said.splitlines()[:-2])) <= 100
    wrote = json.loads((files / "v" / "verify.json").read_text())
    assert wrote["posterior"]["path"] == str(files / "p.nc")
    assert [u["row"] for u in wrote["unmatched"]] == [1]
    rows = len(read_runs(files / "mine.csv"))
    code, said, _ = say(*asked, "--json")
    answer = json.loads(said)
    assert (code, answer["appended"]) == (DONE, 0)
    assert len(read_runs(files / "mine.csv")) == rows
    assert {n: answer[n] for n in wrote} == wrote


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        ([], "give --runs TABLE with results, or --sweep"),
        (["--runs", "a.csv", "--sweep", "b.toml"], "give --runs TABLE with results, or --sweep"),
        (["--runs", "a.csv", "--dry-run"], "--dry-run prices what --sweep would train"),
        (["--sweep", "b.toml", "--unit", "nats/token"], "--map and --unit are of --runs"),
        (["--runs", "measured.csv", "--without", "relay"], "there is no arm 'relay'"),
        (["--runs", "measured.csv", "--posterior", "none.nc"], "none.nc: no such file"),
        (["--runs", "measured.csv", "--append", "none.csv"], "none.csv: 1 fault"),
        (["--sweep", "none.toml"], "none.toml: no such file"),
    ],
)
def test_what_cannot_be_is_told_without_a_traceback(say, files, monkeypatch, arguments, part):
    monkeypatch.chdir(files)
    code, _, err = say("verify", "plan.json", *arguments)
    assert code == USER_ERROR
    assert err.startswith("error: ")
    assert part in err


def test_a_plan_without_its_posterior_asks_for_it(say, files):
    written(files)
    asked = ("verify", files / "plan.json", "--runs", files / "measured.csv", "--out", files / "v")
    code, _, err = say(*asked)
    assert (code, "names no posterior; name it with --posterior" in err) == (USER_ERROR, True)
    assert say(*asked, "--posterior", files / "p.nc")[0] == DONE


@pytest.mark.slow
def test_a_plan_names_the_posterior_that_verifies_it(say, files, monkeypatch):
    monkeypatch.chdir(files)
    budget = PLAN["budget"]["flops"]
    assert say("plan", "p.nc", "--flops", budget, "--out", "made.json")[0] == DONE
    made = json.loads((files / "made.json").read_text())
    assert made["posterior"] == {"path": "p.nc", "sha256": Source.of("p.nc").sha256}
    measured = table(plan_file(files, **made), seeds=2)
    measured.to_csv("measured.csv", index=False)
    code, said, err = say("verify", "made.json", "--runs", "measured.csv", "--json")
    assert (code, err) == (DONE, "")
    answer = json.loads(said)
    assert {a["arm"] for a in answer["arms"]} >= {"plan", "generalist", "split at 10%", "joint"}
    assert not answer["missing"]
    shutil.copy("measured.csv", "p.nc")
    code, _, err = say("verify", "made.json", "--runs", "measured.csv")
    assert (code, "written again since" in err) == (USER_ERROR, True)


SWEEP = """
name = "little"
corpus = "synthetic"
corpus_options = {size = 60000, names = ["d0", "d1"]}
recipe = "tiny"
widths = [16]
pretrain_tokens = ["8k"]
heldout_tokens = "4k"
epochs = 8
"""
LITTLE = {
    "params": 2500, "pretrain_tokens": 16e3, "specialize_tokens": {"d0": 4e3, "d1": 8e3},
    "budget": {"flops": 6 * 2500 * 28e3},
    "baselines": [
        {"name": "generalist", "arrangement": "generalist", "params": 2500,
         "pretrain_tokens": 28e3, "specialize_tokens": {"d0": 0, "d1": 0}},
    ],
}  # fmt: skip


@pytest.mark.slow
def test_a_plan_is_trained_and_goes_on_where_it_was(say, files):
    pytest.importorskip("torch")
    (files / "sweep.toml").write_text(SWEEP)
    written(files, **LITTLE)
    out = files / "v"
    asked = ("verify", files / "plan.json", "--posterior", files / "p.nc", "--sweep",
             files / "sweep.toml", "--seeds", 1, "--out", out)  # fmt: skip
    code, said, _ = say(*asked, "--dry-run")
    assert code == DONE
    assert "planned N" in said
    assert "8 cells to train" in said  # a trunk; 2 branches, 2 scratch, joint, 2 generalists
    assert not (out / "runs.csv").exists()
    code, said, _ = say(*asked)
    assert code == DONE
    assert "8 cells trained, 0 there already" in said
    answer = json.loads((out / "verify.json").read_text())
    assert not answer["missing"]
    assert not answer["unmatched"]
    assert {a["arm"] for a in answer["arms"]} == {
        "plan", "generalist", "joint", "scratch", "weighted generalist",
    }  # fmt: skip
    assert {a["away"] for a in answer["arms"]} == {0}
    runs = (out / "runs.csv").read_bytes()
    shutil.rmtree(next(out.glob("work/branch-*")))
    code, said, _ = say(*asked)
    assert "1 cells trained, 7 there already" in said
    assert (out / "runs.csv").read_bytes() == runs


@pytest.mark.parametrize(
    ("code", "leaves", "part"),
    [(1, USER_ERROR, "the sweep of the arms failed, see above"), (130, INTERRUPTED, "interrupted")],
)
def test_a_training_that_ends_early_is_told(say, files, monkeypatch, code, leaves, part):
    (files / "sweep.toml").write_text(SWEEP)
    written(files, **LITTLE)
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: SimpleNamespace(returncode=code))
    done, _, err = say(
        "verify", files / "plan.json", "--posterior", files / "p.nc", "--sweep",
        files / "sweep.toml", "--out", files / "v",
    )  # fmt: skip
    assert (done, part in err) == (leaves, True)
    assert not (files / "v" / "verify.json").exists()
