"""Measured rows added to a sweep's table, so that the next fit learns from them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from bayeslaw.cell import guarded, inert
from bayeslaw.errors import RunsError
from bayeslaw.runs import KEY, NAMES, Fault, Runs, read_runs, refuse
from bayeslaw.whole import whole

SAME = 1e-6  # relative difference of losses that are the same measurement, written twice


def append(runs: Runs, path: str | Path) -> int:
    """Add the rows of a table to a CSV of runs, atomically; how many were new.

    The rows take the file's sweep. Columns that the file lacks are added, empty in its own rows,
    whose cells stay as they are. Rows that it has already (by `KEY`, with the same loss) are not
    added again. Rows without a `run_id` are named by what they are.

    Raises `RunsError` with every fault: a file that cannot be read, is no CSV, has losses in
    columns of their own or in another unit, holds several sweeps, or has another loss for the same
    row.
    """
    path = Path(path)
    there, text = takes(path)
    refuse(_other_units(path, there, runs))
    new, faults = _named(runs.table), list[Fault]()
    new["sweep"] = there.table["sweep"].iloc[0]
    have = {tuple(r[k] for k in KEY): r["loss"] for r in there.table.to_dict("records")}
    fresh = []
    for i, row in enumerate(new.to_dict("records")):
        loss = have.get(tuple(row[k] for k in KEY))
        if loss is None:
            fresh.append(i)
        elif abs(loss / row["loss"] - 1) > SAME:
            remedy = f"{path} has {loss:g} for the same run; give it a run_id of its own"
            faults.append(runs.fault(i, "loss", remedy))
    refuse(faults)
    if not fresh:
        return 0
    with whole(path) as beside:
        both = _joined(text, new.iloc[fresh], runs)
        Runs.from_table(both, name=str(path))  # what is written can be read
        both.to_csv(beside, index=False)
    return len(fresh)


def _named(table: pd.DataFrame) -> pd.DataFrame:
    """A copy whose rows have a name that another table's rows have not."""

    def name(row: pd.Series) -> str:
        about = [str(row[n]) for n in ("params", "branch", "recipe", "seed", "unique_tokens")]
        return "verify-" + hashlib.sha256("/".join(about).encode()).hexdigest()[:10]

    made = table["run_id"].str.fullmatch(r"row\d+")
    alone = made & (table["lineage"] == table["run_id"])
    names = table.apply(name, axis=1)
    return table.assign(
        run_id=table["run_id"].where(~made, names), lineage=table["lineage"].where(~alone, names)
    )


def takes(path: str | Path) -> tuple[Runs, pd.DataFrame]:
    """A file that rows can be appended to: its rows, and its cells as text. Raises `RunsError`."""
    path = Path(path)
    if path.suffix != ".csv":
        raise RunsError(f"{path}: rows are appended to CSV; name a .csv")
    there = read_runs(path)
    text = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    text.columns = text.columns.str.strip()
    file, faults = str(path), []
    if "loss" not in text:
        faults.append(Fault(file, 0, "loss", None, "missing: write one loss a row, with `domain`"))
    sweeps: Sequence[str] = sorted(set(there.table["sweep"]))
    if len(sweeps) > 1:
        remedy = f"holds {', '.join(sweeps)}; name the file of one sweep"
        faults.append(Fault(file, 0, "sweep", None, remedy))
    refuse(faults)
    return there, text


def _other_units(path: Path, there: Runs, runs: Runs) -> list[Fault]:
    return [
        Fault(str(path), 0, "unit", None,
              f"'{domain}' is in {there.units[domain]} there, in {unit} in the new rows")
        for domain, unit in runs.units.items() if there.units.get(domain, unit) != unit
    ]  # fmt: skip


def _joined(text: pd.DataFrame, new: pd.DataFrame, runs: Runs) -> pd.DataFrame:
    """The file's text, then the new rows: numbers as short as they are exact."""
    rows = new.assign(unit=new["domain"].map(dict(runs.units)))
    said = pd.DataFrame({c: [_cell(v) for v in rows[c]] for c in (*NAMES, "unit")})
    tokens = (said["unit"] == "nats/token").all() and "unit" not in text
    said = said.drop(columns="unit") if tokens else said
    both = pd.concat(
        [text.map(inert), said[[c for c in said if c in text or (said[c] != "").any()]]]
    )
    return both.fillna("").reset_index(drop=True)


def _cell(value: object) -> str:
    if isinstance(value, str):
        return guarded(value)
    number = float(value)  # type: ignore[arg-type]
    if not np.isfinite(number):
        return ""
    return str(int(number)) if number.is_integer() and abs(number) < 1e15 else repr(number)
