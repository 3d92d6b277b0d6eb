"""Two stages: pretraining tokens are worth some number of domain tokens."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpyro.distributions as dist

from bayeslaw.laws.base import Anchor, Param, Run, SumLaw, exponent, power


class Transfer(SumLaw):
    """L = E + A N^-a + B (D′ + κ D^g N^d)^-b

    Pretraining is worth κ D^g N^d tokens of the domain (the idea of effective data transferred,
    Hernandez et al. 2021, arXiv:2102.01293). κ has awkward units, so the pure number
    ω = κ D₀^g N₀^d / D′₀ is sampled (`w_transfer`). For d = 0 and K branches the optimum has
    D* = (K κ g)^(1/(1-g)) whatever the budget.
    """

    name = "transfer"
    inputs = ("params", "pretrain_tokens", "specialize_tokens")
    may_be_zero = ("specialize_tokens", "pretrain_tokens")
    formula = "E + A N^-a + B (D′ + κ D^g N^d)^-b"
    source = "idea: Hernandez et al. 2021, arXiv:2102.01293"

    a_size = Param(exponent(), of="size", symbol="a")
    b_data = Param(exponent(), of="data", symbol="b")
    g_transfer = Param(dist.Beta(2.0, 2.0), symbol="g")
    d_transfer = Param(dist.Normal(0.0, 0.2), symbol="d")
    w_transfer = Param(dist.LogNormal(0.0, 1.5), symbol="ω")

    def terms(self, x: Run, at: Anchor, p: Any) -> dict[str, Any]:
        worth = p.w_transfer * power(x.pretrain_tokens / at.pretrain_tokens, p.g_transfer)
        worth = worth * (x.params / at.params) ** p.d_transfer
        tokens = (x.specialize_tokens / at.specialize_tokens + worth) / (1 + p.w_transfer)
        return {
            "floor": 0.0,
            "size": -p.a_size * jnp.log(x.params / at.params),
            "data": -p.b_data * jnp.log(tokens),
        }

    def published(self, at: Anchor, p: Any) -> dict[str, Any]:
        loss = p.level * at.loss
        worth = at.pretrain_tokens**p.g_transfer * at.params**p.d_transfer
        return {
            "E": loss * p.shares[0],
            "A": loss * p.shares[1] * at.params**p.a_size,
            "B": loss * p.shares[2] * (at.specialize_tokens * (1 + p.w_transfer)) ** p.b_data,
            "kappa": p.w_transfer * at.specialize_tokens / worth,
            "a": p.a_size,
            "b": p.b_data,
            "g": p.g_transfer,
            "d": p.d_transfer,
        }
