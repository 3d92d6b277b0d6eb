"""Risks: what to minimise over draws of the loss. A risk is a function of an array of draws."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np

from bayeslaw.errors import PlanError


def mean(draws: Any, _: float) -> Any:
    """Expected loss."""
    return jnp.mean(draws)


def quantile(draws: Any, q: float) -> Any:
    """The loss that is exceeded with probability 1 - q (order statistics, linearly joined)."""
    return jnp.quantile(draws, q)


def cvar(draws: Any, share: float) -> Any:
    """Mean of the worst `share` of the draws; the draw on the edge counts in part.

    Rockafellar & Uryasev 2000, for an empirical distribution.
    """
    count = draws.shape[0]
    worst = jnp.sort(draws)[::-1]
    weight = np.clip(share * count - np.arange(count), 0.0, 1.0)
    return worst @ weight / (share * count)


# name -> (function, whether it takes a level)
RISKS: dict[str, tuple[Callable[[Any, float], Any], bool]] = {
    "mean": (mean, False),
    "quantile": (quantile, True),
    "cvar": (cvar, True),
}


@dataclass(frozen=True)
class Risk:
    """A named risk at a level. Hashable, so that a compiled objective can be found again."""

    name: str
    level: float = 0.0

    def __call__(self, draws: Any) -> Any:
        return RISKS[self.name][0](draws, self.level)

    def __str__(self) -> str:
        return f"{self.name}:{self.level:g}" if RISKS[self.name][1] else self.name


def parse_risk(text: str | Risk) -> Risk:
    """`mean`, `quantile:0.9` or `cvar:0.1`. Raises `PlanError` on anything else.

    >>> parse_risk("cvar:0.1")
    Risk(name='cvar', level=0.1)
    """
    if isinstance(text, Risk):
        return text
    name, _, level = str(text).partition(":")
    known = ", ".join(f"{n}:LEVEL" if takes else n for n, (_, takes) in RISKS.items())
    if name not in RISKS:
        raise PlanError(f"risk '{text}' is not one of {known}")
    if not RISKS[name][1]:
        if level:
            raise PlanError(f"risk '{name}' takes no level, got '{text}'")
        return Risk(name)
    try:
        value = float(level)
    except ValueError:
        value = float("nan")
    if not 0 < value < 1:
        raise PlanError(f"risk '{text}' needs a level between 0 and 1, as {name}:0.9")
    return Risk(name, value)
