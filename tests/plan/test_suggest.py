"""The next runs: what they are worth, against closed forms and identities."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import norm

from bayeslaw.errors import PlanError
from bayeslaw.plan import NextRun, suggest
from bayeslaw.plan.pool import pool_of, read_pool
from bayeslaw.plan.suggest import _Value
from tests.plan import drawn

FITTED = drawn.ensemble("additive", 2, 300)
EVEN = np.full(2, 0.5)


@pytest.fixture(scope="module")
def suggestion():
    return suggest(FITTED, 1e22, 1e20, runs=3, draws=300)


def test_runs_come_best_first_within_the_spend(suggestion):
    assert 1 <= len(suggestion.runs) <= 3
    assert suggestion.flops <= 1e20
    assert all(s.evsi > suggestion.price * s.run.flops for s in suggestion.runs)
    per_flop = [s.evsi_per_flop for s in suggestion.runs]
    assert per_flop == sorted(per_flop, reverse=True)


def test_runs_are_worth_less_together_than_the_truth(suggestion):
    assert 0 < sum(s.evsi for s in suggestion.runs) < suggestion.evpi


def test_the_same_call_suggests_the_same_runs(suggestion):
    assert suggest(FITTED, 1e22, 1e20, runs=3, draws=300) == suggestion


def test_two_plans_and_a_normal_outcome_are_the_closed_form():
    # theta ~ N(0, 1); plan 1 loses theta + .3 more than plan 0; an outcome is theta + noise. The
    # posterior mean m ~ N(0, 1 / (1 + s²)), and the gain is E max(0, -m - .3).
    rng, s, count = np.random.default_rng(0), 0.5, 20_000
    theta = rng.standard_normal(count)
    table = np.stack([np.zeros(count), theta + 0.3])
    noise = np.full((count, 1), s)
    value = _Value(table, noise, normal=True)
    value.truths = np.arange(0, count, 25)
    value.logs = np.zeros((len(value.truths), count), np.float32)
    (gain,) = value.of([(np.array([0]), theta[:, None].astype(np.float32))])
    sd = (1 / (1 + s**2)) ** 0.5
    z = -0.3 / sd
    assert gain == pytest.approx(sd * (norm.pdf(z) + z * norm.cdf(z)), rel=0.1)


def test_a_run_that_says_nothing_is_worth_nothing_and_twice_the_same_adds_less():
    rng, count = np.random.default_rng(1), 2000
    theta = rng.standard_normal(count)
    table = np.stack([np.zeros(count), theta + 0.3])
    value = _Value(table, np.full((count, 1), 0.5), normal=True)
    told = (np.array([0]), theta[:, None].astype(np.float32))
    silent = (np.array([0]), np.zeros((count, 1), np.float32))
    first, none = value.of([told, silent])
    assert none == pytest.approx(0.0, abs=1e-3)
    value.take(told)
    (again,) = value.of([told])
    assert again < first / 2


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
    ],
)
def test_what_cannot_be_suggested_is_refused(wrong, said):
    with pytest.raises(PlanError, match=said):
        suggest(FITTED, **{"plan_flops": 1e22, "spend": 1e20, **wrong})
