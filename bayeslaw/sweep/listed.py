"""Runs that a table asks for: the CSV or JSON that says what to train next."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from bayeslaw.errors import SweepError
from bayeslaw.quantity import parse_quantity

NUMBERS = ("params", "pretrain_tokens", "specialize_tokens")


class Run(NamedTuple):
    params: float
    pretrain_tokens: int
    specialize_tokens: int
    branch: str


def listed(file: str | Path, domains: Sequence[str]) -> list[Run]:
    """The runs of a CSV, or of JSON as `{"runs": [...]}`; other columns are ignored. An empty
    branch stands for every domain. Raises `SweepError` with every fault."""
    file, found = Path(file), []
    faults: list[str] = []
    for n, row in enumerate(_rows(file), 1):
        values = {name: _number(row.get(name), name, n, faults) for name in NUMBERS}
        branch = str(row.get("branch") or "")
        if branch and branch not in domains:
            faults.append(f"run {n}, branch '{branch}': the sweep's domains are "
                          f"{', '.join(domains)}")  # fmt: skip
        if values["params"] <= 0 or values["pretrain_tokens"] <= 0:
            faults.append(f"run {n}: params and pretrain_tokens must be more than 0")
        found.append(Run(values["params"], int(values["pretrain_tokens"]),
                         int(values["specialize_tokens"]), branch))  # fmt: skip
    if faults:
        noun = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
        raise SweepError(f"{file}: {noun}:\n  " + "\n  ".join(dict.fromkeys(faults)))
    return found


def _number(written: Any, name: str, n: int, faults: list[str]) -> float:
    if written in (None, ""):
        if name == "specialize_tokens":
            return 0.0
        faults.append(f"run {n}, {name}: is missing")
        return 1.0
    try:
        return parse_quantity(written)
    except ValueError as error:
        faults.append(f"run {n}, {name}: {error}")
        return 1.0


def _rows(file: Path) -> list[Mapping[str, Any]]:
    try:
        text = file.read_text(encoding="utf-8")
        if file.suffix == ".json":
            rows = json.loads(text)
            rows = rows["runs"] if isinstance(rows, dict) else rows
        else:
            rows = list(csv.DictReader(text.splitlines()))
        if not rows or not all(isinstance(r, dict) for r in rows):
            raise ValueError("it holds no runs")
    except (OSError, ValueError, KeyError) as error:
        raise SweepError(f"{file}: not readable as a table of runs: {error}") from None
    return rows
