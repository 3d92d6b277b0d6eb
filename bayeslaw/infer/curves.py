"""Curves: thinned draws of one or more laws, as one pure jax function of a design."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp

from bayeslaw.laws import Anchor, Law, Run


@dataclass(frozen=True)
class Curves:
    """Joint draws of the loss as a function of a design; the one thing that plans are made on.

    A pytree whose laws are static: pass it to a jitted function and change the draws freely.
    """

    laws: tuple[Law, ...]
    thetas: tuple[dict[str, Any], ...]
    ats: tuple[Anchor, ...]

    @property
    def draws(self) -> int:
        return sum(next(iter(theta.values())).shape[0] for theta in self.thetas)

    @property
    def domains(self) -> int:
        return self.ats[0].loss.shape[0]

    def log_loss(self, run: Run) -> jax.Array:
        """log L, shape (draw, domain). Every field of `run` is a scalar or of shape (domain,):
        domain k is measured on a model with the k-th size and tokens."""
        full = Run(*[jnp.broadcast_to(f, (self.domains,)) for f in run])
        return jnp.concatenate(
            [
                _one_law(*member, full)
                for member in zip(self.laws, self.thetas, self.ats, strict=True)
            ]
        )


def _one_law(law: Law, theta: dict[str, Any], at: Anchor, run: Run) -> jax.Array:
    def one(x: Run, loss: Any, values: dict[str, Any]) -> jax.Array:
        return law.log_loss(x, at._replace(loss=loss), SimpleNamespace(**values))

    over_domains = jax.vmap(one, in_axes=(0, 0, 0))
    return jax.vmap(over_domains, in_axes=(None, None, 0))(run, at.loss, theta)


jax.tree_util.register_dataclass(Curves, data_fields=["thetas", "ats"], meta_fields=["laws"])
