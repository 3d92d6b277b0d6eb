"""The caller's own designs: read from a table, scored like the optimum."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bayeslaw.errors import PlanError
from bayeslaw.infer.ensemble import Ensemble
from bayeslaw.laws import Run
from bayeslaw.plan.arrangement import RECIPES, Recipe, arrangement_of
from bayeslaw.plan.candidate import SIZES, Own, own_designs
from bayeslaw.plan.constraints import cost_of
from bayeslaw.plan.plan import Plan, plan
from bayeslaw.plan.risk import Risk
from bayeslaw.plan.serving import Serving
from bayeslaw.quantity import parse_quantity


def evaluate_plan(
    fitted: Ensemble,
    designs: Mapping[str, Own],
    flops: float | str | None = None,
    weights: Mapping[str, float] | None = None,
    risk: str | Risk | Callable[[Any], Any] = "mean",
    **settings: Any,
) -> Plan:
    """The plan of a budget, with the caller's designs among its `others`: their losses, risks and
    regrets are found by their names.

    designs: name -> a design; its fields are scalars or of shape (domain,). flops: the budget;
    by default what the dearest design costs, its serving included. settings: as of `plan`.
    """
    if not designs:
        raise PlanError("there are no designs to evaluate")
    mine = own_designs(designs, fitted)
    if flops is None:
        law = cost_of(fitted, settings.get("cost", "6nd"))
        price = settings.get("serve_price")
        served = Serving.of(fitted, settings.get("serve") or {}, price)
        flops = max(
            float(arrangement_of(o.arrangement).flops(o.run, law))
            + (0.0 if served is None else served.flops(o.run))
            for o in mine.values()
        )
    return plan(fitted, flops, weights, risk, designs=designs, **settings)


def read_own(path: str | Path, domains: Sequence[str]) -> dict[str, Own]:
    """Designs by name from a CSV with the columns of runs: `design` (its name; default: the number
    of the row), `params`, `pretrain_tokens`, `specialize_tokens`, `branch` where a design has a
    row for each domain, and `recipe` where it is `joint`, `scratch`, `replay` or `distill`, the
    last two with `replay` or `distill`, their level. Numbers may be written `7B`.

    Raises `PlanError` with all faults of the table.
    """
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise PlanError(f"{path}: not readable as a table of designs: {error}") from None
    faults = [f"no column '{c}'" for c in SIZES[:2] if c not in table]
    values: dict[str, np.ndarray] = {}
    for column in SIZES:
        cells = table[column] if column in table else pd.Series(["0"] * len(table))
        values[column] = np.array([_number(cell) for cell in cells])
        least = np.nextafter(0, 1) if column == "params" else 0.0
        faults += [
            f"row {i + 2}: {column} is '{cells.iloc[i]}'; it must be a number, "
            f"{'0 or more' if least == 0 else 'more than 0'}"
            for i in np.flatnonzero(~(values[column] >= least) | np.isinf(values[column]))
            if column in table
        ]
    ways = _arrangements(table, faults)
    names = table["design"] if "design" in table else pd.Series(map(str, range(1, len(table) + 1)))
    branches = table["branch"] if "branch" in table else pd.Series([""] * len(table))
    found: dict[str, dict[str, list[int]]] = {}
    for i, (name, branch) in enumerate(zip(names, branches, strict=True)):
        if branch and branch not in domains:
            faults.append(
                f"row {i + 2}: unknown branch '{branch}'; the fit has {', '.join(domains)}"
            )
        found.setdefault(name, {}).setdefault(branch, []).append(i)
    for name, rows in found.items():
        twice = [b or "all domains" for b, each in rows.items() if len(each) > 1]
        faults += [f"design '{name}' has {b} twice" for b in twice]
        if "" not in rows:
            missing = [d for d in domains if d not in rows]
            faults += [f"design '{name}' has no row for branch '{d}'" for d in missing]
        elif len(rows) > 1:
            faults.append(f"design '{name}' has a row for all domains and rows for some")
        each = [i for some in rows.values() for i in some]
        if len({ways[i] for i in each}) > 1:
            faults.append(f"design '{name}' has several recipes")
    if not len(table):
        faults.append("there are no designs")
    if faults:
        raise PlanError(f"{path}: the designs cannot be scored:\n  " + "\n  ".join(faults))
    designs: dict[str, Own] = {}
    for name, rows in found.items():
        places = [(rows.get(d) or rows[""])[0] for d in domains]
        run = Run(*(values[c][places] for c in SIZES))
        way = ways[places[0]]
        designs[name] = (way, run) if way else run
    return designs


def _arrangements(table: pd.DataFrame, faults: list[str]) -> list[str]:
    """The arrangement that each row names by its recipe; empty where it is the usual one."""
    found = []
    for i, row in enumerate(table.to_dict("records")):
        recipe, way = str(row.get("recipe", "")).strip(), ""
        if recipe in RECIPES[1:]:
            level = _number(str(row.get(recipe, "")))
            if not 0 < level < np.inf:
                faults.append(
                    f"row {i + 2}: {recipe} is '{row.get(recipe, '')}'; of recipe {recipe} it must "
                    "be a number, more than 0"
                )
                level = 1.0
            way = Recipe(recipe, level).name
        elif recipe in ("joint", "scratch"):
            way = recipe
        elif recipe not in ("", "plain"):
            known = ", ".join((*RECIPES, "joint", "scratch"))
            faults.append(f"row {i + 2}: recipe is '{recipe}'; it is one of {known}")
        stray = [n for n in RECIPES[1:] if n != recipe and _number(str(row.get(n, ""))) != 0]
        faults += [f"row {i + 2}: {n} is '{row[n]}', and the recipe '{recipe}'" for n in stray]
        found.append(way)
    return found


def _number(cell: str) -> float:
    try:
        return parse_quantity(cell) if cell.strip() else 0.0
    except ValueError:
        return float("nan")
