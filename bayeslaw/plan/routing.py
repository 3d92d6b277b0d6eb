"""Routing that errs: the loss of a whole system, text on the branches that it is sent to.

    Σ_k w_k Σ_j ρ_kj L_kj

ρ_kj: the share of domain k's text that goes to branch j, as a router was measured. How L is told:
`plan.routed`.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bayeslaw.errors import PlanError
from bayeslaw.infer.precision import double
from bayeslaw.laws import Run
from bayeslaw.plan.arrangement import ONE

if TYPE_CHECKING:
    from bayeslaw.plan.plan import Plan

COLUMNS = ("domain", "branch", "share")
WHOLE = 1e-3  # by which shares of a domain may miss 1: they are written with few digits


@dataclass(frozen=True, eq=False)
class Confusion:
    """shares: ρ, (domain, branch), in the order of `names`; rows sum to 1. router: what sent it."""

    names: tuple[str, ...]
    shares: np.ndarray
    router: str = ""

    @classmethod
    def of(cls, table: Any, domains: Sequence[str], router: str = "") -> Confusion:
        """From domain -> branch -> share. Raises `PlanError` with every fault; a branch that is not
        named has none."""
        if not isinstance(table, Mapping) or not all(
            isinstance(r, Mapping) for r in table.values()
        ):
            raise PlanError("the routing cannot be used: it is not domain -> branch -> share")
        faults = [f"no domain '{d}'" for d in domains if d not in table]
        shares = np.zeros((len(domains), len(domains)))
        for k, d in enumerate(domains):
            for j, share in table.get(d, {}).items():
                number = isinstance(share, (int, float)) and 0 <= share <= 1
                if j not in domains:
                    faults.append(f"'{d}' is sent to '{j}', which is no domain of the plan")
                elif not number:
                    faults.append(f"share of '{d}' on '{j}' is {share!r}; it must be 0 to 1")
                else:
                    shares[k, list(domains).index(j)] = share
            total = float(shares[k].sum())
            if d in table and abs(total - 1) > WHOLE:
                faults.append(f"shares of '{d}' sum to {total:g}, not 1")
        if faults:
            raise PlanError("the routing cannot be used: " + "; ".join(dict.fromkeys(faults)))
        return cls(tuple(domains), shares / shares.sum(1, keepdims=True), router)


def read_confusion(path: str | Path, domains: Sequence[str]) -> Confusion:
    """What `bayeslaw route --out` wrote (its `confusion`), or a CSV of domain, branch, share.
    Raises `PlanError`."""
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".csv":
            rows = list(csv.DictReader(text.splitlines()))
            table: dict[str, dict[str, float]] = {}
            for row in rows:
                table.setdefault(row["domain"], {})[row["branch"]] = float(row["share"])
            return Confusion.of(table, domains)
        said = json.loads(text)
        return Confusion.of(said["confusion"], domains, str(said.get("by", "")))
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise PlanError(
            f"{path}: not what `bayeslaw route --out` writes, nor a CSV of "
            f"{', '.join(COLUMNS)} ({type(error).__name__}: {error})"
        ) from None


def confusion_of(
    given: Mapping[str, Mapping[str, float]] | str | Path | None, domains: Sequence[str]
) -> Confusion | None:
    """From shares or their file. Raises `PlanError`."""
    if given is None:
        return None
    if isinstance(given, (str, Path)):
        return read_confusion(given, domains)
    return Confusion.of(given, domains)


@dataclass(frozen=True)
class System:
    """A candidate as a whole. totals: its loss, (draw,), nats; own: were all text sent right."""

    name: str
    totals: np.ndarray
    own: np.ndarray


def systems(p: Plan) -> list[System]:
    """The plan, and everything beside it that laws of other branches can speak of: all of it,
    unless it was chosen by tasks."""
    found = []
    for c in (p.chosen, *p.others):
        own, routed = p.losses_of(c), p.asked.of(c.arrangement).outlook.routed
        right = own @ p.weights
        if c.arrangement in ONE:
            found.append(System(c.name, right, right))
        elif routed is not None:
            with double():
                whole = np.exp(routed.log_loss(np.log(own), Run(*c.run[:3])))
            found.append(System(c.name, np.asarray(whole) @ p.weights, right))
    return found


def routing_said(p: Plan, confusion: Confusion) -> dict[str, Any]:
    """What goes into plan.json."""
    from bayeslaw.plan.written import said

    found = systems(p)
    one = next((s for s in found if s.name == "generalist"), None)
    mine = found[0]
    return {
        "router": confusion.router or None,
        "confusion": {
            d: dict(zip(p.domains, map(float, row), strict=True))
            for d, row in zip(p.domains, confusion.shares, strict=True)
        },
        "right": float(p.weights @ np.diag(confusion.shares)),
        "best": min(found, key=lambda s: float(s.totals.mean())).name,
        "p_plan_beats_generalist": None if one is None or one is mine
        else float((mine.totals < one.totals).mean()),
        "systems": [
            {
                "name": "plan" if s is mine else s.name,
                "loss": said(p, s.totals),
                "own": said(p, s.own),
                "costs": said(p, s.totals - s.own),
            }
            for s in found
        ],
    }  # fmt: skip
