"""The answer to one setting of the controls, by a planner that is kept warm."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bayeslaw.infer.ensemble import Ensemble
from bayeslaw.plan.plan import Plan, plan

DRAWS = 400
RISKS = ("mean", "quantile:0.9", "cvar:0.1", "entropic:20", "mean+sd:1")
FURTHEST = 1e4  # times the sweep's largest compute


@dataclass(frozen=True)
class Controls:
    """What is asked. flops: the budget. weights: domain -> weight. unique: `general` or a domain ->
    distinct tokens, `20B`; serve: domain -> tokens, `5T`; what is empty is not asked."""

    flops: float
    weights: Mapping[str, float] = field(default_factory=dict)
    risk: str = "mean"
    unique: Mapping[str, str] = field(default_factory=dict)
    serve: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Answer:
    """The plan, and the seconds that it took. regrets: design -> expected nats above the best that
    each draw finds among all designs shown: at least so much is lost by each."""

    plan: Plan
    regrets: dict[str, float]
    seconds: float


class Explorer:
    """Plans of one fit, again and again. The first answers compile; `warm` has that done before
    somebody waits for it.

    What takes longer than an answer may (each draw's own optimum, EVPI, the certificate) is left to
    `bayeslaw plan`: here regret is against the designs that are shown.
    """

    def __init__(self, fitted: Ensemble, draws: int = DRAWS) -> None:
        self.fitted, self.draws = fitted, draws

    @property
    def budgets(self) -> tuple[float, float]:
        """The range of the budget's control: from the middle of the sweep's compute on."""
        low, high = self.fitted.ranges["flops"]
        return float(np.sqrt(low * high)), FURTHEST * high

    @property
    def first(self) -> Controls:
        """What is asked before anything was changed: a hundred times the sweep's largest run."""
        return Controls(100 * self.fitted.ranges["flops"][1])

    def warm(self, risks: Sequence[str] = RISKS) -> None:
        """Compile what risks need."""
        for risk in risks:
            self.answer(Controls(self.first.flops, risk=risk))

    def answer(self, asked: Controls) -> Answer:
        """Raises `PlanError` as `plan` does."""
        began = time.perf_counter()
        wishes: dict[str, Any] = {
            name: told
            for name, values in (("unique", asked.unique), ("serve", asked.serve))
            if (told := {k: v for k, v in values.items() if str(v).strip()})
        }
        found = plan(
            self.fitted, asked.flops, dict(asked.weights) or None, asked.risk, draws=self.draws,
            **wishes,
        )  # fmt: skip
        shown = (found.chosen, *found.others)
        best = np.min([c.totals for c in shown], axis=0)
        regrets = {c.name: float((c.totals - best).mean()) for c in shown}
        return Answer(found, regrets, time.perf_counter() - began)
