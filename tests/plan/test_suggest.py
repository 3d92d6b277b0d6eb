"""The next runs: what they are worth, against closed forms and identities."""

from __future__ import annotations

import importlib
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import norm

from bayeslaw.errors import PlanError
from bayeslaw.plan import NextRun, suggest
from bayeslaw.plan.pool import pool_of, read_pool
from bayeslaw.plan.value import Noise, Predicted, Value
from tests.plan import drawn

FITTED = drawn.ensemble("additive", 2, 300)
EVEN = np.full(2, 0.5)


@pytest.fixture(scope="module")
def suggestion():
    return suggest(FITTED, 1e22, 1e20, runs=3, draws=300, kind="mean")


def test_runs_come_in_the_order_of_choice_within_the_spend(suggestion):
    assert 1 <= len(suggestion.runs) <= 3
    assert suggestion.flops <= 1e20
    assert all(s.evsi > suggestion.price * s.run.flops for s in suggestion.runs)
    assert all(0 < s.error < s.evsi for s in suggestion.runs)


def test_runs_are_worth_less_together_than_the_truth(suggestion):
    assert 0 < sum(s.evsi for s in suggestion.runs) < suggestion.evpi


def test_the_same_call_suggests_the_same_runs(suggestion):
    assert suggest(FITTED, 1e22, 1e20, runs=3, draws=300, kind="mean") == suggestion


def two_plans(count, seed=0):
    """theta ~ N(0, 1), and the losses of two plans: the second loses theta + .3 more."""
    theta = np.random.default_rng(seed).standard_normal(count)
    theta = (theta - theta.mean()) / theta.std()
    return theta, np.stack([np.zeros(count), theta + 0.3])


def steady(count, domains, own=0.5, shared=0.0):
    return Noise(np.full((count, domains), own), np.full(count, shared))


def closed_form(s2, repeats):
    """E max(0, -m - .3) of the posterior mean m ~ N(0, 1 / (1 + s² / n))."""
    sd = (1 / (1 + s2 / repeats)) ** 0.5
    z = -0.3 / sd
    return sd * (norm.pdf(z) + z * norm.cdf(z))


def test_two_plans_and_repeats_of_a_normal_outcome_are_the_closed_form():
    theta, table = two_plans(20_000)
    value = Value(table, steady(20_000, 1, 1.0))
    told, total = Predicted(np.array([0]), theta[:, None]), 0.0
    for repeats in (1, 2, 3, 4):
        drop, error = value.take(told)
        total += drop
        assert total == pytest.approx(closed_form(1.0, repeats), abs=0.007)
        assert 0 < error < 0.007


def test_what_domains_share_is_not_averaged_away():
    # Four domains that all show theta: their own noise is averaged, the trunk's effect is not.
    theta, table = two_plans(20_000)
    value = Value(table, steady(20_000, 4, 1.0, 1.0))
    told = Predicted(np.arange(4), np.repeat(theta[:, None], 4, 1))
    (drop,), _ = value.of([told])
    assert drop == pytest.approx(closed_form(1.0 + 0.25, 1), abs=0.007)


@pytest.mark.parametrize("domains", [1, 4, 8])
def test_a_run_that_says_nothing_is_worth_nothing(domains):
    # 48 plans, each the best for a draw; what is seen varies, but not with what is at stake.
    rng, count = np.random.default_rng(domains), 500
    theta = rng.standard_normal((count, 3))
    own = theta[rng.permutation(count)[:48]]
    table = 0.05 * ((theta[None] - own[:, None]) ** 2).sum(-1)
    silent = Predicted(np.arange(domains), np.exp(0.1 * rng.standard_normal((count, domains))))
    telling = Predicted(np.array([0]), theta[:, :1])
    value = Value(table, steady(count, domains, 0.02, 0.01))
    evpi = table.mean(1).min() - table.min(0).mean()
    (nothing, something), (error, _) = value.of([silent, telling])
    assert nothing < 2 * error
    assert nothing < 0.02 * evpi
    assert 0.2 * evpi < something < evpi
    for _ in range(4):
        drop, error = value.take(silent)
        assert drop < 2 * error


@pytest.mark.parametrize("noise", [1e-3, 0.3])
def test_nothing_is_worth_more_than_the_truth(noise):
    theta, table = two_plans(500)
    value = Value(table, steady(500, 8, noise))
    evpi = table.mean(1).min() - table.min(0).mean()
    told, total = Predicted(np.arange(8), np.repeat(theta[:, None], 8, 1)), 0.0
    for _ in range(4):
        total += value.take(told)[0]
        assert total <= evpi + 1e-12
    assert total > 0.8 * evpi


def test_twice_the_same_adds_less():
    theta, table = two_plans(2000)
    value = Value(table, steady(2000, 1))
    told = Predicted(np.array([0]), theta[:, None])
    first, _ = value.take(told)
    again, error = value.take(told)
    assert again - error < first / 2


def test_where_all_draws_agree_no_run_is_worth_its_flops():
    theta = {n: v[:1].repeat(50, 0) for n, v in drawn.draws("additive", 2).items()}
    sure = suggest(drawn.of("additive", theta), 1e22, 1e20, draws=50, kind="mean")
    assert sure.enough
    assert sure.runs == ()
    assert sure.evpi == pytest.approx(0.0, abs=1e-6)


def test_a_branch_of_a_trunk_that_is_there_costs_its_own_tokens_only():
    import xarray as xr

    member = FITTED.members[0]
    tree = member.tree.copy()
    columns = {"params": [1e8], "pretrain_tokens": [1e10]}
    tree["constant_data"] = xr.DataTree(
        xr.Dataset({n: ("run", np.array(v)) for n, v in columns.items()})
    )
    fitted = replace(FITTED, members=(replace(member, tree=tree),))
    own = [r for r in pool_of(fitted, np.inf, EVEN) if (r.params, r.pretrain_tokens) == (1e8, 1e10)]
    assert len(own) == 4 * 2
    for run in own:
        assert run.flops == pytest.approx(6 * 1e8 * run.specialize_tokens)
    apart = [r for r in pool_of(FITTED, np.inf, EVEN) if r.branch]
    for run in apart:
        tokens = run.pretrain_tokens + run.specialize_tokens
        assert run.flops == pytest.approx(6 * run.params * tokens)


def test_a_sweep_that_leaves_no_run_asks_for_a_pool(monkeypatch):
    module = importlib.import_module("bayeslaw.plan.suggest")
    monkeypatch.setattr(module, "pool_of", lambda *_: [])
    with pytest.raises(PlanError, match="leave no run to suggest; give a pool"):
        suggest(FITTED, 1e22, 1e20, draws=50, kind="mean")


@pytest.mark.slow
def test_a_pool_of_ones_own_is_what_is_ranked(tmp_path):
    file = tmp_path / "pool.csv"
    file.write_text(
        "params,pretrain_tokens,specialize_tokens,branch,flops\n"
        "100M,1B,,,\n200M,2B,100M,d1,\n400M,4B,0,,1e19\n"
    )
    pool = read_pool(file, FITTED)
    assert pool[0] == NextRun(1e8, 1e9, 0.0, "", 6e17)
    assert pool[1] == NextRun(2e8, 2e9, 1e8, "d1", 6 * 2e8 * 2.1e9)
    assert pool[2].flops == 1e19
    found = suggest(FITTED, 1e22, 1e20, 5, pool=pool, draws=300)
    assert {s.run for s in found.runs} <= set(pool)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("params\n1\n", "no column 'pretrain_tokens'"),
        ("params,pretrain_tokens\n", "there are no runs"),
        ("params,pretrain_tokens\nbig,1\n", "params is 'big'"),
        ("params,pretrain_tokens\n1B,0\n-1,inf\n", "row 2: pretrain.*(.|\n)*row 3: params is -1"),
        ("params,pretrain_tokens,specialize_tokens,branch\n1,1,1,law\n", "'law' is not one of"),
    ],
)
def test_a_pool_is_refused_with_its_faults(tmp_path, text, said):
    file = tmp_path / "pool.csv"
    file.write_text(text)
    with pytest.raises(PlanError, match=said):
        read_pool(file, FITTED)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"spend": 1.0}, "no run costs at most 1 FLOPs"),
        ({"spend": -1.0}, "must be positive"),
        ({"runs": 0}, "at least 1 run"),
        ({"weights": {"law": 1}}, "unknown domain"),
        ({"plan_flops": -1, "spend": 0}, "spend must be positive.*plan_flops must be positive"),
        ({"draws": 0}, "draws must be at least 1, got 0"),
        ({"pool": []}, "there are no runs"),
        ({"pool": [NextRun(1e8, 1e9, 1e8, "law")]}, "run 1: branch 'law' is not one of d0, d1"),
        ({"pool": [NextRun(1e8, 0)]}, "run 1: pretrain_tokens is 0; it must be more than 0"),
        ({"pool": [NextRun(1e8, -1e9)], "runs": 0}, "pretrain_tokens is -1e.09.*at least 1 run"),
    ],
)
def test_what_cannot_be_suggested_is_refused(wrong, said):
    with pytest.raises(PlanError, match=said):
        suggest(FITTED, **{"plan_flops": 1e22, "spend": 1e20, **wrong})
