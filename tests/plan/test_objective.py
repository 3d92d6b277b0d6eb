"""Plans by accuracy: the map's formula in the place of the loss, and everything that follows."""

from __future__ import annotations

import json

import jax.numpy as jnp
import numpy as np
import pytest

from bayeslaw.cli.planned import plan as lines
from bayeslaw.errors import PlanError
from bayeslaw.infer.precision import double
from bayeslaw.plan import plan
from bayeslaw.plan.objective import Objective, parse_objective
from tests.accuracy import made
from tests.plan import drawn

SETTINGS = {"draws": 100, "kind": "mean"}
LADDER = made.ladder({"easy": "d0", "hard": "d1", "odd": "d1"})


def test_the_error_of_a_domain_is_one_less_its_tasks_accuracies():
    wanted = {"easy": 2.0, "hard": 1.0, "odd": 3.0}
    objective = Objective.of(LADDER, wanted, ("d0", "d1", "d2"), 50, kind="mean")
    losses = np.random.default_rng(0).uniform(1.2, 2.2, (50, 3))
    with double():
        found = np.exp(objective.log_error(jnp.log(losses)))
        each = np.asarray(objective.accuracies(losses))
    a = {t: made.curve(losses[:, 0 if t == "easy" else 1], t) for t in wanted}
    assert found[:, 0] == pytest.approx(1 - a["easy"], abs=1e-6)
    assert found[:, 1] == pytest.approx(1 - (a["hard"] + 3 * a["odd"]) / 4, abs=1e-6)
    assert found[:, 2] == pytest.approx(losses[:, 2])  # no task: as it was, and of no weight
    assert each == pytest.approx(np.stack(list(a.values()), 1), abs=1e-6)
    assert objective.weights == pytest.approx((1 / 3, 1 / 6, 1 / 2))


def test_beyond_the_ladders_losses_an_objective_bends_as_its_forecasts_do():
    objective = Objective.of(LADDER, {"easy": 1.0}, ("d0", "d1"), 50, seed=3)
    losses = np.full((50, 2), 1.2)  # below the least that it was fitted to, 1.4
    with double():
        found = 1 - np.exp(objective.log_error(jnp.log(losses)))[:, 0]
        each = np.asarray(objective.accuracies(losses))[:, 0]
    bends = LADDER.bends(50, 3)[:, 0]
    wanted = made.curve(1.4 - 0.2 * bends, "easy")
    assert found == pytest.approx(wanted, abs=1e-6)
    assert each == pytest.approx(wanted, abs=1e-6)


def test_of_one_known_truth_the_plan_of_a_task_is_that_of_its_domains_loss():
    """Accuracy falls with the loss: where nothing is unsure the best loss is the best accuracy."""
    theta = {n: v[:1].repeat(50, 0) for n, v in drawn.draws("additive", 2).items()}
    sure = drawn.of("additive", theta)
    by_loss = plan(sure, 1e20, weights={"d1": 0}, arrangements=["trunk"], **SETTINGS)
    by_task = plan(
        sure, 1e20, arrangements=["trunk"], objective=["task:easy"],
        accuracy=made.ladder({"easy": "d0"}), **SETTINGS,
    )  # fmt: skip
    for a, b in zip(by_loss.chosen.run[:3], by_task.chosen.run[:3], strict=True):
        assert b[0] == pytest.approx(a[0], rel=2e-3)
    loss = by_loss.chosen.losses[0, 0]
    said = by_task.to_json()["objective"]["tasks"]["easy"]
    assert said["mean"] == pytest.approx(float(made.curve(loss, "easy")), abs=1e-5)
    assert said["interval"] == pytest.approx([said["mean"]] * 2, abs=1e-9)


@pytest.fixture(scope="module")
def answer():
    return plan(
        drawn.ensemble("additive", 2, 100), 1e20,
        objective={"easy": 1, "hard": 2}, accuracy=made.ladder(spread=0.1, draws=100), **SETTINGS,
    )  # fmt: skip


def test_a_plan_by_tasks_has_more_accuracy_than_every_other(answer):
    said = answer.to_json()
    assert said["weights"] == pytest.approx({"d0": 1 / 3, "d1": 2 / 3})
    mine = said["objective"]["accuracy"]["mean"]
    assert said["loss"]["mean"] == pytest.approx(1 - mine, abs=1e-9)
    for other in said["baselines"]:
        theirs = other["objective"]["accuracy"]["mean"]
        assert other["loss"]["mean"] == pytest.approx(1 - theirs, abs=1e-9)
        assert theirs <= mine + 1e-6
    for k, d in enumerate(answer.domains):  # domains are told in nats all the same
        nats = answer.losses_of(answer.chosen)[:, k]
        assert said["domains"][d]["mean"] == pytest.approx(nats.mean())
        assert nats.mean() > 1
    low, high = said["objective"]["accuracy"]["interval"]
    assert low < mine < high
    assert answer.regret(answer.chosen) >= 0


def test_the_plan_of_a_task_says_what_it_was_chosen_by(answer):
    said = lines(answer.to_json())
    assert any(line.startswith("chosen by") for line in said)
    assert any("of wrong answers" in line for line in said)
    assert max(map(len, said)) <= 80


def test_what_does_not_go_with_an_objective_is_refused_at_once():
    fitted = drawn.ensemble("additive", 2, 20)
    ask = {"objective": ["task:easy"], "accuracy": LADDER}
    for more, told in (
        ({"weights": {"d0": 2}}, "weights are of losses"),
        ({"limits": {"d0": (2.0, 0.9)}}, "limits on losses do not go"),
        ({"accuracy": None}, "go together: give both"),
        ({"objective": ["task:none"]}, "unknown task 'none'; there is easy, hard, odd"),
        ({"objective": {"easy": 0}}, "weight of task 'easy' is 0"),
        ({"accuracy": made.ladder({"easy": "d9"})}, "of domain 'd9', which the fit has not"),
    ):
        with pytest.raises(PlanError, match=told):
            plan(fitted, 1e20, **{**ask, **more})


@pytest.mark.parametrize("name", ["easy", "task:", "task:a=b", "loss:a"])
def test_an_objective_that_is_none_is_named(name):
    with pytest.raises(PlanError, match=f"objective '{name}' is not task:NAME"):
        parse_objective([name])


def test_objectives_are_read_with_their_weights():
    assert parse_objective(["task:a", "task:b=2.5"]) == {"a": 1.0, "b": 2.5}
    with pytest.raises(PlanError, match="names task 'a' twice"):
        parse_objective(["task:a", "task:a=2"])


@pytest.mark.slow
def test_the_command_plans_by_a_task(say, tmp_path):
    drawn.ensemble("additive", 2, 50).save(tmp_path / "p.nc")
    made.ladder().save(tmp_path / "a.nc")
    line = ("plan", tmp_path / "p.nc", "--flops", "1e20", "--kind", "mean")
    code, said, _ = say(
        *line, "--objective", "task:hard", "--accuracy", tmp_path / "a.nc", "--json"
    )
    assert code == 0
    assert list(json.loads(said)["objective"]["tasks"]) == ["hard"]
    code, _, err = say(*line, "--objective", "task:hard")
    assert (code, "--objective task:NAME and --accuracy FILE go together" in err) == (1, True)
