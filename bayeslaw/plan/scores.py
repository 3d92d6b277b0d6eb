"""Scores: the draws of several designs, each on its arrangement's own outlook."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from bayeslaw.plan import stakes as compiled
from bayeslaw.plan.optimum import Optimum
from bayeslaw.plan.question import Question


class Scores(NamedTuple):
    """losses: (design, draw, domain). totals: Σ wₖ Lₖ, (design, draw). risks: (design,)."""

    losses: np.ndarray
    totals: np.ndarray
    risks: np.ndarray


def scores(asked: Question, optima: Sequence[Optimum]) -> Scores:
    """Of designs, in their order; those of one outlook in one call. Within `double()`."""
    fields = np.stack([np.stack(o.run[:3]) for o in optima])
    # Arrangements without an outlook of their own have the laws' together.
    group = np.array([o.arrangement if o.arrangement in asked.others else "" for o in optima])
    parts, order = [], []
    for name in dict.fromkeys(group):
        rows, its = np.flatnonzero(group == name), asked.of(str(name))
        found = compiled.scores(its.risk)(its.outlook, fields[rows], its.stakes)
        parts.append([np.asarray(a) for a in found])
        order.append(rows)
    back = np.argsort(np.concatenate(order))
    return Scores(*(np.concatenate(each)[back] for each in zip(*parts, strict=True)))
