"""Plans under another law of the cost than 6 N D."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bayeslaw.cost import CostLaw
from bayeslaw.errors import PlanError
from bayeslaw.plan import evaluate_plan, frontier, plan, reach
from tests.plan import drawn

DEAR = CostLaw(1.0, 1e9, 0.5)  # as much again at N = 1 B, three times as much at a quarter of it
FITTED = replace(drawn.ensemble("additive", 2), cost=DEAR)


@pytest.mark.parametrize("risk", ["mean", "cvar:0.2"])
def test_every_arrangement_spends_the_budget_of_its_law(risk):
    answer = plan(FITTED, 1e20, risk=risk, draws=200, cost="runs")
    for c in (answer.chosen, *answer.others):
        n, d, split = (np.asarray(f) for f in c.run[:3])
        each = 6 * n * (1 + (1e9 / n) ** 0.5)
        tokens = {
            "trunk": d[0] + split.sum(), "generalist": d[0], "independent": d + split
        }[c.arrangement]  # fmt: skip
        total = (each * tokens).sum() if c.arrangement == "independent" else each[0] * tokens
        assert total == pytest.approx(1e20, rel=1e-9)
        assert c.flops == pytest.approx(1e20, rel=1e-9)
    said = answer.to_json()
    assert said["cost"] == {"factor": 1.0, "overhead": 1e9, "power": 0.5, "error": 0.0}
    assert said["certificate"]["faults"] == []
    if risk == "mean":
        assert said["certificate"]["gradient"] < 1e-4


def test_the_optimum_is_the_best_of_a_grid():
    theta = drawn.draws("additive", 1)
    fitted = replace(drawn.of("additive", theta), cost=DEAR)
    answer = plan(fitted, 1e20, draws=200, kind="mean", cost="runs", arrangements=["generalist"])
    n = np.geomspace(1e6, 1e10, 4001)
    d = 1e20 / (6 * n * (1 + (1e9 / n) ** 0.5))
    low, high = fitted.ranges["tokens_per_param"]
    inside = (d / n >= low / 4) & (d / n <= high * 4)
    n, d = n[inside, None], d[inside, None]
    risks = drawn.additive_loss(theta, n, d, 0 * n)[..., 0].mean(1)
    assert answer.chosen.risk == pytest.approx(risks.min(), abs=1e-6)
    # Where small models cost more than 6 N, a larger one with fewer tokens is chosen.
    free = plan(fitted, 1e20, draws=200, kind="mean", arrangements=["generalist"])
    ratios = [a.chosen.run.pretrain_tokens[0] / a.chosen.run.params[0] for a in (answer, free)]
    assert ratios[0] < ratios[1]


def test_a_factor_is_a_smaller_budget():
    dear = replace(FITTED, cost=CostLaw(4 / 3))
    one = plan(dear, 4e20, draws=200, cost="runs").chosen
    other = plan(dear, 3e20, draws=200).chosen
    assert one.risk == pytest.approx(other.risk, abs=1e-9)
    assert one.run.params == pytest.approx(other.run.params, rel=1e-6)


def test_frontiers_targets_and_designs_of_ones_own_know_it_too():
    traced = frontier(FITTED, (1e19, 1e20), 2, draws=200, cost="runs")
    chosen = plan(FITTED, 1e20, draws=200, cost="runs").chosen
    assert traced.points[1].chosen.risk == pytest.approx(chosen.risk, abs=1e-8)
    found = reach(FITTED, {"weighted": float(np.quantile(chosen.totals, 0.8))}, 0.8, draws=200,
                  cost="runs")  # fmt: skip
    assert found.flops == pytest.approx(1e20, rel=0.05)
    mine = evaluate_plan(FITTED, {"mine": chosen.run}, draws=200, cost="runs")
    assert mine.flops == pytest.approx(1e20, rel=1e-9)


def test_the_shadow_price_is_what_more_budget_takes_off():
    def least(flops):
        return plan(FITTED, flops, draws=200, kind="mean", cost="runs").chosen.risk

    price = plan(FITTED, 1e20, draws=200, kind="mean", cost="runs").shadow_price
    slope = (least(1e20 / np.exp(0.02)) - least(1e20 * np.exp(0.02))) / 0.04
    assert price == pytest.approx(slope, rel=5e-3)


def test_a_cost_that_is_not_there_is_refused():
    with pytest.raises(PlanError, match="kept no cost of its runs"):
        plan(drawn.ensemble("additive", 2), 1e20, cost="runs")
    with pytest.raises(PlanError, match="cost '8nd' is not one of 6nd, runs"):
        plan(FITTED, 1e20, cost="8nd")
