"""The frontier and its inverse: the least budget for a target."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from bayeslaw.errors import PlanError
from bayeslaw.laws import find_law
from bayeslaw.plan import frontier, plan, reach
from tests.plan import drawn

FITTED = drawn.ensemble("additive", 2)


@pytest.mark.parametrize("risk", ["mean", "cvar:0.2"])
def test_the_risk_never_rises_and_every_point_is_the_plan_of_its_budget(risk):
    traced = frontier(FITTED, (1e18, 1e24), 4, risk=risk, draws=200)
    said = traced.to_json()
    assert json.loads(json.dumps(said, allow_nan=False)) == said
    risks = [p["risk_value"] for p in said["points"]]
    assert (np.diff(risks) <= 0).all()
    assert all(p["flops"] <= p["budget"] * (1 + 1e-9) for p in said["points"])
    one = plan(FITTED, said["points"][1]["budget"], risk=risk, draws=200)
    assert risks[1] == pytest.approx(one.chosen.risk, abs=1e-6)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"flops": (1e20, 1e19)}, "LOW < HIGH"),
        ({"flops": (0.0, 1e19)}, "0 < LOW"),
        ({"points": 1}, "at least 2 points"),
        ({"prob": 0.0}, "prob must lie between 0 and 1"),
        ({"risk": "dice"}, "'dice' is not one of"),
        (
            {"flops": (2.0, 1.0), "points": 1, "prob": 2, "risk": "dice"},
            "prob must.*LOW < HIGH.*2 points.*'dice'",
        ),
    ],
)
def test_what_cannot_be_traced_is_refused(wrong, said):
    with pytest.raises(PlanError, match=said):
        frontier(FITTED, **{"flops": (1e18, 1e19), **wrong})


def test_budgets_that_keep_no_limit_are_skipped_with_the_reason():
    free = frontier(FITTED, (1e18, 1e24), 4, draws=200)
    middle = [p.chosen.losses[:, 0].mean() for p in free.points[1:3]]
    limit = {"d0": (float(np.mean(middle)), 0.5)}
    traced = frontier(FITTED, (1e18, 1e24), 4, draws=200, limits=limit)
    assert [p.flops for p in traced.points] == pytest.approx([1e22, 1e24])
    assert [flops for flops, _ in traced.skipped] == pytest.approx([1e18, 1e20])
    assert all("keeps the limits" in why for _, why in traced.skipped)
    with pytest.raises(PlanError, match="keeps the limits"):
        frontier(FITTED, (1e18, 1e20), 2, draws=200, limits=limit)


def test_domains_that_nobody_wants_do_not_count_as_extrapolation():
    asked = {"weights": {"d0": 1, "d1": 0}, "arrangements": ["independent"], "draws": 200}
    found = plan(FITTED, 1e20, **asked)
    traced = frontier(FITTED, (1e20, 1e21), 2, **asked)
    assert traced.points[0].extrapolation == pytest.approx(max(found.extrapolation.values()))
    assert not [bound for bound in found.chosen.at_bound if "d1" in bound]


def test_the_least_budget_of_one_known_law_is_its_closed_form():
    theta = drawn.draws("chinchilla", 1, 1)
    law, p = find_law("chinchilla"), SimpleNamespace(**{n: v[0, 0] for n, v in theta.items()})
    best = law.closed_form(1e21, drawn.AT, p)
    floor, size, data = p.shares
    loss = 3.0 * p.level * (
        floor + size * (best.params / 1e8) ** -p.a_size
        + data * (best.pretrain_tokens / 1e10) ** -p.b_data
    )  # fmt: skip
    found = reach(
        drawn.of("chinchilla", theta), {"d0": float(loss)}, kind="mean", stretch=float("inf"),
        draws=1,
    )  # fmt: skip
    assert found.flops == pytest.approx(1e21, rel=1e-2)


@pytest.mark.parametrize("kind", ["mean", "calibrated"])
def test_the_least_budget_reaches_its_targets_and_a_lesser_one_does_not(kind):
    free = plan(FITTED, 1e20, draws=200, kind=kind)
    targets = {d: float(t) for d, t in zip(FITTED.domains, free.chosen.losses.mean(0), strict=True)}
    found = reach(FITTED, targets, 0.8, draws=200, kind=kind)
    said = found.to_json()["targets"]
    assert said["losses"] == pytest.approx(targets)
    assert said["p_reached"] >= 0.8
    assert found.p_reached == said["p_reached"]
    less = reach(FITTED, targets, 0.5, draws=200, kind=kind)
    assert less.flops < found.flops


def test_targets_that_only_the_risks_own_designs_reach_are_reached():
    # The mean's designs spend on the domain of most slope; the targets are those of designs that
    # hedge, at a budget where no target is left to spare.
    best = plan(FITTED, 1e20, risk="quantile:0.8", draws=200, kind="mean", stretch=1.0).chosen
    targets = {"weighted": best.risk}
    found = reach(FITTED, targets, 0.8, draws=200, kind="mean", stretch=1.0)
    assert found.p_reached >= 0.8
    assert found.flops <= 1e20 * 1.02


@pytest.mark.parametrize("target", [20.0, 60.0])
def test_a_target_that_is_easy_has_a_least_budget_below_the_sweep(target):
    found = reach(FITTED, {"weighted": target}, 0.9, draws=60, kind="mean")
    assert found.p_reached >= 0.9
    assert found.flops < 1e17 * 1e-3
    less = plan(FITTED, found.flops / 1.05, risk="quantile:0.9", draws=60, kind="mean").chosen
    assert (less.totals <= target).mean() < 0.9


def test_weights_that_would_change_nothing_are_refused():
    with pytest.raises(PlanError, match="weights do not count unless 'weighted'"):
        reach(FITTED, {"d0": 2.0}, 0.5, {"d0": 3}, draws=200)


def test_what_reaches_its_target_is_never_refused():
    # Its risk rises again with compute: only budgets within less than an e-fold reach it.
    wild = replace(FITTED, discrepancy=replace(FITTED.discrepancy, center=1.0))
    best = plan(wild, 1e24, risk="quantile:0.9", arrangements=["generalist"], draws=200).chosen
    target = best.risk + 1e-3
    found = reach(wild, {"weighted": target}, 0.9, arrangements=["generalist"], draws=200)
    assert found.p_reached >= 0.9


def test_the_weighted_loss_is_a_target_too():
    found = reach(FITTED, {"weighted": 2.0}, 0.5, {"d0": 3}, draws=200, kind="mean")
    assert found.weights == pytest.approx([0.75, 0.25])
    assert (found.chosen.totals <= 2.0 + 1e-9).mean() >= 0.5


@pytest.mark.parametrize(
    ("targets", "said"),
    [
        ({}, "there are no targets"),
        ({"law": 2.0}, "unknown domain 'law'; there is d0, d1, weighted"),
        ({"d0": -1.0}, "must be a positive loss"),
        (
            {"d0": 0.5},
            r"no budget from 1e\+14 to .* reaches.*floor of d0 is .* above 0.5 with pro.* 1.00",
        ),
    ],
)
def test_a_target_that_cannot_be_is_refused_with_the_floor(targets, said):
    with pytest.raises(PlanError, match=said):
        reach(FITTED, targets, draws=200)
