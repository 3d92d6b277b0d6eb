"""Candidates: designs with the draws of their losses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from bayeslaw.cost import SIX_ND, CostLaw
from bayeslaw.errors import PlanError
from bayeslaw.laws import Run
from bayeslaw.plan.arrangement import ARRANGEMENTS
from bayeslaw.plan.optimum import Optimum
from bayeslaw.plan.question import Question
from bayeslaw.plan.scores import scores

SIZES = ("params", "pretrain_tokens", "specialize_tokens")
# Shares of compute in branches that people use as rules of thumb, by what they are called.
RULES = {f"split at {share:.0%}": share for share in (0.1, 0.5)}
Kind = Literal["optimum", "rule", "own"]


@dataclass(frozen=True)
class Candidate:
    """One design with the draws of its loss on every domain.

    kind: an arrangement's optimum, a rule of thumb, or a design of the caller's own.
    """

    name: str
    kind: Kind
    arrangement: str
    run: Run  # fields of shape (domain,)
    losses: np.ndarray  # (draw, domain)
    totals: np.ndarray  # (draw,): the weighted loss
    risk: float
    at_bound: tuple[str, ...] = ()
    at_limit: tuple[str, ...] = ()
    point: np.ndarray | None = None  # where it lies in its `Space`
    serving: float = 0.0  # FLOPs of the budget that serving it takes
    architectures: tuple[str, ...] = ()
    over: float | None = None  # as of its `Optimum`
    cost: CostLaw = SIX_ND

    @property
    def kept(self) -> bool:
        """Whether it keeps the limits on losses."""
        return self.over is None or self.over <= 0

    @property
    def flops(self) -> float:
        """What training it costs."""
        return float(ARRANGEMENTS[self.arrangement].flops(self.run, self.cost))

    @property
    def spent(self) -> float:
        """What training and serving it costs."""
        return self.flops + self.serving


def scored(
    optima: Mapping[str, Optimum], asked: Question, kinds: Sequence[Kind]
) -> list[Candidate]:
    """Designs by name, with the draws of their losses. kinds: of each. Within `double()`."""
    if not optima:
        return []
    losses, totals, risks = scores(asked, list(optima.values()))
    return [
        Candidate(
            name, kind, o.arrangement, o.run, losses[i], totals[i], float(risks[i]), o.at_bound,
            o.at_limit, None if kind == "own" else o.point, asked.served(o.run), o.architectures,
            o.over, asked.cost,
        )
        for i, ((name, o), kind) in enumerate(zip(optima.items(), kinds, strict=True))
    ]  # fmt: skip


def own_designs(designs: Mapping[str, Run], domains: int) -> dict[str, Optimum]:
    """The caller's designs, of the arrangement that would train them. Raises `PlanError` with all
    their faults."""
    found, faults = {}, []
    for name, run in designs.items():
        if name in ARRANGEMENTS or name in RULES:
            faults.append(f"design '{name}' has the name of a candidate of the plan's; rename it")
        wrong, fields = [], []
        for size, given in zip(SIZES, run[:3], strict=True):
            try:
                values = np.broadcast_to(np.asarray(given, float), (domains,))
            except (TypeError, ValueError):
                wrong.append(f"{size} of design '{name}' is {given!r}; give 1 number or {domains}")
                continue
            positive = size != "specialize_tokens"
            if not (np.isfinite(values) & (values > 0 if positive else values >= 0)).all():
                least = "more than 0" if positive else "0 or more"
                wrong.append(f"{size} of design '{name}' is {given!r}; it must be {least}, finite")
            fields.append(values)
        faults += wrong
        if wrong:
            continue
        full = Run(*fields)
        if np.ptp(full.params) or np.ptp(full.pretrain_tokens):
            kind = "independent"
        else:
            kind = "trunk" if full.specialize_tokens.any() else "generalist"
        found[name] = Optimum(kind, full, (), np.empty(0))
    if faults:
        raise PlanError("the designs cannot be scored: " + "; ".join(faults))
    return found
