"""Runs that a table asks for: the CSV or JSON that says what to train next."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from bayeslaw.cell import unguarded
from bayeslaw.errors import SweepError
from bayeslaw.quantity import parse_quantity
from bayeslaw.sweep.second_stage import SecondStage

MOST = {"params": 1e13, "pretrain_tokens": 1e30, "specialize_tokens": 1e30}
NUMBERS = ("params", "pretrain_tokens", "specialize_tokens")


class Run(NamedTuple):
    params: float
    pretrain_tokens: int
    specialize_tokens: int
    branch: str
    second: SecondStage | None


def listed(
    file: str | Path, domains: Sequence[str], stages: Sequence[SecondStage] = (SecondStage(),)
) -> list[Run]:
    """The runs of a CSV, or of JSON as `{"runs": [...]}`; other columns are ignored. An empty
    branch stands for every domain.

    stages: second stages of the sweep. `recipe` names the one of a run; it may be empty where there
    is one only. Runs from fresh weights (D = 0) are of `scratch` or of `joint`. Raises `SweepError`
    with every fault.
    """
    file, found = Path(file), []
    faults: list[str] = []
    for n, row in enumerate(_rows(file), 1):
        values = {name: _number(row.get(name), name, n, faults) for name in NUMBERS}
        branch = unguarded(str(row.get("branch") or ""))
        if branch and branch not in domains:
            faults.append(f"run {n}, branch '{branch}': the sweep's domains are "
                          f"{', '.join(domains)}")  # fmt: skip
        d, split = int(values["pretrain_tokens"]), int(values["specialize_tokens"])
        second = _stage(str(row.get("recipe") or ""), stages, n, faults) if split else None
        fresh = second is not None and (second.kind.scratch or not second.kind.splits)
        if split < 0:
            faults.append(f"run {n}: specialize_tokens must be 0 or more")
        if values["params"] <= 0 or (d <= 0 and not fresh):
            faults.append(f"run {n}: params and pretrain_tokens must be more than 0")
        if second is not None:
            faults += [f"run {n}: {why}" for why in _misfits(second, d, branch)]
        found.append(Run(values["params"], d, split, branch, second))
    if faults:
        noun = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
        raise SweepError(f"{file}: {noun}:\n  " + "\n  ".join(dict.fromkeys(faults)))
    return found


def _stage(
    recipe: str, stages: Sequence[SecondStage], n: int, faults: list[str]
) -> SecondStage | None:
    """The second stage of this recipe; where none is named, the only one."""
    of = [s for s in stages if recipe in ("", s.recipe)]
    if len(of) == 1:
        return of[0]
    have = ", ".join(s.recipe for s in stages)
    why = "is not one" if not of else "could be several"
    faults.append(f"run {n}, recipe '{recipe}': {why} of the second stages of the sweep ({have})")
    return None


def _misfits(second: SecondStage, d: int, branch: str) -> Iterator[str]:
    if second.kind.scratch and d > 0:
        yield (f"second stage '{second.recipe}' starts from fresh weights; design 'runs' wants "
               "pretrain_tokens 0 there")  # fmt: skip
    if not second.kind.splits and branch:
        yield (f"second stage '{second.recipe}' is on all domains; design 'runs' wants an empty "
               "branch there")  # fmt: skip


def _number(written: Any, name: str, n: int, faults: list[str]) -> float:
    if written in (None, ""):
        if name == "specialize_tokens":
            return 0.0
        faults.append(f"run {n}, {name}: is missing")
        return 1.0
    try:
        value = parse_quantity(written)
        if not abs(value) < MOST[name]:
            raise ValueError(f"'{written}' is too large for a number of these")
        return value
    except ValueError as error:
        faults.append(f"run {n}, {name}: {error}")
        return 1.0


def _rows(file: Path) -> list[Mapping[str, Any]]:
    try:
        text = file.read_text(encoding="utf-8-sig")
        if file.suffix == ".json":
            rows = json.loads(text)
            rows = rows["runs"] if isinstance(rows, dict) else rows
        else:
            rows = list(csv.DictReader(io.StringIO(text, newline="")))
        if not rows or not isinstance(rows, list) or not all(isinstance(r, dict) for r in rows):
            raise ValueError("it holds no runs")
    except (OSError, ValueError, KeyError, RecursionError, csv.Error) as error:
        raise SweepError(f"{file}: not readable as a table of runs: {error}") from None
    return rows
