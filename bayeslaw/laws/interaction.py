"""Two stages: a token of the second is worth less the longer the first was."""

from __future__ import annotations

import math
from typing import Any

import jax.numpy as jnp
import numpyro.distributions as dist

from bayeslaw.laws.base import Anchor, Param, Run, SumLaw, exponent


class Interaction(SumLaw):
    """L = E + A N^-a + B D^-b₁ (1 + D′/S)^(-b₂ (D/D₀)^-b₃)

    After Liew & Kato 2025 (arXiv:2510.06548), whose exponent b₂ - b₃ log D falls below zero for a
    long first stage; this one stays positive. b₃ = 0 and S → 0: the optimal branch is the constant
    share b₂ / (b₁ + b₂) of the tokens.
    """

    name = "interaction"
    inputs = ("params", "pretrain_tokens", "specialize_tokens")
    may_be_zero = ("specialize_tokens",)
    formula = "E + A N^-a + B D^-b₁ (1 + D′/S)^(-b₂ (D/D₀)^-b₃)"
    source = "after Liew & Kato 2025, arXiv:2510.06548"

    a_size = Param(exponent(), of="size", symbol="a")
    b_data = Param(exponent(), of="data", symbol="b₁")
    b_branch = Param(exponent(0.2, 0.6), of="data", symbol="b₂")
    b_decay = Param(dist.LogNormal(math.log(0.1), 1.0), symbol="b₃")
    s_branch = Param(dist.LogNormal(-1.0, 1.5), symbol="S/D′₀")

    def terms(self, x: Run, at: Anchor, p: Any) -> dict[str, Any]:
        longer = jnp.log(x.pretrain_tokens / at.pretrain_tokens)
        branched = jnp.log1p(x.specialize_tokens / at.specialize_tokens / p.s_branch)
        worth = jnp.exp(-p.b_decay * longer) * branched - jnp.log1p(1 / p.s_branch)
        return {
            "floor": 0.0,
            "size": -p.a_size * jnp.log(x.params / at.params),
            "data": -p.b_data * longer - p.b_branch * worth,
        }

    def published(self, at: Anchor, p: Any) -> dict[str, Any]:
        loss = p.level * at.loss
        branched = (1 + 1 / p.s_branch) ** p.b_branch
        return {
            "E": loss * p.shares[0],
            "A": loss * p.shares[1] * at.params**p.a_size,
            "B": loss * p.shares[2] * at.pretrain_tokens**p.b_data * branched,
            "S": p.s_branch * at.specialize_tokens,
            "a": p.a_size,
            "b1": p.b_data,
            "b2": p.b_branch,
            "b3": p.b_decay,
        }
