"""What a branch loses on data that is not its own."""

from __future__ import annotations

import math
from typing import Any

import jax.numpy as jnp
import numpyro.distributions as dist

from bayeslaw.laws.base import Anchor, Param, Run, SumLaw, exponent

NOTHING = -700.0  # the log of what is not there, in float64 and out of sight


class Forgetting(SumLaw):
    """L = E + A N^-α + B D^-β + F D′^φ ((1 + R p) N)^-ψ

    The loss of a branch on another domain: that of the generalist, and what it forgot, after
    Bethune et al. 2025 (arXiv:2502.06042). p is the share of general data replayed in the second
    stage; R is reported from 829 (near domains) to about 1e4 (far ones).
    """

    name = "forgetting"
    rows = "other branches"
    inputs = ("params", "pretrain_tokens", "specialize_tokens", "replay")
    may_be_zero = ("specialize_tokens", "replay")
    formula = "E + A N^-α + B D^-β + F D′^φ ((1 + R p) N)^-ψ"
    source = "Bethune et al. 2025, arXiv:2502.06042"

    a_size = Param(exponent(), of="size", symbol="α")
    b_data = Param(exponent(), of="data", symbol="β")
    f_branch = Param(exponent(), of="forgotten", symbol="φ")
    f_size = Param(exponent(), of="forgotten", symbol="ψ")
    r_replay = Param(dist.LogNormal(math.log(2500.0), 1.2), symbol="R")

    def terms(self, x: Run, at: Anchor, p: Any) -> dict[str, Any]:
        larger = jnp.log(x.params / at.params)
        branched = x.specialize_tokens > 0
        longer = jnp.log(jnp.where(branched, x.specialize_tokens / at.specialize_tokens, 1.0))
        kept = p.f_size * (larger + jnp.log1p(p.r_replay * x.replay))
        return {
            "floor": 0.0,
            "size": -p.a_size * larger,
            "data": -p.b_data * jnp.log(x.pretrain_tokens / at.pretrain_tokens),
            "forgotten": jnp.where(branched, p.f_branch * longer - kept, NOTHING),
        }

    def published(self, at: Anchor, p: Any) -> dict[str, Any]:
        loss = p.level * at.loss
        return {
            "E": loss * p.shares[0],
            "A": loss * p.shares[1] * at.params**p.a_size,
            "B": loss * p.shares[2] * at.pretrain_tokens**p.b_data,
            "F": loss * p.shares[3] * at.params**p.f_size * at.specialize_tokens**-p.f_branch,
            "R": p.r_replay,
            "alpha": p.a_size,
            "beta": p.b_data,
            "phi": p.f_branch,
            "psi": p.f_size,
        }
