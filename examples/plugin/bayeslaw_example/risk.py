"""A risk: one number of an array of draws, written in jax, so that it has a gradient."""

import jax.numpy as jnp


def worst_tenth(draws):
    """The mean of the worst tenth of the draws."""
    count = max(1, draws.shape[0] // 10)
    return jnp.sort(draws)[-count:].mean()
