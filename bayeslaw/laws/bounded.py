"""Single stage, repeated data: the loss saturates at that of a model that knows nothing."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpyro.distributions as dist

from bayeslaw.laws.base import Anchor, Law, Param, Run, exponent


class Bounded(Law):
    """L = E + (L_max - E) h / (1 + h),   h = h₀ + a N^-α + b D^-β + c N^γ U^-δ

    Bryant & Liu 2026 (arXiv:2605.09189): D tokens seen, U of them distinct; a model too large for
    its distinct tokens overfits. Sampled: `level`, the loss at the anchor (U = D₀) over its median;
    E = `floor` of it, L_max = 1 + `excess` times it; `parts`, the shares of h there.
    """

    name = "bounded"
    inputs = ("params", "pretrain_tokens", "unique_tokens")
    formula = "E + (L_max - E) h/(1 + h), h = h₀ + a N^-α + b D^-β + c N^γ U^-δ"
    source = "Bryant & Liu 2026, arXiv:2605.09189"

    level = Param(dist.LogNormal(0.0, 0.3), across="free")
    floor = Param(dist.Beta(3.0, 2.0), symbol="E/L₀")
    excess = Param(dist.LogNormal(math.log(2.0), 0.7), symbol="L_max/L₀ - 1")
    parts = Param(dist.Dirichlet(jnp.ones(4)), spread=1.0)
    a_size = Param(exponent(), symbol="α")
    b_data = Param(exponent(), symbol="β")
    c_size = Param(exponent(), symbol="γ")
    d_unique = Param(exponent(), symbol="δ")

    def log_loss(self, x: Run, at: Anchor, p: Any) -> jax.Array:
        larger = jnp.log(x.params / at.params)
        longer = jnp.log(x.pretrain_tokens / at.pretrain_tokens)
        finite = jnp.isfinite(x.unique_tokens)
        distinct = jnp.log(jnp.where(finite, x.unique_tokens, 1.0) / at.pretrain_tokens)
        overfit = jnp.where(finite, jnp.exp(p.c_size * larger - p.d_unique * distinct), 0.0)
        parts = jnp.stack(
            [
                jnp.ones_like(larger),
                jnp.exp(-p.a_size * larger),
                jnp.exp(-p.b_data * longer),
                overfit,
            ]
        )
        h = (1 - p.floor) / p.excess * (p.parts @ parts)
        loss = p.floor + (1 + p.excess - p.floor) * h / (1 + h)
        return jnp.log(p.level) + jnp.log(at.loss) + jnp.log(loss)

    def published(self, at: Anchor, p: Any) -> dict[str, Any]:
        loss, h = p.level * at.loss, (1 - p.floor) / p.excess
        return {
            "E": loss * p.floor,
            "L_max": loss * (1 + p.excess),
            "h0": h * p.parts[0],
            "a": h * p.parts[1] * at.params**p.a_size,
            "b": h * p.parts[2] * at.pretrain_tokens**p.b_data,
            "c": h * p.parts[3] * at.params**-p.c_size * at.pretrain_tokens**p.d_unique,
            "alpha": p.a_size,
            "beta": p.b_data,
            "gamma": p.c_size,
            "delta": p.d_unique,
        }
