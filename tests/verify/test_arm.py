"""What is trained to verify a plan: at the plan's compute, and at sizes that can be built."""

from __future__ import annotations

import json
import tomllib
from dataclasses import replace

import numpy as np
import pytest

from bayeslaw.cost import CostLaw
from bayeslaw.errors import FitError, PlanError, SweepError
from bayeslaw.infer.source import Source
from bayeslaw.sweep import SecondStage, SweepSpec, cells, read_sweep
from bayeslaw.verify import arms_of, read_plan
from bayeslaw.verify.training import Training
from tests.verify.planned import DOMAINS, PLAN, plan_file, written

SWEEP = SweepSpec(
    name="s", recipe="tiny", domains=DOMAINS, widths=(16,), pretrain_tokens=("32k",),
    seeds=(0, 4), epochs=100,
)  # fmt: skip


def small(folder):
    """The same plan at sizes of the tiny recipe: N over 1000, tokens over 1000."""

    def less(said):
        return {
            **said,
            **{n: less_of(said[n]) for n in ("params", "pretrain_tokens", "specialize_tokens")},
        }

    def less_of(value):
        return {d: v / 1e3 for d, v in value.items()} if isinstance(value, dict) else value / 1e3

    return plan_file(folder, **less(PLAN) | {"baselines": [less(b) for b in PLAN["baselines"]]})


def test_the_arms_are_the_plan_its_baselines_and_what_else_a_split_is_compared_with(tmp_path):
    arms = {a.name: a for a in arms_of(plan_file(tmp_path))}
    assert list(arms) == [
        "plan", "independent", "generalist", "split at 50%", "joint", "scratch",
        "weighted generalist",
    ]  # fmt: skip
    flops = PLAN["budget"]["flops"]
    assert arms["plan"].flops == pytest.approx(flops)
    assert arms["joint"].flops == pytest.approx(flops)
    assert arms["joint"].specialize_tokens.tolist() == [4e7, 4e7]
    assert arms["scratch"].flops == pytest.approx(arms["independent"].flops)
    assert not arms["scratch"].pretrain_tokens.any()
    assert arms["weighted generalist"].flops == pytest.approx(arms["generalist"].flops)
    assert [len(list(a.models())) for a in arms.values()] == [2, 2, 1, 2, 1, 2, 1]
    assert [a.assessable for a in arms.values()] == [True] * 4 + [False] * 3


def test_without_independent_scratch_shares_the_trunks_compute(tmp_path):
    plan = plan_file(tmp_path, baselines=[])
    arms = {a.name: a for a in arms_of(plan)}
    assert arms["scratch"].flops == pytest.approx(PLAN["budget"]["flops"])


def test_equal_weights_need_no_weighted_generalist_and_arms_can_be_left_out(tmp_path):
    plan = plan_file(tmp_path, weights={"d0": 0.5, "d1": 0.5})
    names = [a.name for a in arms_of(plan, without=["scratch"])]
    assert "weighted generalist" not in names
    assert "scratch" not in names
    with pytest.raises(PlanError, match=r"no arm 'none'.*the plan cannot be left out"):
        arms_of(plan, without=["none", "plan"])


def test_an_arm_that_is_built_costs_what_it_was_planned_to(tmp_path):
    rule = SWEEP.rule
    for arm in arms_of(small(tmp_path)):
        built = arm.built(SWEEP)
        assert built.planned is arm
        assert built.flops == pytest.approx(arm.flops, rel=0.02)
        assert np.exp(np.abs(np.log(built.params / arm.params))).max() < 1.25
        tokens = np.concatenate([built.pretrain_tokens, built.specialize_tokens])
        assert not (tokens % rule.tokens_per_step).any()
        assert ((tokens > 0) == np.concatenate([
            arm.pretrain_tokens, arm.specialize_tokens]).astype(bool)).all()  # fmt: skip


def test_a_training_asks_the_sweep_for_exactly_the_arms_with_new_seeds(tmp_path):
    plan = small(tmp_path)
    training = Training.of(SWEEP, arms_of(plan), plan.weights, 2, tmp_path / "out")
    spec = read_sweep(training.write())
    assert spec.seeds == (5, 6)
    wanted = {
        (m.params, m.pretrain_tokens, m.specialize_tokens, m.branch or ("joint" * joint))
        for a in training.arms for m in a.models() for joint in [m.specialize_tokens > 0]
    }  # fmt: skip
    found = cells(spec, "digest", DOMAINS)
    asked = {
        (rule_params(spec, m), m.pretrain_tokens, m.specialize_tokens, m.branch)
        for m in found.models
    }
    assert asked == wanted
    weights = [m.second_stage.weights for m in found.models if m.branch == "joint"]
    assert all(w == {"d0": 0.25, "d1": 0.75} for w in weights)


def rule_params(spec, cell):
    return spec.rule.shape(cell.width).params


def test_the_settings_keep_what_the_sweep_says_of_text_and_trainer(tmp_path):
    place = tmp_path / "text"
    spec = SWEEP.model_copy(update={
        "corpus": "folder", "corpus_options": {"path": str(place), "min_bytes": 5},
        "second_stage": (), "executor_options": {"a": {"b": "é\n"}},
    })  # fmt: skip
    with pytest.raises(SweepError, match="no second stage on one domain"):
        Training.of(spec, arms_of(small(tmp_path)), np.array([0.5, 0.5]), 1, tmp_path)
    spec = spec.model_copy(update={"second_stage": SWEEP.second_stage})
    training = Training.of(spec, arms_of(small(tmp_path)), np.array([0.5, 0.5]), 1, tmp_path / "o")
    said = tomllib.loads(training.write().read_text())
    assert said["corpus_options"] == {"path": "../text", "min_bytes": 5}
    assert said["executor_options"] == {"a": {"b": "é\n"}}
    assert (said["name"], said["recipe"], said["epochs"]) == ("s", "tiny", 100)
    assert "weights" not in said["second_stage"][1]  # equal


def test_another_sweeps_folder_is_left_as_it_is(tmp_path):
    plan = small(tmp_path)
    training = Training.of(SWEEP, arms_of(plan), plan.weights, 1, tmp_path)
    training.write()
    training.write()
    (tmp_path / "sweep.toml").write_text("name = 's'\n")
    with pytest.raises(SweepError, match="is of another sweep; give another folder"):
        training.write()
    assert (tmp_path / "sweep.toml").read_text() == "name = 's'\n"


def test_a_sweep_of_other_domains_is_refused(tmp_path):
    spec = SWEEP.model_copy(update={"domains": ("d0", "z")})
    with pytest.raises(SweepError, match=r"the plan is for d1, .*: it has d0, z"):
        Training.of(spec, arms_of(plan_file(tmp_path)), np.array([0.5, 0.5]), 1, tmp_path)


@pytest.mark.parametrize(
    ("changed", "parts"),
    [
        ({"schema": 2}, ["not a plan of schema 1"]),
        ({"weights": None, "baselines": {}}, ["2 faults", "weights: is missing", "no list"]),
        (
            {"params": -1, "specialize_tokens": {"d0": "many"}, "budget": {},
             "baselines": [{}], "posterior": {"path": "p.nc"}},
            ["params: is -1", "specialize_tokens, d0: is 'many'", "specialize_tokens, d1: is None",
             "budget, flops: is None", "baselines, 1: has no name", "names no path and sha256"],
        ),
        ({"weights": {"d0": 0, "d1": 0}}, ["all are 0"]),
        ({"params": 0}, ["params: must be more than 0"]),
        ({"recipe": {"name": "joint", "level": 0.5}}, ["recipe: is {'name': 'joint'"]),
        ({"recipe": {"name": "replay", "level": -1}}, ["a level above 0"]),
        ({"recipe": "replay"}, ["recipe: is 'replay'; it must name replay or distill"]),
    ],
)  # fmt: skip
def test_all_faults_of_a_plans_file_come_at_once(tmp_path, changed, parts):
    with pytest.raises(PlanError) as raised:
        read_plan(written(tmp_path, **changed))
    for part in parts:
        assert part in str(raised.value)


def test_a_file_that_is_no_plan_is_refused(tmp_path):
    with pytest.raises(PlanError, match="no such file; `bayeslaw plan"):
        read_plan(tmp_path / "none.json")
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(PlanError, match="not readable as JSON"):
        read_plan(tmp_path / "a.json")
    other = plan_file(tmp_path, arrangement="relay")
    with pytest.raises(PlanError, match="'plan' is of arrangement 'relay'"):
        arms_of(other)


def test_a_posterior_is_found_again_at_its_path_or_beside_the_plan_and_by_its_bytes(tmp_path):
    first, beside = tmp_path / "p.nc", tmp_path / "moved"
    first.write_bytes(b"one")
    source = Source(**json.loads(json.dumps(Source.of(first).to_json())))
    assert source.found(beside) == first
    beside.mkdir()
    first.rename(beside / "p.nc")
    assert source.found(beside) == beside / "p.nc"
    (beside / "p.nc").write_bytes(b"two")
    with pytest.raises(FitError, match="written again since"):
        source.found(beside)
    (beside / "p.nc").unlink()
    with pytest.raises(FitError, match="no such file; name the posterior"):
        source.found(beside)


COST = {"factor": 1.0, "overhead": 2e6, "power": 0.5, "error": 0.0}


def test_arms_cost_what_the_plans_budget_counted(tmp_path):
    plan = plan_file(tmp_path, cost=COST)
    arm = arms_of(plan)[0]
    per_token = 6 * 4e6 * (1 + np.sqrt(2e6 / 4e6))  # 6 N (1 + (N₀/N)^g)
    assert arm.flops == pytest.approx(per_token * 1.4e8)
    assert all(a.cost == plan.cost for a in arms_of(plan))


def test_tokens_of_a_size_that_can_be_built_spend_the_same_by_the_plans_count(tmp_path):
    plan = replace(small(tmp_path), cost=CostLaw(1.0, 1e4, 0.5))
    for arm in (a.built(SWEEP) for a in arms_of(plan)):
        assert arm.flops == pytest.approx(arm.planned.flops, rel=0.02)


@pytest.mark.parametrize(
    "said", [3, {"factor": 1.0}, COST | {"factor": 0.0}, COST | {"power": "half"}]
)
def test_a_cost_that_is_none_is_refused(tmp_path, said):
    with pytest.raises(PlanError, match="cost: "):
        plan_file(tmp_path, cost=said)


# --- branches of another recipe

REPLAY = {"recipe": {"name": "replay", "level": 0.15}}
DISTILL = {"recipe": {"name": "distill", "level": 0.5}}


def baselines(*more):
    plain = {"recipe": {"name": "plain", "level": None}}
    trunk = {n: PLAN[n] for n in ("arrangement", "params", "pretrain_tokens", "specialize_tokens")}
    other = {"recipe": {"name": "replay", "level": 0.3}}
    return [
        {"name": "trunk", **trunk, **plain}, {"name": "trunk with replay 0.3", **trunk, **other},
        *PLAN["baselines"], *more,
    ]  # fmt: skip


def test_a_plan_of_another_recipe_is_trained_so_beside_the_plain_trunk(tmp_path):
    arms = {a.name: a for a in arms_of(plan_file(tmp_path, **REPLAY, baselines=baselines()))}
    assert arms["plan"].stage == "replay 0.15"
    assert arms["trunk"].stage == "branch"
    assert "trunk with replay 0.3" not in arms
    assert not arms["plan"].assessable
    assert arms["plan"].flops == arms["trunk"].flops
    held = arms_of(plan_file(tmp_path, **DISTILL))[0]
    assert held.flops == pytest.approx(24e6 * (1e8 + 4 / 3 * 4e7))  # 8 N a token


def test_the_sweep_of_the_arms_has_the_recipe_as_the_first_sweep_had_it(tmp_path):
    ours = [*SWEEP.second_stage, SecondStage(recipe="distill", distill=0.5, teacher="cooled")]
    spec = SWEEP.model_copy(update={"second_stage": tuple(ours)})
    small(tmp_path)
    said = json.loads((tmp_path / "plan.json").read_text())
    (tmp_path / "plan.json").write_text(json.dumps(said | DISTILL))
    plan = read_plan(tmp_path / "plan.json")
    training = Training.of(spec, arms_of(plan), plan.weights, 1, tmp_path / "out")
    found = cells(read_sweep(training.write()), "digest", DOMAINS)
    held = [m for m in found.models if m.second and m.second_stage.recipe == "distill"]
    assert len(held) == 2
    assert all(m.second_stage.teacher == "cooled" for m in held)


def test_a_sweep_whose_only_branches_are_of_the_plans_recipe_is_refused(tmp_path):
    stages = (SecondStage(recipe="replay", replay=0.1), SecondStage(recipe="replay", replay=0.15))
    spec = SWEEP.model_copy(update={"second_stage": stages})
    plan = plan_file(tmp_path, **REPLAY)
    with pytest.raises(SweepError, match="no plain second stage to set replay against"):
        Training.of(spec, arms_of(plan), plan.weights, 1, tmp_path / "out")
