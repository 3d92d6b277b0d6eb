"""Two stages: general skill grows with all tokens, and a domain gap closes with the branch's."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpyro.distributions as dist

from bayeslaw.laws.base import Anchor, Param, Run, SumLaw, exponent


class Gap(SumLaw):
    """L = E + A N^-a + B (D + η D′)^-b + G (1 + D′/S)^-c

    A token of the domain is worth η general ones, and closes the gap G to the domain besides.
    S is sampled as the pure number S / D′₀. For c > b the optimal branch grows as
    T^((1+b)/(1+c)): ever slower than the budget.
    """

    name = "gap"
    inputs = ("params", "pretrain_tokens", "specialize_tokens")
    may_be_zero = ("specialize_tokens",)
    formula = "E + A N^-a + B (D + η D′)^-b + G (1 + D′/S)^-c"
    source = "a gap between mixture and domain that the second stage closes"

    a_size = Param(exponent(), of="size", symbol="a")
    b_data = Param(exponent(), of="data", symbol="b")
    c_gap = Param(exponent(), of="gap", symbol="c")
    w_general = Param(dist.LogNormal(0.0, 1.0), symbol="η")
    s_gap = Param(dist.LogNormal(-1.0, 1.5), symbol="S/D′₀")

    def terms(self, x: Run, at: Anchor, p: Any) -> dict[str, Any]:
        tokens = x.pretrain_tokens + p.w_general * x.specialize_tokens
        anchored = at.pretrain_tokens + p.w_general * at.specialize_tokens
        closed = jnp.log1p(x.specialize_tokens / at.specialize_tokens / p.s_gap)
        return {
            "floor": 0.0,
            "size": -p.a_size * jnp.log(x.params / at.params),
            "data": -p.b_data * jnp.log(tokens / anchored),
            "gap": -p.c_gap * (closed - jnp.log1p(1 / p.s_gap)),
        }

    def published(self, at: Anchor, p: Any) -> dict[str, Any]:
        loss = p.level * at.loss
        tokens = at.pretrain_tokens + p.w_general * at.specialize_tokens
        return {
            "E": loss * p.shares[0],
            "A": loss * p.shares[1] * at.params**p.a_size,
            "B": loss * p.shares[2] * tokens**p.b_data,
            "G": loss * p.shares[3] * (1 + 1 / p.s_gap) ** p.c_gap,
            "S": p.s_gap * at.specialize_tokens,
            "eta": p.w_general,
            "a": p.a_size,
            "b": p.b_data,
            "c": p.c_gap,
        }
