"""Scales: where the ticks of an axis stand, and what they say, in the numbers of people."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

import numpy as np

from bayeslaw.quantity import SCALES, format_quantity

STEPS = ((1.0, 2.0, 5.0), (1.0, 3.0), (1.0,))  # of a decade, densest first
NARROW = 3.0  # a range of less than this factor is divided evenly


def log_ticks(low: float, high: float, most: int) -> tuple[list[float], list[str]]:
    """At most `most` round numbers within [low, high] of a logarithmic axis, and their names.

    >>> log_ticks(1e12, 1e15, 5)
    ([1000000000000.0, 10000000000000.0, 100000000000000.0, 1000000000000000.0], ['1T', '10T', \
'100T', '1e15'])
    """
    most = max(most, 2)
    if high / low < NARROW:
        return even_ticks(low, high, most)
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for steps in STEPS:
        values = [float(f"{m:g}e{d}") for d in decades for m in steps]
        inside = [v for v in values if low * 0.999 <= v <= high * 1.001]
        if len(inside) <= most:
            break
    else:
        every = math.ceil(len(inside) / most)
        inside = inside[:: max(every, 1)]
    if len(inside) < 2:
        return even_ticks(low, high, most)
    return inside, [format_quantity(v) for v in inside]


def even_ticks(low: float, high: float, most: int) -> tuple[list[float], list[str]]:
    """At most `most` round numbers within [low, high] of a linear axis, and their names.

    >>> even_ticks(0.0, 1.0, 6)
    ([0.0, 0.2, 0.4, 0.6, 0.8, 1.0], ['0', '0.2', '0.4', '0.6', '0.8', '1'])
    """
    most = max(most, 2)
    size = 10.0 ** (math.floor(math.log10((high - low) / most)) - 1)
    for step in (m * size * 10**k for k in range(4) for m in (1, 2, 5)):
        first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
        if last - first < most:
            break
    values = [float(f"{i * step:.12g}") for i in range(first, last + 1)]
    return values, _names(values, step)


def _names(values: Sequence[float], step: float) -> list[str]:
    """With as many digits as the step has, and one suffix for all."""
    largest = max(map(abs, values), default=0.0)
    if largest >= 1e15:
        digits = max(0, math.floor(math.log10(largest)) - math.floor(math.log10(step) + 1e-9))
        return [re.sub(r"\.?0*e\+?", "e", f"{v:.{digits}e}") for v in values]
    suffix, scale = next(((n, s) for n, s in SCALES if largest >= s), ("", 1.0))
    digits = max(0, -math.floor(math.log10(step / scale) + 1e-9))
    said = [f"{v / scale:.{digits}f}" for v in values]
    return [(t.rstrip("0").rstrip(".") if "." in t else t) + suffix for t in said]


def spanned(low: float, high: float, log: bool, by: float = 0.04) -> tuple[float, float]:
    """The range of an axis: that of its data, and a little more."""
    if log:
        room = by * np.log(high / low) or 0.1
        return float(low * np.exp(-room)), float(high * np.exp(room))
    room = by * (high - low) or max(abs(high), 1.0) * 0.05
    return low - room, high + room
