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
    """Widths up to the first whose N is as large."""
    for width in count(2, 2):
        if width % (2 * rule.heads(width)):
            continue
        yield width
        if rule.shape(width).params >= params:
            return
