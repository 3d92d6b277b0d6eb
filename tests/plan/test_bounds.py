"""Pins and bounds: against the laws' formulas, brute force, and what is refused."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from bayeslaw.cli.planned import cautions
from bayeslaw.errors import PlanError
from bayeslaw.plan import frontier, plan, reach
from tests.plan import drawn

FREE = {"stretch": float("inf"), "kind": "mean"}
THETA = drawn.draws("additive", 2)
FITTED = drawn.of("additive", THETA)
SINGLE = drawn.draws("chinchilla", 1)
RISKS = ["mean", "cvar:0.1", "quantile:0.9"]


def loss(n, d, split):
    """Expected loss of a trunk, equal weights."""
    n, d, split = (np.broadcast_to(v, (2,)) for v in (n, d, split))
    return drawn.additive_loss(THETA, n, d, split).mean()


@pytest.mark.parametrize("params", [3e7, 1e9])
def test_a_pinned_size_leaves_the_tokens_to_the_budget(params):
    run = plan(drawn.of("chinchilla", SINGLE), 1e20, pins={"params": params}, **FREE).chosen.run
    assert run.params[0] == pytest.approx(params, rel=1e-9)
    assert run.pretrain_tokens[0] == pytest.approx(1e20 / 6 / params, rel=1e-9)


def test_a_pinned_trunk_has_the_best_split_of_what_is_left():
    n, d, flops = 4e8, 1e10, 1e20
    answer = plan(
        FITTED, flops, pins={"params": n, "pretrain_tokens": "10B"}, arrangements=["trunk"], **FREE
    )
    left = flops / 6 / n - d
    best = minimize_scalar(
        lambda s: loss(n, d, left * np.array([s, 1 - s])), bounds=(0, 1), options={"xatol": 1e-9}
    )
    assert answer.chosen.risk == pytest.approx(best.fun, abs=1e-9)
    split = answer.chosen.run.specialize_tokens
    assert split == pytest.approx(left * np.array([best.x, 1 - best.x]), rel=1e-4)
    assert answer.chosen.flops == pytest.approx(flops, rel=1e-9)
    assert answer.certificate.gradient < 1e-6


def test_a_bound_that_binds_is_the_optimum_pinned_there():
    free = plan(FITTED, 1e20, arrangements=["trunk"])
    for name in ("params", "pretrain_tokens", "specialize_tokens"):
        half = float(getattr(free.chosen.run, name).min()) / 2
        pinned = plan(FITTED, 1e20, arrangements=["trunk"], pins={name: half}).chosen
        bound = plan(FITTED, 1e20, arrangements=["trunk"], bounds={name: (None, half)}).chosen
        assert bound.risk == pytest.approx(pinned.risk, abs=1e-9)
        assert bound.risk > free.chosen.risk
        assert len(bound.at_limit) == 1
        assert bound.at_limit[0].startswith(f"{name} <= ")


@pytest.mark.parametrize("risk", RISKS)
def test_a_tighter_bound_never_lowers_the_risk(risk):
    risks = [
        plan(
            FITTED, 1e20, risk=risk, draws=100, arrangements=["trunk"],
            bounds={"specialize_tokens.d1": (None, high)},
        ).chosen.risk
        for high in (1e12, 3e9, 1e9, 3e8)
    ]  # fmt: skip
    assert all(a <= b + 1e-6 for a, b in pairwise(risks))
    assert risks[-1] > risks[0] + 1e-3


@pytest.mark.parametrize("arrangement", ["trunk", "independent", "generalist"])
def test_a_bound_beyond_the_optimum_changes_nothing(arrangement):
    free = plan(FITTED, 1e20, arrangements=[arrangement]).chosen
    n = float(free.run.params.min()), float(free.run.params.max())
    held = plan(
        FITTED, 1e20, arrangements=[arrangement], bounds={"params": (n[0] * 0.9, n[1] * 1.1)}
    ).chosen
    assert held.risk == pytest.approx(free.risk, abs=1e-9)
    assert held.run.params == pytest.approx(free.run.params, rel=1e-3)
    assert held.at_limit == ()


@pytest.mark.parametrize("risk", RISKS)
@pytest.mark.parametrize("arrangement", ["trunk", "independent", "generalist"])
def test_bounds_are_kept_exactly_and_so_is_the_budget(arrangement, risk):
    bounds = {"params": ("200M", None), "pretrain_tokens": ":9B", "tokens_per_param": "10:40"}
    c = plan(
        FITTED, 1e20, risk=risk, draws=100, arrangements=[arrangement], bounds=bounds
    ).by_arrangement[arrangement]
    n, d = c.run.params, c.run.pretrain_tokens
    assert (n >= 2e8 * (1 - 1e-9)).all()
    assert (d <= 9e9 * (1 + 1e-9)).all()
    assert (d / n >= 10 * (1 - 1e-9)).all()
    assert (d / n <= 40 * (1 + 1e-9)).all()
    most = 6 * 9e8 * 9e9 * (1 + (arrangement != "generalist") * 4 * 2)  # D'/D is at most 4
    assert c.flops == pytest.approx(min(1e20, most), rel=1e-9)


def test_a_budget_that_bounds_cannot_spend_is_a_ceiling():
    said = plan(FITTED, 1e22, bounds={"params": ":100M", "pretrain_tokens": ":10B"}).to_json()
    assert said["params"] == pytest.approx(1e8)
    assert said["pretrain_tokens"] == pytest.approx(1e10)
    assert said["specialize_tokens"] == pytest.approx({"d0": 4e10, "d1": 4e10})  # D'/D is at most 4
    assert said["budget"]["exhausted"]
    assert said["budget"]["spent"] == pytest.approx(6e8 * 9e10 / 1e22)
    assert said["shadow_price"] == 0.0
    assert any("your bounds and data allow no more" in line for line in cautions(said))


def test_what_lacks_the_stage_of_a_pin_stands_beside_and_is_not_chosen():
    answer = plan(FITTED, 1e20, pins={"specialize_tokens.d0": 5e8})
    assert answer.chosen.run.specialize_tokens[0] == pytest.approx(5e8, rel=1e-9)
    ((name, why),) = answer.choice.excluded
    assert (name, why) == ("generalist", "it has no stage for specialize_tokens.d0=500M")
    assert "generalist" in answer.by_arrangement


def test_the_price_at_a_bound_is_what_more_budget_takes_off_the_risk():
    how = {"bounds": {"pretrain_tokens": ":8B"}, "pins": {"specialize_tokens.d0": "2B"}}

    def least(flops):
        return plan(FITTED, flops, draws=200, arrangements=["trunk"], **how).chosen.risk

    price = plan(FITTED, 1e20, draws=200, arrangements=["trunk"], **how).shadow_price
    slope = (least(1e20 / np.exp(0.02)) - least(1e20 * np.exp(0.02))) / 0.04
    assert price == pytest.approx(slope, rel=5e-3)


def test_the_region_and_each_draws_own_optimum_keep_the_bounds():
    answer = plan(FITTED, 1e20, draws=100, arrangements=["trunk"],
                  bounds={"specialize_tokens": ":3B"}, pins={"params": "300M"})  # fmt: skip
    assert answer.region.params[0] == pytest.approx([3e8, 3e8], rel=1e-6)
    assert (answer.region.specialize_tokens <= 3e9 * (1 + 1e-6)).all()
    own = answer.hindsight.among(["trunk"]).designs
    assert own.params == pytest.approx(3e8, rel=1e-9)
    assert (own.specialize_tokens <= 3e9 * (1 + 1e-9)).all()
    assert (answer.hindsight.among(["trunk"]).best <= answer.chosen.totals + 1e-9).all()


def test_the_region_reaches_as_far_as_a_bound_lets_it():
    n, split = np.linspace(1e8, 1.5e9, 1401), 2e9
    answer = plan(FITTED, 1e20, pins={"specialize_tokens": split}, arrangements=["trunk"], **FREE)
    d = 1e20 / 6 / n - 2 * split
    risks = np.array([loss(a, b, split) if b > 0 else np.inf for a, b in zip(n, d, strict=True)])
    inside = n[risks <= answer.chosen.risk + 0.01]
    assert answer.region.params[0] == pytest.approx([inside.min(), inside.max()], rel=0.01)


def test_the_least_budget_for_a_target_keeps_the_pins():
    target = {"d0": 2.2}
    free = reach(FITTED, target, draws=100, kind="mean", arrangements=["trunk"])
    held = reach(FITTED, target, draws=100, kind="mean", arrangements=["trunk"],
                 pins={"params": free.chosen.run.params[0] * 3})  # fmt: skip
    assert held.chosen.run.params[0] == pytest.approx(free.chosen.run.params[0] * 3, rel=1e-9)
    assert held.p_reached >= 0.9
    assert held.flops > free.flops


def test_a_frontier_keeps_the_bounds():
    found = frontier(FITTED, (1e19, 1e20), 2, bounds={"params": ":100M"}, draws=100)
    assert all((p.chosen.run.params <= 1e8 * (1 + 1e-9)).all() for p in found.points)


@pytest.mark.parametrize(
    ("wishes", "said"),
    [
        (
            {"pins": {"params": "7B", "pretrain_tokens": "10B"}},
            r"params=7B and pretrain_tokens=10B together cost more than the budget of 1e\+20 FLOPs "
            r"\(trunk: at least 4.22e\+20; independent: at least 8.42e\+20; generalist: at least",
        ),
        (
            {"pins": {"params": "1B", "pretrain_tokens": "1B"}},
            r"tokens_per_param 1.25:800 \(the sweep's, by --stretch\), params=1B and "
            r"pretrain_tokens=1B contradict each other .*: one of tokens_per_param=1, "
            r"params 1.25M:800M, pretrain_tokens 1.25B:800B would do",
        ),
        (
            {"pins": {"split_ratio": 9}},
            "split_ratio 0.0025:4 .* and split_ratio=9 contradict each other "
            r".*: one of split_ratio=9, split_ratio 0.0025:4 would do\); "
            r"it has no stage for split_ratio=9 \(generalist\)",
        ),
        (
            {"pins": {"specialize_tokens.d0": "100B"}, "bounds": {"pretrain_tokens": ":20B"}},
            "specialize_tokens.d0=100B and pretrain_tokens <= 20B contradict",
        ),
        ({"pins": {"depth": 3}}, "pin 'depth' is not of params, pretrain_tokens"),
        ({"pins": {"specialize_tokens.x": 3}}, "'specialize_tokens.x': the fit's domains are d0"),
        ({"pins": {"params": "many"}}, "pin params: 'many' is not a number; write 7e9"),
        ({"pins": {"params": 0}}, "pin params=0: it must be more than 0, and finite"),
        ({"bounds": {"params": "1B"}}, "bound params=1B: give LOW:HIGH"),
        ({"bounds": {"params": "x:1B"}}, "bound params: 'x' is not a number"),
        ({"bounds": {"params": "2B:1B"}}, "bound params=2B:1B: it takes 0 <= LOW <= HIGH"),
        ({"bounds": {"params": ":"}}, "and one of them"),
        (
            {"pins": {"depth": 3}, "bounds": {"params": "1B"}, "risk": "dice", "prob": 2},
            "prob must.*dice.*pin 'depth'.*bound params=1B",
        ),
    ],
)
def test_bounds_that_cannot_be_are_refused_with_what_would_be(wishes, said):
    with pytest.raises(PlanError, match=said):
        plan(FITTED, 1e20, **wishes)
