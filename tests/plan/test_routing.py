"""Routing that errs: closed forms of what a whole system loses."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from bayeslaw.cli.planned import plan as lines
from bayeslaw.errors import PlanError
from bayeslaw.infer.precision import double
from bayeslaw.laws import Run
from bayeslaw.plan import plan
from bayeslaw.plan.arrangement import Recipe, arrangement_of
from bayeslaw.plan.outlook import Outlook
from bayeslaw.plan.routed import Routed
from bayeslaw.plan.routing import Confusion, read_confusion
from bayeslaw.plan.written import named
from tests.accuracy import made
from tests.plan import drawn
from tests.plan.test_offset import contrast, forgetting, levelled, replayed, sure

NAMES = ("d0", "d1")
RIGHT = {"d0": {"d0": 1.0}, "d1": {"d1": 1.0}}
SWAPPED = {"d0": {"d1": 1.0}, "d1": {"d0": 1.0}}
HALF = {"d0": {"d0": 0.75, "d1": 0.25}, "d1": {"d0": 0.5, "d1": 0.5}}
WEIGHTS = {"d0": 3.0, "d1": 1.0}


def asked(fitted, routing, **also):
    return plan(fitted, 1e20, WEIGHTS, draws=200, kind="mean", forgetting=forgetting(),
                routing=routing, **also)  # fmt: skip


@pytest.fixture(scope="module")
def answer():
    return asked(drawn.ensemble("additive", 2), HALF)


def system_losses(shares, weights, own, off):
    """Σ_k w_k (ρ_kk L_kk + Σ_{j≠k} ρ_kj L_kj), by its definition."""
    apart = shares * (1 - np.eye(len(shares)))
    return (own * np.diag(shares) + np.einsum("kj,xkj->xk", apart, off)) @ weights


def off_losses(answer, run):
    with double():
        return np.asarray(answer.asked.outlook.routed.branches(run))


def test_routing_that_never_errs_changes_nothing():
    fitted = drawn.ensemble("additive", 2)
    right, plain = asked(fitted, RIGHT), plan(fitted, 1e20, WEIGHTS, draws=200, kind="mean")
    for c in (right.chosen, *right.others):
        assert c.totals == pytest.approx(right.losses_of(c) @ right.weights, rel=1e-12), c.name
    assert right.chosen.run[:3] == pytest.approx(np.stack(plain.chosen.run[:3]), rel=1e-6)
    assert right.chosen.totals == pytest.approx(plain.chosen.totals, rel=1e-9)


def test_routing_that_always_errs_has_the_other_branches_losses():
    found = asked(drawn.ensemble("additive", 2), SWAPPED)
    trunk = found.by_arrangement["trunk"]
    off = off_losses(found, trunk.run)
    assert trunk.totals == pytest.approx(off[:, 0, 1] * 0.75 + off[:, 1, 0] * 0.25, rel=1e-9)
    # Branches that serve no text of their own are as short as they may be.
    assert {"split_ratio low (d0)", "split_ratio low (d1)"} <= set(trunk.at_bound)


def test_what_another_branch_loses_is_the_law_of_forgetting(answer):
    """L_kj is of the branch j: its N, D and D′ⱼ, whatever k's own are."""
    run = answer.chosen.run
    off = off_losses(answer, run)
    for j in range(2):
        each = answer.forgetting.losses(type(run)(*(f[j] for f in run[:3])), "mean", 200)
        assert off[:, :, j] == pytest.approx(each[:, 0], rel=1e-9)


@pytest.mark.parametrize("risk", ["mean", "cvar:0.2"])
@pytest.mark.parametrize("arrangement", ["trunk", "independent"])
def test_no_design_nearby_has_less_risk_for_the_whole_system(arrangement, risk):
    """By the definition of the system's loss, on designs of the same cost."""
    shares = {"d0": {"d0": 0.99, "d1": 0.01}, "d1": {"d0": 0.02, "d1": 0.98}}
    found = asked(
        drawn.ensemble("additive", 2), shares, arrangements=[arrangement], risk=risk, stretch=1e6
    )
    mine, rho = found.chosen, np.array([[0.99, 0.01], [0.02, 0.98]])
    space = found.asked.space(arrangement)
    with double():
        plain = Outlook(found.asked.outlook.curves)
        rng = np.random.default_rng(0)
        for size in (0.0, 0.02, 0.2, 1.0):
            steps = size * rng.standard_normal((6, 2, 3))
            steps = np.where(space.shared, steps[:, :1], steps) * space.present
            for step in steps:
                run = space.design(space.spent(mine.point + step))
                own = np.exp(np.asarray(plain.log_loss(run)))
                total = system_losses(rho, found.weights, own, off_losses(found, run))
                worst = np.sort(total)[-40:].mean() if risk != "mean" else total.mean()
                assert worst >= mine.risk - 1e-7
                if size == 0.0:
                    assert worst == pytest.approx(mine.risk, abs=1e-6)


def test_each_draws_own_optimum_is_of_the_system(answer):
    own = answer.hindsight.among(["trunk"])
    assert (own.best <= answer.by_arrangement["trunk"].totals + 1e-9).all()
    assert answer.information.evpi >= -1e-9


def test_a_system_is_the_weighted_sum_of_where_text_goes():
    own, off = np.array([[1.0, 2.0]]), np.array([[[9.0, 3.0], [4.0, 9.0]]])
    shares = np.array([[0.75, 0.25], [0.5, 0.5]])
    with double():
        each = np.exp(Routed(None, None, shares)._mixed(np.log(own), off))
    found = np.asarray(each) @ np.array([0.75, 0.25])
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
    assert mine["loss"]["mean"] == pytest.approx(answer.to_json()["loss"]["mean"])
    each = answer.to_json()["domains"]
    own = sum(w * each[d]["mean"] for d, w in answer.to_json()["weights"].items())
    assert mine["own"]["mean"] == pytest.approx(own)
    assert best_of(answer) == said["best"].replace("plan", answer.chosen.name)
    assert mine["loss"]["interval"][0] < mine["loss"]["mean"] < mine["loss"]["interval"][1]
    assert said["right"] == pytest.approx(0.75 * 0.75 + 0.25 * 0.5)
    assert 0 <= said["p_plan_beats_generalist"] <= 1
    told = lines(answer.to_json())
    assert any(line.startswith("with its router") for line in told)
    assert max(map(len, told)) <= 80


def best_of(answer):
    return min((answer.chosen, *answer.others), key=lambda c: c.totals.mean()).name


# --- recipes of branches, chosen


def test_a_recipe_is_chosen_where_its_runs_were_better():
    better = levelled(sure(), "distill", {0.25: -0.1, 2.0: 0.05})
    found = plan(better, 1e20, draws=200, kind="mean")
    assert found.chosen.name == "trunk with distill 0.25"
    said = found.to_json()
    assert said["arrangement"] == "trunk"
    assert said["recipe"] == {"name": "distill", "level": 0.25}
    assert said["p_best_of"]["trunk with distill 0.25"] > 0.9
    assert {"trunk", "trunk with distill 2"} <= {b["name"] for b in said["baselines"]}
    plain = plan(better, 1e20, draws=200, kind="mean", recipes=["plain"])
    assert plain.chosen.name == "trunk"
    assert dict(plain.choice.excluded)["trunk with distill 0.25"] == (
        "its recipe is distill, and plain was asked for"
    )


def test_replay_is_chosen_where_a_router_errs_and_branches_forget():
    """A share costs 2 % on the branch's own domain. It is worth that only where text is sent to
    branches that have forgotten it."""
    fitted = replayed(sure(), {0.1: 0.02})
    assert asked(fitted, RIGHT).chosen.name == "trunk"
    erring = asked(fitted, HALF, arrangements=["trunk"])
    assert erring.chosen.name == "trunk with replay 0.1"
    trunk = erring.by_arrangement["trunk"]
    assert erring.chosen.totals.mean() < trunk.totals.mean() - 0.01
    # On their own domains its branches are worse.
    own = [erring.losses_of(c) @ erring.weights for c in (erring.chosen, trunk)]
    assert own[0].mean() > own[1].mean()
    told = lines(erring.to_json())
    assert any("replay 0.1" in line for line in told)
    assert max(map(len, told)) <= 80


def test_distillation_is_told_for_a_system_where_forgetting_was_measured_with_it():
    fitted = levelled(sure(), "distill", {0.25: 0.01})
    found = asked(fitted, HALF)
    reason = "the fit of forgetting has no runs of distill 0.25"
    assert dict(found.not_assessable)["trunk with distill 0.25"] == reason
    knows = levelled(forgetting(), "distill", {0.25: -0.3})
    found = plan(fitted, 1e20, WEIGHTS, draws=200, kind="mean", forgetting=knows, routing=HALF)
    outlook = found.asked.of("trunk with distill 0.25").outlook
    run = found.by_arrangement["trunk with distill 0.25"].run
    with double():
        held, free = (
            np.log(np.asarray(o.routed.branches(run))) for o in (outlook, found.asked.outlook)
        )
    assert (held - free).mean() == pytest.approx(-0.3, abs=0.03)
    assert found.by_arrangement["trunk with distill 0.25"].totals.mean() < (
        found.by_arrangement["trunk"].totals.mean()
    )


def test_recipes_that_cannot_be_are_refused_with_the_reason():
    fitted = drawn.ensemble("additive", 2)
    with pytest.raises(PlanError) as raised:
        plan(fitted, 1e20, recipes=["replay", "nonsense"])
    assert "recipe 'replay' cannot be chosen: no runs of it were measured" in str(raised.value)
    assert "recipe 'nonsense' is not one of plain, replay, distill" in str(raised.value)


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


def test_what_cannot_be_told_of_a_system_is_refused_among_designs_and_choices():
    fitted = sure()
    fitted = replace(fitted, contrasts=(contrast(fitted, "scratch", lambda k, r: 0 * r),))
    with pytest.raises(PlanError, match="mine: laws of other branches do not speak of what has no"):
        asked(fitted, HALF, designs={"mine": ("scratch", Run(1e8, 0.0, 1e10))})
    with pytest.raises(PlanError, match="nothing to choose from: scratch: laws of other branches"):
        asked(fitted, HALF, arrangements=["scratch"])
    held = levelled(sure(), "distill", {0.25: 0.01})
    with pytest.raises(PlanError, match="mine: the fit of forgetting has no runs of distill"):
        asked(held, HALF, designs={"mine": ("trunk with distill 0.25", Run(1e8, 1e9, 1e8))})


def test_a_draw_may_be_better_off_with_less_where_branches_forget():
    """Branches forget more the longer they are trained: losses need not fall with compute."""
    answer = asked(drawn.ensemble("additive", 2), HALF)
    assert answer.regret(answer.chosen) <= answer.information.evpi + 1e-6


def test_levels_keep_all_their_digits():
    third = 1 / 3
    fitted = levelled(sure(), "distill", {third: -0.1})
    found = plan(fitted, 1e20, draws=100, kind="mean")
    assert found.to_json()["recipe"] == {"name": "distill", "level": third}
    assert arrangement_of(found.chosen.name) == Recipe("distill", third)
    assert named(found.to_json()) == found.chosen.name  # as p_best_of and baselines have it
    knows = levelled(forgetting(), "distill", {third: -0.3})
    routed = plan(fitted, 1e20, draws=100, kind="mean", forgetting=knows, routing=HALF)
    assert found.chosen.name in routed.by_arrangement


def test_what_laws_get_wrong_on_other_domains_is_drawn_apart():
    fitted, lost = drawn.ensemble("additive", 2), forgetting()
    for seed in (0, 1):
        found = plan(fitted, 1e20, draws=200, forgetting=lost, routing=HALF, seed=seed)
        outlook = found.asked.outlook
        pairs = (outlook.beyond, outlook.routed.off.beyond)
        assert abs(np.corrcoef(*(np.ravel(p.slopes) for p in pairs))[0, 1]) < 0.2


def test_the_best_split_is_that_of_the_best_recipe():
    better = levelled(sure(), "distill", {0.25: -0.3})
    found = plan(better, 1e17, draws=200, kind="mean", stretch=1.0)
    beats = found.by_arrangement["trunk with distill 0.25"].totals
    wanted = (beats < found.by_arrangement["generalist"].totals).mean()
    assert found.p_split_beats_generalist == wanted == 1.0


def test_a_domain_of_no_weight_counts_where_others_text_is_sent_to_it():
    some = {"draws": 200, "kind": "mean"}
    found = plan(drawn.ensemble("additive", 2), 1e20, {"d1": 0.0}, **some,
                 forgetting=forgetting(), routing=HALF)  # fmt: skip
    assert found.asked.wanted.tolist() == [True, True]
    right = plan(drawn.ensemble("additive", 2), 1e20, {"d1": 0.0}, **some)
    assert right.asked.wanted.tolist() == [True, False]


def test_replay_is_not_chosen_where_text_has_an_end_nor_counts_of_branches_with_a_router():
    fitted, name = replayed(sure(), {0.1: -0.1}), "trunk with replay 0.1"
    assert plan(fitted, 1e20, draws=100, kind="mean").chosen.name == name
    capped = plan(fitted, 1e20, draws=100, kind="mean", unique={"d0": "100B"})
    assert capped.chosen.name == "trunk"
    assert "how often it sees d0 is not told" in dict(capped.choice.excluded)[name]
    counted = levelled(sure(), "experts", {2: 0.0, 8: -0.15})
    assert "one branch of every domain" in asked(counted, HALF).experts.unassessable


def test_chosen_by_tasks_what_has_no_first_stage_is_left_out_of_the_systems():
    fitted = drawn.ensemble("additive", 2)
    fitted = replace(fitted, contrasts=(contrast(fitted, "scratch", lambda k, r: 0.02 * r),))
    ladder = made.ladder({"easy": "d0", "hard": "d1"})
    found = plan(fitted, 1e20, draws=200, kind="mean", forgetting=forgetting(), routing=HALF,
                 objective=["task:easy", "task:hard"], accuracy=ladder)  # fmt: skip
    assert "scratch" in found.by_arrangement
    said = [s["name"] for s in found.to_json()["routing"]["systems"]]
    assert "scratch" not in said
    assert "generalist" in said
