"""A wrapper: repeated tokens are worth less than fresh ones."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpyro.distributions as dist

from bayeslaw.laws.base import Anchor, Law, Param, Run

Stage = Literal["pretrain_tokens", "specialize_tokens"]
_UNIQUE = {"pretrain_tokens": "unique_tokens", "specialize_tokens": "unique_specialize_tokens"}


@dataclass(frozen=True)
class Repeated(Law):
    """T → u + u r (1 - exp(-(T/u - 1)/r)),   u = min(U, T)

    T are the tokens of the stage `of`, U its distinct tokens; r is the number of epochs at which
    repetition stops paying. Infinite U gives the wrapped law back.
    Muennighoff et al. 2023 (arXiv:2305.16264): r = 15.39.
    """

    law: Law
    of: Stage = "pretrain_tokens"
    name: str = ""
    source = "Muennighoff et al. 2023, arXiv:2305.16264"

    r_repeat = Param(dist.LogNormal(math.log(15.4), 0.5), across="shared", symbol="r")

    def __post_init__(self) -> None:
        if not self.name:
            of = "" if self.of == "pretrain_tokens" else f", of={self.of}"
            object.__setattr__(self, "name", f"repeated({self.law.name}{of})")
        self.check()

    @property
    def inputs(self) -> tuple[str, ...]:  # type: ignore[override]
        return (*self.law.inputs, _UNIQUE[self.of])

    @property
    def may_be_zero(self) -> tuple[str, ...]:  # type: ignore[override]
        return self.law.may_be_zero

    @property
    def formula(self) -> str:  # type: ignore[override]
        return f"{self.law.formula}, with repeated {self.of} discounted"

    @cached_property
    def parameters(self) -> dict[str, Param]:
        return {**self.law.parameters, **self.declared()}

    @property
    def slopes(self) -> dict[str, int]:
        return self.law.slopes

    def log_loss(self, x: Run, at: Anchor, p: Any) -> jax.Array:
        tokens, distinct = getattr(x, self.of), getattr(x, _UNIQUE[self.of])
        return self.law.log_loss(
            x._replace(**{self.of: worth(tokens, distinct, p.r_repeat)}), at, p
        )

    def published(self, at: Anchor, p: Any) -> dict[str, Any]:
        return {**self.law.published(at, p), "r": p.r_repeat}


def worth(tokens: jax.Array, distinct: jax.Array, r: jax.Array) -> jax.Array:
    """Fresh tokens that `tokens` drawn from `distinct` are worth; `tokens` where none repeats."""
    repeats = tokens > distinct
    u = jnp.where(repeats, distinct, 1.0)
    excess = jnp.where(repeats, tokens, 1.0) / u - 1
    return jnp.where(repeats, u + u * r * -jnp.expm1(-excess / r), tokens)
