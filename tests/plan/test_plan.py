"""The plan: what its file says, what it refuses, and how far it goes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from bayeslaw import Run
from bayeslaw.errors import FitError, PlanError
from bayeslaw.plan import evaluate_plan, plan
from tests.fitted import failed
from tests.plan import drawn

FITTED = drawn.ensemble("additive", 3)
KEYS = {
    "schema", "passed", "arrangement", "params", "pretrain_tokens", "specialize_tokens", "flops",
    "risk", "kind", "prob", "loss", "domains", "p_best", "p_split_beats_generalist", "regret",
    "at_bound", "extrapolation", "not_assessable", "baselines", "weights", "on", "risk_value",
    "budget", "models", "served_params", "p_best_of", "region", "own_optima", "evpi", "evpi_flops",
    "targets", "hardware", "at_limit", "excluded", "data", "uncapped", "serving", "unserved",
    "architecture", "unsnapped", "chances",
    "shadow_price", "limits", "laws", "priors", "certificate", "experts", "replay", "cost",
    "embeddings", "draws", "seed", "stretch", "arrangements", "distill", "objective", "routing",
    "recipe", "recipes",
}  # fmt: skip


@pytest.fixture(scope="module")
def said():
    return plan(FITTED, "1e20", {"d1": 2}, "cvar:0.1").to_json()


def test_the_file_has_the_keys_that_are_promised(said):
    assert set(said) == KEYS
    assert said["schema"] == 1
    assert (said["risk"], said["kind"], said["prob"]) == ("cvar:0.1", "calibrated", 0.9)
    assert set(said["specialize_tokens"]) == set(said["domains"]) == set(FITTED.domains)
    for loss in (said["loss"], *said["domains"].values()):
        assert set(loss) == {"mean", "interval"}
        assert loss["interval"][0] < loss["mean"] < loss["interval"][1]
    assert json.loads(json.dumps(said, allow_nan=False)) == said


def test_a_domain_that_is_not_named_has_weight_one(said):
    assert said["weights"] == {"d0": 0.25, "d1": 0.5, "d2": 0.25}
    mean = sum(said["weights"][d] * said["domains"][d]["mean"] for d in FITTED.domains)
    assert said["loss"]["mean"] == pytest.approx(mean, rel=1e-12)


def test_models_of_their_own_have_their_own_sizes():
    own = plan(FITTED, 1e20, arrangements=["independent"]).to_json()
    for key in ("params", "pretrain_tokens", "specialize_tokens"):
        assert set(own[key]) == set(FITTED.domains)


def test_what_may_not_be_chosen_still_stands_beside_the_plan(said):
    free = plan(FITTED, 1e20)
    for name in ("trunk", "independent", "generalist"):
        held = plan(FITTED, 1e20, arrangements=[name])
        assert held.chosen.name == name
        assert {c.name for c in (held.chosen, *held.others)} == {
            c.name for c in (free.chosen, *free.others)
        }
        assert held.p_split_beats_generalist == free.p_split_beats_generalist
        assert held.regret(held.chosen) >= free.regret(free.chosen)
        assert held.p_best <= free.p_best or held.chosen.name == free.chosen.name


def test_the_baselines_are_the_other_arrangements_and_the_rules_of_thumb(said):
    names = [b["name"] for b in said["baselines"]]
    assert {said["arrangement"], *names} == {
        "trunk", "independent", "generalist", "split at 10%", "split at 50%"
    }  # fmt: skip
    for b in said["baselines"]:
        if b["name"].startswith("split at"):
            split = sum(b["specialize_tokens"].values())
            share = float(b["name"].split()[-1].rstrip("%")) / 100
            assert split / (split + b["pretrain_tokens"]) == pytest.approx(share, rel=1e-9)


def test_regret_is_never_negative_and_grows_with_the_expected_loss(said):
    assert said["regret"] >= 0
    for b in said["baselines"]:
        gap = b["loss"]["mean"] - said["loss"]["mean"]
        assert b["regret"] - said["regret"] == pytest.approx(gap, abs=1e-12)
        assert 0 <= b["p_plan_beats"] <= 1
    assert 0 <= said["p_best"] <= 1
    assert 0 <= said["p_split_beats_generalist"] <= 1


@pytest.mark.parametrize("risk", ["mean", "quantile:0.9", "cvar:0.1"])
def test_the_plan_has_the_least_risk_of_all_that_was_compared(risk):
    answer = plan(FITTED, 1e20, risk=risk)
    assert all(answer.chosen.risk <= other.risk for other in answer.others)


def test_the_same_call_gives_the_same_plan(said):
    assert plan(FITTED, "1e20", {"d1": 2}, "cvar:0.1").to_json() == said


def test_more_draws_than_there_are_change_nothing():
    few, many = (plan(FITTED, 1e20, draws=n, kind="mean").chosen for n in (200, 400))
    assert many.totals.mean() == pytest.approx(few.totals.mean(), rel=1e-9)


# --- the domain of validity


@pytest.mark.parametrize("stretch", [1.0, 4.0])
def test_ratios_stay_within_the_stretched_sweep(stretch):
    for flops in (1e14, 1e26):
        answer = plan(FITTED, flops, stretch=stretch, kind="mean")
        for c in (answer.chosen, *answer.others):
            if c.name != c.arrangement:
                continue  # a rule of thumb sets the split itself
            n, d, split = (np.asarray(f) for f in c.run[:3])
            for ratio, name in ((d / n, "tokens_per_param"), (split / d, "split_ratio")):
                low, high = FITTED.ranges[name]
                if (ratio > 0).all():
                    assert (ratio >= low / stretch * (1 - 1e-9)).all()
                    assert (ratio <= high * stretch * (1 + 1e-9)).all()


@pytest.mark.parametrize(
    ("ranges", "bound"),
    [
        ({"tokens_per_param": (1e5, 1e6)}, "tokens_per_param low"),
        ({"tokens_per_param": (1e-6, 1e-5)}, "tokens_per_param high"),
        ({"split_ratio": (50.0, 60.0)}, "split_ratio low (d1)"),
        ({"split_ratio": (1e-9, 1e-8)}, "split_ratio high (d1)"),
    ],
)
def test_at_bound_names_the_bound(ranges, bound):
    answer = plan(drawn.ensemble("additive", 2, **ranges), 1e20, arrangements=["trunk"], stretch=1)
    assert bound in answer.chosen.at_bound


def test_at_bound_is_empty_inside():
    wide = drawn.ensemble("additive", 2, split_ratio=(1e-4, 1e4), tokens_per_param=(1e-3, 1e5))
    assert plan(wide, 1e20, arrangements=["trunk"]).chosen.at_bound == ()


def test_extrapolation_says_how_far_outside_the_sweep_the_plan_is():
    answer = plan(FITTED, 1e24, arrangements=["generalist"])
    beyond = answer.to_json()["extrapolation"]
    assert beyond["compute"] == pytest.approx(1e24 / 1e20, rel=1e-9)
    assert beyond["params"] == pytest.approx(answer.to_json()["params"] / 1e9, rel=1e-9)


# --- what cannot be assessed


def test_a_single_stage_fit_says_why_there_is_no_split():
    said = plan(drawn.ensemble("chinchilla", 2), 1e20).to_json()
    reasons = {n["arrangement"]: n["reason"] for n in said["not_assessable"]}
    assert set(reasons) == {"trunk", "joint", "scratch"}
    assert "single stage: no runs were split" in reasons["trunk"]
    assert said["p_split_beats_generalist"] is None


def test_a_two_stage_fit_says_why_there_is_no_joint_and_no_scratch(said):
    reasons = {n["arrangement"]: n["reason"] for n in said["not_assessable"]}
    assert set(reasons) == {"joint", "scratch"}
    assert "no runs of recipe joint" in reasons["joint"]
    assert "no runs with pretrain_tokens = 0" in reasons["scratch"]


def test_scratch_needs_runs_without_pretraining_and_a_law_that_is_finite_there():
    fitted = drawn.ensemble("additive", 2, pretrain_tokens=(0.0, 1e11))
    reasons = dict(plan(fitted, 1e20).not_assessable)
    assert reasons["scratch"] == "not finite without pretraining: additive"


def test_one_domain_has_no_models_of_their_own():
    assert (
        "one domain"
        in dict(plan(drawn.ensemble("additive", 1), 1e20).not_assessable)["independent"]
    )


# --- designs of the caller's


def test_a_design_of_the_callers_is_scored_beside_the_plan_at_its_own_cost():
    mine = {
        "one": Run(1e9, 1e10, 0.0),
        "split": Run(1e9, 1e10, np.array([1e9, 2e9, 3e9])),
        "apart": Run(1e9, np.array([1e10, 2e10, 3e10]), 1e9),
        "sizes": Run(np.array([1e9, 2e9, 3e9]), 1e10, 0.0),
    }
    said = {b["name"]: b for b in plan(FITTED, 1e20, designs=mine).to_json()["baselines"]}
    assert [said[n]["arrangement"] for n in mine] == [
        "generalist", "trunk", "independent", "independent"
    ]  # fmt: skip
    cost = [6e9 * 1e10, 6e9 * 1.6e10, 6e9 * 6.3e10, 6e10 * 6e9]
    assert [said[n]["flops"] for n in mine] == pytest.approx(cost, rel=1e-12)


@pytest.mark.parametrize("name", ["trunk", "generalist", "split at 10%"])
def test_a_design_may_not_take_the_name_of_a_candidate(name):
    with pytest.raises(PlanError, match=f"design '{name}' has the name of a candidate"):
        plan(FITTED, 1e20, designs={name: Run(1e9, 1e10, 1e9)})


def test_a_design_that_is_the_callers_is_no_optimum_of_its_arrangement():
    answer = plan(FITTED, 1e20, designs={"mine": Run(1e9, 1e10, 1e9)})
    assert {c.name for c in answer.by_arrangement.values()} == {
        "trunk", "independent", "generalist"
    }  # fmt: skip
    assert {c.name: c.kind for c in answer.others}["mine"] == "own"


@pytest.mark.parametrize(
    ("run", "said"),
    [
        (Run(-1e9, 1e10, 1e9), "params of design 'mine' is -1.*more than 0"),
        (Run(1e9, float("nan"), -1.0), "pretrain_tokens of.*specialize_tokens of.*0 or more"),
        (Run(1e9, 1e10, np.ones(2)), "specialize_tokens of design 'mine'.*1 number or 3"),
    ],
)
def test_a_design_that_cannot_be_trained_is_refused(run, said):
    with pytest.raises(PlanError, match=said):
        plan(FITTED, 1e20, designs={"mine": run})
    with pytest.raises(PlanError, match=said):
        evaluate_plan(FITTED, {"mine": run})


# --- what is refused


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"stretch": 0.5}, r"stretch must be at least 1 \(or inf\), got 0.5"),
        ({"stretch": float("nan")}, "stretch must be at least 1"),
        ({"weights": {"law": 1}}, "unknown domain 'law'; the fit has d0, d1, d2"),
        ({"weights": {"d0": -1}}, "weight of 'd0' is -1; it must be 0 or more"),
        ({"weights": {"d0": float("nan")}}, "weight of 'd0' is nan; it must be 0 or more"),
        ({"weights": {"d0": float("inf")}}, "and finite"),
        ({"weights": {"law": 1, "d0": -1}}, "unknown domain 'law'.*weight of 'd0'"),
        ({"weights": dict.fromkeys(FITTED.domains, 0)}, "give at least one domain a positive"),
        ({"risk": "entropy"}, "not one of mean, quantile:LEVEL, cvar:LEVEL"),
        ({"risk": "cvar:2"}, "level between 0 and 1, as cvar:0.1"),
        ({"flops": 0}, "flops must be positive and finite"),
        ({"flops": -1e20}, "flops must be positive and finite"),
        ({"flops": float("nan")}, "flops must be positive and finite"),
        ({"flops": float("inf")}, "flops must be positive and finite"),
        ({"flops": "much"}, "flops: 'much' is not a number; write 7e9"),
        ({"arrangements": ["forest"]}, "arrangement forest is not one of trunk, independent"),
        ({"arrangements": ["joint"]}, "nothing to choose from: joint: no runs"),
        ({"prob": 1.0}, "prob must lie between 0 and 1"),
        ({"draws": 0}, "draws must be at least 1, got 0"),
        ({"draws": -1}, "draws must be at least 1, got -1"),
        (
            {
                "prob": 2,
                "flops": 0,
                "risk": "dice",
                "arrangements": ["forest"],
                "on": "x",
                "kind": "y",
                "stretch": 0.1,
                "epsilon": 0,
                "weights": {"law": 1},
            },
            "forest.*prob must.*epsilon.*flops must.*dice.*unknown domain.*stretch.*'y'.*on 'x'",
        ),
    ],
)
def test_what_cannot_be_planned_is_refused_with_the_remedy(wrong, said):
    with pytest.raises(PlanError, match=said):
        plan(FITTED, **{"flops": 1e20, **wrong})


def test_a_fit_that_failed_the_gate_is_used_only_when_accepted():
    with pytest.raises(FitError, match="accept=True"):
        plan(failed(FITTED), 1e20)
    assert plan(failed(FITTED), 1e20, accept=True).to_json()["passed"] is False
    assert plan(FITTED, 1e20).to_json()["passed"] is True


# --- the file


def test_the_file_is_the_json(said, tmp_path):
    file = plan(FITTED, "1e20", {"d1": 2}, "cvar:0.1").write(tmp_path / "new" / "plan.json")
    assert json.loads(file.read_text()) == said


def test_a_write_that_fails_half_way_leaves_the_old_file_whole(tmp_path, monkeypatch):
    file, answer = tmp_path / "plan.json", plan(FITTED, 1e20)
    file.write_text("old")
    write = Path.write_text

    def half(path, text, *args, **kwargs):
        write(path, text[: len(text) // 2])
        raise OSError("disk full")

    monkeypatch.setattr(Path, "write_text", half)
    with pytest.raises(OSError, match="disk full"):
        answer.write(file)
    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]
