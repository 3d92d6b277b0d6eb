"""Two stages, order forgotten: the null that a split must beat."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpyro.distributions as dist

from bayeslaw.laws.base import Anchor, Param, Run, SumLaw, exponent, power


class Mixture(SumLaw):
    """L = E + (C₀ (1-h)^γ₀ + C₁ h^γ₁)^-1 + A N^-a + B (D + D′)^-b,   h = D′ / (D + D′)

    Only the domain's share h of all tokens matters, not when they came: after the single-stage
    mixture law of Shukor et al. 2025 (arXiv:2507.09404). `w_mixture` is the domain's part of the
    bracket at the anchor.
    """

    name = "mixture"
    inputs = ("params", "pretrain_tokens", "specialize_tokens")
    may_be_zero = ("specialize_tokens", "pretrain_tokens")
    formula = "E + 1/(C₀ (1-h)^γ₀ + C₁ h^γ₁) + A N^-a + B (D + D′)^-b, h = D′/(D + D′)"
    source = "after Shukor et al. 2025, arXiv:2507.09404"

    a_size = Param(exponent(), of="size", symbol="a")
    b_data = Param(exponent(), of="data", symbol="b")
    g_general = Param(exponent(0.5, 0.6), symbol="γ₀")
    g_domain = Param(exponent(0.5, 0.6), symbol="γ₁")
    w_mixture = Param(dist.Beta(2.0, 2.0), symbol="w")

    def terms(self, x: Run, at: Anchor, p: Any) -> dict[str, Any]:
        tokens = x.pretrain_tokens + x.specialize_tokens
        anchored = at.pretrain_tokens + at.specialize_tokens
        general = (x.pretrain_tokens / tokens) / (at.pretrain_tokens / anchored)
        domain = (x.specialize_tokens / tokens) / (at.specialize_tokens / anchored)
        known = (1 - p.w_mixture) * power(general, p.g_general)
        known = known + p.w_mixture * power(domain, p.g_domain)
        return {
            "floor": 0.0,
            "size": -p.a_size * jnp.log(x.params / at.params),
            "data": -p.b_data * jnp.log(tokens / anchored),
            "mix": -jnp.log(known),
        }

    def published(self, at: Anchor, p: Any) -> dict[str, Any]:
        loss = p.level * at.loss
        anchored = at.pretrain_tokens + at.specialize_tokens
        share, mix = at.specialize_tokens / anchored, loss * p.shares[3]
        return {
            "E": loss * p.shares[0],
            "A": loss * p.shares[1] * at.params**p.a_size,
            "B": loss * p.shares[2] * anchored**p.b_data,
            "C0": (1 - p.w_mixture) / mix * (1 - share) ** -p.g_general,
            "C1": p.w_mixture / mix * share**-p.g_domain,
            "a": p.a_size,
            "b": p.b_data,
            "gamma0": p.g_general,
            "gamma1": p.g_domain,
        }
