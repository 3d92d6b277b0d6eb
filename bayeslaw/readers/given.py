"""What the user says of logs that do not say it themselves: --map, --set, a table of runs."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from bayeslaw.quantity import parse_quantity
from bayeslaw.runs import COLUMNS, NAMES, UNITS, Fault, Unreadable, read_cells

PER_STEP = "tokens_per_step"
_NUMBERS = {c.name for c in COLUMNS if c.kind == "number"} | {PER_STEP}
_SETTABLE = {*NAMES, PER_STEP} - {"loss", "loss_se"}
_MAPPABLE = {*NAMES, PER_STEP, "step"}


@dataclass(frozen=True)
class Given:
    """map: our column -> theirs.  values: our column -> its value in every row.
    about: our columns by `run_id`, for what differs between runs.  Checked by `check_given`.
    """

    map: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, Any] = field(default_factory=dict)
    about: pd.DataFrame | None = None
    unit: str | None = None

    def constant(self, column: str) -> bool:
        """Whether the user gave one value of it for every row of a run."""
        return column in self.values or (self.about is not None and column in self.about)

    def column(self, column: str, runs: pd.Series) -> pd.Series | None:
        """The values given for rows of these runs; None where nothing was given."""
        if column in self.values:
            return pd.Series([self.values[column]] * len(runs), index=runs.index, dtype=object)
        if self.about is not None and column in self.about:
            return runs.map(self.about[column])
        return None


def check_given(
    map: Mapping[str, str],
    values: Mapping[str, Any],
    about: str | Path | None,
    unit: str | None,
    faults: list[Fault],
) -> Given:
    """The same, numbers read; what is wrong is added to the faults."""
    read: dict[str, Any] = {}
    for name, value in values.items():
        if name not in _SETTABLE:
            faults.append(_unknown("--set", name, _SETTABLE))
        elif name not in _NUMBERS:
            read[name] = str(value)
        else:
            try:
                read[name] = parse_quantity(value)
            except ValueError as error:
                faults.append(Fault("--set", 0, name, value, str(error)))
    for name in map:
        plain = name.partition("/")[0] if name.startswith(("loss/", "loss_se/")) else name
        if plain not in _MAPPABLE:
            faults.append(_unknown("--map", name, _MAPPABLE))
        if name in values:
            faults.append(Fault("--map", 0, name, None, "in --set too; give it once"))
    if unit is not None and unit not in UNITS:
        faults.append(Fault("--unit", 0, "", None, f"'{unit}' is not one of {', '.join(UNITS)}"))
    table = None if about is None else _table(Path(about), {*map, *values}, faults)
    return Given(map, read, table, unit)


def _unknown(option: str, name: str, names: set[str]) -> Fault:
    close = difflib.get_close_matches(name, sorted(names), 1, 0.5)
    hint = f"is it '{close[0]}'?" if close else f"use one of {', '.join(sorted(names))}"
    if option == "--set" and name in ("loss", "loss_se"):
        hint = "losses are measured, not set: --map loss=THEIRS"
    return Fault(option, 0, name, None, f"no column of runs; {hint}")


def _table(path: Path, others: set[str], faults: list[Fault]) -> pd.DataFrame | None:
    """The table of `--about` by run_id."""
    here: list[Fault] = []
    try:
        table = read_cells(path)
    except OSError:
        here.append(Fault(str(path), 0, "", None, "no such file; check --about"))
    except Unreadable as why:
        here.append(Fault(str(path), 0, "", None, str(why)))
    if here:
        faults += here
        return None
    if "run_id" not in table:
        here.append(Fault(str(path), 0, "run_id", None, "missing: it says whose row it is"))
    for name in table:
        if name not in _SETTABLE:
            here.append(
                Fault(str(path), 0, str(name), None, _unknown("", str(name), _SETTABLE).remedy)
            )
        elif name in others:
            here.append(Fault(str(path), 0, str(name), None, "in --set or --map too; give it once"))
    for i in table.index[table.get("run_id", pd.Series(dtype=object)).duplicated()]:
        remedy = "twice in the table; keep one row a run"
        here.append(Fault(str(path), int(i) + 1, "run_id", table["run_id"][i], remedy))
    faults += here
    return None if here else table.set_index("run_id")
