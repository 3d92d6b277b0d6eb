"""From a loss to the accuracy on a benchmark: a map, not a law of the loss."""

from __future__ import annotations

from typing import Any, ClassVar

import jax
import numpyro.distributions as dist

from bayeslaw.laws.base import Param


class Accuracy:
    """accuracy = c + (1 - c - ε) sigmoid(k (m - L))

    The two-step ladder of Bhagia et al. 2024 (arXiv:2412.04403). c is the accuracy of chance, ε
    what no model reaches, m the loss half-way and k the steepness (per nat). Pooled over tasks.
    """

    name = "accuracy"
    inputs = ("loss", "chance")
    formula = "c + (1 - c - ε) sigmoid(k (m - L))"
    source = "Bhagia et al. 2024, arXiv:2412.04403"
    parameters: ClassVar = {
        "e_ceiling": Param(dist.Beta(1.0, 9.0), spread=1.0, symbol="ε"),
        "k_steep": Param(dist.LogNormal(1.0, 1.0), spread=0.5, symbol="k"),
        "m_middle": Param(dist.LogNormal(0.5, 0.7), symbol="m"),
    }

    def value(self, loss: Any, chance: Any, p: Any) -> jax.Array:
        """Accuracy between `chance` and 1 - ε, falling in the loss (nats). Pure jax."""
        rise = jax.nn.sigmoid(p.k_steep * (p.m_middle - loss))
        return chance + (1 - chance - p.e_ceiling) * rise
