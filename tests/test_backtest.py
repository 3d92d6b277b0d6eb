"""backtest: what it promises, on runs whose truth is known."""

from __future__ import annotations

import json
from functools import lru_cache

import numpy as np
import pytest
from scipy.stats import norm

from bayeslaw import FitError, Runs, backtest
from bayeslaw.backtest import KINDS, scores
from tests.conftest import simulated

KEYS = {
    "cut", "kind", "n_train", "n_test", "cov50", "cov80", "cov90", "cov95", "width90",
    "interval_score", "crps", "log_score", "error",
}  # fmt: skip


@lru_cache
def done():
    return backtest(Runs.from_table(simulated(90, seed=3)), ["chinchilla"], cuts=(0.5, 0.8))


def row(kind, cut=0.5):
    (found,) = [r for r in done().rows if (r.kind, r.cut) == (kind, cut)]
    return found


def test_every_cut_has_a_row_of_every_kind():
    said = done().to_json()
    assert [(r["cut"], r["kind"]) for r in said["rows"]] == [
        (c, k) for c in (0.5, 0.8) for k in KINDS
    ]
    assert all(set(r) == KEYS for r in said["rows"])
    assert said["laws"] == {"0.5": {"chinchilla": 1.0}, "0.8": {"chinchilla": 1.0}}
    assert json.loads(json.dumps(said)) == said


def test_the_cut_is_a_share_of_the_runs_by_compute():
    assert (row("run").n_train, row("run").n_test) == (45, 45)
    assert (row("run", 0.8).n_train, row("run", 0.8).n_test) == (72, 18)


def test_intervals_of_a_new_run_hold_where_the_law_does():
    # 45 runs: a binomial sd of 4.5 points at 90 %.
    assert row("run").cov90 >= 0.75
    assert row("calibrated").cov90 >= row("run").cov90
    assert row("mean").width90 < row("run").width90 < row("calibrated").width90
    assert row("run").error < 0.02


def test_huber_with_bootstraps_is_close_to_the_posterior_on_clean_runs():
    assert row("huber").crps == pytest.approx(row("run").crps, rel=0.5)
    assert row("huber").width90 == pytest.approx(row("run").width90, rel=0.7)


def test_by_params_the_larger_models_are_predicted():
    table = simulated(60, seed=4)
    table["params"] = np.repeat([1e8, 3e8, 1e9, 3e9], 15)
    found = backtest(Runs.from_table(table), ["chinchilla"], by="params", cuts=(0.5,))
    assert (found.rows[0].n_train, found.rows[0].n_test) == (30, 30)


def test_the_same_seed_gives_the_same_rows():
    runs = Runs.from_table(simulated(30, seed=5))
    one, two = (backtest(runs, ["chinchilla"], cuts=(0.6,)) for _ in range(2))
    assert one == two


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"cuts": (1.5,)}, "cuts lie between 0 and 1, got 1.5"),
        ({"cuts": ()}, "cuts lie between 0 and 1"),
        ({"by": "tokens"}, "by is flops or params, got 'tokens'"),
        ({"cuts": (0.1,)}, "no cut leaves enough runs on both sides .0.1: 3 runs to fit"),
        ({"laws": ["nothing"]}, "there is no law 'nothing'"),
    ],
)
def test_what_cannot_be_tested_is_one_clear_error(how, said):
    with pytest.raises(FitError, match=said):
        backtest(Runs.from_table(simulated(24)), **how)


def test_a_cut_that_leaves_too_little_is_named_and_the_others_go_on():
    found = backtest(Runs.from_table(simulated(24)), ["chinchilla"], cuts=(0.1, 0.6))
    assert found.skipped == {0.1: "3 runs to fit, 21 to predict"}
    assert {r.cut for r in found.rows} == {0.6}


def test_scores_of_a_normal_are_the_closed_forms():
    rng = np.random.default_rng(0)
    draws = 3 + 0.1 * rng.standard_normal((200_000, 2))
    found = scores(draws, np.array([3.0, 3.1]))
    np.testing.assert_allclose(found["width90"], 2 * 1.6449 * 0.1, rtol=0.01)
    z = np.array([0.0, 1.0])
    crps = 0.1 * (z * (2 * norm.cdf(z) - 1) + 2 * norm.pdf(z) - 1 / np.sqrt(np.pi))
    np.testing.assert_allclose(found["crps"], crps.mean(), rtol=0.02)
    np.testing.assert_allclose(found["log_score"], norm(3, 0.1).logpdf([3, 3.1]).mean(), atol=0.02)
    assert (found["cov50"], found["cov90"]) == (0.5, 1.0)
    np.testing.assert_allclose(found["error"], (0.1 / 3.1) / 2, rtol=0.02)
