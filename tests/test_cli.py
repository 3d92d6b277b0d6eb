"""The command line: every flag, every exit code, what is said and where it is said."""

from __future__ import annotations

import importlib
import inspect
import json
import platform
import subprocess
import sys
from types import ModuleType, SimpleNamespace
from typing import get_args

import numpy as np
import pytest

from bayeslaw import LAWS, RunsError, SweepError, read_posterior
from bayeslaw.cli import DONE, FAILED_CHECKS, INTERRUPTED, USER_ERROR, bar, run, words
from tests.conftest import simulated, two_stage
from tests.fitted import FAILURE, failed, single, split

HEAVY = {
    "jax",
    "torch",
    "numpy",
    "pandas",
    "pandera",
    "numpyro",
    "matplotlib",
    "arviz_plots",
    "rich",
}
ROW = {
    "params", "pretrain_tokens", "specialize_tokens", "domain", "kind", "prob", "mean", "sd",
    "interval",
}  # fmt: skip
PLAN = {
    "schema", "arrangement", "params", "pretrain_tokens", "specialize_tokens", "flops", "risk",
    "kind", "prob", "loss", "domains", "p_best", "p_split_beats_generalist", "regret", "at_bound",
    "extrapolation", "not_assessable", "baselines",
}  # fmt: skip


def api(module: str, name: str):
    return getattr(importlib.import_module(module), name)


def replace_api(monkeypatch, module: str, name: str, value) -> None:
    monkeypatch.setattr(importlib.import_module(module), name, value)


@pytest.fixture(scope="session")
def files(tmp_path_factory):
    """Tables and posteriors, read only."""
    folder = tmp_path_factory.mktemp("cli")
    simulated(60).to_csv(folder / "single.csv", index=False)
    two_stage().to_csv(folder / "split.csv", index=False)
    single().save(folder / "single.nc")
    split().save(folder / "split.nc")
    failed(single()).save(folder / "failed.nc")
    failed(split(), "additive").save(folder / "half.nc")
    (folder / "designs.csv").write_text(
        "params,pretrain_tokens,specialize_tokens,domain\n4M,100M,10M,d1\n1e6,4e7,0,d0\n"
    )
    return folder


@pytest.fixture
def fake_fit(monkeypatch):
    """Replace the fit; what it was called with is kept."""
    calls = []

    def install(result):
        def fake(*args, **kwargs):
            calls.append((args, kwargs))
            if isinstance(result, BaseException):
                raise result
            return result

        replace_api(monkeypatch, "bayeslaw.infer.fit", "fit", fake)
        return calls

    return install


# What is said


def test_fit_says_what_went_where_and_how_sure_it_is(say, files, tmp_path):
    out = tmp_path / "new" / "p.nc"
    code, said, err = say("fit", files / "single.csv", "--law", "chinchilla", "--out", out)
    assert (code, err) == (DONE, "")
    assert said.startswith("60 rows read, 60 kept\n")
    for part in ("R-hat", "converged", "L = E + A N^-α", "α", "±", "noise σ", f"wrote {out}"):
        assert part in said
    assert max(map(len, said.splitlines()[:-1])) <= 80
    assert read_posterior(out).passed


def test_fit_takes_every_option(say, files, fake_fit, tmp_path):
    calls = fake_fit(split())
    table = two_stage().rename(columns={"loss": "val_loss"})
    table.to_csv(tmp_path / "a.csv", index=False)
    (tmp_path / "priors.toml").write_text("b_data = { lognormal = [0.3, 0.2] }\n")
    code, *_ = say(
        "fit", tmp_path / "*.csv", "--law", "additive", "--law", "transfer", "--method", "laplace",
        "--likelihood", "normal", "--seed", 7, "--out", tmp_path / "p.nc",
        "--map", "loss=val_loss", "--unit", "bits/token", "--fix", "a_size=0.3",
        "--priors", tmp_path / "priors.toml",
    )  # fmt: skip
    assert code == DONE
    (runs, *rest), _ = calls[0]
    assert rest[:-1] == [["additive", "transfer"], "laplace", 7, "normal", {"a_size": 0.3}]
    assert float(rest[-1]["b_data"].mean) == pytest.approx(0.3 * np.exp(0.02))
    assert runs.table["loss"].to_numpy() == pytest.approx(table["val_loss"] * np.log(2))
    command = read_posterior(tmp_path / "p.nc").command
    assert (command[:2], command[-1]) == (("bayeslaw", "fit"), str(tmp_path / "priors.toml"))


def test_fit_without_laws_leaves_the_choice_to_the_library(say, files, fake_fit, tmp_path):
    calls = fake_fit(single())
    say("fit", files / "single.csv", "--out", tmp_path / "p.nc")
    assert calls[0][0][1] is None


@pytest.mark.parametrize("name", ["single", "split", "failed", "half"])
def test_check_fits_the_terminal(say, files, name):
    _, said, err = say("check", files / f"{name}.nc")
    assert err == ""
    assert max(map(len, said.splitlines())) <= 80
    assert "rows: " in said


def test_failures_are_the_first_lines(say, files, fake_fit, tmp_path):
    fake_fit(failed(single()))
    wrong = f"chinchilla FAILED its checks: {FAILURE}\nno law passed"
    code, said, _ = say("fit", files / "single.csv", "--out", tmp_path / "p.nc")
    assert code == FAILED_CHECKS
    assert said.startswith(wrong)
    assert say("check", files / "failed.nc")[1].startswith(wrong)
    one = ("--params", "1M", "--pretrain-tokens", "100M")
    accepted = say("forecast", files / "failed.nc", *one, "--accept")
    assert accepted[0] == DONE
    assert accepted[1].startswith(wrong)
    code, said, _ = say("plan", files / "half.nc", "--flops", "1e17")
    assert code == DONE
    assert said.startswith(f"additive FAILED its checks: {FAILURE}\n")


def test_forecast_answers_for_every_domain_or_the_one_named(say, files):
    design = ("--params", "64M", "--pretrain-tokens", "360M", "--specialize-tokens", "20M")
    code, said, _ = say("forecast", files / "split.nc", *design)
    assert code == DONE
    assert said.startswith("extrapolates up to 4x beyond the sweep\n")
    assert [line.split()[0] for line in said.splitlines()[2:]] == ["d0", "d1"]
    assert "90% (calibrated)" in said
    _, said, _ = say("forecast", files / "split.nc", *design, "--domain", "d1", "--kind", "mean",
                     "--prob", "0.5")  # fmt: skip
    assert [line.split()[0] for line in said.splitlines()[2:]] == ["d1"]
    assert "50% (mean)" in said


def test_plan_says_its_limits_first_then_the_plan_then_the_baselines(say, files):
    code, said, _ = say("plan", files / "split.nc", "--flops", "1e19")
    lines = said.splitlines()
    assert code == DONE
    assert lines[0].startswith(("at the edge", "extrapolates"))
    order = [said.index(part) for part in ("FLOPs, risk mean", "domain ", "weighted", "instead")]
    assert order == sorted(order)
    assert "not assessable: joint" in said
    assert max(map(len, lines)) <= 80


def test_plan_hands_every_option_on(say, files, monkeypatch, tmp_path):
    calls = []
    plan = api("bayeslaw.plan.plan", "plan")

    def fake(*args, **kwargs):
        calls.append((args[1:], kwargs))
        return plan(*args, **kwargs)

    replace_api(monkeypatch, "bayeslaw.plan.plan", "plan", fake)
    out = tmp_path / "plan.json"
    written, once = api("bayeslaw.plan.plan", "written"), []
    replace_api(
        monkeypatch, "bayeslaw.plan.plan", "written", lambda p: once.append(p) or written(p)
    )
    code, said, _ = say(
        "plan", files / "split.nc", "--flops", "0.1T", "--weight", "d0=2", "--weight", "d1=1",
        "--risk", "quantile:0.9", "--arrangement", "trunk", "--stretch", "inf", "--out", out,
        "--json", "--on", "regret", "--kind", "mean", "--epsilon", "0.02", "--cost", "runs",
    )  # fmt: skip
    assert code == DONE
    weights = {"d0": 2.0, "d1": 1.0}
    named = {"accept": False, "on": "regret", "kind": "mean", "epsilon": 0.02,
             "designs": None, "hardware": None, "forgetting": None, "routing": None,
             "cost": "runs"}  # fmt: skip
    assert calls == [((1e11, weights, "quantile:0.9", ["trunk"], np.inf, 0.9), named)]
    assert len(once) == 1
    assert json.loads(out.read_text())["arrangement"] == json.loads(said)["arrangement"] == "trunk"


def fake_sweep(monkeypatch, result):
    study = ModuleType("bayeslaw.train.study")
    calls = []

    def run_sweep(path, out, dry_run, progress, executor):
        assert executor == "local"
        calls.append((str(path), out, dry_run))
        progress(1, 2)
        if isinstance(result, BaseException):
            raise result
        return SimpleNamespace(
            csv="runs.csv", rows=8, trained=2, kept=1, diverged=1, flops=3e12, seconds=65.0,
            dry_run=dry_run, prices=(),
        )  # fmt: skip

    study.run_sweep = run_sweep  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "bayeslaw.train.study", study)
    return calls


def test_sweep_trains_or_prices(say, monkeypatch, tmp_path):
    calls = fake_sweep(monkeypatch, None)
    code, said, _ = say("sweep", "s.toml", "--out", tmp_path)
    assert code == DONE
    assert said.splitlines() == [
        "1 cells DIVERGED", "2 cells trained, 1 there already", "wrote runs.csv: 8 rows (65 s)",
    ]  # fmt: skip
    code, said, _ = say("sweep", "s.toml", "--dry-run")
    assert code == DONE
    assert said.splitlines()[1] == "3T FLOPs, about 65 s here"
    assert calls == [("s.toml", tmp_path, False), ("s.toml", None, True)]


# What programs read


def test_fit_and_check_answer_in_json(say, files, tmp_path):
    out = tmp_path / "p.nc"
    code, said, _ = say("fit", files / "split.csv", "--law", "additive", "--method", "huber",
                        "--out", out, "--json")  # fmt: skip
    answer = json.loads(said)
    assert (code, answer["schema"], answer["passed"]) == (DONE, 1, True)
    assert answer["counts"]["kept"] == 72
    law = answer["laws"][0]
    assert (law["law"], law["weight"]) == ("additive", 1.0)
    assert law["diagnostics"]["r_hat"] is None
    assert set(law["published"]["E"]["d0"]) == {"mean", "sd", "interval"}
    code, said, _ = say("check", out, "--json")
    assert {**json.loads(said), "seconds": 0, "left_out": {}} == {
        **answer, "warnings": [], "sensitivity": {"additive": {}}, "plots": [], "seconds": 0,
    }  # fmt: skip


def test_a_failed_fit_answers_in_json_and_leaves_with_two(say, files):
    code, said, _ = say("check", files / "failed.nc", "--json")
    answer = json.loads(said)
    assert (code, answer["passed"]) == (FAILED_CHECKS, False)
    assert answer["laws"][0]["weight"] == 0
    assert answer["laws"][0]["diagnostics"]["failures"] == [FAILURE]


def test_forecast_answers_a_table_in_its_order(say, files):
    code, said, err = say(
        "forecast", files / "split.nc", "--designs", files / "designs.csv", "--json"
    )
    answer = json.loads(said)
    assert (code, answer["schema"], err) == (DONE, 1, "")
    assert all(set(row) >= ROW for row in answer["rows"])
    assert [(r["params"], r["domain"]) for r in answer["rows"]] == [(4e6, "d1"), (1e6, "d0")]
    assert {r["kind"] for r in answer["rows"]} == {"calibrated"}


def test_laws_lists_every_law_and_map(say):
    code, said, _ = say("laws", "--json")
    entries = json.loads(said)["laws"]
    assert code == DONE
    assert [e["law"] for e in entries] == [*LAWS, "accuracy"]
    assert entries[-1]["kind"] == "map"
    code, said, _ = say("laws")
    assert all(len(line) <= 80 for line in said.splitlines())
    assert "2203.15556" in said


def test_compare_answers_in_json_and_in_a_table(say, files, tmp_path):
    code, said, _ = say("compare", files / "single.nc", "--plot", tmp_path / "c.png", "--json")
    (entry,) = json.loads(said)["laws"]
    assert (code, entry["law"], entry["weight"]) == (DONE, "chinchilla", 1.0)
    assert (tmp_path / "c.png").read_bytes().startswith(b"\x89PNG")
    code, said, _ = say("compare", files / "single.nc")
    assert said.splitlines()[0].split()[:2] == ["law", "weight"]
    assert all(len(line) <= 80 for line in said.splitlines())


def test_backtest_answers_in_json_and_in_a_table(say, files):
    how = ("backtest", files / "single.csv", "--law", "chinchilla", "--cut", "0.6")
    code, said, _ = say(*how, "--json")
    answer = json.loads(said)
    assert (code, answer["schema"], answer["by"]) == (DONE, 1, "flops")
    assert [r["kind"] for r in answer["rows"]] == ["mean", "run", "calibrated", "huber"]
    code, said, _ = say(*how, "--by", "params")
    assert "laws at 0.6: chinchilla 1.00" in said
    assert all(len(line) <= 80 for line in said.splitlines())


def test_plan_answers_with_the_promised_keys(say, files):
    code, said, _ = say("plan", files / "split.nc", "--flops", "1e17", "--json")
    answer = json.loads(said)
    assert (code, answer["schema"]) == (DONE, 1)
    assert set(answer) >= PLAN
    assert answer["command"][:2] == ["bayeslaw", "plan"]
    assert set(answer["domains"]["d0"]) == {"mean", "interval"}
    alone = json.loads(say("plan", files / "split.nc", "--flops", "1e17", "--arrangement",
                           "independent", "--json")[1])  # fmt: skip
    assert set(alone["params"]) == {"d0", "d1"}


@pytest.mark.slow
def test_what_is_asked_of_a_plan_is_in_its_answer(say, files, tmp_path):
    out = tmp_path / "plan.json"
    wishes = (
        "--bound", "pretrain_tokens=:300M", "--unique", "d1=20M", "--epochs", "2",
        "--serve", "d0=500M", "--architectures", "tiny", "--at-least-generalist", "0.6",
    )  # fmt: skip
    code, said, _ = say("plan", files / "split.nc", "--flops", "1e17", *wishes, "--out", out)
    assert code == DONE
    assert all(len(line) <= 80 for line in said.splitlines() if "wrote" not in line)
    for part in ("kept with", "distinct tokens: d1", "serves tokens (d0 500M)", "built as tiny"):
        assert part in said
    answer = json.loads(out.read_text())
    assert answer["pretrain_tokens"] <= 3e8 * (1 + 1e-9)
    assert answer["specialize_tokens"]["d1"] <= 4e7 * (1 + 1e-9)
    assert answer["chances"][0]["reached"] >= 0.6
    assert answer["serving"]["tokens"] == {"d0": 5e8}
    pinned = say("frontier", files / "split.nc", "--flops", "1e16:1e17", "--points", 2,
                 "--pin", "params=5M", "--json")  # fmt: skip
    assert [p["params"] for p in json.loads(pinned[1])["points"]] == pytest.approx([5e6, 5e6])


def test_a_frontier_has_a_row_a_budget_and_a_plot(say, files, tmp_path):
    plot = tmp_path / "f.png"
    how = ("frontier", files / "split.nc", "--flops", "1e16:1e20", "--points", 3, "--kind", "mean")
    code, said, _ = say(*how, "--plot", plot, "--json")
    answer = json.loads(said)
    assert (code, answer["schema"], plot.read_bytes()[:4]) == (DONE, 1, b"\x89PNG")
    assert [p["budget"] for p in answer["points"]] == pytest.approx([1e16, 1e18, 1e20])
    said = say(*how)[1]
    assert all(len(line) <= 80 for line in said.splitlines())
    assert said.splitlines()[2].startswith("1e16")


def test_a_front_has_a_row_a_design_and_a_plot(say, files, tmp_path):
    plot = tmp_path / "f.png"
    how = ("pareto", files / "split.nc", "--flops", "1e18", "--kind", "mean", "--points", 3,
           "--between", "domain:d0", "domain:d1")  # fmt: skip
    code, said, _ = say(*how, "--plot", plot, "--json")
    answer = json.loads(said)
    assert (code, answer["schema"], plot.read_bytes()[:4]) == (DONE, 1, b"\x89PNG")
    said = say(*how)[1]
    assert all(len(line) <= 80 for line in said.splitlines())
    assert len(said.splitlines()) == 2 + len(answer["points"])


def test_a_budget_in_hours_is_said_in_hours_and_money_beside_ones_own_designs(say, files, tmp_path):
    mine = tmp_path / "mine.csv"
    mine.write_text("design,params,pretrain_tokens\nours,10M,1B\n")
    how = ("plan", files / "split.nc", "--gpu-hours", "0.001", "--device", "a100", "--mfu", "0.5")
    code, said, _ = say(*how, "--designs", mine, "--json")
    answer = json.loads(said)
    assert code == DONE
    assert answer["budget"]["flops"] == pytest.approx(0.001 * 3600 * 312e12 * 0.5)
    assert answer["hardware"]["gpu_hours"] == pytest.approx(0.001)
    assert answer["baselines"][-1]["name"] == "ours"
    assert "hours of a100 at 50 % of its bf16 peak" in say(*how)[1]


def test_runs_are_suggested_with_the_promised_keys(say, files, tmp_path):
    pool = tmp_path / "pool.csv"
    pool.write_text("params,pretrain_tokens,specialize_tokens,branch\n4M,1B,,\n4M,1B,10M,d0\n")
    how = ("suggest", files / "split.nc", "--plan-flops", "1e19", "--spend", "1e17", "--runs", 2)
    for more in ((), ("--pool", pool)):
        code, said, _ = say(*how, *more, "--json")
        answer = json.loads(said)
        assert (code, answer["schema"]) == (DONE, 1)
        for said in answer["runs"]:
            assert set(said) == {"params", "pretrain_tokens", "specialize_tokens", "branch",
                                "flops", "evsi", "evsi_error", "evsi_per_flop"}  # fmt: skip
    assert all(len(line) <= 80 for line in say(*how)[1].splitlines())


def test_a_target_is_answered_by_its_plan(say, files):
    code, said, _ = say("plan", files / "split.nc", "--target", "d0=1.8", "--prob", "0.8")
    assert code == DONE
    assert "the least that reaches d0 1.8 with probability" in " ".join(said.split())
    assert "80% (calibrated)" in said


def test_numbers_that_json_lacks_become_null():
    finite = api("bayeslaw.cli.answer", "finite")
    assert finite({"a": [np.nan, (np.inf, 1.0)], 2: "x"}) == {"a": [None, [None, 1.0]], "2": "x"}


# Exit codes


MISTAKES = [
    ("", "Usage"),
    ("--debug", "Missing command"),
    ("fitt", "fitt"),
    ("fit", "RUNS"),
    ("fit x.csv --nonsense", "--nonsense"),
    ("fit x.csv", "no such file"),
    ("fit SINGLE --method foo", "laplace"),
    ("fit SINGLE --likelihood foo", "student"),
    ("fit SINGLE --seed -1", "seed"),
    ("fit SINGLE --law nonesuch --out OUT", "nonesuch"),
    ("fit SINGLE --unit furlongs --out OUT", "nats/token"),
    ("fit SINGLE --map loss --out OUT", "NAME=VALUE"),
    ("fit SINGLE --map loss=a --map loss=b --out OUT", "twice"),
    ("fit SINGLE --out FOLDER", "is a folder"),
    ("fit SINGLE --out SINGLE/p.nc", "is no folder"),
    ("check x.nc", "no such file"),
    ("check SINGLE", "not a posterior"),
    ("check SPLIT_NC --plots SINGLE", "is no folder"),
    ("forecast SPLIT_NC", "--designs"),
    ("forecast SPLIT_NC --params 7B", "--pretrain-tokens"),
    ("forecast SPLIT_NC --params 7Q --pretrain-tokens 1B", "7Q"),
    ("forecast SPLIT_NC --params -7B --pretrain-tokens 1B", "more than 0"),
    ("forecast SPLIT_NC --params 7B --pretrain-tokens 1B --domain zz", "zz"),
    ("forecast SPLIT_NC --params 7B --pretrain-tokens 1B --prob 1.5", "prob"),
    ("forecast SPLIT_NC --params 7B --pretrain-tokens 1B --kind all", "mean"),
    ("forecast SPLIT_NC --designs DESIGNS --domain d0", "leave out --domain"),
    ("forecast SPLIT_NC --designs x.csv", "x.csv"),
    ("plan SPLIT_NC", "--flops"),
    ("plan SPLIT_NC --flops 1e17 --target d0=2", "--target"),
    ("plan SPLIT_NC --flops 1e17 --days 3", "give a budget"),
    ("plan SPLIT_NC --days 3 --device abacus", "'abacus' is not one of"),
    ("plan SPLIT_NC --flops 1e17 --designs none.csv", "not readable"),
    ("plan SPLIT_NC --flops 1e17 --mfu 0.5 --count 4", "--mfu, --count would change nothing"),
    ("plan SPLIT_NC --flops 1e17 --precision fp8 --devices x.toml", "--precision, --devices"),
    ("plan SPLIT_NC --target d0=2 --weight d1=2", "weights do not count"),
    ("plan SPLIT_NC --target d0=2 --risk cvar:0.1", "leave out --risk"),
    ("plan SPLIT_NC --target zz=2", "zz"),
    ("plan SPLIT_NC --target d0=0.5", "floor of d0"),
    ("frontier SPLIT_NC --flops 1e17", "LOW:HIGH"),
    ("suggest SPLIT_NC --plan-flops 1e19", "--spend"),
    ("suggest SPLIT_NC --plan-flops 1e19 --spend 1", "no run costs at most 1"),
    ("suggest SPLIT_NC --plan-flops 1e19 --spend 1e17 --pool none.csv", "not readable"),
    ("frontier SPLIT_NC --flops 1e18:1e17", "LOW:HIGH"),
    ("plan SPLIT_NC --flops 1e17 --pin depth=3", "'depth' is not of params"),
    ("plan SPLIT_NC --flops 1e17 --pin params", "NAME=VALUE"),
    ("plan SPLIT_NC --flops 1e17 --bound params=1B", "LOW:HIGH"),
    ("plan SPLIT_NC --flops 1e17 --unique zz=3", "'zz'"),
    ("plan SPLIT_NC --flops 1e17 --serve zz=3", "'zz'"),
    ("plan SPLIT_NC --flops 1e17 --limit d0=2", "LOSS:PROBABILITY"),
    ("plan SPLIT_NC --flops 1e17 --at-least-generalist 90", "between 0 and 1"),
    ("frontier SPLIT_NC --flops 1e17:1e18 --architectures none.csv", "not readable"),
    ("pareto SPLIT_NC --flops 1e18", "--between"),
    ("pareto SPLIT_NC --flops 1e18 --between mean dice", "dice"),
    ("pareto SPLIT_NC --flops 1e18 --between mean mean", "two different aims"),
    ("pareto SPLIT_NC --flops 1e18 --between mean domain:zz", "unknown domain 'zz'"),
    ("pareto SPLIT_NC --flops 1e18 --between mean cvar:0.1 --limit d0=2:0.9", "not for a front"),
    ("plan SPLIT_NC --flops 1e17 --timings none.csv --device h100", "not readable as a table"),
    ("plan SPLIT_NC --flops 1e17 --timings none.csv", "--timings would change nothing"),
    ("plan SPLIT_NC --flops 1e17 --forgetting SPLIT_NC", "on their own domain"),
    ("plan SPLIT_NC --flops lots", "lots"),
    ("plan SPLIT_NC --flops -1", "-1"),
    ("plan SPLIT_NC --flops 1e17 --weight d0", "NAME=VALUE"),
    ("plan SPLIT_NC --flops 1e17 --weight d0=x", "--weight"),
    ("plan SPLIT_NC --flops 1e17 --weight zz=1", "zz"),
    ("plan SPLIT_NC --flops 1e17 --risk dice", "dice"),
    ("plan SPLIT_NC --flops 1e17 --arrangement pile", "pile"),
    ("plan SPLIT_NC --flops 1e17 --out FOLDER", "is a folder"),
    ("sweep", "SWEEP.toml"),
]


@pytest.mark.parametrize(("line", "said"), MISTAKES, ids=[m[0] or "nothing" for m in MISTAKES])
def test_a_mistake_leaves_with_one_and_says_what_to_mend(say, files, tmp_path, line, said):
    names = {
        "SINGLE": files / "single.csv", "SPLIT_NC": files / "split.nc", "FOLDER": tmp_path,
        "DESIGNS": files / "designs.csv", "OUT": tmp_path / "p.nc",
    }  # fmt: skip
    for name, path in names.items():
        line = line.replace(name, str(path))
    code, out, err = say(*line.split())
    assert (code, out) == (USER_ERROR, "")
    assert said in err
    assert not (tmp_path / "p.nc").exists()


@pytest.mark.parametrize(
    "command",
    [("forecast", "--params", "1B", "--pretrain-tokens", "9B"), ("plan", "--flops", "1e18")],
)
def test_a_failed_fit_is_refused_with_two_unless_accepted(say, files, command):
    name, *options = command
    code, out, err = say(name, files / "failed.nc", *options)
    assert (code, out) == (FAILED_CHECKS, "")
    assert FAILURE in err
    assert "--accept" in err
    assert say(name, files / "failed.nc", *options, "--accept")[0] == DONE


def test_a_fit_that_fails_its_checks_is_written_and_marked(say, files, fake_fit, tmp_path):
    fake_fit(failed(single()))
    out = tmp_path / "p.nc"
    assert say("fit", files / "single.csv", "--out", out)[0] == FAILED_CHECKS
    assert not read_posterior(out).passed


@pytest.mark.parametrize(
    ("error", "code"), [(KeyboardInterrupt(), INTERRUPTED), (RunsError("odd"), USER_ERROR)]
)
def test_what_stops_a_fit_leaves_the_old_file_whole(say, files, fake_fit, tmp_path, error, code):
    fake_fit(error)
    out = tmp_path / "p.nc"
    out.write_text("old")
    said = say("fit", files / "single.csv", "--out", out)
    assert said[:2] == (code, "")
    assert said[2] == ("interrupted\n" if code == INTERRUPTED else "error: odd\n")
    assert out.read_text() == "old"


def test_a_disk_that_fills_up_leaves_the_old_file_whole(
    say, files, fake_fit, tmp_path, monkeypatch
):
    fake_fit(single())

    def half(self, path, **_):
        path.write_text("half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("xarray.DataTree.to_netcdf", half)
    out = tmp_path / "p.nc"
    out.write_text("old")
    code, _, err = say("fit", files / "single.csv", "--out", out)
    assert code == USER_ERROR
    assert "No space left" in err
    assert out.read_text() == "old"
    assert [f.name for f in tmp_path.iterdir()] == ["p.nc"]


def test_an_interrupted_sweep_leaves_with_130(say, monkeypatch):
    fake_sweep(monkeypatch, KeyboardInterrupt())
    assert say("sweep", "s.toml")[0] == INTERRUPTED
    fake_sweep(monkeypatch, SweepError("widths: empty"))
    assert say("sweep", "s.toml") == (USER_ERROR, "", "error: widths: empty\n")


def test_debug_shows_where_an_error_came_from(files):
    with pytest.raises(RunsError, match="no such file"):
        run(["--debug", "fit", "x.csv"])


# The library behind it


@pytest.mark.parametrize(
    ("command", "module", "renamed"),
    [
        ("inference.fit", "bayeslaw.infer.fit", {}),
        ("planning.forecast", "bayeslaw.forecast", {}),
        ("planning.plan", "bayeslaw.plan.plan", {}),
    ],
)
def test_defaults_are_those_of_the_library(command, module, renamed):
    room, command = command.split(".")
    ours = inspect.signature(api(f"bayeslaw.cli.{room}", command)).parameters
    theirs = inspect.signature(api(module, command)).parameters
    both = [n for n in ours if n in theirs and n != "designs"]
    assert len(both) >= 3
    for name in both:
        default = theirs[name].default
        given = ours[name].default
        if default is not inspect.Parameter.empty:
            assert given == default or float(given) == default


def test_choices_are_those_of_the_library():
    cli, fits = importlib.import_module("bayeslaw.cli.app"), "bayeslaw.infer.fit"
    assert get_args(cli.Method) == api(fits, "METHODS")
    assert get_args(cli.Likelihood) == get_args(api("bayeslaw.infer.model", "Likelihood"))
    assert get_args(cli.Kind) == api("bayeslaw.infer.ensemble", "KINDS")


# The pieces


@pytest.mark.parametrize(
    ("draws", "brief", "said"),
    [
        (np.full(9, 0.34567), True, "0.346"),
        (0.35 + 0.01 * np.linspace(-1.7, 1.7, 101), True, "0.3500 ± 0.0099"),
        (35 + 2 * np.linspace(-1.7, 1.7, 101), False, "35.0 ± 2.0 [31.9, 38.1]"),
        (1e6 + 1e5 * np.linspace(-1.7, 1.7, 101), True, "1M ± 99k"),
        (np.exp(np.linspace(0, 9, 101)), True, "90 [1.57, 5.17k]"),
    ],
)
def test_an_estimate_says_as_many_digits_as_it_knows(draws, brief, said):
    assert words._estimate(draws, brief) == said


def test_domains_that_do_not_fit_go_below():
    columns = [[f"domain{k}", "0.123 ± 0.045"] for k in range(9)]
    blocks = words._side_by_side(["", "α"], columns)
    assert [len(b) for b in blocks] == [2, 2]
    assert all(len(line) <= words.WIDTH for b in blocks for line in b)
    assert sum(line.count("domain") for b in blocks for line in b) == 9


def test_no_bar_where_there_is_no_terminal(capsys):
    with bar.progress("fitting") as step:
        step("additive")
        step("additive", 0.5)
    assert capsys.readouterr() == ("", "")


def test_a_bar_on_a_terminal_after_a_while(monkeypatch):
    import io
    import time

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("TERM", "xterm")
    with bar.progress("fitting") as step:
        step("quick", 0.5)
    assert screen.getvalue() == ""
    monkeypatch.setattr(bar, "SLOW", 0.01)
    with bar.progress("fitting") as step:
        step("additive", 0.5)
        time.sleep(0.3)
    assert "fitting additive" in screen.getvalue()


# As a program


def program(*arguments: object, code: str = "") -> subprocess.CompletedProcess[str]:
    command = ["-c", code] if code else ["-m", "bayeslaw", *map(str, arguments)]
    return subprocess.run([sys.executable, *command], capture_output=True, text=True)


@pytest.mark.parametrize(
    "command",
    [
        [],
        ["import"],
        ["schema"],
        ["fit"],
        ["check"],
        ["forecast"],
        ["plan"],
        ["frontier"],
        ["pareto"],
        ["suggest"],
        ["sweep"],
        ["evaluate"],
    ],
)
def test_help_loads_nothing_heavy(command):
    code = (
        "import sys; from bayeslaw.cli import run\n"
        f"code = run({[*command, '--help']})\n"
        "print(*sys.modules, file=sys.stderr); sys.exit(code)"
    )
    done = program(code=code)
    assert done.returncode == DONE
    assert done.stdout.startswith("Usage: bayeslaw")
    assert not HEAVY & set(done.stderr.split())


def test_the_program_has_a_version_and_no_tracebacks(tmp_path):
    done = program("--version")
    said = dict(line.split(maxsplit=1) for line in done.stdout.splitlines())
    assert (done.returncode, said["bayeslaw"]) == (DONE, api("bayeslaw", "__version__"))
    assert said["numpy"] == np.__version__
    assert said["python"] == platform.python_version()
    assert {"jax", "numpyro", "arviz-base", "torch"} <= set(said)
    done = program("fit", tmp_path / "x.csv")
    assert done.returncode == USER_ERROR
    assert done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr
    done = program("--debug", "fit", tmp_path / "x.csv")
    assert done.returncode == USER_ERROR
    assert "Traceback" in done.stderr


def test_ctrl_c_leaves_with_130_and_the_old_file_whole(files, tmp_path):
    out = tmp_path / "p.nc"
    out.write_text("old")
    code = (
        "import os, signal, sys, time, bayeslaw.infer.fit as module\n"
        "def fit(*_, **__): os.kill(os.getpid(), signal.SIGINT); time.sleep(60)\n"
        "module.fit = fit\n"
        "from bayeslaw.cli import run\n"
        f"sys.exit(run(['fit', {str(files / 'single.csv')!r}, '--out', {str(out)!r}]))"
    )
    done = program(code=code)
    assert done.returncode == INTERRUPTED
    assert done.stderr.strip() == "interrupted"
    assert [f.name for f in tmp_path.iterdir()] == ["p.nc"]
    assert out.read_text() == "old"


def test_sweep_without_torch_says_what_to_install(tmp_path):
    code = (
        "import sys; sys.modules['torch'] = None; from bayeslaw.cli import run\n"
        f"sys.exit(run(['sweep', {str(tmp_path / 's.toml')!r}]))"
    )
    done = program(code=code)
    assert done.returncode == USER_ERROR
    assert done.stderr == "error: sweep needs torch: pip install 'bayeslaw[train]'\n"


@pytest.mark.slow
def test_check_draws_its_plots(files, tmp_path):
    done = program("check", files / "single.nc", "--plots", tmp_path / "plots", "--json")
    assert (done.returncode, done.stderr) == (DONE, "")
    drawn = json.loads(done.stdout)["plots"]
    assert len(drawn) == 8
    assert sorted(drawn) == sorted(map(str, (tmp_path / "plots").iterdir()))
