"""Single stage: the sum of a floor, a size term and a data term."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

from bayeslaw.laws.base import Anchor, Param, Run, SumLaw, exponent


class Chinchilla(SumLaw):
    """L = E + A N^-α + B D^-β

    Hoffmann et al. 2022 (arXiv:2203.15556), approach 3: E 1.69, A 406.4, B 410.7, α .34, β .28.
    Refitted by Besiroglu et al. 2024 (arXiv:2404.10102): 1.8172, 477.84, 2143.86, .34731, .36718.
    """

    name = "chinchilla"
    inputs = ("params", "pretrain_tokens")
    formula = "E + A N^-α + B D^-β"
    source = "Hoffmann et al. 2022, arXiv:2203.15556"

    a_size = Param(exponent(), of="size", symbol="α")
    b_data = Param(exponent(), of="data", symbol="β")

    def terms(self, x: Run, at: Anchor, p: Any) -> dict[str, Any]:
        return {
            "floor": 0.0,
            "size": -p.a_size * jnp.log(x.params / at.params),
            "data": -p.b_data * jnp.log(x.pretrain_tokens / at.pretrain_tokens),
        }

    def published(self, at: Anchor, p: Any) -> dict[str, Any]:
        loss = p.level * at.loss
        return {
            "E": loss * p.shares[0],
            "A": loss * p.shares[1] * at.params**p.a_size,
            "B": loss * p.shares[2] * at.pretrain_tokens**p.b_data,
            "alpha": p.a_size,
            "beta": p.b_data,
        }

    def from_published(self, at: Anchor, values: Mapping[str, Any]) -> dict[str, Any]:
        """E, A and B (all three, with α and β) become the level and the shares."""
        theta = dict(values)
        for ours, theirs in (("a_size", "alpha"), ("b_data", "beta")):
            if theirs in theta:
                theta[ours] = theta.pop(theirs)
        if {"E", "A", "B", "a_size", "b_data"} <= set(theta):
            size = theta.pop("A") * at.params ** -theta["a_size"]
            data = theta.pop("B") * at.pretrain_tokens ** -theta["b_data"]
            parts = np.array([theta.pop("E"), size, data])
            theta["level"] = parts.sum() / np.asarray(at.loss)
            theta["shares"] = parts / parts.sum()
        return theta

    def optimal_params(self, tokens: Any, at: Anchor, p: Any, power: Any = 1.0) -> Any:
        """Where a per cent of N is worth a per cent of D: αA N^-α = βB D^-β (each to `power`)."""
        balance = jnp.log(p.a_size * p.shares[1] / (p.b_data * p.shares[2])) / power
        log_n = (balance + p.b_data * jnp.log(tokens / at.pretrain_tokens)) / p.a_size
        return at.params * jnp.exp(log_n)

    def closed_form(self, flops: float, at: Anchor, p: Any) -> Run:
        """N* = G (C/6)^(β/(α+β)), D* = C / (6 N*), G = (αA / βB)^(1/(α+β))."""
        size = p.a_size * p.shares[1] * at.params**p.a_size
        data = p.b_data * p.shares[2] * at.pretrain_tokens**p.b_data
        both = p.a_size + p.b_data
        params = (size / data) ** (1 / both) * (flops / 6) ** (p.b_data / both)
        return Run(params, flops / (6 * params))
