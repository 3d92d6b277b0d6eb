"""Routing that errs: closed forms of what a whole system loses."""

from __future__ import annotations

import json

import numpy as np
import pytest

from bayeslaw.cli.planned import plan as lines
from bayeslaw.errors import PlanError
from bayeslaw.infer.precision import double
from bayeslaw.plan import plan
from bayeslaw.plan.routing import Confusion, Off, read_confusion, system_losses, systems
from tests.plan import drawn
from tests.plan.test_offset import forgetting

NAMES = ("d0", "d1")
RIGHT = {"d0": {"d0": 1.0}, "d1": {"d1": 1.0}}
SWAPPED = {"d0": {"d1": 1.0}, "d1": {"d0": 1.0}}
HALF = {"d0": {"d0": 0.75, "d1": 0.25}, "d1": {"d0": 0.5, "d1": 0.5}}
WEIGHTS = {"d0": 3.0, "d1": 1.0}


@pytest.fixture(scope="module")
def answer():
    fitted = drawn.ensemble("additive", 2)
    return plan(fitted, 1e20, WEIGHTS, draws=200, kind="mean", forgetting=forgetting(),
                routing=HALF)  # fmt: skip


def of(answer, table):
    return {s.name: s for s in systems(answer, Confusion.of(table, NAMES), answer.forgetting)}


def test_routing_that_never_errs_costs_nothing(answer):
    for name, system in of(answer, RIGHT).items():
        assert system.totals == pytest.approx(system.own, rel=1e-12), name
    assert of(answer, RIGHT)[answer.chosen.name].totals == pytest.approx(answer.chosen.totals)


def test_routing_that_always_errs_has_the_other_branches_losses(answer):
    system = of(answer, SWAPPED)[answer.chosen.name]
    with double():
        off = Off.of(answer.forgetting, NAMES, "mean", 200).losses(answer.chosen.run)
    assert system.totals == pytest.approx(off[:, 0, 1] * 0.75 + off[:, 1, 0] * 0.25, rel=1e-9)


def test_what_another_branch_loses_is_the_law_of_forgetting(answer):
    """L_kj is of the branch j: its N, D and D′ⱼ, whatever k's own are."""
    run = answer.chosen.run
    with double():
        off = Off.of(answer.forgetting, NAMES, "mean", 200).losses(run)
        for j in range(2):
            each = answer.forgetting.losses(type(run)(*(f[j] for f in run[:3])), "mean", 200)
            assert off[:, :, j] == pytest.approx(each[:, 0], rel=1e-9)


def test_a_system_is_the_weighted_sum_of_where_text_goes():
    own, off = np.array([[1.0, 2.0]]), np.array([[[9.0, 3.0], [4.0, 9.0]]])
    shares = np.array([[0.75, 0.25], [0.5, 0.5]])
    found = system_losses(shares, np.array([0.75, 0.25]), own, off)
    assert found == pytest.approx([0.75 * (0.75 + 0.25 * 3) + 0.25 * (0.5 * 4 + 0.5 * 2)])


def test_the_answer_prices_the_plan_and_all_beside_it(answer):
    said = answer.to_json()["routing"]
    names = [s["name"] for s in said["systems"]]
    assert names[0] == "plan"
    assert {"generalist", "split at 10%", "split at 50%"} <= set(names)
    by_name = {s["name"]: s for s in said["systems"]}
    assert by_name["generalist"]["costs"]["mean"] == 0.0  # one model: nothing can go astray
    mine = by_name["plan"]
    assert mine["loss"]["mean"] == pytest.approx(mine["own"]["mean"] + mine["costs"]["mean"])
    assert mine["own"]["mean"] == pytest.approx(answer.to_json()["loss"]["mean"])
    assert mine["loss"]["interval"][0] < mine["loss"]["mean"] < mine["loss"]["interval"][1]
    assert said["right"] == pytest.approx(0.75 * 0.75 + 0.25 * 0.5)
    assert 0 <= said["p_plan_beats_generalist"] <= 1
    told = lines(answer.to_json())
    assert any(line.startswith("with its router") for line in told)
    assert max(map(len, told)) <= 80


def test_shares_are_read_from_what_route_writes_and_from_a_table(tmp_path):
    wanted = Confusion.of(HALF, NAMES).shares
    (tmp_path / "r.json").write_text(json.dumps({"schema": 1, "by": "text", "confusion": HALF}))
    found = read_confusion(tmp_path / "r.json", NAMES)
    assert np.array_equal(found.shares, wanted)
    assert found.router == "text"
    rows = [f"{d},{b},{s}" for d, each in HALF.items() for b, s in each.items()]
    (tmp_path / "r.csv").write_text("\n".join(["domain,branch,share", *rows]))
    assert np.array_equal(read_confusion(tmp_path / "r.csv", NAMES).shares, wanted)
    (tmp_path / "x.json").write_text("{}")
    with pytest.raises(PlanError, match="not what `bayeslaw route --out` writes"):
        read_confusion(tmp_path / "x.json", NAMES)


def test_shares_that_cannot_be_are_refused_with_every_reason():
    with pytest.raises(PlanError) as raised:
        Confusion.of({"d0": {"d0": 0.5, "dx": 0.2}}, NAMES)
    for part in ("no domain 'd1'", "sent to 'dx', which is no domain", "of 'd0' sum to 0.5"):
        assert part in str(raised.value)
    with pytest.raises(PlanError, match="share of 'd0' on 'd1' is 2"):
        Confusion.of({**RIGHT, "d0": {"d1": 2}}, NAMES)
    with pytest.raises(PlanError, match="routing needs forgetting"):
        plan(drawn.ensemble("additive", 2), 1e20, routing=HALF)
