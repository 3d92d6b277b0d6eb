"""Arrangements: what is trained. Each maps free coordinates to designs that spend the budget."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np

from bayeslaw.cost import (
    FLOPS_PER_TOKEN,
    generalist_flops,
    independent_flops,
    joint_flops,
    scratch_flops,
    trunk_flops,
)
from bayeslaw.infer.ensemble import Ensemble
from bayeslaw.laws import Run
from bayeslaw.plan.bounds import Bounds

UNBOUNDED = 40.0  # |log ratio| that stands for no bound: further out nothing can be told apart


@dataclass(frozen=True)
class Coordinate:
    """One group of free coordinates: its name, its box, and where to look first."""

    name: str
    size: int
    low: float
    high: float
    starts: tuple[float, ...]


class Arrangement:
    """A way to spend a budget.

    Coordinates are logs of ratios (D/N, D′/D) and of shares, so that every point of their box is a
    design that costs the budget exactly and the domain of validity is the box itself.
    """

    name: ClassVar[str]

    def coordinates(self, domains: int, two_stage: bool, bounds: Bounds) -> list[Coordinate]:
        raise NotImplementedError

    def design(self, x: dict[str, Any], flops: Any, domains: int) -> Run:
        """The model of every domain: fields of shape (domain,)."""
        raise NotImplementedError

    def flops(self, run: Run) -> Any:
        """What training it costs; `run` as `design` returns it."""
        raise NotImplementedError

    def unassessable(self, fitted: Ensemble) -> str:
        """Why the runs cannot speak about it; empty when they can."""
        return ""


def _ratio(name: str, size: int, box: tuple[float, float], starts: tuple[float, ...]) -> Coordinate:
    low, high = (
        float(np.clip(np.log(b) if b > 0 else -np.inf, -UNBOUNDED, UNBOUNDED)) for b in box
    )
    inside = tuple(sorted({float(np.clip(s, low, high)) for s in starts}))
    return Coordinate(name, size, low, high, inside)


def _tokens_per_param(size: int, bounds: Bounds) -> Coordinate:
    return _ratio("tokens_per_param", size, bounds.tokens_per_param, (2.0, 4.0, 6.0))


def _split_ratio(size: int, domains: int, bounds: Bounds) -> Coordinate:
    even = -np.log(domains)
    return _ratio("split_ratio", size, bounds.split_ratio, (even - 3.0, even, even + 3.0))


def _params(flops: Any, tokens_per_param: Any, share: Any) -> Any:
    """N from 6 N · N e^r · share = C."""
    return jnp.sqrt(flops / (FLOPS_PER_TOKEN * jnp.exp(tokens_per_param) * share))


class Trunk(Arrangement):
    """One trunk, K branches: 6 N (D + Σ D′ₖ)."""

    name = "trunk"

    def coordinates(self, domains: int, two_stage: bool, bounds: Bounds) -> list[Coordinate]:
        return [_tokens_per_param(1, bounds), _split_ratio(domains, domains, bounds)]

    def design(self, x: dict[str, Any], flops: Any, domains: int) -> Run:
        split = jnp.exp(x["split_ratio"])
        params = _params(flops, x["tokens_per_param"][0], 1 + split.sum())
        pretrain = params * jnp.exp(x["tokens_per_param"][0])
        ones = jnp.ones(domains)
        return Run(params * ones, pretrain * ones, pretrain * split)

    def flops(self, run: Run) -> Any:
        return trunk_flops(run.params[0], run.pretrain_tokens[0], run.specialize_tokens)

    def unassessable(self, fitted: Ensemble) -> str:
        return "" if fitted.two_stage else "the fit is of a single stage: no runs were split"


class Independent(Arrangement):
    """K models of their own: Σ 6 Nₖ (Dₖ + D′ₖ). `share` divides the budget between them."""

    name = "independent"

    def coordinates(self, domains: int, two_stage: bool, bounds: Bounds) -> list[Coordinate]:
        share = Coordinate("share", domains, -12.0, 12.0, (0.0,))
        both = [share, _tokens_per_param(domains, bounds)]
        return [*both, _split_ratio(domains, 1, bounds)] if two_stage else both

    def design(self, x: dict[str, Any], flops: Any, domains: int) -> Run:
        share = jnp.exp(x["share"])
        each = flops * share / share.sum()
        split = jnp.exp(x["split_ratio"]) if "split_ratio" in x else jnp.zeros(domains)
        params = _params(each, x["tokens_per_param"], 1 + split)
        pretrain = params * jnp.exp(x["tokens_per_param"])
        return Run(params, pretrain, pretrain * split)

    def flops(self, run: Run) -> Any:
        return independent_flops(run.params, run.pretrain_tokens, run.specialize_tokens)

    def unassessable(self, fitted: Ensemble) -> str:
        return "" if len(fitted.domains) > 1 else "there is one domain: it is the same as one model"


class Generalist(Arrangement):
    """One model, no second stage: 6 N D."""

    name = "generalist"

    def coordinates(self, domains: int, two_stage: bool, bounds: Bounds) -> list[Coordinate]:
        return [_tokens_per_param(1, bounds)]

    def design(self, x: dict[str, Any], flops: Any, domains: int) -> Run:
        params = _params(flops, x["tokens_per_param"][0], 1.0)
        pretrain = params * jnp.exp(x["tokens_per_param"][0])
        ones = jnp.ones(domains)
        return Run(params * ones, pretrain * ones, 0.0 * ones)

    def flops(self, run: Run) -> Any:
        return generalist_flops(run.params[0], run.pretrain_tokens[0])


class Joint(Arrangement):
    """One model, a second stage on the union of the domains: 6 N (D + D′)."""

    name = "joint"

    def flops(self, run: Run) -> Any:
        return joint_flops(run.params[0], run.pretrain_tokens[0], run.specialize_tokens[0])

    def unassessable(self, fitted: Ensemble) -> str:
        return "no law of this fit was given runs whose second stage was on several domains at once"


class Scratch(Arrangement):
    """K models without pretraining: Σ 6 Nₖ D′ₖ."""

    name = "scratch"

    def coordinates(self, domains: int, two_stage: bool, bounds: Bounds) -> list[Coordinate]:
        share = Coordinate("share", domains, -12.0, 12.0, (0.0,))
        return [share, _tokens_per_param(domains, bounds)]

    def design(self, x: dict[str, Any], flops: Any, domains: int) -> Run:
        share = jnp.exp(x["share"])
        params = _params(flops * share / share.sum(), x["tokens_per_param"], 1.0)
        return Run(params, jnp.zeros(domains), params * jnp.exp(x["tokens_per_param"]))

    def flops(self, run: Run) -> Any:
        return scratch_flops(run.params, run.specialize_tokens)

    def unassessable(self, fitted: Ensemble) -> str:
        if fitted.ranges.get("pretrain_tokens", (1.0, 1.0))[0] > 0:
            return "no runs with pretrain_tokens = 0"
        infinite = [
            m.law.name for m in fitted.members
            if m.weight > 0 and "pretrain_tokens" not in m.law.may_be_zero
        ]  # fmt: skip
        return f"not finite without pretraining: {', '.join(infinite)}" if infinite else ""


ARRANGEMENTS: dict[str, Arrangement] = {
    a.name: a for a in (Trunk(), Independent(), Generalist(), Joint(), Scratch())
}
