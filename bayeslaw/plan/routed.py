"""Routed: the losses of a whole system, text on the branches that a router sends it to.

    log Σ_j ρ_kj L_kj

ρ_kj: the share of domain k's text that goes to branch j. L_kk is what laws say of a branch on its
own domain; L_kj of another is told by a fit of laws of other branches (`forgetting`). The weighted
sum over k is a sum over branches, so that domains meet in a plan no more than without a router.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bayeslaw.infer.ensemble import Ensemble
from bayeslaw.infer.precision import double
from bayeslaw.laws import Run
from bayeslaw.plan.arrangement import Recipe, arrangement_of
from bayeslaw.plan.offset import Offset, levels_of
from bayeslaw.plan.outlook import Outlook
from bayeslaw.plan.question import Question

APART = 1_000_003  # from the seed of the plan's own draws


@dataclass(frozen=True)
class Routed:
    """off: draws of what branches lose on other domains, as many as those of the laws. order: the
    numbers of the plan's domains among theirs. shares: ρ, (domain, branch). A pytree."""

    off: Outlook
    order: Any
    shares: Any

    def branches(self, run: Run) -> Any:
        """L, (draw, domain, branch), of the branches of a design: fields (domain,)."""
        each = jax.vmap(lambda n, d, split: self.off.log_loss(Run(n, d, split)))(*run[:3])
        return jnp.moveaxis(jnp.exp(each)[:, :, self.order], 0, -1)

    def log_loss(self, own: Any, run: Run) -> Any:
        """(draw, domain) of the system, from log losses of branches on their own domains."""
        return self._mixed(own, self.branches(run))

    def log_loss_each(self, own: Any, run: Run, width: float) -> Any:
        """The same where every draw has a design: fields (draw, domain)."""

        def one(n: Any, d: Any, split: Any) -> Any:
            alike = Run(*(f[:, None] for f in (n, d, split)))
            return self.off.log_loss_each(alike, width)

        each = jax.vmap(one, in_axes=1)(*run[:3])
        return self._mixed(own, jnp.moveaxis(jnp.exp(each)[:, :, self.order], 0, -1))

    def _mixed(self, own: Any, off: Any) -> Any:
        apart = self.shares * (1 - jnp.eye(len(self.shares)))
        right = jnp.exp(own) * jnp.diagonal(self.shares)
        return jnp.log(right + jnp.einsum("kj,xkj->xk", apart, off))

    def rows(self, kept: np.ndarray) -> Routed:
        """Some of the draws."""
        return replace(self, off=self.off.only(kept))

    def told_by(self, recipe: Recipe, levels: Mapping[float, Offset]) -> Routed:
        """The same of branches that are trained by a recipe. levels: of `distill`, what runs say of
        it on other domains; the law knows replay itself."""
        if recipe.way == "replay":
            return replace(self, off=replace(self.off, replay=recipe.level))
        return replace(self, off=replace(self.off, offset=levels[recipe.level]))


jax.tree_util.register_dataclass(Routed, data_fields=["off", "order", "shares"], meta_fields=[])


def with_routing(
    asked: Question, forgetting: Ensemble, shares: np.ndarray, kind: str, seed: int
) -> Question:
    """The question of the system that a router makes of the branches. shares: ρ, (domain, branch);
    kind, seed: of the draws. What laws of other branches cannot speak of cannot be told; under an
    objective of tasks it is chosen all the same, for there no text goes astray."""
    off, levels = _off(forgetting, kind, asked.outlook.draws, seed + APART)
    order = np.array([forgetting.domains.index(n) for n in asked.names])
    plain = Routed(off, order, np.asarray(shares, float))
    others, mute = {"generalist": asked.outlook}, dict(asked.mute)
    mute["scratch"] = "laws of other branches do not speak of what has no first stage"
    for name, outlook in asked.others.items():
        a = arrangement_of(name)
        others[name] = outlook
        if isinstance(a, Recipe) and (a.way == "replay" or a.level in levels):
            others[name] = replace(outlook, routed=plain.told_by(a, levels))
        elif isinstance(a, Recipe):
            mute[name] = f"the fit of forgetting has no runs of {a.said}"
    with double():
        outlook, others = jax.device_put((replace(asked.outlook, routed=plain), others))
    told = asked.outlook.objective is None
    return replace(asked, outlook=outlook, others=others, mute=mute if told else asked.mute)


@lru_cache(maxsize=4)
def _off(
    forgetting: Ensemble, kind: str, draws: int, seed: int
) -> tuple[Outlook, dict[float, Offset]]:
    """Draws of what branches lose on other domains, with other errors beyond its sweep than those
    of the plan's laws; and what distillation changes there, by its weight."""
    known = kind if forgetting.discrepancy is not None else "mean"
    contrast = forgetting.contrast("distill")
    with double():
        off = jax.device_put(Outlook.of(forgetting, known, draws, seed))
        if contrast is None:
            return off, {}
        return off, levels_of(forgetting, contrast, off.log_loss, draws, seed)
