"""The next runs: what they are worth, against closed forms and identities."""

from __future__ import annotations

import importlib
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import norm

from bayeslaw.cost import CostLaw
from bayeslaw.errors import PlanError
from bayeslaw.plan import Architecture, NextRun, suggest
from bayeslaw.plan.pool import pool_of, read_pool
from bayeslaw.plan.value import Noise, Predicted, Value, stakes
from tests.plan import drawn

FITTED = drawn.ensemble("additive", 2, 300)
EVEN = np.full(2, 0.5)


@pytest.fixture(scope="module")
def suggestion():
    return suggest(FITTED, 1e22, 1e20, runs=3, draws=300, kind="mean")


def test_runs_are_within_the_spend_and_each_repays_its_flops(suggestion):
    assert 1 <= len(suggestion.runs) <= 3
    assert suggestion.flops <= 1e20
    assert all(s.evsi > suggestion.price * s.run.flops for s in suggestion.runs)
    assert all(0 < s.error < s.evsi for s in suggestion.runs)


def test_runs_are_worth_less_together_than_the_truth(suggestion):
    assert 0 < sum(s.evsi for s in suggestion.runs) < suggestion.evpi


def test_the_same_call_suggests_the_same_runs(suggestion):
    assert suggest(FITTED, 1e22, 1e20, runs=3, draws=300, kind="mean") == suggestion


CURVATURE = np.array([[2.0, 0.5], [0.5, 1.0]])


def quadratic(count, seed=0):
    """Unknowns of three dimensions, exactly standard normal in the sample; the best plan of each
    draw is linear in them, and the loss of plans that the first draws would choose is quadratic."""
    z = np.random.default_rng(seed).standard_normal((count, 3))
    z -= z.mean(0)
    z = np.linalg.solve(np.linalg.cholesky(z.T @ z / count), z.T).T
    best = z @ MAP
    apart = best[:48, None] - best[None]
    table = 0.5 * np.einsum("psi,ij,psj->ps", apart, CURVATURE, apart) + z[:, 2] ** 2
    return z, table, 0.5 * np.trace(CURVATURE @ MAP.T @ MAP)


MAP = np.array([[1.0, -0.4], [0.2, 0.7], [0.0, 0.5]])


def explained(told, noise):
    """What outcomes told' z + noise explain of the variance of the best plan, in nats."""
    gain = MAP.T @ told @ np.linalg.inv(told.T @ told + noise) @ told.T @ MAP
    return 0.5 * np.trace(CURVATURE @ gain)


def steady(count, domains, own=0.5, shared=0.0, df=None):
    return Noise(np.full((count, domains), own), np.full(count, shared), df)


def shown(z, told):
    return Predicted(np.arange(told.shape[1]), z @ told)


def worth(value, run):
    """Of one run, and its standard error."""
    (gain,), (error,) = value.of([run])
    return gain, error


def test_distances_between_the_best_plans_are_regrets():
    z, table, evpi = quadratic(2000)
    found = stakes(table, np.arange(48), evpi)
    best = z @ MAP
    apart = best[:9, None] - best[None]
    regret = 0.5 * np.einsum("psi,ij,psj->ps", apart, CURVATURE, apart)
    off = ((found[:9, None] - found[None]) ** 2).sum(-1)
    np.testing.assert_allclose(off, regret, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("own", [0.1, 1.0])
def test_repeats_of_a_normal_outcome_are_the_closed_form(own):
    z, table, evpi = quadratic(20_000)
    told = np.array([[1.0], [-0.5], [0.3]])
    value = Value(stakes(table, np.arange(48), evpi), steady(20_000, 1, own), [shown(z, told)] * 4)
    total = 0.0
    for repeats in (1, 2, 3, 4):
        gain, error = worth(value, repeats - 1)
        value.take(repeats - 1)
        total += gain
        assert total == pytest.approx(explained(told, own**2 / repeats), rel=0.01)
        assert 0 < error < 0.02 * evpi
    assert value.regret == pytest.approx(evpi - total, rel=0.01)


def test_different_runs_are_worth_together_what_they_explain_together():
    z, table, evpi = quadratic(20_000)
    told = np.array([[1.0, 0.2], [-0.5, 0.9], [0.3, 0.3]])
    runs = [Predicted(np.array([0]), z @ told[:, [k]]) for k in range(2)]
    value = Value(stakes(table, np.arange(48), evpi), steady(20_000, 1, 0.7), runs)
    first, _ = worth(value, 0)
    value.take(0)
    both = first + worth(value, 1)[0]
    assert both == pytest.approx(explained(told, 0.49 * np.eye(2)), rel=0.01)


def test_what_domains_share_is_not_averaged_away():
    # Four domains that all show the same: their own noise is averaged, the trunk's effect is not.
    z, table, evpi = quadratic(20_000)
    told = np.array([[1.0], [-0.5], [0.3]])
    run = Predicted(np.arange(4), np.repeat(z @ told, 4, 1))
    value = Value(stakes(table, np.arange(48), evpi), steady(20_000, 4, 1.0, 1.0), [run])
    assert worth(value, 0)[0] == pytest.approx(explained(told, 1.0 + 0.25), rel=0.01)


def test_heavy_tails_count_as_the_normal_that_tells_as_much():
    # Fisher information of a location: (ν + 1) / (ν + 3) of the normal's of that scale.
    noise = steady(10, 2, 0.5, 0.1, df=4.0).covariance(np.arange(2))
    np.testing.assert_allclose(noise, 0.25 * 7 / 5 * np.eye(2) + 0.01)


@pytest.mark.parametrize("domains", [1, 4, 8])
def test_a_run_that_says_nothing_is_worth_nothing(domains):
    z, table, evpi = quadratic(500, domains)
    rng = np.random.default_rng(domains)
    silent = Predicted(np.arange(domains), 0.1 * rng.standard_normal((500, domains)))
    telling = shown(z, np.array([[1.0], [0.0], [0.0]]))
    runs = [silent, telling]
    value = Value(stakes(table, np.arange(48), evpi), steady(500, domains, 0.02, 0.01), runs)
    (nothing, something), (error, _) = value.of([0, 1])
    assert nothing < 2 * error
    assert nothing < 0.03 * evpi
    assert 0.2 * evpi < something < evpi


@pytest.mark.parametrize("noise", [1e-3, 0.3])
def test_nothing_is_worth_more_than_the_truth(noise):
    z, table, evpi = quadratic(500)
    run = Predicted(np.arange(8), z @ np.random.default_rng(0).standard_normal((3, 8)))
    value = Value(stakes(table, np.arange(48), evpi), steady(500, 8, noise), [run] * 4)
    total = 0.0
    for k in range(4):
        total += worth(value, k)[0]
        value.take(k)
        assert total <= evpi * (1 + 1e-9)
    assert total > 0.8 * evpi


def test_two_plans_that_are_a_discrete_choice_are_told_to_a_fifth():
    """Not quadratic: one of two plans, the second of which loses θ + .3 more. The exact value is
    E max(0, -m - .3) of the posterior mean m ~ N(0, 1 / (1 + s² / n))."""
    count = 20_000
    theta = np.random.default_rng(0).standard_normal(count)
    theta = (theta - theta.mean()) / theta.std()
    table = np.stack([np.zeros(count), theta + 0.3])
    chosen = np.array([theta.argmax(), theta.argmin()])  # draws of which each plan is the best
    evpi = table.mean(1).min() - table.min(0).mean()
    runs = [Predicted(np.array([0]), theta[:, None])] * 4
    value, total = Value(stakes(table, chosen, evpi), steady(count, 1, 1.0), runs), 0.0
    for repeats in (1, 2, 3, 4):
        total += worth(value, repeats - 1)[0]
        value.take(repeats - 1)
        sd = (1 / (1 + 1 / repeats)) ** 0.5
        exact = sd * (norm.pdf(0.3 / sd) - 0.3 / sd * norm.sf(0.3 / sd))
        assert total == pytest.approx(exact, rel=0.2)


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
    assert pool[0] == NextRun(1e8, 1e9, 0.0, "", 0.0)
    assert pool[1] == NextRun(2e8, 2e9, 1e8, "d1", 0.0)
    assert pool[2].flops == 1e19
    found = suggest(FITTED, 1e22, 1e20, 5, pool=pool, draws=300)
    costs = {pool[0]: 6e17, pool[1]: 6 * 2e8 * 2.1e9, pool[2]: 1e19}
    assert {s.run for s in found.runs} <= {replace(run, flops=c) for run, c in costs.items()}


def test_branches_of_one_trunk_pay_for_it_once():
    pool = [NextRun(1e8, 1e9, s, name) for name in ("d0", "d1") for s in (1e7, 1e8)]
    found = suggest(FITTED, 1e22, 1e20, 4, pool=pool, draws=300, kind="mean").runs
    assert len(found) > 1
    own = [6 * 1e8 * s.run.specialize_tokens for s in found]
    assert found[0].run.flops == pytest.approx(6 * 1e8 * 1e9 + own[0])  # who pays comes first
    assert [s.run.flops for s in found[1:]] == pytest.approx(own[1:])
    each = [s.evsi_per_flop for s in found[1:]]
    assert each == sorted(each, reverse=True)


def test_runs_with_trunks_of_their_own_come_the_best_per_flop_first():
    pool = [NextRun(n, 10 * n) for n in (3e7, 1e8, 3e8)] + [NextRun(2e8, 4e9, 4e8, "d0")]
    found = suggest(FITTED, 1e22, 1e20, 4, pool=pool, draws=300, kind="mean").runs
    each = [s.evsi_per_flop for s in found]
    assert len(each) > 1
    assert each == sorted(each, reverse=True)


def test_runs_cost_what_the_sweeps_own_did():
    fitted = replace(FITTED, cost=CostLaw(2.0))
    pool = [NextRun(1e8, 1e9)]
    costs = [
        suggest(fitted, 1e22, 1e20, 1, pool=pool, draws=50, kind="mean", cost=cost).runs[0].run
        for cost in ("6nd", "runs")
    ]
    assert costs[1].flops == 2 * costs[0].flops == 12 * 1e8 * 1e9


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
        ({"cost": "free"}, "cost 'free' is not one of 6nd, runs"),
        ({"pool": [NextRun(1e8, 1e9, 1e8, "law")]}, "run 1: branch 'law' is not one of d0, d1"),
        ({"pool": [NextRun(1e8, 0)]}, "run 1: pretrain_tokens is 0; it must be more than 0"),
        ({"pool": [NextRun(1e8, -1e9)], "runs": 0}, "pretrain_tokens is -1e.09.*at least 1 run"),
    ],
)
def test_what_cannot_be_suggested_is_refused(wrong, said):
    with pytest.raises(PlanError, match=said):
        suggest(FITTED, **{"plan_flops": 1e22, "spend": 1e20, **wrong})


def test_wishes_of_the_plan_are_kept_in_what_is_worth_knowing():
    """With all ratios held nothing is left to decide, and no run is worth anything."""
    some = {"runs": 2, "draws": 300, "kind": "mean", "arrangements": ["trunk"]}
    free = suggest(FITTED, 1e22, 1e20, **some)
    held = suggest(FITTED, 1e22, 1e20, **some, pins={"split_ratio": 0.1})
    fixed = {"split_ratio": 0.1, "tokens_per_param": 40.0}
    none = suggest(FITTED, 1e22, 1e20, **some, pins=fixed)
    assert free.evpi > held.evpi > none.evpi
    assert none.evpi == pytest.approx(0, abs=1e-6)
    assert none.enough
    assert not none.runs
    with pytest.raises(PlanError, match="suggest knows no architectures, limits: leave them out"):
        suggest(
            FITTED, 1e22, 1e20, limits={"d0": (2.0, 0.9)}, architectures=[Architecture("a", 1e8)]
        )
