"""Measured rows and the arms that they are of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from bayeslaw.errors import RunsError
from bayeslaw.plan.arrangement import RECIPES, Recipe
from bayeslaw.runs import Fault, Runs, read_runs, refuse
from bayeslaw.verify.arm import Arm, Stage

TOLERANCE = 0.25  # e-folds in N, D or D′ by which a row without an arm may differ from one
SIZES = ("params", "pretrain_tokens", "specialize_tokens")


class Found(NamedTuple):
    """A measured row of an arm. row: its number in the table. away: e-folds from the design."""

    arm: str
    seed: int
    domain: str
    row: int
    away: float


class Left(NamedTuple):
    """A row that is of no arm. row: counted from 1, in its file."""

    file: str
    row: int
    reason: str


@dataclass(frozen=True)
class Measured:
    """runs: the table. rows: of arms, by arm, seed and domain. left: of none, and why. off: how
    many are of a branch on other domains. missing: (arm, seed, domain) that were not measured."""

    runs: Runs
    rows: tuple[Found, ...]
    left: tuple[Left, ...]
    off: int
    missing: tuple[tuple[str, int, str], ...]


def measured(
    runs: Runs,
    arms: Sequence[Arm],
    tolerance: float = TOLERANCE,
    named: Sequence[str] | None = None,
) -> Measured:
    """Which row is of which arm.

    named: the arm of each row; empty for one that names none. Such a row is of the arm whose
    design on its domain is nearest: max |log ratio| of N, D and D′, at most `tolerance` e-folds,
    the second stage done alike. Arms of one design share its rows. Of several rows of one arm, seed
    and domain the nearest stands.

    Raises `RunsError` with all faults: unknown arms and domains, and what was measured twice.
    """
    names = list(named) if named is not None else [""] * len(runs)
    by_name, t = {a.name: a for a in arms}, runs.table
    faults: list[Fault] = []
    nearest: dict[tuple[str, int, str], Found] = {}
    left, off = [], 0
    for i, (row, name) in enumerate(zip(t.to_dict("records"), names, strict=True)):
        domain = row["domain"]
        if name and name not in by_name:
            faults.append(_named(runs, i, name, by_name))
            continue
        if domain not in arms[0].domains:
            remedy = f"the plan is for {', '.join(arms[0].domains)}; leave the row out"
            faults.append(runs.fault(i, "domain", remedy))
            continue
        if row["branch"] not in ("", "joint", domain):
            off += 1
            continue
        among = [by_name[name]] if name else arms
        away = {a.name: _away(a, row) for a in among}
        least = min(away.values())
        if not name and least > tolerance:
            left.append(_left(runs, i, _far(away, least)))
            continue
        if not np.isfinite(least):
            left.append(_left(runs, i, f"is not a design of arm '{name}'"))
            continue
        for arm in (a for a, d in away.items() if d <= least + 1e-9):
            found = Found(arm, int(row["seed"]), domain, i, least)
            other = nearest.get(found[:3])
            if other is not None and abs(other.away - least) <= 1e-9:
                first = f"row {_place(runs, other.row)[1]}"
                remedy = f"arm '{arm}' on '{domain}' is measured twice, see {first}; give `seed`"
                faults.append(runs.fault(i, "seed", remedy))
                continue
            if other is not None:
                worse = max(found, other, key=lambda f: f.away)
                left.append(_left(runs, worse.row, f"a nearer row stands for arm '{arm}'"))
                if worse is found:
                    continue
            nearest[found[:3]] = found
    refuse(faults)
    if not nearest:
        why = "; ".join(dict.fromkeys(f"row {u.row}: {u.reason}" for u in left[:5]))
        raise RunsError(
            f"no row is of an arm of the plan ({why or 'all are off their branch'}). Name the arms "
            "in a column `arm`, or raise --tolerance"
        )
    order = {a.name: i for i, a in enumerate(arms)}
    rows = sorted(nearest.values(), key=lambda f: (order[f.arm], f.seed, f.domain))
    return Measured(runs, tuple(rows), tuple(left), off, tuple(_missing(arms, nearest)))


def read_measured(
    path: str | Path, map: Mapping[str, str] | None = None, unit: str | None = None
) -> tuple[Runs, list[str]]:
    """A table of runs, and the arm that each kept row names in the column `arm`; empty for none."""
    runs = read_runs(path, map=map, unit=unit)
    if "arm" not in runs.ignored or runs.places is None:
        return runs, [""] * len(runs)
    if Path(path).suffix in (".parquet", ".pq"):
        raw = pd.read_parquet(path)
    else:
        raw = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
        raw.columns = raw.columns.str.strip()
    cells = raw["arm"].fillna("").astype(str).str.strip().tolist()
    return runs, [cells[int(r)] for r in runs.places["_row"]]


def stage_of(row: Mapping[Any, Any]) -> Stage:
    """How the second stage of a measured row was done."""
    if "joint" in (row["recipe"], row["branch"]):
        return "joint"
    if row["recipe"] == "scratch" or row["pretrain_tokens"] == 0:
        return "scratch"
    levels = {way: float(row[way]) for way in RECIPES[1:] if row[way] > 0}
    if row["recipe"] in levels and len(levels) == 1:
        return Recipe(row["recipe"], levels[row["recipe"]]).said
    return "branch"


def _away(arm: Arm, row: Mapping[Any, Any]) -> float:
    """e-folds from an arm's design on the row's domain; infinite where it is done otherwise."""
    k = arm.domains.index(row["domain"])
    wanted = [float(getattr(arm, s)[k]) for s in SIZES]
    have = [float(row[s]) for s in SIZES]
    if [v > 0 for v in wanted] != [v > 0 for v in have]:
        return np.inf
    if have[2] > 0 and stage_of(row) != arm.stage:
        return np.inf
    return max(abs(np.log(h / w)) for h, w in zip(have, wanted, strict=True) if w > 0)


def _far(away: Mapping[str, float], least: float) -> str:
    if not np.isfinite(least):
        return "no arm is trained like this"
    name = min(away, key=lambda a: away[a])
    return f"nearest is arm '{name}', a factor {np.exp(least):.3g} away"


def _place(runs: Runs, i: int) -> tuple[str, int]:
    file, row = ("runs", i) if runs.places is None else runs.places.iloc[i]
    return str(file), int(row) + 1


def _left(runs: Runs, i: int, reason: str) -> Left:
    return Left(*_place(runs, i), reason)


def _named(runs: Runs, i: int, name: str, known: Mapping[str, Arm]) -> Fault:
    file, row = _place(runs, i)
    return Fault(file, row, "arm", name, f"the arms are {', '.join(known)}")


def _missing(
    arms: Sequence[Arm], found: Mapping[tuple[str, int, str], Found]
) -> Iterator[tuple[str, int, str]]:
    """Of every seed that was measured at all."""
    for arm in arms:
        for seed in sorted({s for _, s, _ in found}):
            for domain in arm.domains:
                if (arm.name, seed, domain) not in found:
                    yield arm.name, seed, domain
