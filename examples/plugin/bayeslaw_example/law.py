"""A law: its parameters with their priors, beside a formula for one run and one draw."""

import jax.numpy as jnp
import numpyro.distributions as dist

from bayeslaw import Param, SumLaw


class Fading(SumLaw):
    """L = E + A N^-a + B D^-b + C exp(-D′ / S): the gap to a domain fades as a half-life does."""

    name = "fading"
    inputs = ("params", "pretrain_tokens", "specialize_tokens")
    may_be_zero = ("specialize_tokens",)
    formula = "E + A N^-a + B D^-b + C exp(-D′/S)"

    # An exponent: log-normal about .35. `of` names the term that it bends.
    a_size = Param(dist.LogNormal(-1.05, 0.4), of="size")
    b_data = Param(dist.LogNormal(-1.05, 0.4), of="data")
    # S / D′₀, a pure number: D′₀ is the anchor's.
    s_branch = Param(dist.LogNormal(1.0, 1.0))

    def terms(self, x, at, p):
        """Log of every term, relative to the anchor: zero there."""
        return {
            "floor": 0.0,
            "size": -p.a_size * jnp.log(x.params / at.params),
            "data": -p.b_data * jnp.log(x.pretrain_tokens / at.pretrain_tokens),
            "branch": (1 - x.specialize_tokens / at.specialize_tokens) / p.s_branch,
        }
