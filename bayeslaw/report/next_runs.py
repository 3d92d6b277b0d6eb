"""The next runs for a plan: what would be worth to know, and what it is worth."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bayeslaw.errors import PlanError
from bayeslaw.infer.ensemble import Ensemble
from bayeslaw.plan.suggest import Suggestion, suggest
from bayeslaw.quantity import format_quantity
from bayeslaw.report.planned import Planned

SPEND = 0.01  # of the plan's budget, that the next runs may cost together
RUNS, DRAWS = 3, 1000  # draws as a plan has: what it compiled is there already


@dataclass(frozen=True)
class NextRuns:
    """suggestion: None where there is none, and then `about` says why. words: one sentence for the
    decision. command: what looks closer."""

    about: str
    words: str = ""
    runs: tuple[Mapping[str, Any], ...] = ()
    suggestion: Suggestion | None = None
    command: str = ""


def next_runs(
    fitted: Ensemble, p: Planned, spend: float | None, posterior: str, accept: bool
) -> NextRuns:
    """By the expected loss, of the plan's budget, weights, kind and stretch; without what else the
    plan was asked for. spend: FLOPs; by default a hundredth of the budget."""
    money = SPEND * p.budget.flops if spend is None else spend
    command = ["bayeslaw", "suggest", posterior, "--plan-flops", typed(p.budget.flops),
               "--spend", typed(money)]  # fmt: skip
    if len(set(p.weights.values())) > 1:
        command += [w for d, v in p.weights.items() for w in ("--weight", f"{d}={v:g}")]
    command += ["--kind", p.kind] if p.kind != "calibrated" else []
    command += ["--cost", p.cost.name] if p.cost.name != "6nd" else []
    command += [word for name in p.recipes for word in ("--recipe", name)]
    said = shlex.join([*command, *(["--accept"] if accept else [])])
    try:
        found = suggest(
            fitted, p.budget.flops, money, RUNS, p.weights, p.arrangements, p.reach,
            draws=p.draws or DRAWS, accept=accept, kind=p.kind, cost=p.cost.name,
            recipes=p.recipes,
        )  # fmt: skip
    except PlanError as error:
        return NextRuns(f"No run can be suggested: {error}.", command=said)
    price = found.price
    runs = tuple(
        {**r, "over": r["evsi_per_flop"] / price if price > 0 else None}
        for r in found.to_json()["runs"]
    )
    knowing = f"Knowing the truth would be worth {found.evpi:.4f} nats to a plan of this budget. "
    without = " The plan's own bounds are left aside." if _wished(p) else ""
    if not runs:
        about = (
            f"{knowing}Of {found.candidates} runs that cost at most {format_quantity(money)} FLOPs "
            "together none is shown to be worth its FLOPs: in the plan they buy as much." + without
        )
        words = "No further run is shown to be worth its compute: what is left goes into the plan."
        return NextRuns(about, words, (), found, said)
    about = (
        f"{knowing}For at most {format_quantity(money)} FLOPs together these runs buy most, the "
        "best per FLOP first. Worth is how far the expected loss of the plan drops, given those "
        "that were chosen before (± one standard error); the last column is that per FLOP, over "
        "what a FLOP more of the plan's budget buys." + without
    )
    first, total = runs[0], sum(r["evsi"] for r in runs)
    branch = f", branched on {first['branch']}" if first["branch"] else ""
    count = "One run" if len(runs) == 1 else f"{len(runs)} more runs"
    words = (
        f"{count} of {format_quantity(found.flops)} FLOPs in all would improve the decision by "
        f"about {total:.4f} nats, the first with {format_quantity(first['params'])} "
        f"parameters{branch}."
    )
    return NextRuns(about, words, runs, found, said)


def typed(flops: float) -> str:
    """As a person would type it: 1e14."""
    return f"{flops:g}".replace("e+", "e")


def _wished(p: Planned) -> bool:
    """Whether the plan was asked for more than its least risk at a budget."""
    options = ("--pin", "--bound", "--unique", "--serve", "--architectures", "--limit")
    given = p.data or p.serving or p.architecture or p.chances or p.at_limit
    return bool(given) or any(word.startswith(options) for word in p.command)
