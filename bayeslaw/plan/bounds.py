"""Bounds: where a plan's sizes, tokens and ratios may lie, and who says so."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from bayeslaw.errors import PlanError
from bayeslaw.infer.ensemble import Ensemble
from bayeslaw.plan.faults import Faults, quantity
from bayeslaw.quantity import format_quantity, parse_quantity

Interval = tuple[float, float]
FREE: Interval = (0.0, math.inf)
LEVELS = ("params", "pretrain_tokens", "specialize_tokens")
RATIOS = ("tokens_per_param", "split_ratio")
UNBOUNDED = 40.0  # |log ratio| that stands for no bound: further out nothing can be told apart


@dataclass(frozen=True)
class Bound:
    """One quantity lies in [low, high]. said: how it was put. domain: whose, by its number; None:
    every domain's. given: whether the caller gave it, or the sweep. cap: whether it is for want of
    data."""

    quantity: str
    low: float
    high: float
    said: str
    domain: int | None = None
    given: bool = True
    cap: bool = False


@dataclass(frozen=True)
class Bounds:
    """The ratios D/N and D′/D that the sweep supports, and what the caller has bounded: those, or
    the levels of N, D and D′, which the sweep leaves free."""

    tokens_per_param: Interval = FREE
    split_ratio: Interval = FREE
    own: tuple[Bound, ...] = ()

    @cached_property
    def every(self) -> tuple[Bound, ...]:
        """All of them."""
        sweep = []
        for name, (low, high) in zip(
            RATIOS, (self.tokens_per_param, self.split_ratio), strict=True
        ):
            said = f"{name} {low:.3g}:{high:.3g} (the sweep's, by --stretch)"
            sweep.append(Bound(name, low, high, said, given=False))
        return (*sweep, *self.own)

    def only(self, some: Sequence[Bound]) -> Bounds:
        """With no other bounds than `some` of `every`."""
        sweep = {b.quantity: (b.low, b.high) for b in some if not b.given}
        own = tuple(b for b in some if b.given)
        return Bounds(sweep.get(RATIOS[0], FREE), sweep.get(RATIOS[1], FREE), own)


def logs(bounds: Sequence[Bound], quantity: str, domains: int) -> np.ndarray:
    """Logs of the range that bounds leave a quantity, (2, domain); infinite where there is none."""
    box = np.tile([[-np.inf], [np.inf]], domains)
    for b in bounds:
        if b.quantity == quantity:
            rows = slice(None) if b.domain is None else b.domain
            box[0, rows] = np.maximum(box[0, rows], math.log(b.low) if b.low > 0 else -np.inf)
            box[1, rows] = np.minimum(box[1, rows], math.log(b.high))
    return box


def bounds_of(fitted: Ensemble, stretch: float) -> Bounds:
    """The sweep's range of each ratio, divided and multiplied by `stretch` (≥ 1; inf: no bound)."""
    if not stretch >= 1:
        raise PlanError(f"stretch must be at least 1 (or inf), got {stretch:g}")

    def stretched(name: str) -> Interval:
        low, high = fitted.ranges.get(name, FREE)
        return low / stretch, high * stretch

    return Bounds(stretched("tokens_per_param"), stretched("split_ratio"))


def own_bounds(
    pins: Mapping[str, Any], bounds: Mapping[str, Any], domains: Sequence[str]
) -> tuple[Bound, ...]:
    """The caller's. pins: quantity -> value (a number, or `7B`); bounds: quantity -> range
    (`LOW:HIGH` with either end left out, or a pair with None). A quantity is `params`,
    `pretrain_tokens`, `specialize_tokens`, `tokens_per_param` (D/N) or `split_ratio` (D′/D); for
    one domain `specialize_tokens.code`.

    Raises `PlanError` with all faults.
    """
    faults, found = Faults(), []
    for what, given, read in (("pin", pins, _pinned), ("bound", bounds, _ranged)):
        for key, value in given.items():
            name, _, domain = key.partition(".")
            if name not in (*LEVELS, *RATIOS):
                faults.append(f"{what} '{key}' is not of {', '.join((*LEVELS, *RATIOS))}")
            elif domain and domain not in domains:
                faults.append(f"{what} '{key}': the fit's domains are {', '.join(domains)}")
            elif ends := faults.of(lambda k=key, v=value, r=read: r(k, v)):  # type: ignore[misc]
                low, high, said = ends
                found.append(
                    Bound(name, low, high, said, domains.index(domain) if domain else None)
                )
    faults.tell()
    return tuple(found)


def _pinned(key: str, value: Any) -> tuple[float, float, str]:
    number = quantity(f"pin {key}", value)
    if not 0 < number < math.inf:
        raise PlanError(f"pin {key}={value}: it must be more than 0, and finite")
    return number, number, f"{key}={format_quantity(number)}"


def _ranged(key: str, value: Any) -> tuple[float, float, str]:
    ends = value.split(":") if isinstance(value, str) else value
    if not isinstance(ends, (list, tuple)) or len(ends) != 2:
        raise PlanError(f"bound {key}={value}: give LOW:HIGH, either end may be left out")
    try:
        low, high = (
            free if end in ("", None) else parse_quantity(end)
            for end, free in zip(ends, FREE, strict=True)
        )
    except ValueError as error:
        raise PlanError(f"bound {key}: {error}") from None
    if not (0 <= low <= high and high > 0 and low < math.inf) or (low, high) == FREE:
        raise PlanError(f"bound {key}={value}: it takes 0 <= LOW <= HIGH, and one of them")
    at_least, at_most = (format_quantity(end) for end in (low, high))
    if low == 0:
        return low, high, f"{key} <= {at_most}"
    return low, high, f"{key} >= {at_least}" if high == math.inf else f"{key} {at_least}:{at_most}"
