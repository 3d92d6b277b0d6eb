"""Two stages: chinchilla plus a power law of the second stage."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpyro.distributions as dist

from bayeslaw.laws.base import Anchor, Param, Run, SumLaw, exponent


class Additive(SumLaw):
    """L = E + A N^-a + B D^-b + C (D′ + S)^-c

    S keeps the law finite at D′ = 0; it is sampled as `s_branch` = S / D′₀, a pure number.
    With S → 0 this is the form that the Marin team fitted to mid-training runs.
    """

    name = "additive"
    inputs = ("params", "pretrain_tokens", "specialize_tokens")
    may_be_zero = ("specialize_tokens",)
    formula = "E + A N^-a + B D^-b + C (D′ + S)^-c"
    source = "two-stage chinchilla; marin-community/marin with S = 0"

    a_size = Param(exponent(), of="size", symbol="a")
    b_data = Param(exponent(), of="data", symbol="b")
    c_branch = Param(exponent(), of="branch", symbol="c")
    s_branch = Param(dist.LogNormal(-1.0, 1.5), symbol="S/D′₀")

    def terms(self, x: Run, at: Anchor, p: Any) -> dict[str, Any]:
        branch = (x.specialize_tokens / at.specialize_tokens + p.s_branch) / (1 + p.s_branch)
        return {
            "floor": 0.0,
            "size": -p.a_size * jnp.log(x.params / at.params),
            "data": -p.b_data * jnp.log(x.pretrain_tokens / at.pretrain_tokens),
            "branch": -p.c_branch * jnp.log(branch),
        }

    def published(self, at: Anchor, p: Any) -> dict[str, Any]:
        loss, scale = p.level * at.loss, p.s_branch * at.specialize_tokens
        return {
            "E": loss * p.shares[0],
            "A": loss * p.shares[1] * at.params**p.a_size,
            "B": loss * p.shares[2] * at.pretrain_tokens**p.b_data,
            "C": loss * p.shares[3] * (at.specialize_tokens + scale) ** p.c_branch,
            "S": scale,
            "a": p.a_size,
            "b": p.b_data,
            "c": p.c_branch,
        }
