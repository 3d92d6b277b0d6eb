"""The optimum against closed forms, a grid, and the budget."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bayeslaw import cost
from bayeslaw.laws import find_law
from bayeslaw.plan import parse_risk, plan
from bayeslaw.plan.written import sizes
from tests.plan import drawn

RISKS = ["mean", "quantile:0.9", "cvar:0.1"]
FREE = {"stretch": float("inf"), "kind": "mean"}


def spent(said):
    """The budget of a plan or a baseline, from what its file says."""
    kind, split = said["arrangement"], np.array(list(said["specialize_tokens"].values()))
    if kind in ("trunk", "generalist"):
        return cost.trunk_flops(said["params"], said["pretrain_tokens"], split)
    n, d = (np.array(list(said[key].values())) for key in ("params", "pretrain_tokens"))
    return cost.independent_flops(n, d, split)


@pytest.mark.parametrize("flops", [1e18, 1e21, 6e23])
def test_a_single_stage_plan_is_the_closed_form(flops):
    theta = drawn.draws("chinchilla", 1, 1)
    said = plan(drawn.of("chinchilla", theta), flops, **FREE).chosen.run
    p = SimpleNamespace(**{n: v[0, 0] for n, v in theta.items()})
    best = find_law("chinchilla").closed_form(flops, drawn.AT, p)
    assert said.params[0] == pytest.approx(best.params, rel=1e-4)
    assert said.pretrain_tokens[0] == pytest.approx(best.pretrain_tokens, rel=1e-4)


@pytest.mark.parametrize(("tokens", "share"), [(20, 0.0), (100, 0.20), (500, 0.84), (2500, 0.97)])
def test_under_transfer_what_is_more_than_a_constant_goes_into_the_branches(tokens, share):
    # 16 branches, D in billions of tokens, kappa = g = .6: D* = (K kappa g)^(1/(1-g)) = 79.6.
    count, kappa, g, a, b = 16, 0.6, 0.6, 0.35, 0.3
    at = drawn.AT._replace(params=1.0, pretrain_tokens=1e9, specialize_tokens=1e9)
    values = {"level": 1.0, "a_size": a, "b_data": b, "g_transfer": g, "d_transfer": 0.0,
              "w_transfer": kappa}  # fmt: skip
    theta = {n: np.full((1, count), v) for n, v in values.items()}
    theta["shares"] = np.tile([0.2, 0.6, 0.2], (1, count, 1))
    # The N at which these tokens are the best use of a budget: both stages' marginal gains agree.
    constant = (count * kappa * g) ** (1 / (1 - g))
    first = min(tokens, constant)
    worth = (tokens - first) / count + kappa * first**g
    gain = tokens / (count * worth) if tokens > constant else g
    params = (a * 0.6 / (b * 0.2 * (worth / (1 + kappa)) ** -b * gain)) ** (1 / a)
    flops = 6 * params * tokens * 1e9
    answer = plan(drawn.of("transfer", theta, at=at), flops, arrangements=["trunk"], **FREE)
    run = answer.chosen.run
    branches, trunk = run.specialize_tokens.sum(), run.pretrain_tokens[0]
    assert run.params[0] == pytest.approx(params, rel=1e-3)
    assert branches / (branches + trunk) == pytest.approx(share, abs=0.005)
    assert trunk / 1e9 == pytest.approx(first, rel=1e-3)
    assert constant == pytest.approx(79.6, abs=0.05)


@settings(max_examples=15, deadline=None)
@given(
    flops=st.floats(15, 26).map(lambda power: 10**power),
    weights=st.lists(st.floats(0.01, 100), min_size=3, max_size=3),
    risk=st.sampled_from(RISKS),
)
def test_every_plan_spends_its_budget(flops, weights, risk):
    fitted = drawn.ensemble("transfer", 3, 60, pretrain_tokens=(0.0, 1e11))
    named = dict(zip(fitted.domains, weights, strict=True))
    answer = plan(fitted, flops, named, risk, kind="mean")
    every = [sizes(c.arrangement, c.run, fitted.domains) | {"flops": c.flops}
             for c in (answer.chosen, *answer.others)]  # fmt: skip
    assert {p["arrangement"] for p in every} == {"trunk", "independent", "generalist", "scratch"}
    for one in every:
        assert one["flops"] == pytest.approx(flops, rel=1e-9)
        assert spent(one) == pytest.approx(flops, rel=1e-9)


@pytest.mark.parametrize("arrangement", ["trunk", "independent", "generalist"])
@pytest.mark.parametrize("risk", RISKS)
def test_the_order_of_domains_does_not_matter(arrangement, risk):
    order = [2, 0, 1]
    theta = drawn.draws("additive", 3, 150)
    turned = {n: v[:, order] for n, v in theta.items()}
    names = ("x", "y", "z")
    weights = {"x": 1.0, "y": 3.0, "z": 0.5}
    first, second = (
        plan(drawn.of("additive", t, domains=d), 1e20, weights, risk, [arrangement], kind="mean")
        for t, d in ((theta, names), (turned, tuple(names[j] for j in order)))
    )
    assert second.chosen.totals.mean() == pytest.approx(first.chosen.totals.mean(), rel=1e-6)
    # A quantile has kinks, and is as good as flat around its least value.
    close = 1e-4 if risk == "mean" else 0.05
    for ours, theirs in zip(second.chosen.run[:3], first.chosen.run[:3], strict=True):
        assert ours == pytest.approx(theirs[order], rel=close)


@pytest.mark.parametrize("arrangement", ["trunk", "independent", "generalist"])
@pytest.mark.parametrize("risk", RISKS)
@pytest.mark.parametrize("count", [40, 400])
def test_no_point_of_a_grid_is_better_than_the_optimum(arrangement, risk, count):
    theta, flops, weights = drawn.draws("additive", 2, count), 1e20, np.array([0.75, 0.25])
    chosen = plan(
        drawn.of("additive", theta), flops, {"d0": 3}, risk, [arrangement], draws=count, kind="mean"
    ).chosen
    low, high = np.log(5.0 / 4), np.log(200.0 * 4)
    ratios, splits = (low, high), (np.log(0.01 / 4), np.log(1.0 * 4))
    box = {
        "generalist": [ratios],
        "trunk": [ratios, splits, splits],
        "independent": [(-4.0, 4.0), ratios, ratios, splits, splits],
    }[arrangement]

    def risks(x):
        one = np.ones(2)
        if arrangement == "generalist":
            ratio, split, each = np.exp(x[:, :1]) * one, 0.0 * one, np.full(2, flops)
        elif arrangement == "trunk":
            ratio, split = np.exp(x[:, :1]) * one, np.exp(x[:, 1:])
            each = flops * (1 + split) / (1 + split.sum(-1, keepdims=True))
        else:
            part = 1 / (1 + np.exp(-x[:, :1]))
            each = flops * np.concatenate([part, 1 - part], 1)
            ratio, split = np.exp(x[:, 1:3]), np.exp(x[:, 3:])
        n = np.sqrt(each / (6 * ratio * (1 + split)))
        total = drawn.additive_loss(theta, n, n * ratio, n * ratio * split) @ weights
        if risk == "mean":
            return total.mean(-1)
        if risk.startswith("quantile"):
            return np.quantile(total, 0.9, axis=-1)
        return np.sort(total, -1)[:, -count // 10 :].mean(-1)

    best, wide = np.mean(box, 1), np.ptp(box, 1) / 2
    points = {1: 801, 3: 13, 5: 5}[len(box)]
    for zoom in range({1: 3, 3: 8, 5: 14}[len(box)]):
        axes = [
            np.linspace(max(lo, c - w), min(hi, c + w), points)
            for c, w, (lo, hi) in zip(best, wide, box, strict=True)
        ]
        grid = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, len(box))
        values = np.concatenate([risks(part) for part in np.array_split(grid, 8)])
        best, wide = grid[values.argmin()], wide * (0.5 if zoom or points < 9 else 0.3)
    assert chosen.risk <= values.min() + 1e-6
    # The same value from NumPy at the design that was chosen.
    run = chosen.run
    said = drawn.additive_loss(theta, *(np.asarray(f) for f in run[:3])) @ weights
    np.testing.assert_allclose(chosen.totals, said, rtol=1e-10)
    assert chosen.risk == pytest.approx(float(_numpy(risk, said)), rel=1e-12)


def _numpy(risk, totals):
    level = parse_risk(risk).level
    if risk == "mean":
        return totals.mean()
    if risk.startswith("quantile"):
        return np.quantile(totals, level)
    return np.sort(totals)[-round(level * len(totals)) :].mean()


def test_a_loss_that_no_draw_reaches_gives_the_plan_of_the_mean():
    of, how = drawn.ensemble("additive", 2, 100), {"draws": 100, "kind": "mean"}
    mean, hopeless = plan(of, 1e20, **how), plan(of, 1e20, risk="reach:0.01", **how)
    assert hopeless.chosen.risk == 1.0
    assert hopeless.chosen.totals.mean() == pytest.approx(mean.chosen.totals.mean(), rel=1e-3)
    assert all(c.totals.mean() < 2 * mean.chosen.totals.mean() for c in hopeless.others)
