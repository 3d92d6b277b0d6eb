"""Conflicts: which bounds cannot be kept together, and what would make room for them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from bayeslaw.plan.arrangement import arrangement_of
from bayeslaw.plan.bounds import LEVELS, RATIOS, UNBOUNDED, Bound
from bayeslaw.plan.question import Question
from bayeslaw.plan.space import SAME, Space
from bayeslaw.quantity import format_quantity


def refusal(asked: Question, arrangement: str) -> tuple[str, str]:
    """Why an arrangement cannot keep the bounds of a question, empty where it can; and what it
    would need."""
    every = asked.bounds.every
    mixed = [name for name in asked.names if asked.has_end(name)]
    if arrangement == "joint" and mixed:
        which = ", ".join(mixed)
        return f"its second stage mixes the domains: how often it sees {which} is not told", ""

    if arrangement_of(arrangement).recipe == "replay" and (
        ends := [n for n in ("general", *asked.names) if asked.has_end(n)]
    ):
        return f"its second stage mixes in general text: how often it sees {', '.join(ends)} is " \
               "not told", ""  # fmt: skip

    def space(bounds: Sequence[Bound]) -> Space:
        return asked.bounded(asked.bounds.only(bounds)).space(arrangement)

    here = space(every)
    if not here.fence.possible:
        held = irreducible(every, lambda some: space(some).fence.possible)
        others = {b: space([o for o in held if o is not b]) for b in held}
        left = [_left(s, b) for b, s in others.items()]
        return f"{_listed(held)} contradict each other", f"one of {', '.join(left)} would do"
    if here.reach[0] > asked.flops * (1 + SAME):
        held = irreducible(every, lambda some: space(some).reach[0] <= asked.flops)
        cost = "costs" if len(held) == 1 else "together cost"
        return (
            f"{_listed(held)} {cost} more than the budget of {asked.flops:.3g} FLOPs",
            f"at least {here.reach[0]:.3g}",
        )
    one = space([*every, Bound("params", 1.0, math.inf, "one parameter")])
    if not one.fence.possible:
        return "its data are for less than one parameter", ""
    if not one.possible:
        return (
            f"the budget of {asked.flops:.3g} FLOPs pays for less than one parameter",
            f"at least {one.reach[0]:.3g}",
        )
    listed = asked.architectures
    sizes = (np.full(len(asked.names), a.params) for a in listed)
    if listed and not any(asked.sized(n).space(arrangement).possible for n in sizes):
        low, high = (format_quantity(a.params) for a in (listed[0], listed[-1]))
        return f"no architecture, {low} to {high} params, is within the bounds and the budget", ""
    return "", ""


def lacking(asked: Question, arrangement: str) -> str:
    """Which bounds speak of a stage that an arrangement does not have; empty where none does."""
    space = asked.space(arrangement)
    here = dict(zip((*LEVELS, *RATIOS), (True, *space.stages, *space.present[1:]), strict=True))
    told = [b.said for b in asked.bounds.own if b.low > 0 and not here[b.quantity]]
    return f"it has no stage for {', '.join(told)}" if told else ""


def irreducible(
    bounds: Sequence[Bound], possible: Callable[[Sequence[Bound]], bool]
) -> list[Bound]:
    """Bounds that cannot be kept together, none of which could be left out of the conflict."""
    held = list(bounds)
    for b in bounds:
        without = [o for o in held if o is not b]
        if not possible(without):
            held = without
    return held


def _listed(bounds: Sequence[Bound]) -> str:
    said = [b.said for b in bounds]
    return " and ".join([", ".join(said[:-1]), said[-1]] if len(said) > 1 else said)


def _left(space: Space, bound: Bound) -> str:
    """The range that a quantity has where its bound is left out."""
    low, high = space.fence.least, space.fence.greatest
    rows = slice(None) if bound.domain is None else [bound.domain]
    if bound.quantity in LEVELS:
        j = LEVELS.index(bound.quantity)
        ends = low[rows, j].max(), high[rows, j].min()
    else:
        later, earlier, least, most = space.fence.steps[RATIOS.index(bound.quantity)]
        ends = (
            np.maximum(least, low[:, later] - high[:, earlier])[rows].max(),
            np.minimum(most, high[:, later] - low[:, earlier])[rows].min(),
        )
    said = [format_quantity(float(np.exp(e))) if abs(e) < UNBOUNDED else "" for e in ends]
    if said[0] == said[1]:
        return f"{bound.quantity}={said[0]}"
    if not all(said):
        return f"{bound.quantity} {'>=' if said[0] else '<='} {said[0] or said[1]}"
    return f"{bound.quantity} {said[0]}:{said[1]}"
