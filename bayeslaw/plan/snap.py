"""Snapping: an optimum moved to the best of the architectures near it, its tokens sought again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import islice

import numpy as np

from bayeslaw.plan.architecture import Architecture
from bayeslaw.plan.optimum import Optimum, optimise, within
from bayeslaw.plan.question import Question
from bayeslaw.plan.scores import scores

NEAREST = 3  # architectures that are looked at, on either side of the optimum
SOUGHT = 8  # on either side: further out, what does not keep the limits is given up
MODELS = 16  # models of their own size whose neighbours are looked at too


def snapped(
    asked: Question, optimum: Optimum, pins: Mapping[str, float] | None = None
) -> Optimum | None:
    """The design of least risk among those of the architectures nearest to an optimum's N; where
    every domain has an N of its own, first the nearest for each, then its neighbours one domain
    after the other. None where none keeps the bounds. Within `double()`."""
    if not asked.architectures:
        return optimum
    sizes = optimum.run.params

    def sized_at(chosen: Sequence[Architecture]) -> Question:
        return asked.sized(np.array([a.params for a in chosen]))

    def possible(chosen: Sequence[Architecture]) -> bool:
        return sized_at(chosen).space(optimum.arrangement, pins).possible

    def at(chosen: Sequence[Architecture]) -> tuple[float, Optimum] | None:
        sized = sized_at(chosen)
        if not possible(chosen):
            return None
        best = within(sized, optimise(sized, optimum.arrangement, pins), pins)
        if not best.kept:
            return None
        return float(scores(asked, [best]).risks[0]), replace(
            best, architectures=tuple(a.name for a in chosen)
        )

    own = asked.space(optimum.arrangement).own[0]
    every = _each(asked.architectures, sizes, at) if own else []
    every = every or _one(asked.architectures, sizes, possible, at)
    return min(every, key=lambda found: found[0])[1] if every else None


Found = list[tuple[float, Optimum]]
At = Callable[[Sequence[Architecture]], "tuple[float, Optimum] | None"]


def _one(
    listed: Sequence[Architecture],
    sizes: np.ndarray,
    possible: Callable[[Sequence[Architecture]], bool],
    at: At,
) -> Found:
    """One N for all: those on either side, further out where those cannot be."""
    found: Found = []
    above = [a for a in listed if a.params >= sizes[0]]
    below = [a for a in reversed(listed) if a.params < sizes[0]]
    for side in (above, below):
        each = ([a] * len(sizes) for a in side)
        tried = (at(chosen) for chosen in islice(filter(possible, each), SOUGHT))
        found += islice((seen for seen in tried if seen is not None), NEAREST)
    return found


def _each(listed: Sequence[Architecture], sizes: np.ndarray, at: At) -> Found:
    """An N for each domain."""
    logs = np.log([a.params for a in listed])
    here = [int(np.abs(logs - np.log(n)).argmin()) for n in sizes]
    seen = at([listed[i] for i in here])
    while seen is None and any(here):  # what costs too much: the next smaller ones
        here = [max(0, i - 1) for i in here]
        seen = at([listed[i] for i in here])
    if seen is None:
        return []
    best = seen
    for k in range(len(sizes) if len(sizes) <= MODELS else 0):
        for other in (here[k] - 1, here[k] + 1):
            if 0 <= other < len(listed):
                trial = [*here[:k], other, *here[k + 1 :]]
                seen = at([listed[i] for i in trial])
                if seen is not None and seen[0] < best[0]:
                    best, here = seen, trial
    return [best]
