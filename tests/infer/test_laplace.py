"""Importance weights of a preview: as they are where they are worth enough draws, else tempered."""

from __future__ import annotations

import numpy as np
import pytest

from bayeslaw.infer.laplace import WORTH, tempered


def worth(weights):
    return 1 / (weights**2).sum()


def test_weights_that_are_worth_enough_stay_as_they_are():
    log_weights = 0.5 * np.random.default_rng(0).standard_normal(1000)
    plain = np.exp(log_weights)
    np.testing.assert_allclose(tempered(log_weights), plain / plain.sum())


@pytest.mark.parametrize("scale", [5.0, 50.0, 500.0])
def test_a_few_heavy_draws_do_not_decide_alone(scale):
    log_weights = scale * np.random.default_rng(1).standard_normal(1000)
    weights = tempered(log_weights)
    assert weights.sum() == pytest.approx(1)
    assert worth(weights) == pytest.approx(WORTH, rel=1e-3)
    np.testing.assert_array_equal(np.argsort(weights), np.argsort(log_weights))
