"""Two stages: size and tokens multiply, in one term above the floor."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpyro.distributions as dist

from bayeslaw.laws.base import Anchor, Param, Run, SumLaw, exponent, power


class Multiplicative(SumLaw):
    """L = E + A / (N^a (D′ + κ D^g)^b)

    After the fine-tuning loss E + A N^-α D_ft^-β of Bethune et al. 2025 (arXiv:2502.06042), with
    pretraining worth κ D^g tokens of the domain: κ through ω = κ D₀^g / D′₀, as in `transfer`.
    """

    name = "multiplicative"
    inputs = ("params", "pretrain_tokens", "specialize_tokens")
    may_be_zero = ("specialize_tokens", "pretrain_tokens")
    formula = "E + A / (N^a (D′ + κ D^g)^b)"
    source = "after Bethune et al. 2025, arXiv:2502.06042"

    a_size = Param(exponent(0.2, 0.6), of="skill", symbol="a")
    b_data = Param(exponent(0.2, 0.6), of="skill", symbol="b")
    g_transfer = Param(dist.Beta(2.0, 2.0), symbol="g")
    w_transfer = Param(dist.LogNormal(0.0, 1.5), symbol="ω")

    def terms(self, x: Run, at: Anchor, p: Any) -> dict[str, Any]:
        worth = p.w_transfer * power(x.pretrain_tokens / at.pretrain_tokens, p.g_transfer)
        tokens = (x.specialize_tokens / at.specialize_tokens + worth) / (1 + p.w_transfer)
        return {
            "floor": 0.0,
            "skill": -p.a_size * jnp.log(x.params / at.params) - p.b_data * jnp.log(tokens),
        }

    def published(self, at: Anchor, p: Any) -> dict[str, Any]:
        loss = p.level * at.loss
        tokens = at.specialize_tokens * (1 + p.w_transfer)
        return {
            "E": loss * p.shares[0],
            "A": loss * p.shares[1] * at.params**p.a_size * tokens**p.b_data,
            "kappa": p.w_transfer * at.specialize_tokens / at.pretrain_tokens**p.g_transfer,
            "a": p.a_size,
            "b": p.b_data,
            "g": p.g_transfer,
        }
