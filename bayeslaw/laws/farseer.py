"""Single stage: the data exponent, the amplitude and the floor all bend with the size."""

from __future__ import annotations

import math
from typing import Any

import jax.numpy as jnp
import numpyro.distributions as dist

from bayeslaw.laws.base import Anchor, Param, Run, SumLaw


def _bent(log_ratio: Any, by: Any) -> Any:
    """(r^by - 1) / by: log r with slope 1 at r = 1, bent upwards for by > 0."""
    return jnp.expm1(by * log_ratio) / by


class Farseer(SumLaw):
    """L = exp(s N^q + S) + exp(B N^b + Q) D^(-e(N)),   e(N) = exp(A N^a + G)

    Li et al. 2025 (arXiv:2506.10972): s -.0625, q .13, S .1285, B 230.7, b -.173, Q -1.544,
    A -1.666, a .0459, G 3.133 (bits/char). Sampled at the anchor: the exponent e₀ = e(N₀), the
    slopes in log N of the first term (`f_size`), of log e (`k_data`) and of the log of the second
    term (`m_data`), and the bends q, a, b of those slopes. The bend a is normal around
    the published one: in its log the posterior has a tail that chains get lost in.
    """

    name = "farseer"
    inputs = ("params", "pretrain_tokens")
    formula = "exp(s N^q + S) + exp(B N^b + Q) D^(-exp(A N^a + G))"
    source = "Li et al. 2025, arXiv:2506.10972"

    f_size = Param(dist.LogNormal(math.log(0.12), 0.6), symbol="-s q N₀^q")
    q_size = Param(dist.LogNormal(math.log(0.13), 0.5), symbol="q")
    b_data = Param(dist.LogNormal(math.log(0.31), 0.4), of="data", symbol="e₀")
    k_data = Param(dist.LogNormal(math.log(0.2), 0.6), symbol="-A a N₀^a")
    a_data = Param(dist.Normal(0.046, 0.015), symbol="a")
    m_data = Param(dist.Normal(0.3, 0.4), symbol="m")
    b_size = Param(dist.LogNormal(math.log(0.173), 0.3), symbol="-b")

    def terms(self, x: Run, at: Anchor, p: Any) -> dict[str, Any]:
        larger = jnp.log(x.params / at.params)
        steepness = p.b_data * jnp.exp(-p.k_data * _bent(larger, p.a_data))
        amplitude = p.m_data - p.b_data * p.k_data * jnp.log(at.pretrain_tokens)
        return {
            "size": -p.f_size * _bent(larger, p.q_size),
            "data": amplitude * _bent(larger, -p.b_size)
            - steepness * jnp.log(x.pretrain_tokens)
            + p.b_data * jnp.log(at.pretrain_tokens),
        }

    def published(self, at: Anchor, p: Any) -> dict[str, Any]:
        loss = p.level * at.loss
        s = -p.f_size / p.q_size * at.params**-p.q_size
        a = -p.k_data / p.a_data * at.params**-p.a_data
        amplitude = p.m_data - p.b_data * p.k_data * math.log(at.pretrain_tokens)
        b = -amplitude / p.b_size * at.params**p.b_size
        return {
            "s": s,
            "q": p.q_size,
            "S": jnp.log(loss * p.shares[0]) - s * at.params**p.q_size,
            "B": b,
            "b": -p.b_size,
            "Q": jnp.log(loss * p.shares[1])
            - b * at.params**-p.b_size
            + p.b_data * math.log(at.pretrain_tokens),
            "A": a,
            "a": p.a_data,
            "G": jnp.log(p.b_data) - a * at.params**p.a_data,
        }
