"""The second stage of one base model, by the share of the domain in it."""

from __future__ import annotations

import math
from typing import Any

import jax.numpy as jnp
import numpyro.distributions as dist

from bayeslaw.laws.base import Anchor, Param, Run, SumLaw, exponent


class Replay(SumLaw):
    """L = E + A N^-α + B r^η D′^-β + C (r + ε)^-γ,   r = 1 - replay

    D-CPT, Que et al. 2024 (arXiv:2406.01375): r is the share of the domain that the loss is
    measured on. For a fixed base model and D′ > 0; the first stage is not an input. The terms are
    measured from r = 1.
    """

    name = "replay"
    inputs = ("params", "specialize_tokens", "replay")
    may_be_zero = ("replay",)
    formula = "E + A N^-α + B r^η D′^-β + C (r + ε)^-γ, r = 1 - replay"
    source = "Que et al. 2024, arXiv:2406.01375"

    a_size = Param(exponent(), of="size", symbol="α")
    b_data = Param(exponent(), of="data", symbol="β")
    h_share = Param(exponent(), symbol="η")
    c_share = Param(exponent(), of="share", symbol="γ")
    e_share = Param(dist.LogNormal(math.log(0.1), 1.0), symbol="ε")

    def terms(self, x: Run, at: Anchor, p: Any) -> dict[str, Any]:
        # A second stage of nothing but replay: the least share that float32 tells from none.
        share = jnp.maximum(1 - x.replay, 1e-6)
        return {
            "floor": 0.0,
            "size": -p.a_size * jnp.log(x.params / at.params),
            "data": p.h_share * jnp.log(share)
            - p.b_data * jnp.log(x.specialize_tokens / at.specialize_tokens),
            "share": -p.c_share * jnp.log((share + p.e_share) / (1 + p.e_share)),
        }

    def published(self, at: Anchor, p: Any) -> dict[str, Any]:
        loss = p.level * at.loss
        return {
            "E": loss * p.shares[0],
            "A": loss * p.shares[1] * at.params**p.a_size,
            "B": loss * p.shares[2] * at.specialize_tokens**p.b_data,
            "C": loss * p.shares[3] * (1 + p.e_share) ** p.c_share,
            "epsilon": p.e_share,
            "alpha": p.a_size,
            "beta": p.b_data,
            "eta": p.h_share,
            "gamma": p.c_share,
        }
