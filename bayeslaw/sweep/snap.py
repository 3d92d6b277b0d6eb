"""Sizes that a recipe can be: the width whose N is nearest to a number."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import count

from bayeslaw.sweep.recipe import Recipe


def nearest_width(rule: Recipe, params: float, among: Sequence[int] = ()) -> int:
    """The width whose N is nearest, as a ratio. among: widths to choose from; empty: every width
    that splits into the recipe's heads."""

    def off(width: int) -> float:
        have = rule.shape(width).params  # the vocabulary is not in N
        return max(have / params, params / have)

    return min(among or _around(rule, params), key=off)


def _around(rule: Recipe, params: float) -> Iterator[int]:
    """Widths near that of this N, up to the first whose N is as large."""
    low, high = 1, 2
    while rule.shape(2 * high).params < params:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if rule.shape(2 * middle).params < params else (low, middle)
    # Widths that split into heads are at most two widths of a head apart.
    for width in count(max(2, 2 * low - 8 * rule.head_width), 2):
        if width % (2 * rule.heads(width)):
            continue
        yield width
        if rule.shape(width).params >= params:
            return
