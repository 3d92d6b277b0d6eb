"""What is drawn for a report: which plots, of what, under which words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bayeslaw import plots
from bayeslaw.errors import PlanError
from bayeslaw.infer.ensemble import Ensemble
from bayeslaw.laws import Run
from bayeslaw.plan.frontier import Frontier
from bayeslaw.plan.plan import Plan, plan
from bayeslaw.plan.written import ONE_MODEL
from bayeslaw.report.next_runs import NextRuns
from bayeslaw.report.picture import Picture, picture
from bayeslaw.report.planned import Planned

PANELS = 6  # domains that are drawn
AGAINST = ("flops", "predicted")  # that residuals are drawn over
SIZES = ("params", "pretrain_tokens", "specialize_tokens")


@dataclass(frozen=True)
class Drawn:
    """The pictures of a fit."""

    fitted: Ensemble

    def forecast(self, budgets: list[float]) -> list[Picture]:
        """The fan: up to four times the largest budget, or a hundred times the sweep."""
        low, high = self.fitted.ranges["flops"]
        ends = (low, max([100 * high, *(4 * b for b in budgets)]))
        kind: Any = "run" if self.fitted.discrepancy is None else "calibrated"
        caption = (
            "What the best single model of each compute should lose, and the measured runs (dots). "
            "The dark band holds half of the forecast, the light one 90 %; right of the dashed "
            "line no run was measured. Runs lie on the curve or above it."
        )

        def fan(number: int, domain: str | None) -> Picture:
            return _drawn(f"forecast-{number}", caption, lambda w: plots.forecast_fan(
                self.fitted, domain=domain, flops=ends, kind=kind, width=w))  # fmt: skip

        domains = self.fitted.domains
        some = [None] if len(domains) <= PANELS else domains[:PANELS]
        return [fan(k, d) for k, d in enumerate(some)]

    def map(self, p: Planned, number: int) -> list[Picture]:
        """The iso-loss map with the plan and its credible region."""
        answer = _again(self.fitted, p)
        if answer is None:
            return []
        caption = (
            "Lines of equal expected loss over model size and tokens before the split. The "
            "diamond is the plan; each orange dot is what one draw of the laws would have chosen, "
            f"and the outline holds {100 * p.prob:g} % of them. On the dashed line compute is the "
            "plan's."
        )
        if not np.allclose(answer.chosen.run.params, _run(self.fitted, p).params, rtol=0.05):
            caption += " The dots are those of a plan without its own bounds."
        # Its own optima are those of its arrangement: no other is looked at.
        answer = replace(answer, others=(), chosen=replace(answer.chosen, run=_run(self.fitted, p)))
        every: list[str | None] = [None]
        if p.arrangement not in ONE_MODEL and len(p.weights) > PANELS:
            every = [*sorted(p.weights, key=lambda d: -p.weights[d])[:PANELS]]

        def drawn(k: int, domain: str | None) -> Picture:
            return _drawn(f"map-{number}-{k}", caption, lambda w: plots.isoloss_map(
                self.fitted, answer, domain=domain, width=w))  # fmt: skip

        return [drawn(k, d) for k, d in enumerate(every)]

    def frontier(self, traced: Frontier | None) -> list[Picture]:
        """What every budget buys."""
        if traced is None:
            return []
        caption = (
            "The best plan of every budget beside what else the budget buys; how much of the "
            "compute goes into second stages; and the sizes that are trained."
        )
        return [_drawn("frontier", caption, lambda w: plots.split_frontier(traced, width=w))]

    def next(self, found: NextRuns, number: int) -> list[Picture]:
        """What each of the next runs is worth."""
        suggestion = found.suggestion
        if suggestion is None or not found.runs:
            return []
        caption = "What each run is worth, and how often that repays its compute."
        return [_drawn(f"next-{number}", caption, lambda w: plots.evsi(suggestion, width=w))]

    def diagnostics(self) -> list[Picture]:
        """Weights of the laws, and what the first of them leaves unexplained."""
        found = []
        if len(self.fitted.standings) > 1:
            caption = (
                "How much each law counts, and how far each is behind the best in predicting the "
                "larger runs from the smaller."
            )
            found.append(
                _drawn("weights", caption, lambda w: plots.stacking_weights(self.fitted, width=w))
            )
        member = self.fitted.heaviest
        if "posterior_predictive" in member.tree:
            caption = (
                f"What {member.law.name} leaves unexplained of each run, in per cent of the loss: "
                "no trend should be seen, and one in ten points lie outside its bar."
            )
            found.append(
                _drawn(
                    "residuals",
                    caption,
                    lambda w: plots.residuals(member, AGAINST, width=w),
                )
            )
        return found


def _drawn(name: str, caption: str, draw: Callable[[int], Any]) -> Picture:
    return picture(f"figure-{name}", caption, draw)


def _run(fitted: Ensemble, p: Planned) -> Run:
    """The plan's design as its file says it, fields (domain,)."""
    return Run(*(np.array([p.size(s, d) for d in fitted.domains]) for s in SIZES))


def _again(fitted: Ensemble, p: Planned) -> Plan | None:
    """A plan of the same budget, weights, draws and arrangement, for what each draw would have
    chosen; None where there is no such plan."""
    try:
        return plan(
            fitted, p.flops, p.weights, "mean", [p.arrangement], p.reach, p.prob,
            draws=p.draws or 1000, kind=p.kind, seed=p.seed or 0,
            recipes=None if p.recipe is None else [p.recipe.name],
        )  # fmt: skip
    except PlanError:
        return None
