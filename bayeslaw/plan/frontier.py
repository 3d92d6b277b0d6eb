"""The frontier: the best plan of every budget in a range."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Unpack

import numpy as np
import pandas as pd

from bayeslaw.card import card
from bayeslaw.errors import PlanError
from bayeslaw.infer.ensemble import Ensemble
from bayeslaw.infer.precision import double
from bayeslaw.plan.arguments import faults_of, question
from bayeslaw.plan.candidate import Candidate
from bayeslaw.plan.choice import Choice
from bayeslaw.plan.constraints import Wishes
from bayeslaw.plan.decision import decide, with_reference
from bayeslaw.plan.limited import keeping, with_limits
from bayeslaw.plan.risk import Risk
from bayeslaw.plan.written import SCHEMA, interval, sizes


@dataclass(frozen=True)
class Point:
    """The plan of one budget. chosen spends less than `flops` where a smaller budget carries less
    risk; others are what else that budget could buy."""

    flops: float
    chosen: Candidate
    others: tuple[Candidate, ...]
    extrapolation: float


@dataclass(frozen=True)
class Frontier:
    """Plans of rising budgets; their risk never rises, unless it is on regret."""

    points: tuple[Point, ...]
    domains: tuple[str, ...]
    risk: Risk
    on: str
    kind: str
    prob: float
    passed: bool
    skipped: tuple[tuple[float, str], ...] = ()  # budgets without a plan, and why

    def to_dataframe(self) -> pd.DataFrame:
        """A row for every budget and design (the plan first); `specialize_tokens` is of all
        domains together."""
        return pd.DataFrame(
            [
                {
                    "budget": p.flops, "design": c.name, "arrangement": c.arrangement,
                    "chosen": c is p.chosen, "params": float(c.run.params.mean()),
                    "pretrain_tokens": float(c.run.pretrain_tokens.mean()),
                    "specialize_tokens": float(c.run.specialize_tokens.sum()),
                    "mean": float(c.totals.mean()),
                    "lo": low, "hi": high,
                    "risk": c.risk, "extrapolation": p.extrapolation,
                }
                for p in self.points
                for c in (p.chosen, *p.others)
                for low, high in [interval(c.totals, self.prob)]
            ]
        )  # fmt: skip

    def _repr_html_(self) -> str:
        table = self.to_dataframe()
        shown = ["budget", "arrangement", "params", "pretrain_tokens", "specialize_tokens", "mean"]
        chosen = table[table["chosen"]][shown].rename(columns={"budget": "flops"})
        rows: list[Any] = chosen.to_dict("records")
        failed = () if self.passed else ("made with laws that failed the convergence gate",)
        title = f"Frontier of {len(self.points)} budgets, risk {self.risk} of the {self.on}"
        return card(title, [f"kind {self.kind}"], rows, failed)

    def to_json(self) -> dict[str, Any]:
        return {
            "schema": SCHEMA,
            "passed": self.passed,
            "risk": str(self.risk),
            "on": self.on,
            "kind": self.kind,
            "prob": self.prob,
            "points": [self._said(p) for p in self.points],
            "skipped": [{"budget": flops, "reason": why} for flops, why in self.skipped],
        }

    def _said(self, p: Point) -> dict[str, Any]:
        def loss(c: Candidate) -> dict[str, Any]:
            return {"mean": float(c.totals.mean()), "interval": interval(c.totals, self.prob)}

        rival = next((o for o in p.others if o.name == "generalist"), None)
        return {
            "budget": p.flops,
            **sizes(p.chosen.arrangement, p.chosen.run, self.domains),
            "flops": p.chosen.flops,
            "spent": p.chosen.spent / p.flops,
            "loss": loss(p.chosen),
            "risk_value": p.chosen.risk,
            "at_bound": list(p.chosen.at_bound),
            "extrapolation": p.extrapolation,
            "p_beats_generalist": None if rival is None
            else float((p.chosen.totals < rival.totals).mean()),
            "baselines": [
                {"name": o.name, "flops": o.flops, "loss": loss(o), "risk_value": o.risk}
                for o in p.others
            ],
        }  # fmt: skip


def frontier(
    fitted: Ensemble,
    flops: tuple[float, float],
    points: int = 9,
    weights: Mapping[str, float] | None = None,
    risk: str | Risk | Callable[[Any], Any] = "mean",
    arrangements: Sequence[str] | None = None,
    stretch: float = 4.0,
    prob: float = 0.9,
    draws: int = 1000,
    accept: bool = False,
    kind: str = "calibrated",
    on: str = "loss",
    seed: int = 0,
    **wishes: Unpack[Wishes],
) -> Frontier:
    """The best plan of `points` budgets, evenly spaced in their logs. A budget is a ceiling: what a
    smaller one buys, a larger one does too, so the risk never rises. On regret each budget has a
    reference of its own, so there it may. Budgets too small for any design to keep the
    bounds and limits are skipped, with the reason.

    Other arguments and errors as of `plan`.
    """
    low, high = flops
    fitted = fitted.accept(accept)
    also = faults_of(fitted, arrangements, prob)
    ranged = 0 < low < high < np.inf
    also.unless(ranged, f"flops must be a range LOW:HIGH, 0 < LOW < HIGH, got {low:g}:{high:g}")
    also.unless(points >= 2, f"a frontier has at least 2 points, got {points}")
    start = low if ranged else 1.0  # its fault is told already
    first = question(fitted, start, weights, risk, stretch, draws, kind, on, seed, also, wishes)
    open_to = Choice.of(fitted, arrangements)
    found: list[Point] = []
    skipped: list[tuple[float, str]] = []
    with double():
        for budget in np.geomspace(low, high, points):
            asked = first.at(float(budget))
            try:
                choice = open_to.within(asked)
                asked = with_reference(with_limits(asked, choice), choice.assessed, on)
                each = decide(asked, choice.assessed)
                choice = keeping(asked, choice, each)
            except PlanError as error:  # what one budget cannot keep, a larger one may
                if found and on == "loss":  # what a smaller one buys, this one does too
                    found.append(replace(found[-1], flops=float(budget)))
                else:
                    skipped.append((float(budget), str(error)))
                continue
            chosen = min((c for c in each if c.name in choice.allowed), key=_risk)
            others = tuple(c for c in each if c is not chosen)
            if found and on == "loss" and found[-1].chosen.risk < chosen.risk:
                chosen = found[-1].chosen
            usual = asked.usual(chosen.arrangement, chosen.run)
            wanted = asked.wanted
            beyond = max(float(f[wanted].max()) for f in fitted.beyond(usual).values())
            found.append(Point(float(budget), chosen, others, beyond))
    if not found:
        raise PlanError(skipped[-1][1])
    return Frontier(
        tuple(found), fitted.domains, first.risk, on, kind, prob, fitted.passed, tuple(skipped)
    )


def _risk(c: Candidate) -> float:
    return c.risk
