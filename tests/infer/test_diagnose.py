"""The gate's numbers on draws whose quality is known."""

from __future__ import annotations

import numpy as np
import pytest

from bayeslaw.infer.diagnose import agreement, diagnose, mode_failures, pareto_k
from bayeslaw.infer.modes import Mode

RNG = np.random.default_rng(0)
MODE = Mode(np.zeros(2), 0.0, np.eye(2), 16, 16)
ZEROS = np.zeros((8, 200))


def draws(shift=0.0, stuck=0.0):
    z = RNG.standard_normal((8, 200, 2))
    for i in range(1, 200):
        z[:, i] = stuck * z[:, i - 1] + np.sqrt(1 - stuck**2) * z[:, i]
    z[0] += shift
    return z


@pytest.mark.parametrize(
    ("z", "diverging", "energy", "says"),
    [
        (draws(), ZEROS, RNG.standard_normal((8, 200)), []),
        (draws(shift=1.0), ZEROS, RNG.standard_normal((8, 200)), ["R-hat", "bulk", "tail"]),
        (draws(stuck=0.98), ZEROS, RNG.standard_normal((8, 200)), ["R-hat", "bulk", "tail"]),
        (draws(), ZEROS + (np.arange(200) == 7), RNG.standard_normal((8, 200)), ["8 divergent"]),
        (draws(), ZEROS, np.cumsum(RNG.standard_normal((8, 200)), 1), ["BFMI"]),
    ],
    ids=["good", "one chain elsewhere", "slow", "divergent", "energy hardly moves"],
)
def test_the_gate_says_what_is_wrong(z, diverging, energy, says):
    found = diagnose(z, energy, diverging, ZEROS + 1, (MODE,)).failures
    assert len(found) == len(says)
    for failure, word in zip(found, says, strict=True):
        assert word in failure


def test_a_mode_that_one_start_found_is_luck():
    lucky = Mode(np.zeros(2), 0.0, np.eye(2), 1, 16)
    assert mode_failures((lucky,)) == ("only 1 of 16 starts agree on the best mode",)
    assert mode_failures((MODE,)) == ()


def test_masses_of_modes_sum_to_one():
    other = Mode(np.ones(2), 2.0, 2 * np.eye(2), 3, 16)
    starts, agree, mass = agreement((MODE, other))
    assert (starts, agree) == (16, 16)
    assert mass == pytest.approx(np.array([1, 4 * np.exp(-2)]) / (1 + 4 * np.exp(-2)))


@pytest.mark.parametrize("k", [0.1, 0.5, 0.9])
def test_k_hat_is_the_shape_of_the_upper_tail_of_the_ratios(k):
    # Ratios u^-k have a Pareto tail of shape k; their inverses are bounded.
    ratios = -k * np.log(np.random.default_rng(1).random((20, 5000)))
    assert np.mean([pareto_k(r)[1] for r in ratios]) == pytest.approx(k, abs=0.05)


def test_smoothed_weights_are_normalised_and_keep_their_order():
    ratios = np.random.default_rng(2).standard_normal(2000)
    weights, _ = pareto_k(ratios)
    assert np.exp(weights).sum() == pytest.approx(1)
    assert (np.argsort(weights) == np.argsort(ratios)).mean() > 0.99


def test_where_no_tail_can_be_fitted_k_hat_is_infinite():
    chance = np.random.default_rng(3).standard_normal(2000)
    copies = np.where(np.arange(2000) % 2 == 0, 5.0, chance)  # draws of few, drawn again and again
    steps = np.where(np.arange(2000) % 40 == 0, chance + 50, np.sort(chance)[0])
    for ratios in (copies, np.maximum(steps, 40.0)):
        weights, k = pareto_k(ratios)
        assert k > 0.7
        assert np.exp(weights).sum() == pytest.approx(1)
    weights, k = pareto_k(np.zeros(2000))
    assert k == 0
    np.testing.assert_allclose(weights, -np.log(2000))
