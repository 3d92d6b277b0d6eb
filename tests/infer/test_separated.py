"""Separated modes: sampled in each, and weighted by what lies under them."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
from scipy.stats import norm

from bayeslaw import Param, Runs, SumLaw, fit
from bayeslaw.infer.separated import bridge
from bayeslaw.laws import exponent
from tests.conftest import simulated


def folded(shift):
    """A law whose exponent is seen through the square of a parameter: two modes, ±u, which the
    prior Normal(shift, 1) weighs."""

    class Folded(SumLaw):
        name = f"folded {shift}"
        inputs = ("params", "pretrain_tokens")
        u_size = Param(dist.Normal(shift, 1.0))
        b_data = Param(exponent(), of="data")

        def terms(self, x, at, p):
            return {
                "floor": 0.0,
                "size": -(p.u_size**2) * jnp.log(x.params / at.params),
                "data": -p.b_data * jnp.log(x.pretrain_tokens / at.pretrain_tokens),
            }

    return Folded()


@pytest.mark.slow
@pytest.mark.parametrize("shift", [0.0, 0.6, -1.0])
def test_two_modes_of_known_weights(shift):
    (m,) = fit(Runs.from_table(simulated(80, noise=0.003)), [folded(shift)]).members
    assert m.passed
    u = m.theta["u_size"].ravel()
    right = (u > 0).mean()
    # The likelihood is even in u: at each |u| the prior alone weighs the sides.
    a = np.abs(u)
    expected = (norm(shift).pdf(a) / (norm(shift).pdf(a) + norm(shift).pdf(-a))).mean()
    assert right == pytest.approx(expected, abs=0.03)
    assert len(m.diagnostics.modes) == 2
    np.testing.assert_allclose(max(m.diagnostics.modes), max(expected, 1 - expected), atol=0.03)


def test_the_bridge_finds_a_known_constant():
    rng = np.random.default_rng(0)
    # 7 N(0, 1) bridged from N(0.3, 1.2).
    x, y = rng.standard_normal(4000), 0.3 + 1.2 * rng.standard_normal(4000)

    def ratio(v):
        return np.log(7) + norm.logpdf(v) - norm(0.3, 1.2).logpdf(v)

    assert bridge(ratio(x), ratio(y)) == pytest.approx(np.log(7), abs=0.02)
