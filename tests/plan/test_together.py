"""Constraints together with other costs and other ways to train."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bayeslaw.cost import CostLaw
from bayeslaw.errors import PlanError
from bayeslaw.infer.precision import double
from bayeslaw.laws import Run
from bayeslaw.plan import pareto, plan
from bayeslaw.plan.offset import WAYS
from bayeslaw.plan.stakes import scores
from tests.plan import drawn
from tests.plan.test_offset import contrast

FLOPS = 1e20
DEAR = CostLaw(1.0, 1e9, 0.5)
FITTED = drawn.ensemble("additive", 2)
MADE = tuple(
    contrast(FITTED, way, lambda k, r: -0.1 + 0 * r, twins=way == "joint")
    for way in ("joint", "scratch")
)
WAYS_KNOWN = replace(FITTED, contrasts=MADE)
BOUNDS = {"free": {}, "held": {"bounds": {"specialize_tokens": (None, "5B")}}}


def whole(run, arrangement, served):
    """What training and serving a design costs, by hand."""
    n, d, split = (np.asarray(f) for f in run[:3])
    tokens = {
        "trunk": d[0] + split.sum(), "generalist": d[0], "joint": d[0] + split[0],
        "independent": d + split, "scratch": split,
    }[arrangement]  # fmt: skip
    n = n if np.ndim(tokens) else n[0]
    return (6 * n * (1 + np.sqrt(1e9 / n)) * tokens).sum() + 2 * float(run.params @ served)


@pytest.mark.parametrize("bounds", BOUNDS)
def test_the_whole_life_costs_the_budget_under_the_runs_own_cost(bounds):
    served = np.array([5e10, 2e9])
    answer = plan(
        replace(WAYS_KNOWN, cost=DEAR), FLOPS, draws=60, cost="runs",
        serve={"d0": "50B", "d1": "2B"}, **BOUNDS[bounds],
    )  # fmt: skip
    assert set(answer.by_arrangement) == {"trunk", "independent", "generalist", "joint", "scratch"}
    for c in (answer.chosen, *answer.others):
        exhausted = answer.asked.space(c.arrangement).exhausted
        assert c.spent == pytest.approx(whole(c.run, c.arrangement, served), rel=1e-9)
        assert c.spent == pytest.approx(FLOPS, rel=1e-9) or exhausted
    assert answer.chosen.spent == pytest.approx(FLOPS, rel=1e-9)
    assert answer.certificate.faults == ()


def test_served_under_the_runs_own_cost_the_plan_is_the_best_of_a_fine_grid():
    theta = drawn.draws("chinchilla", 1, 50)
    answer = plan(
        replace(drawn.of("chinchilla", theta), cost=DEAR), FLOPS, draws=50, cost="runs",
        serve={"d0": 1e12}, stretch=float("inf"), kind="mean",
    )  # fmt: skip
    n = np.exp(np.linspace(np.log(1e6), np.log(1e10), 60001))[:, None, None]
    d = (FLOPS - 2 * n * 1e12) / (6 * n * (1 + np.sqrt(1e9 / n)))
    n, d = n[d[:, 0, 0] > 0], d[d[:, 0, 0] > 0]
    floor, size, data = np.moveaxis(theta["shares"], -1, 0)
    loss = theta["level"] * 3.0 * (
        floor + size * (n / 1e8) ** -theta["a_size"] + data * (d / 1e10) ** -theta["b_data"]
    )  # fmt: skip
    risks = loss.mean((1, 2))
    assert answer.chosen.risk == pytest.approx(risks.min(), abs=1e-8)
    # So it is of the frontier of training against serving: its own size costs what the plan does.
    same = next(t for t in answer.trade if t.factor == 1.0)
    assert same.training + same.serving == pytest.approx(FLOPS, rel=5e-3)


def joint_grid(asked, n, weights):
    """Losses, (split, draw, domain), and mean weighted ones, of joint designs of one N that spend
    the budget, on a fine grid of D′/D within its box."""
    space = asked.space("joint")
    ratio = np.exp(np.linspace(space.low[0, 2], space.high[0, 2], 1201))
    d = FLOPS / 6 / n / (1 + ratio)
    inside = (np.log(d / n) >= space.low[0, 1]) & (np.log(d / n) <= space.high[0, 1])
    d, ratio = d[inside], ratio[inside]
    fields = np.stack([np.full(len(d), n), d, d * ratio], 1)[:, :, None] * np.ones(2)
    with double():
        its = asked.of("joint")
        losses = np.asarray(scores(its.risk)(its.outlook, fields, its.stakes)[0])
    return losses, (losses @ weights).mean(1)


@pytest.fixture(scope="module")
def pinned():
    return {
        "flops": FLOPS, "draws": 200, "kind": "mean", "arrangements": ["joint"],
        "pins": {"params": 4e8}, "weights": {"d0": 0.1},
    }  # fmt: skip


def test_a_joint_second_stage_at_a_given_size_is_the_best_of_a_grid(pinned):
    answer = plan(WAYS_KNOWN, **pinned)
    assert answer.chosen.run.params == pytest.approx([4e8, 4e8], rel=1e-9)
    assert answer.chosen.flops == pytest.approx(FLOPS, rel=1e-9)
    _, risks = joint_grid(answer.asked, 4e8, answer.weights)
    assert answer.chosen.risk == pytest.approx(risks.min(), abs=1e-7)
    # A pin speaks of every arrangement that stands beside the plan too.
    assert len(answer.by_arrangement) > 3
    for c in answer.by_arrangement.values():
        assert c.run.params == pytest.approx([4e8, 4e8], rel=1e-9)


def test_a_limit_on_losses_holds_a_joint_second_stage(pinned):
    free = plan(WAYS_KNOWN, **pinned)
    losses, risks = joint_grid(free.asked, 4e8, free.weights)
    kept = np.sort(losses[..., 0], -1)[:, 179]  # of 200 draws: with probability .9
    limit = (kept[risks.argmin()] + kept.min()) / 2
    assert kept[risks.argmin()] > limit + 1e-5
    held = plan(WAYS_KNOWN, **pinned, limits={"d0": (limit, 0.9)})
    assert (held.chosen.losses[:, 0] <= limit).mean() >= 0.9
    # What D′ gives to a draw it takes from another: the limit is jagged, and the design may lie
    # inside it. It is the best that keeps as much as it does.
    its = np.sort(held.chosen.losses[:, 0])[179]
    assert held.chosen.risk <= risks[kept <= its + 1e-6].min() + 2e-5
    assert free.chosen.risk < held.chosen.risk < risks[kept.argmin()]
    with pytest.raises(PlanError, match=r"joint keeps P\(d0 <= 0.1\) >= 0.9 with 0"):
        plan(WAYS_KNOWN, **pinned, limits={"d0": "0.1:0.9"})


def test_scratch_keeps_the_end_of_a_domains_data_and_joint_is_not_told_it():
    answer = plan(WAYS_KNOWN, FLOPS, draws=60, unique={"d0": "500M"})
    scratch = answer.by_arrangement["scratch"]
    assert scratch.run.specialize_tokens[0] <= 2e9 * (1 + 1e-9)
    free = plan(WAYS_KNOWN, FLOPS, draws=60).by_arrangement["scratch"]
    assert free.run.specialize_tokens[0] > 2e9
    assert "how often it sees d0 is not told" in dict(answer.choice.excluded)["joint"]
    with pytest.raises(PlanError, match="how often it sees d0 is not told"):
        plan(WAYS_KNOWN, FLOPS, arrangements=["joint"], unique={"d0": "500M"})
    # General data have no part in it.
    assert "joint" in plan(WAYS_KNOWN, FLOPS, draws=60, unique={"general": "1T"}).by_arrangement


def test_the_laws_price_the_repetition_of_what_scratch_is_trained_on():
    run = Run(*(np.full(2, x) for x in (1e8, 0.0, 1e9, 1e12, 2e8)))
    usual = WAYS["scratch"].reference(run)
    assert usual.pretrain_tokens == pytest.approx(1e9)
    assert usual.unique_tokens == pytest.approx(2e8)


def test_a_front_keeps_bounds_and_refuses_what_it_cannot_keep():
    front = pareto(
        FITTED, FLOPS, ("domain:d0", "domain:d1"), points=3, draws=60, pins={"params": "400M"},
        arrangements=["trunk"],
    )  # fmt: skip
    assert len(front.points) == 3
    assert all(p.candidate.run.params == pytest.approx([4e8, 4e8]) for p in front.points)
    for wish in ({"limits": {"d0": "2:0.9"}}, {"at_least_generalist": 0.9}):
        with pytest.raises(PlanError, match="not for a front"):
            pareto(FITTED, FLOPS, ("mean", "cvar:0.1"), **wish)


def test_counts_of_branches_keep_the_limits_or_are_not_told():
    made = contrast(FITTED, "experts", lambda k, r: 0.0 * r)
    levels = np.where(np.arange(len(made)) % 4 < 2, 2.0, 4.0)
    fitted = replace(FITTED, contrasts=(replace(made, level=levels),))
    free = plan(fitted, FLOPS, draws=60).experts
    assert [c.value for c in free.each] == [2.0, 4.0]
    # What a second branch of every domain costs is not left.
    held = {"pins": {"params": 4e8, "pretrain_tokens": 3e10, "specialize_tokens": 4e9}}
    assert [c.value for c in plan(fitted, FLOPS, draws=60, **held).experts.each] == [2.0]
    dear = {"pins": {"params": 4e8, "pretrain_tokens": 4.16e10}, "arrangements": ["generalist"]}
    assert not plan(fitted, FLOPS, draws=60, **dear).experts.each
