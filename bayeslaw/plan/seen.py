"""A plan as it is seen in a notebook: a table, and a card. Only what the decision already knows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from bayeslaw.card import card
from bayeslaw.plan.arrangement import kind_of
from bayeslaw.plan.written import ONE_MODEL, interval, said
from bayeslaw.quantity import format_quantity

if TYPE_CHECKING:
    from bayeslaw.plan.candidate import Candidate
    from bayeslaw.plan.plan import Plan

FAR = 1.05  # times the sweep's range: less is within it


def as_table(p: Plan) -> pd.DataFrame:
    """A row for every design and domain: sizes, weight, and the mean and interval of the loss."""
    return pd.DataFrame([row for c in (p.chosen, *p.others) for row in _rows(p, c)])


def _rows(p: Plan, c: Candidate) -> list[dict[str, Any]]:
    losses, rows = p.losses_of(c), []
    for k, domain in enumerate(p.domains):
        low, high = interval(losses[:, k], p.prob)
        rows.append(
            {
                "design": c.name, "kind": c.kind, "arrangement": c.arrangement,
                "domain": domain, "weight": float(p.weights[k]),
                "params": float(c.run.params[k]),
                "pretrain_tokens": float(c.run.pretrain_tokens[k]),
                "specialize_tokens": float(c.run.specialize_tokens[k]),
                "mean": float(losses[:, k].mean()), "lo": low, "hi": high,
                "total_mean": float(c.totals.mean()), "risk": c.risk,
            }
        )  # fmt: skip
    return rows


def _minimised(p: Plan) -> str:
    """What `totals` are of."""
    if p.asked.outlook.objective is not None:
        return "share of wrong answers"
    return "weighted loss" if p.asked.outlook.routed is None else "loss of the system"


def as_card(p: Plan) -> str:
    """The decision, its warnings first."""
    c = p.chosen
    warnings = [] if p.passed else ["made with laws that failed the convergence gate"]
    if c.at_bound:
        warnings.append(f"at the edge of what the sweep supports: {', '.join(c.at_bound)}")
    far = [f"{n} {x:.3g}x" for n, x in p.extrapolation.items() if x > FAR]
    if far:
        warnings.append(f"extrapolates beyond the sweep: {', '.join(far)}")
    loss = said(p, c.totals)
    low, high = loss["interval"]
    facts = [
        f"{_minimised(p)} {loss['mean']:.4f}, {100 * p.prob:g} % ({p.kind}) "
        f"[{low:.4f}, {high:.4f}]; best arrangement with probability {p.p_best:.2f}"
    ]
    if p.p_split_beats_generalist is not None:
        facts.append(
            f"a split beats the generalist with probability {p.p_split_beats_generalist:.2f}"
        )
    if kind_of(c.arrangement) in ONE_MODEL:
        facts.append(
            f"one trunk: N {format_quantity(float(c.run.params[0]))}, "
            f"D {format_quantity(float(c.run.pretrain_tokens[0]))}"
        )
    shown = ("domain", "params", "pretrain_tokens", "specialize_tokens", "mean")
    rows = [
        {**{n: row[n] for n in shown}, "interval": [row["lo"], row["hi"]]} for row in _rows(p, c)
    ]
    title = f"Plan: {c.arrangement} at {format_quantity(p.flops)} FLOPs, risk {p.risk}"
    return card(title, facts, rows, warnings)
