"""A wrapper: repeated tokens are worth less than fresh ones."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpyro.distributions as dist

from bayeslaw.laws.base import Anchor, Law, Param, Rows, Run

Of = Literal["pretrain_tokens", "specialize_tokens", "pretrain_tokens+params"]
_UNIQUE = {"pretrain_tokens": "unique_tokens", "specialize_tokens": "unique_specialize_tokens"}


@dataclass(frozen=True)
class Repeated(Law):
    """T → u + u r (1 - exp(-(T/u - 1)/r)),   u = min(U, T)

    T are the tokens of the stage `of`, U its distinct tokens; r is the number of epochs at which
    repetition stops paying. Infinite U gives the wrapped law back.
    With `of="pretrain_tokens+params"` parameters beyond those that are compute-optimal for u under
    the wrapped law, n = min(N, N_opt(u)), are discounted likewise by r_N.
    Muennighoff et al. 2023 (arXiv:2305.16264): r = 15.39, r_N = 5.31.
    """

    law: Law
    of: Of = "pretrain_tokens"
    name: str = ""
    priors: tuple[Any, ...] = ()
    source = "Muennighoff et al. 2023, arXiv:2305.16264"

    r_repeat = Param(dist.LogNormal(math.log(15.4), 0.5), across="shared", symbol="r")
    r_params = Param(dist.LogNormal(math.log(5.3), 0.7), across="shared", symbol="r_N")

    def __post_init__(self) -> None:
        if not self.name:
            of = "" if self.of == "pretrain_tokens" else f", of={self.of}"
            object.__setattr__(self, "name", f"repeated({self.law.name}{of})")
        if self.of not in Of.__args__:  # type: ignore[attr-defined]
            raise TypeError(f"{self.name}: `of` is one of {', '.join(Of.__args__)}")  # type: ignore[attr-defined]
        self.check()

    @property
    def stage(self) -> str:
        return self.of.removesuffix("+params")

    @property
    def sizes(self) -> bool:
        """Whether parameters are discounted too."""
        return self.of.endswith("+params")

    @property
    def inputs(self) -> tuple[str, ...]:  # type: ignore[override]
        return (*self.law.inputs, _UNIQUE[self.stage])

    @property
    def may_be_zero(self) -> tuple[str, ...]:  # type: ignore[override]
        return self.law.may_be_zero

    @property
    def rows(self) -> Rows:  # type: ignore[override]
        return self.law.rows

    @property
    def formula(self) -> str:  # type: ignore[override]
        too = " and surplus params" if self.sizes else ""
        return f"{self.law.formula}, with repeated {self.stage}{too} discounted"

    @cached_property
    def parameters(self) -> dict[str, Param]:
        ours = self.declared()
        if not self.sizes:
            del ours["r_params"]
        return {**self.law.parameters, **ours}

    @property
    def slopes(self) -> dict[str, int]:
        return self.law.slopes

    def log_loss(self, x: Run, at: Anchor, p: Any) -> jax.Array:
        tokens, distinct = getattr(x, self.stage), getattr(x, _UNIQUE[self.stage])
        changes = {self.stage: worth(tokens, distinct, p.r_repeat)}
        if self.sizes:
            enough = self.law.optimal_params(jnp.minimum(tokens, distinct), at, p)
            changes["params"] = worth(x.params, enough, p.r_params)
        return self.law.log_loss(x._replace(**changes), at, p)

    def published(self, at: Anchor, p: Any) -> dict[str, Any]:
        surplus = {"r_N": p.r_params} if self.sizes else {}
        return {**self.law.published(at, p), "r": p.r_repeat, **surplus}

    def from_published(self, at: Anchor, values: Mapping[str, Any]) -> dict[str, Any]:
        names = {"r": "r_repeat", "r_N": "r_params"}
        return self.law.from_published(at, {names.get(n, n): v for n, v in values.items()})


def worth(amount: jax.Array, distinct: jax.Array, r: jax.Array) -> jax.Array:
    """What `amount` drawn from `distinct` is worth, fresh; `amount` itself where none repeats."""
    repeats = amount > distinct
    u = jnp.where(repeats, distinct, 1.0)
    excess = jnp.where(repeats, amount, 1.0) / u - 1
    return jnp.where(repeats, u + u * r * -jnp.expm1(-excess / r), amount)
