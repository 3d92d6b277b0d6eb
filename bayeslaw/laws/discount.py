"""Two stages: the second shrinks everything, the floor too."""

from __future__ import annotations

import math
from typing import Any

import jax.numpy as jnp
import numpyro.distributions as dist

from bayeslaw.laws.base import Anchor, Param, Run, SumLaw, exponent


class Discount(SumLaw):
    """L = (E + A N^-a + B D^-b) (1 + D′/S)^-c,   c = c₀ (N/N₀)^c_N (D/D₀)^c_D

    A domain's floor is not the mixture's, so the floor shrinks with the second stage as well; by
    how much may depend on the size and on the first stage.
    """

    name = "discount"
    inputs = ("params", "pretrain_tokens", "specialize_tokens")
    may_be_zero = ("specialize_tokens",)
    formula = "(E + A N^-a + B D^-b) (1 + D′/S)^-c, c = c₀ (N/N₀)^c_N (D/D₀)^c_D"
    source = "chinchilla, all of it discounted by the second stage"

    a_size = Param(exponent(), of="size", symbol="a")
    b_data = Param(exponent(), of="data", symbol="b")
    c_branch = Param(dist.LogNormal(math.log(0.1), 0.8), symbol="c₀")
    c_size = Param(dist.Normal(0.0, 0.1), symbol="c_N")
    c_data = Param(dist.Normal(0.0, 0.1), symbol="c_D")
    s_branch = Param(dist.LogNormal(-1.0, 1.5), symbol="S/D′₀")

    def terms(self, x: Run, at: Anchor, p: Any) -> dict[str, Any]:
        larger = jnp.log(x.params / at.params)
        longer = jnp.log(x.pretrain_tokens / at.pretrain_tokens)
        branched = jnp.log1p(x.specialize_tokens / at.specialize_tokens / p.s_branch)
        steeper = jnp.exp(p.c_size * larger + p.c_data * longer)
        shrunk = -p.c_branch * (steeper * branched - jnp.log1p(1 / p.s_branch))
        return {
            "floor": shrunk,
            "size": -p.a_size * larger + shrunk,
            "data": -p.b_data * longer + shrunk,
        }

    def published(self, at: Anchor, p: Any) -> dict[str, Any]:
        loss = p.level * at.loss * (1 + 1 / p.s_branch) ** p.c_branch
        return {
            "E": loss * p.shares[0],
            "A": loss * p.shares[1] * at.params**p.a_size,
            "B": loss * p.shares[2] * at.pretrain_tokens**p.b_data,
            "S": p.s_branch * at.specialize_tokens,
            "a": p.a_size,
            "b": p.b_data,
            "c": p.c_branch,
            "c_N": p.c_size,
            "c_D": p.c_data,
        }
