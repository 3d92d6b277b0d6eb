"""Risks: what to minimise over draws of the loss, or of the regret. A risk is a function of an
array of draws."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bayeslaw.errors import PlanError
from bayeslaw.plugin import from_file, names_of, registered

NATS = "nats"
GROUP = "bayeslaw.risks"  # of entry points
BANDWIDTH = 0.1  # of the draws' sd: how wide a step is made, to have a slope to go down


def mean(draws: Any, _: float) -> Any:
    """Expected loss."""
    return jnp.mean(draws)


def quantile(draws: Any, q: float) -> Any:
    """The loss that is exceeded with probability 1 - q (order statistics, linearly joined)."""
    return jnp.quantile(draws, q)


def _quantile_smooth(draws: Any, level: float) -> Any:
    """Order statistics about the quantile, averaged: its many small kinks are not."""
    count = draws.shape[0]
    width = max(min(level, 1 - level) / 3, 1 / count)
    weight = np.exp(-0.5 * (((np.arange(count) + 0.5) / count - level) / width) ** 2)
    return jnp.sort(draws) @ (weight / weight.sum())


def cvar(draws: Any, share: float) -> Any:
    """Mean of the worst `share` of the draws; the draw on the edge counts in part.

    Rockafellar & Uryasev 2000, for an empirical distribution.
    """
    count = draws.shape[0]
    worst = jnp.sort(draws)[::-1]
    weight = np.clip(share * count - np.arange(count), 0.0, 1.0)
    return worst @ weight / (share * count)


def entropic(draws: Any, aversion: float) -> Any:
    """log E exp(θ L) / θ, θ in 1/nats: the mean for θ → 0, the worst draw for θ → ∞."""
    return (jax.scipy.special.logsumexp(aversion * draws) - math.log(draws.shape[0])) / aversion


def mean_sd(draws: Any, times: float) -> Any:
    """Mean + λ standard deviations."""
    # The gradient of a standard deviation of 0 is not a number: equal draws have none.
    variance = jnp.var(draws)
    spread = variance > 0
    return jnp.mean(draws) + times * jnp.where(
        spread, jnp.sqrt(jnp.where(spread, variance, 1.0)), 0.0
    )


def reach(draws: Any, target: float) -> Any:
    """The probability of not reaching a target: P(L > target)."""
    return jnp.mean(draws > target)


def _reach_smooth(draws: Any, level: float) -> Any:
    """-log of the probability of reaching it, each draw blurred; falls also where that is 0."""
    width = jax.lax.stop_gradient(jnp.maximum(BANDWIDTH * jnp.std(draws), 1e-6))
    return -jax.scipy.special.logsumexp(jax.scipy.stats.norm.logcdf((level - draws) / width))


@dataclass(frozen=True)
class Kind:
    """A row of `RISKS`. low, high: of the level (exclusive), None where it takes none. smooth: what
    to go down first. steps: the risk itself has no slope to go down. unit: of its value."""

    function: Callable[[Any, float], Any]
    low: float | None = None
    high: float = math.inf
    smooth: Callable[..., Any] | None = None
    steps: bool = False
    example: str = ""
    unit: str = NATS


RISKS: dict[str, Kind] = {
    "mean": Kind(mean),
    "quantile": Kind(quantile, 0.0, 1.0, _quantile_smooth, example="0.9"),
    "cvar": Kind(cvar, 0.0, 1.0, example="0.1"),
    "entropic": Kind(entropic, 0.0, example="20"),
    "mean+sd": Kind(mean_sd, 0.0, example="1"),
    "reach": Kind(reach, 0.0, smooth=_reach_smooth, steps=True, example="1.10", unit="probability"),
}


@dataclass(frozen=True)
class Risk:
    """A named risk at a level, or a function of the draws. Hashable, so that a compiled objective
    can be found again."""

    name: str
    level: float = 0.0
    function: Callable[[Any], Any] | None = None

    def __call__(self, draws: Any) -> Any:
        if self.function is not None:
            return self.function(draws)
        return RISKS[self.name].function(draws, self.level)

    @property
    def descents(self) -> tuple[Risk, ...]:
        """What an optimiser goes down, one after the other: a smooth stand-in where there is one,
        and the risk itself unless that is a step."""
        if self.function is not None or RISKS[self.name].smooth is None:
            return (self,)
        smooth = _smooth(self)
        return (smooth,) if RISKS[self.name].steps else (smooth, self)

    @property
    def steps(self) -> bool:
        """Whether it has no slope of its own to go down."""
        return self.function is None and self.name in RISKS and RISKS[self.name].steps

    @property
    def unit(self) -> str:
        """Of what it gives; that of the caller's own is not known."""
        return "its own" if self.function is not None else RISKS[self.name].unit

    def __str__(self) -> str:
        takes = self.function is None and RISKS[self.name].low is not None
        return f"{self.name}:{self.level:.15g}" if takes else self.name


MEAN = Risk("mean")


@dataclass(frozen=True)
class Pair(Risk):
    """Two risks, each of a weighted loss of its own, to be weighed against each other."""

    first: Risk = MEAN
    second: Risk = MEAN

    @classmethod
    def of(cls, first: Risk, second: Risk) -> Pair:
        return cls(f"{first} and {second}", first=first, second=second)

    @property
    def descents(self) -> tuple[Risk, ...]:
        """Both smooth, then both as they are."""
        smooth = Pair.of(self.first.descents[0], self.second.descents[0])
        return (self,) if smooth == self else (smooth, self)

    @property
    def unit(self) -> str:
        return self.first.unit

    def __str__(self) -> str:
        return self.name


@lru_cache(maxsize=32)
def _smooth(risk: Risk) -> Risk:
    """What stands in for a risk. Kept: two of the same function are not the same to a compiler."""
    smooth = RISKS[risk.name].smooth
    assert smooth is not None
    return Risk(f"smooth {risk}", risk.level, partial(smooth, level=risk.level))


def parse_risk(text: str | Risk | Callable[[Any], Any]) -> Risk:
    """A risk from how it is written: `mean`, `quantile:0.9`, `cvar:0.1`, `entropic:20`,
    `mean+sd:1`, `reach:1.10`, the name of an entry point in the group `bayeslaw.risks`, or
    `FILE.py:FUNCTION`; or from a function of an array of draws, written in jax.

    Raises `PlanError` on anything else.

    >>> parse_risk("cvar:0.1")
    Risk(name='cvar', level=0.1, function=None)
    """
    if isinstance(text, Risk):
        return text
    if callable(text):
        return _checked(text, getattr(text, "__name__", "your own"))
    text = str(text)
    name, _, level = text.partition(":")
    if ".py:" in text:
        return _checked(_from_file(text), text)
    if name not in RISKS:
        for found in registered(GROUP, PlanError, text):
            return _checked(found, text)
        ours = [n if k.low is None else f"{n}:LEVEL" for n, k in RISKS.items()]
        known = ", ".join([*ours, *names_of(GROUP), "FILE.py:FUNCTION"])
        raise PlanError(f"risk '{text}' is not one of {known}")
    kind = RISKS[name]
    if kind.low is None:
        if level:
            raise PlanError(f"risk '{name}' takes no level, got '{text}'")
        return Risk(name)
    try:
        value = float(level)
    except ValueError:
        value = math.nan
    if not kind.low < value < kind.high:
        within = "above 0" if kind.high == math.inf else f"between {kind.low:g} and {kind.high:g}"
        raise PlanError(f"risk '{text}' needs a level {within}, as {name}:{kind.example}")
    return Risk(name, value)


@lru_cache(maxsize=32)
def _from_file(text: str) -> Any:
    """Kept: two of the same function are not the same to a compiler."""
    return from_file(text, "FUNCTION", PlanError)


def _checked(function: Any, name: str) -> Risk:
    """A risk of the caller's own, tried on three draws: it must give one number and a gradient."""
    if not callable(function):
        raise PlanError(f"risk '{name}' is not a function of draws")
    try:
        value = jax.eval_shape(jax.grad(lambda d: function(d)), jnp.ones(3))
    except Exception as error:
        raise PlanError(
            f"risk '{name}' is not one number of an array of draws, written in jax: "
            f"{type(error).__name__}: {str(error).splitlines()[0]}"
        ) from error
    assert value.shape == (3,)
    return Risk(name, 0.0, function)
