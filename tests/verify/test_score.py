"""Scores against closed forms: of a normal, of hand-computed gains."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import kstest, norm

from bayeslaw.verify.gain import gain
from bayeslaw.verify.score import Summary, scored, z_of

Q = (np.arange(20_000) + 0.5) / 20_000


def test_the_score_of_a_normal_is_its_closed_form():
    mean, sd = 2.0, 0.1
    draws = norm.ppf(Q, mean, sd)[:, None]
    for loss in (1.8, 1.95, 2.0, 2.3):
        (one,) = scored(draws, np.array([loss]))
        z = (loss - mean) / sd
        crps = sd * (z * (2 * norm.cdf(z) - 1) + 2 * norm.pdf(z) - 1 / np.sqrt(np.pi))
        assert one.crps == pytest.approx(crps, abs=2e-5)
        step = 1 / (len(Q) * norm.pdf(z))  # of z from one draw to the next
        assert one.z == pytest.approx(z, abs=step)
        assert one.mean == pytest.approx(mean)
        for prob in (50, 80, 90):
            half = sd * norm.ppf(0.5 + prob / 200)
            assert one.intervals[prob] == pytest.approx((mean - half, mean + half), abs=1e-4)
            assert one.inside(prob) == (abs(loss - mean) < half)


def test_z_is_standard_normal_whatever_the_shape_of_a_right_forecast():
    rng = np.random.default_rng(0)
    curve = rng.normal(0, 0.3, 500)
    draws = np.exp(curve + 0.05 * rng.standard_t(4, (4000, 500)))
    truth = np.exp(curve + 0.05 * rng.standard_t(4, 500))
    assert kstest(z_of(draws, truth), "norm").pvalue > 0.01


def test_z_says_how_far_beyond_all_draws_a_loss_is():
    draws = norm.ppf(Q[::10], 0.0, 0.01)[:, None]
    z = z_of(np.exp(draws), np.exp(np.array([0.5])))
    assert z[0] == pytest.approx(50, rel=0.01)
    assert z_of(np.exp(draws), np.exp(np.array([-0.5])))[0] == pytest.approx(-z[0], rel=0.01)


def test_a_summary_counts_what_is_inside():
    draws = np.repeat(norm.ppf(Q, 2.0, 0.1)[:, None], 4, axis=1)
    z = np.array([0.0, 1.0, -1.5, 3.0])  # inside 50, 80, 90 %; 80, 90; 90; none
    found = Summary.of(scored(draws, 2.0 + 0.1 * z))
    assert (found.coverage50, found.coverage80, found.coverage90) == (0.25, 0.5, 0.75)
    assert found.z_mean == pytest.approx(z.mean(), abs=0.01)
    assert found.z_sd == pytest.approx(z.std(), abs=0.01)
    assert found.error == pytest.approx(np.mean(np.abs(2.0 / (2.0 + 0.1 * z) - 1)))


# Seeds 0, 1, 2 gain .1, .2 and .3 nats by weights 1/4 and 3/4.
LOSSES = {
    "plan": {0: [2.0, 2.0], 1: [2.0, 2.0], 2: [2.0, 2.0], 3: [2.0, np.nan]},
    "other": {0: [2.4, 2.0], 1: [2.2, 2.2], 2: [2.0, 2.4], 3: [9.0, 9.0], 4: [9.0, 9.0]},
}
NUMBERS = {a: {s: np.array(v) for s, v in each.items()} for a, each in LOSSES.items()}
WEIGHTS = np.array([0.25, 0.75])


def test_the_gain_is_that_of_paired_seeds_with_students_interval():
    found = gain("plan", "other", NUMBERS, WEIGHTS, ("a", "b"))
    assert found is not None
    assert found.seeds == (0, 1, 2)  # complete in both
    assert found.per_seed == pytest.approx((0.1, 0.2, 0.3))
    assert found.mean == pytest.approx(0.2)
    half = 2.919986 * 0.1 / np.sqrt(3)  # t of .95 with 2 degrees of freedom
    assert found.interval90 == pytest.approx((0.2 - half, 0.2 + half), abs=1e-6)
    assert found.domains == pytest.approx({"a": 0.2, "b": 0.2})
    assert found.better == 3


def test_a_domain_without_weight_need_not_be_measured():
    found = gain("plan", "other", NUMBERS, np.array([1.0, 0.0]), ("a", "b"))
    assert found is not None
    assert found.seeds == (0, 1, 2, 3)
    assert found.per_seed == pytest.approx((0.4, 0.2, 0.0, 7.0))


def test_one_seed_has_a_gain_and_no_interval_and_no_common_seed_has_none():
    one = {a: {0: v[0]} for a, v in NUMBERS.items()}
    found = gain("plan", "other", one, WEIGHTS, ("a", "b"))
    assert found is not None
    assert (found.interval90, found.per_seed) == (None, pytest.approx((0.1,)))
    apart = {"plan": {0: NUMBERS["plan"][0]}, "other": {1: NUMBERS["other"][1]}}
    assert gain("plan", "other", apart, WEIGHTS, ("a", "b")) is None
    assert gain("plan", "none", one, WEIGHTS, ("a", "b")) is None
