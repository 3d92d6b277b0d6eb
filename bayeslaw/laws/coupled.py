"""A wrapper: the size and data terms joined by a p-norm instead of a sum."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpyro.distributions as dist

from bayeslaw.laws.base import Anchor, Param, Rows, Run, SumLaw


@dataclass(frozen=True)
class Coupled(SumLaw):
    """… + [ (size)^p + (data)^p ]^(1/p) + …

    p = 1 gives the wrapped law back, p → ∞ a pure bottleneck; over chinchilla, p = 1/β is
    Kaplan et al. 2020 (arXiv:2001.08361). Every other term, the floor among them, stays outside.
    At the anchor the joint term has the two terms' shares together, split by p-th powers.
    """

    law: SumLaw
    name: str = ""
    priors: tuple[Any, ...] = ()
    source = "one more shape than the wrapped law; p = 1/β is Kaplan et al. 2020, arXiv:2001.08361"

    p_couple = Param(dist.LogNormal(0.0, 0.7), symbol="p")

    def __post_init__(self) -> None:
        if not self.name:
            object.__setattr__(self, "name", f"coupled({self.law.name})")
        missing = {"size", "data"} - set(self.law.term_names)
        if missing:
            raise TypeError(f"{self.name}: '{self.law.name}' has no term {sorted(missing)} to join")
        self.check()

    @property
    def inputs(self) -> tuple[str, ...]:  # type: ignore[override]
        return self.law.inputs

    @property
    def may_be_zero(self) -> tuple[str, ...]:  # type: ignore[override]
        # A bottleneck of an infinite data term is infinite, as the sum is: nothing changes.
        return self.law.may_be_zero

    @property
    def rows(self) -> Rows:  # type: ignore[override]
        return self.law.rows

    @property
    def family(self) -> str:
        return self.law.family

    @property
    def formula(self) -> str:  # type: ignore[override]
        return f"{self.law.formula}, size and data joined as [size^p + data^p]^(1/p)"

    @cached_property
    def own_parameters(self) -> dict[str, Param]:
        return {**self.law.own_parameters, **self.declared()}

    def terms(self, x: Run, at: Anchor, p: Any) -> dict[str, Any]:
        return self.law.terms(x, at, p)

    def log_terms(self, x: Run, at: Anchor, p: Any) -> dict[str, jax.Array]:
        apart = self.law.log_terms(x, at, p)
        terms = self.law.terms(x, at, p)
        size, data = (self.law.term_names.index(n) for n in ("size", "data"))
        total = jnp.log(p.shares[size] + p.shares[data])
        s = jnp.log(p.shares[size]) - total + p.p_couple * terms["size"]
        d = jnp.log(p.shares[data]) - total + p.p_couple * terms["data"]
        both = jnp.logaddexp(s, d)
        joint = jnp.log(p.level) + jnp.log(at.loss) + total + both / p.p_couple
        return {**apart, "size": joint + s - both, "data": joint + d - both}

    def optimal_params(self, tokens: Any, at: Anchor, p: Any, power: Any = 1.0) -> Any:
        return self.law.optimal_params(tokens, at, p, power * p.p_couple)

    def published(self, at: Anchor, p: Any) -> dict[str, Any]:
        size, data = (self.law.term_names.index(n) for n in ("size", "data"))
        total = p.shares[size] + p.shares[data]
        plain = self.law.published(at, p)
        # A and B are those of the p-norm: (A N₀^-α)^p is the size term's part of the joint.
        for name, j in (("A", size), ("B", data)):
            part = (p.shares[j] / total) ** (1 / p.p_couple) * total / p.shares[j]
            plain[name] = plain[name] * part
        return {**plain, "p": p.p_couple}
