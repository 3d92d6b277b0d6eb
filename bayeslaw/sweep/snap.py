"""Sizes that a recipe can be: the width whose N is nearest to a number."""

from __future__ import annotations

from collections.abc import Sequence

from bayeslaw.sweep.recipe import Recipe


def nearest_width(rule: Recipe, params: float, among: Sequence[int] = ()) -> int:
    """The width whose N is nearest, as a ratio. among: widths to choose from; empty: every multiple
    of the width of a head."""
    step = rule.head_width if rule.head_width % 2 == 0 else 2 * rule.head_width

    def off(width: int) -> float:
        have = rule.shape(width).params  # the vocabulary is not in N
        return max(have / params, params / have)

    if among:
        return min(among, key=off)
    width = step
    while off(width + step) < off(width):
        width += step
    return width
