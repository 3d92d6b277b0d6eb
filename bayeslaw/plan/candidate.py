"""Candidates: designs with the draws of their losses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from bayeslaw.laws import Run
from bayeslaw.plan import stakes as compiled
from bayeslaw.plan.arrangement import ARRANGEMENTS
from bayeslaw.plan.optimum import Optimum, Question


@dataclass(frozen=True)
class Candidate:
    """One design with the draws of its loss on every domain."""

    name: str
    arrangement: str
    run: Run  # fields of shape (domain,)
    losses: np.ndarray  # (draw, domain)
    totals: np.ndarray  # (draw,): the weighted loss
    risk: float
    at_bound: tuple[str, ...] = ()
    point: np.ndarray | None = None  # where it lies in its `Space`

    @property
    def flops(self) -> float:
        """What training it costs."""
        return float(ARRANGEMENTS[self.arrangement].flops(self.run))


def scored(optima: Mapping[str, Optimum], asked: Question) -> list[Candidate]:
    """Designs by name, with the draws of their losses. Within `double()`."""
    if not optima:
        return []
    fields = np.stack([np.stack(o.run[:3]) for o in optima.values()])
    answers = compiled.scores(asked.risk)(asked.outlook, fields, asked.stakes)
    losses, totals, risks = (np.asarray(a) for a in answers)
    return [
        Candidate(
            name, o.arrangement, o.run, losses[i], totals[i], float(risks[i]), o.at_bound, o.point
        )
        for i, (name, o) in enumerate(optima.items())
    ]


def own_designs(designs: Mapping[str, Run], domains: int) -> dict[str, Optimum]:
    """The caller's designs, of the arrangement that would train them."""
    found = {}
    for name, run in designs.items():
        full = Run(*(np.broadcast_to(np.asarray(f, float), (domains,)) for f in run[:3]))
        if np.ptp(full.params) or np.ptp(full.pretrain_tokens):
            kind = "independent"
        else:
            kind = "trunk" if full.specialize_tokens.any() else "generalist"
        found[name] = Optimum(kind, full, (), np.empty(0))
    return found
