"""plan.json as it is read again: what was planned, beside what, and from which posterior."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from bayeslaw.cost import SIX_ND, CostLaw
from bayeslaw.errors import PlanError
from bayeslaw.infer.source import Source
from bayeslaw.plan.arrangement import RECIPES
from bayeslaw.plan.written import SCHEMA

LARGEST = sys.float_info.max  # JSON's integers may be longer
SIZES = ("params", "pretrain_tokens", "specialize_tokens")


@dataclass(frozen=True)
class Design:
    """A named design of a plan's file; sizes have shape (domain,). recipe, level: of its branches,
    where that is not the plain one, as `replay` and .15."""

    name: str
    arrangement: str
    params: np.ndarray
    pretrain_tokens: np.ndarray
    specialize_tokens: np.ndarray
    recipe: str = ""
    level: float = 0.0


@dataclass(frozen=True)
class PlanFile:
    """designs: the plan's, named `plan`, then its baselines. flops: the budget. weights: of the
    domains, (domain,), summing to 1. posterior: what it was made with, where the file says so.
    cost: what the plan's budget counts a training token as. routed: whether the plan minimised the
    loss of a whole system, text sent by a router that errs."""

    path: Path
    domains: tuple[str, ...]
    weights: np.ndarray
    flops: float
    designs: tuple[Design, ...]
    posterior: Source | None
    cost: CostLaw = SIX_ND
    routed: bool = False

    def design(self, arrangement: str) -> Design | None:
        """The first of an arrangement, its branches plain: the plan, or the optimum of a
        baseline."""
        plain = (d for d in self.designs if not d.recipe)
        return next((d for d in plain if d.arrangement == arrangement), None)


def read_plan(path: str | Path) -> PlanFile:
    """The file that `bayeslaw plan --out` wrote. Raises `PlanError` with all its faults."""
    path = Path(path)
    return plan_of(read_said(path), path)


def read_said(path: Path) -> dict[str, Any]:
    """What a plan's file says. Raises `PlanError` where it is none."""
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise PlanError(f"{path}: no such file; `bayeslaw plan --out {path}` writes it") from None
    except (OSError, ValueError, RecursionError) as error:
        raise PlanError(f"{path}: not readable as JSON: {error}") from None
    if not isinstance(said, dict) or said.get("schema") != SCHEMA:
        raise PlanError(f"{path}: not a plan of schema {SCHEMA}; `bayeslaw plan --out` writes one")
    return said


def plan_of(said: Mapping[str, Any], path: Path) -> PlanFile:
    """What a plan's file says, checked. Raises `PlanError` with all its faults."""
    faults: list[str] = []
    for name, kind in (("weights", dict), ("budget", dict), ("baselines", list)):
        if not isinstance(said.get(name), kind):
            faults.append(f"{name}: is missing, or is no {kind.__name__}")
    if faults:
        refuse(path, faults)
    domains = tuple(said["weights"])
    weights = _numbers(said["weights"], domains, "weights", faults)
    flops = _numbers(said["budget"].get("flops"), domains, "budget, flops", faults)
    entries = [("plan", said)]
    for i, baseline in enumerate(said["baselines"]):
        if isinstance(baseline, dict) and baseline.get("name"):
            entries.append((str(baseline["name"]), baseline))
        else:
            faults.append(f"baselines, {i + 1}: has no name")
    designs = [_design(name, entry, domains, faults) for name, entry in entries]
    names = [d.name for d in designs]
    faults += [
        f"two designs are named '{n}'" for n in sorted({n for n in names if names.count(n) > 1})
    ]
    if not faults and not weights.sum() > 0:
        faults.append("weights: all are 0")
    source = said.get("posterior")
    if source is not None and not (isinstance(source, dict) and {"path", "sha256"} <= set(source)):
        faults.append("posterior: names no path and sha256")
    cost = _cost(said.get("cost"), faults)
    refuse(path, faults)
    found = None if source is None else Source(source["path"], source["sha256"])
    weights = weights / weights.sum()
    routed = said.get("routing") is not None
    return PlanFile(path, domains, weights, float(flops[0]), tuple(designs), found, cost, routed)


def refuse(path: Path, faults: list[str]) -> None:
    """Raise `PlanError` with the faults of a file; nothing where there are none."""
    if faults:
        noun = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
        raise PlanError(f"{path}: {noun}:\n  " + "\n  ".join(dict.fromkeys(faults)))


def _design(
    name: str, entry: Mapping[str, Any], domains: tuple[str, ...], faults: list[str]
) -> Design:
    of = "" if name == "plan" else f"{name}, "
    n, d, split = (_numbers(entry.get(s), domains, f"{of}{s}", faults) for s in SIZES)
    if not n.all():
        faults.append(f"{of}params: must be more than 0")
    arrangement = entry.get("arrangement")
    if not isinstance(arrangement, str):
        faults.append(f"{of}arrangement: is missing")
    said = entry.get("recipe") or {}
    recipe, level = (said.get("name"), said.get("level")) if isinstance(said, dict) else (said, 0)
    design = Design(name, str(arrangement), n, d, split)
    if level is None:
        return design
    number = isinstance(level, (int, float)) and not isinstance(level, bool)
    if recipe not in RECIPES[1:] or not number or not 0 < level < math.inf:
        faults.append(
            f"{of}recipe: is {said!r}; it must name {' or '.join(RECIPES[1:])}, and a level above 0"
        )
        return design
    return replace(design, recipe=str(recipe), level=float(level))


def _cost(said: Any, faults: list[str]) -> CostLaw:
    """The law of what training costs; 6 N a token where the file says nothing."""
    if said is None:
        return SIX_ND
    names = [f.name for f in fields(CostLaw)]
    entry = said if isinstance(said, dict) else {}
    found: dict[str, Any] = {n: entry.get(n) for n in names}
    if not all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in found.values()):
        faults.append(f"cost: must have the numbers {', '.join(names)}")
        return SIX_ND
    law = CostLaw(**found)
    if not (0 < law.factor < math.inf and 0 <= law.overhead < math.inf):
        faults.append("cost: factor must be more than 0, overhead 0 or more, both finite")
        return SIX_ND
    return law


def _numbers(written: Any, domains: tuple[str, ...], named: str, faults: list[str]) -> np.ndarray:
    """One number for all domains, or a number for each: (domain,)."""

    def values() -> Iterator[Any]:
        for d in domains:
            yield written.get(d) if isinstance(written, dict) else written

    found = np.ones(len(domains))
    for k, value in enumerate(values()):
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not number or not 0 <= value <= LARGEST:
            where = f"{named}, {domains[k]}" if isinstance(written, dict) else named
            faults.append(f"{where}: is {value!r}; it must be a number, 0 or more")
            continue
        found[k] = value
    return found
