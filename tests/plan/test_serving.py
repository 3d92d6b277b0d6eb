"""Serving: a part of the budget that grows with N alone."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from bayeslaw.cli.planned import plan as lines
from bayeslaw.errors import PlanError
from bayeslaw.plan import plan
from tests.plan import drawn

FREE = {"stretch": float("inf"), "kind": "mean"}
FITTED = drawn.ensemble("additive", 2)
FLOPS = 1e20


@pytest.mark.parametrize(("tokens", "price"), [(1e10, 1.0), (1e12, 1.0), (1e12, 0.1)])
def test_a_single_stage_plan_is_the_best_of_a_fine_grid(tokens, price):
    theta = drawn.draws("chinchilla", 1, 50)
    answer = plan(
        drawn.of("chinchilla", theta), FLOPS, draws=50, serve={"d0": tokens}, serve_price=price,
        **FREE,
    )  # fmt: skip
    n = np.exp(np.linspace(np.log(1e6), np.log(1e10), 60001))[:, None, None]
    d = (FLOPS - 2 * price * n * tokens) / 6 / n
    n, d = n[d[:, 0, 0] > 0], d[d[:, 0, 0] > 0]
    floor, size, data = np.moveaxis(theta["shares"], -1, 0)
    loss = theta["level"] * 3.0 * (
        floor + size * (n / 1e8) ** -theta["a_size"] + data * (d / 1e10) ** -theta["b_data"]
    )  # fmt: skip
    risks = loss.mean((1, 2))
    assert answer.chosen.risk == pytest.approx(risks.min(), abs=1e-8)
    assert answer.chosen.run.params[0] == pytest.approx(n[risks.argmin(), 0, 0], rel=2e-3)
    assert answer.certificate.gradient < 1e-6


@pytest.mark.parametrize("risk", ["mean", "cvar:0.1"])
@pytest.mark.parametrize("arrangement", ["trunk", "independent", "generalist"])
def test_the_whole_life_costs_the_budget(arrangement, risk):
    served = np.array([5e10, 2e9])
    answer = plan(
        FITTED, FLOPS, risk=risk, draws=100, arrangements=[arrangement],
        serve={"d0": "50B", "d1": "2B"}, bounds={"specialize_tokens": (None, "5B")},
    )  # fmt: skip
    for c in (answer.chosen, *answer.others):
        serving = 2 * float(c.run.params @ served)
        assert c.serving == pytest.approx(serving, rel=1e-12)
        assert c.flops + serving == pytest.approx(FLOPS, rel=1e-9)


def test_a_budget_that_serving_leaves_no_parameter_of_is_refused():
    with pytest.raises(PlanError, match=r"pays for less than one parameter \(.*at least 2e\+30"):
        plan(drawn.ensemble("additive", 2, 50), 1e20, draws=50, serve={"d0": 1e30})


def test_the_more_is_served_the_smaller_and_the_longer_trained_are_the_models():
    plans = [plan(FITTED, FLOPS, draws=100, serve={"d0": t}) for t in (1e6, 1e10, 1e11, 1e12)]
    runs = [p.chosen.run for p in plans]
    for less, more in pairwise(runs):
        assert more.params[0] < less.params[0]
        assert (more.pretrain_tokens / more.params)[0] > (less.pretrain_tokens / less.params)[0]
    risks = [p.chosen.risk for p in plans]
    assert risks == sorted(risks)
    free = plan(FITTED, FLOPS, draws=100)
    assert runs[0].params[0] == pytest.approx(free.chosen.run.params[0], rel=1e-3)
    assert plans[-1].unserved.risk == pytest.approx(free.chosen.risk, abs=1e-12)


def test_the_price_of_the_budget_counts_what_is_served():
    how = {"draws": 200, "arrangements": ["trunk"], "serve": {"d0": 1e11}}
    price = plan(FITTED, FLOPS, **how).shadow_price
    less, more = (plan(FITTED, FLOPS * np.exp(t), **how).chosen.risk for t in (-0.02, 0.02))
    assert price == pytest.approx((less - more) / 0.04, rel=5e-3)


def test_the_frontier_trades_training_for_serving_at_the_plans_loss():
    answer = plan(FITTED, FLOPS, draws=100, arrangements=["trunk"], serve={"d0": 3e10})
    found = {t.factor: t for t in answer.trade}
    own = found[1.0]
    assert own.training == pytest.approx(answer.chosen.flops, rel=5e-3)
    assert own.serving == pytest.approx(answer.chosen.serving, rel=1e-9)
    # The plan has the least of both together, and training alone is dearer where N is smaller.
    for factor, t in found.items():
        assert t.serving == pytest.approx(factor * own.serving, rel=1e-9)
        assert t.training + t.serving >= (own.training + own.serving) * (1 - 2e-3)
    assert found[0.5].training > own.training
    again = plan(
        FITTED, found[0.5].training, draws=100, arrangements=["trunk"],
        pins={"params": float(found[0.5].optimum.run.params[0])},
    )  # fmt: skip
    assert again.chosen.risk == pytest.approx(answer.chosen.risk, abs=2e-4)
    said = answer.to_json()
    assert any(line.startswith("the same loss") for line in lines(said))
    assert max(map(len, lines(said))) <= 80


@pytest.mark.parametrize(
    ("wishes", "said"),
    [
        ({"serve": {"law": 1}}, "serving of unknown domain 'law'; the fit has d0, d1"),
        ({"serve": {"d0": "much"}}, "serving of d0: 'much' is not a number"),
        ({"serve": {"d0": -1}}, "serving of d0: -1; it must be 0 or more"),
        ({"serve": {"d0": 1e9}, "serve_price": 0}, "serve_price must be positive, finite; got 0"),
        ({"serve_price": 2}, "serve_price is of served tokens"),
        (
            {"serve": {"d0": "1T"}, "pins": {"params": "1B"}},
            r"params=1B costs? more than the budget of 1e\+20 .*generalist: at least 2",
        ),
    ],
)
def test_serving_that_cannot_be_is_refused(wishes, said):
    with pytest.raises(PlanError, match=said):
        plan(FITTED, FLOPS, **wishes)
