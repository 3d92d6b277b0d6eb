"""What is at stake: one number a draw, made of a design's losses; and its slopes and bends.

Everything here is compiled once for a shape of the outlook, and works within `double()`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp

from bayeslaw.laws import Run
from bayeslaw.plan.outlook import Outlook
from bayeslaw.plan.risk import MEAN, Pair, Risk

ROUNDED = 0.2  # e-folds: each draw's own optimum would sit in the corners of a piecewise function


@dataclass(frozen=True)
class Stakes:
    """Σ wₖ Lₖ, less a reference where a risk is on regret; or by how much targets are missed.

    weights: (domain,), summing to 1. reference: (draw,), each draw's best loss, or 0. credence:
    (draw,), how much a draw counts in an expectation; sums to 1. targets: None, or (domain + 1,):
    then the stake is the largest Lₖ - targetₖ, the last of them that of Σ wₖ Lₖ (infinite where
    none is set). second: None, or (1 + domain,): for a `Pair` of risks, how much the second counts,
    and the weights of the loss that it is of.
    """

    weights: Any
    reference: Any
    credence: Any
    targets: Any = None
    second: Any = None

    def of(self, losses: Any) -> Any:
        """(draw,) from losses (draw, domain)."""
        total = losses @ self.weights
        if self.targets is None:
            return total - self.reference
        return jnp.max(jnp.concatenate([losses, total[:, None]], 1) - self.targets, axis=1)

    def risk(self, risk: Risk, losses: Any) -> Any:
        """A risk of the stakes."""
        draws = self.of(losses)
        if isinstance(risk, Pair):
            share, other = self.second[0], losses @ self.second[1:]
            return (1 - share) * risk.first(draws) + share * risk.second(other)
        return self.credence @ draws if risk == MEAN else risk(draws)


jax.tree_util.register_dataclass(
    Stakes, data_fields=["weights", "reference", "credence", "targets", "second"], meta_fields=[]
)


def _losses(outlook: Outlook, fields: Any, by: Any) -> Any:
    """Losses of the design with the logs of N, D and D′ moved, by (domain, 3)."""
    return jnp.exp(outlook.log_loss(Run(*(fields * jnp.exp(by.T)))))


@lru_cache(maxsize=32)
def slopes(risk: Risk) -> Any:
    """(outlook, fields, stakes) -> the risk and its gradient in the logs of N, D and D′,
    (domain, 3)."""

    def one(outlook: Outlook, fields: Any, stakes: Stakes) -> Any:
        still = jnp.zeros((outlook.domains, 3))
        value = jax.value_and_grad(lambda by: stakes.risk(risk, _losses(outlook, fields, by)))
        return value(still)

    return jax.jit(one)


@lru_cache(maxsize=1)
def bends() -> Any:
    """(outlook, fields, stakes) -> the expected loss, its gradient, and the blocks of its Hessian,
    (domain, 3, 3).

    Domains do not meet in it, so one pass with a unit tangent in every domain is one column of
    every block.
    """

    def one(outlook: Outlook, fields: Any, stakes: Stakes) -> Any:
        def expected(by: Any) -> Any:
            return stakes.credence @ (_losses(outlook, fields, by) @ stakes.weights)

        still = jnp.zeros((outlook.domains, 3))
        units = jnp.eye(3)[:, None, :] * jnp.ones((outlook.domains, 1))
        (first, slope), push = jax.linearize(jax.value_and_grad(expected), still)
        return first, slope, jnp.moveaxis(jax.vmap(push)(units)[1], 0, -1)

    return jax.jit(one)


@lru_cache(maxsize=1)
def bends_each() -> Any:
    """(outlook, fields, weights) -> the same for every draw with a design of its own, but with the
    edge of the sweep rounded: fields (field, draw, domain); values (draw,), gradients
    (draw, domain, 3), blocks (draw, domain, 3, 3)."""

    def all_draws(outlook: Outlook, fields: Any, weights: Any) -> Any:
        def together(by: Any) -> Any:
            moved = fields * jnp.exp(jnp.moveaxis(by, -1, 0))
            values = jnp.exp(outlook.log_loss_each(Run(*moved), ROUNDED)) @ weights
            return values.sum(), values

        still = jnp.zeros((*fields.shape[1:], 3))
        units = jnp.eye(3)[:, None, None, :] * jnp.ones((*fields.shape[1:], 1))
        gradient = jax.grad(together, has_aux=True)
        slope, push, values = jax.linearize(gradient, still, has_aux=True)
        return values, slope, jnp.moveaxis(jax.vmap(push)(units), 0, -1)

    return jax.jit(all_draws)


@lru_cache(maxsize=1)
def totals_each() -> Any:
    """(outlook, fields, weights) -> Σ wₖ Lₖ, (draw,), where every draw has a design of its own."""

    def all_draws(outlook: Outlook, fields: Any, weights: Any) -> Any:
        return jnp.exp(outlook.log_loss_each(Run(*fields))) @ weights

    return jax.jit(all_draws)


@lru_cache(maxsize=1)
def totals() -> Any:
    """(outlook, fields, weights) -> Σ wₖ Lₖ of several designs, (design, draw)."""

    def one(outlook: Outlook, fields: Any, weights: Any) -> Any:
        return jnp.exp(outlook.log_loss(Run(*fields))) @ weights

    return jax.jit(jax.vmap(one, in_axes=(None, 0, None)))


@lru_cache(maxsize=32)
def scores(risk: Risk) -> Any:
    """(outlook, fields, stakes) -> losses (design, draw, domain), Σ wₖ Lₖ (design, draw), risks."""

    def one(outlook: Outlook, fields: Any, stakes: Stakes) -> Any:
        losses = jnp.exp(outlook.log_loss(Run(*fields)))
        return losses, losses @ stakes.weights, stakes.risk(risk, losses)

    def several(outlook: Outlook, fields: Any, stakes: Stakes) -> Any:
        return jax.lax.map(lambda each: one(outlook, each, stakes), fields)

    return jax.jit(several)
