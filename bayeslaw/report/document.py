"""The report: a posterior and plans made with it, as one page that needs nothing else."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bayeslaw.errors import PlanError
from bayeslaw.infer.ensemble import Ensemble, read_posterior
from bayeslaw.infer.source import Source
from bayeslaw.infer.warn import cautions
from bayeslaw.plan.frontier import Frontier, frontier
from bayeslaw.plan.plan import Plan
from bayeslaw.quantity import format_quantity
from bayeslaw.report.drawn import Drawn
from bayeslaw.report.gate import checked, columns, estimates, failures
from bayeslaw.report.next_runs import next_runs
from bayeslaw.report.outliers import outliers
from bayeslaw.report.page import page
from bayeslaw.report.planned import Planned, planned, read_planned
from bayeslaw.report.provenance import provenance
from bayeslaw.report.told import Told, beside
from bayeslaw.whole import whole

BUDGETS, FURTHER = 6, 4.0  # of the frontier; and how far it goes beyond the largest plan
UNPLANNED = 100.0  # times the sweep's largest compute, where there is no plan
SECTIONS = {
    "forecast": "Loss against compute", "map": "As good", "tokens": "Tokens",
    "instead": "Instead", "limits": "Limits", "change": "What would change it",
    "next": "Next runs", "diagnostics": "Diagnostics", "appendix": "Appendix",
}  # fmt: skip
OF_PLANS = ("map", "tokens", "instead", "limits", "next")

Step = Callable[[str, float], None]


@dataclass(frozen=True)
class Report:
    """html: the page. passed: whether any law passed the gate; else it is the page of a fit that
    failed it, and says so first."""

    html: str
    passed: bool

    def write(self, path: str | Path) -> Path:
        """Write the page, atomically."""
        with whole(path) as beside_it:
            beside_it.write_text(self.html, encoding="utf-8", newline="\n")
        return Path(path)


def report(
    posterior: str | Path | Ensemble,
    plans: str | Path | Plan | Sequence[str | Path | Plan] = (),
    accept: bool = False,
    spend: float | None = None,
    progress: Step | None = None,
    source: Source | None = None,
) -> Report:
    """The decision, how sure it is, what it rests on and what would change it; of several plans
    side by side. Without a plan: forecasts and diagnostics.

    posterior: what `bayeslaw fit` wrote, or an Ensemble. plans: what `bayeslaw plan --out` wrote
    with that posterior, or Plans. accept: use a fit that failed its checks. spend: FLOPs that the
    next runs may cost together (default: a hundredth of each plan's budget). progress: called with
    what is done next and the share that is done. source: the file of an Ensemble, where it has one.

    Same inputs, same bytes. Raises `FitError` where the posterior may not be used, and `PlanError`
    with the faults of a plan, and where it was made with another posterior.
    """
    step = progress or (lambda *_: None)
    plans = [plans] if isinstance(plans, (str, Path, Plan)) else plans
    step("the posterior", 0.0)
    if isinstance(posterior, Ensemble):
        given = posterior
    else:
        given, source = read_posterior(posterior), Source.of(posterior)
    every = [_planned(p, i) for i, p in enumerate(plans)]
    for p in every:
        _of_this(p, given, source)
    fitted = given.accept(accept)
    draw = Drawn(fitted)
    step("the frontier", 0.15)
    traced = _frontier(fitted, every)
    told = []
    for i, p in enumerate(every):
        step(f"{p.file}: next runs", 0.2 + 0.4 * i / len(every))
        name = "POSTERIOR" if source is None else source.path
        found = next_runs(fitted, p, spend, name, accept)
        step(f"{p.file}: map", 0.4 + 0.4 * i / len(every))
        pictures = {"map": draw.map(p, i), "next": draw.next(found, i)}
        told.append(Told(p, found, pictures, p.source is None and not isinstance(plans[i], Plan)))
    step("plots", 0.7)
    shown_columns = columns(given)
    shown = [n for n in SECTIONS if every or n not in OF_PLANS]
    refused = traced if isinstance(traced, str) else ""
    known = traced if isinstance(traced, Frontier) else None
    contents: dict[str, Any] = {
        "title": "bayeslaw report",
        "subtitle": _subtitle(fitted, source),
        "passed": given.passed,
        "failures": failures(given),
        "laws": [m.law.name for m in fitted.counted],
        "plans": told,
        "beside": beside(told),
        "sections": [(n, SECTIONS[n]) for n in shown],
        "pictures": {
            "forecast": draw.forecast([p.budget.flops for p in every]),
            "instead": draw.frontier(known) if every else [],
            "diagnostics": draw.diagnostics(),
        },
        "frontier": known and known.to_json(),
        "frontier_refused": refused,
        "outliers": outliers(fitted),
        "cautions": cautions(fitted),
        "gate": {"columns": shown_columns, "rows": checked(given, shown_columns)},
        "domains": fitted.domains,
        "estimates": [estimates(m) for m in fitted.counted],
        "ranges": list(fitted.ranges.items()),
        "embeddings": fitted.embeddings,
        "provenance": provenance(given, source, every, accept, spend),
    }
    step("the page", 0.95)
    return Report(page(contents), given.passed)


def _planned(plan: str | Path | Plan, number: int) -> Planned:
    if isinstance(plan, Plan):
        return planned(plan.to_json(), f"plan {number + 1}")
    return read_planned(plan)


def _of_this(p: Planned, fitted: Ensemble, source: Source | None) -> None:
    """Raise `PlanError` where a plan was made with another posterior, where that can be told."""
    if p.source is not None and source is not None and p.source.sha256 != source.sha256:
        raise PlanError(
            f"{p.file} was made with {p.source.path} (sha256 {p.source.sha256[:12]}…), not with "
            f"{source.path} ({source.sha256[:12]}…): name that posterior, or plan again with this "
            "one"
        )
    if set(p.weights) != set(fitted.domains):
        raise PlanError(
            f"{p.file} is of the domains {', '.join(p.weights)}, the posterior of "
            f"{', '.join(fitted.domains)}: it was made with another one"
        )


def _frontier(fitted: Ensemble, plans: Sequence[Planned]) -> Frontier | str:
    """The best plan of every budget from the sweep's largest run on, of the expected loss; or why
    there is none."""
    start = fitted.ranges["flops"][1]
    end = max((FURTHER * p.budget.flops for p in plans), default=UNPLANNED * start)
    low, high = min(start, end / 100), max(start * 10, end)
    first = plans[0] if plans else None
    try:
        return frontier(
            fitted, (low, high), BUDGETS, first.weights if first else None,
            kind=first.kind if first else _kind(fitted), prob=first.prob if first else 0.9,
            stretch=first.reach if first else 4.0, recipes=first.recipes if first else None,
        )  # fmt: skip
    except PlanError as error:
        return f"No frontier of budgets: {error}"


def _kind(fitted: Ensemble) -> str:
    return "mean" if fitted.discrepancy is None else "calibrated"


def _subtitle(fitted: Ensemble, source: Source | None) -> str:
    laws = [m.law.name for m in fitted.counted]
    rows = fitted.members[0].counts.get("fitted")
    parts = [
        "" if source is None else source.path,
        f"laws: {', '.join(laws)}",
        f"domains: {len(fitted.domains)}",
        "" if rows is None else f"rows fitted: {format_quantity(rows)}",
    ]
    return " · ".join(part for part in parts if part)
