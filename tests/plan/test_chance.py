"""Limits on losses that must be kept with a probability."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from bayeslaw.cli.planned import plan as lines
from bayeslaw.errors import PlanError
from bayeslaw.plan import frontier, plan, reach
from tests.plan import drawn

THETA = drawn.draws("additive", 2)
FITTED = drawn.of("additive", THETA)
FLOPS = 1e20
TRUNK = {"arrangements": ["trunk"], "kind": "mean", "draws": 200}


def chance(losses, limit):
    return (losses <= limit).mean(-1)


@pytest.mark.parametrize("risk", ["mean", "cvar:0.1"])
@pytest.mark.parametrize("prob", [0.5, 0.9])
def test_the_plan_is_the_best_that_keeps_the_limit(prob, risk):
    n, d = 4e8, 1.5e10
    left = FLOPS / 6 / n - d
    pins = {"params": n, "pretrain_tokens": d}
    share = np.exp(np.linspace(np.log(1e-2), np.log(0.9), 16001))
    split = left * np.stack([share, 1 - share], -1)
    split = split[(split.min(1) / d > 0.0025) & (split.max(1) / d < 4)]
    losses = drawn.additive_loss(THETA, np.full(2, n), np.full(2, d), split)
    totals = losses.mean(-1)
    risks = totals.mean(-1) if risk == "mean" else np.sort(totals, -1)[:, -20:].mean(-1)
    # Halfway from what the free optimum keeps to the least that can be kept.
    kept = np.sort(losses[..., 0], -1)[:, int(np.ceil(prob * 200)) - 1]
    limit = (kept[risks.argmin()] + kept.min()) / 2
    best = risks[chance(losses[..., 0], limit) >= prob].min()
    answer = plan(FITTED, FLOPS, risk=risk, pins=pins, limits={"d0": (limit, prob)}, **TRUNK)
    assert chance(answer.chosen.losses[:, 0], limit) >= prob
    assert answer.chosen.risk == pytest.approx(best, abs=2e-5)
    assert answer.chosen.risk > risks.min() + 1e-4
    assert answer.shadow_price is None


def test_a_limit_that_is_kept_anyway_changes_nothing():
    free = plan(FITTED, FLOPS, draws=100)
    held = plan(FITTED, FLOPS, draws=100, limits={"d0": "5:0.99"})
    assert held.chosen.risk == free.chosen.risk
    assert held.shadow_price == free.shadow_price
    assert held.to_json()["chances"] == [
        {"limit": "P(d0 <= 5) >= 0.99", "prob": 0.99, "reached": 1.0}
    ]


def test_the_surer_it_must_be_the_higher_is_the_risk():
    free = plan(FITTED, FLOPS, **TRUNK).chosen
    limit = float(np.quantile(free.losses[:, 0], 0.7))
    risks = [
        plan(FITTED, FLOPS, limits={"d0": (limit, prob)}, **TRUNK).chosen.risk
        for prob in (0.5, 0.71, 0.73, 0.75)
    ]
    assert all(a <= b + 1e-6 for a, b in pairwise(risks))
    assert risks[0] == pytest.approx(free.risk, abs=1e-9)
    assert risks[-1] > free.risk + 1e-4


def test_no_domain_is_worse_than_the_generalist_with_the_probability():
    how = {**TRUNK, "weights": {"d0": 1.0, "d1": 0.0}}
    free = plan(FITTED, FLOPS, **how)
    generalist = free.by_arrangement["generalist"].losses
    assert (free.chosen.losses <= generalist).all(1).mean() < 0.9
    held = plan(FITTED, FLOPS, at_least_generalist=0.9, **how)
    reached = float((held.chosen.losses <= generalist + 1e-9).all(1).mean())
    assert reached >= 0.9
    said = held.to_json()
    assert said["chances"][0]["reached"] == pytest.approx(reached)
    assert free.chosen.risk < held.chosen.risk < free.by_arrangement["generalist"].risk
    assert said["certificate"]["faults"] == []
    assert any("kept with" in line for line in lines(said))


def test_the_region_keeps_the_limits():
    free = plan(FITTED, FLOPS, **TRUNK).chosen
    limit = float(np.quantile(free.losses[:, 0], 0.8))
    held = plan(FITTED, FLOPS, limits={"d0": (limit, 0.82)}, **TRUNK)
    loose = plan(FITTED, FLOPS, **TRUNK)
    # Less for d0 would break the limit, so its range ends at the plan or a little below.
    assert held.region.specialize_tokens[0, 0] > 1.2 * loose.region.specialize_tokens[0, 0]


def test_what_no_budget_of_this_size_keeps_is_refused_with_what_can_be_had():
    n, d = 4e8, 1.5e10
    left = FLOPS / 6 / n - d
    share = np.linspace(1e-3, 1 - 1e-3, 2001)
    split = left * np.stack([share, 1 - share], -1)
    split = split[(split.min(1) / d > 0.0025) & (split.max(1) / d < 4)]
    losses = drawn.additive_loss(THETA, np.full(2, n), np.full(2, d), split)
    limit = float(np.median(losses[1000, :, 0]))
    best = chance(losses[..., 0], limit).max()
    assert 0.02 < best < 0.9
    pins = {"params": n, "pretrain_tokens": d}
    with pytest.raises(PlanError, match="no design of this budget keeps the limits") as refused:
        plan(FITTED, FLOPS, pins=pins, limits={"d0": (limit, 0.98)}, **TRUNK)
    told = str(refused.value).split("can be had with probability ")[1].split()[0]
    assert float(told) == pytest.approx(best, abs=0.011)
    assert "Raise the budget or a loss" in str(refused.value)


def test_an_arrangement_that_cannot_keep_a_limit_is_not_chosen():
    free = plan(FITTED, FLOPS, kind="mean", draws=200)
    trunk, other = (free.by_arrangement[a].losses[:, 0] for a in ("trunk", "generalist"))
    limit = float((np.quantile(trunk, 0.9) + np.quantile(other, 0.9)) / 2)
    answer = plan(
        FITTED, FLOPS, kind="mean", draws=200, limits={"d0": (limit, 0.9)},
        arrangements=["trunk", "generalist"],
    )  # fmt: skip
    assert answer.choice.allowed == ("trunk",)
    ((name, why),) = answer.choice.excluded
    assert name == "generalist"
    assert why.startswith("it keeps P(d0 <= ")


def test_a_frontier_keeps_the_limits():
    found = frontier(
        FITTED, (5e19, 1e20), 2, kind="mean", draws=100, weights={"d1": 0.0},
        at_least_generalist=0.8, arrangements=["trunk"],
    )  # fmt: skip
    for point in found.points:
        (generalist,) = (o for o in point.others if o.name == "generalist")
        kept = (point.chosen.losses <= generalist.losses + 1e-9).all(1).mean()
        assert kept >= 0.8


@pytest.mark.parametrize(
    ("wishes", "said"),
    [
        ({"limits": {"law": "2:0.9"}}, "limit of unknown domain 'law'; the fit has d0, d1"),
        ({"limits": {"d0": "2"}}, "limit of 'd0' is '2'; give LOSS:PROBABILITY"),
        ({"limits": {"d0": "low:0.9"}}, "give LOSS:PROBABILITY"),
        ({"limits": {"d0": (-1, 0.9)}}, "limit of 'd0': a loss is positive, got -1"),
        ({"limits": {"d0": (2, 1.5)}}, "limit of 'd0': a probability lies between 0 and 1"),
        ({"at_least_generalist": 90}, "at_least_generalist: a probability lies between 0 and 1"),
        (
            {"at_least_generalist": 0.9, "pins": {"tokens_per_param": 20, "params": "20B"},
             "bounds": {"pretrain_tokens": ":1B"}},
            "contradict each other",
        ),
    ],
)  # fmt: skip
def test_limits_that_cannot_be_are_refused(wishes, said):
    with pytest.raises(PlanError, match=said):
        plan(FITTED, FLOPS, **wishes)


def test_a_target_is_no_place_for_limits():
    with pytest.raises(PlanError, match="limits on losses are targets of their own"):
        reach(FITTED, {"d0": 2.2}, limits={"d1": (2.0, 0.9)})
