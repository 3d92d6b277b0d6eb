"""Weights & Biases, the table of runs: Export as CSV, or a frame of `api.runs`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pandas as pd

from bayeslaw.readers.peek import Peek
from bayeslaw.readers.reader import Log, Reader, read_table


class WandbTable(Reader):
    """Columns `Name`, `State`, `Created`, `Runtime`, …, then config and summary, a run a row."""

    name = "wandb_table"
    about = "W&B table of runs (CSV): a row a run, its config and last metrics"

    def recognises(self, peek: Peek) -> bool:
        return {"Name", "State"} <= set(peek.columns)

    def read(self, path: Path) -> Log:
        table = read_table(path, "Name", "State")
        table["run_id"] = table["ID"] if "ID" in table else _told_apart(table["Name"])
        states = table["State"].astype(str).str.lower()
        # crashed, failed, killed, preempted and running: no finished run
        table["status"] = (states == "finished").map({True: "ok", False: "failed"})
        running = int((states == "running").sum())
        notes = (f"{running} still running: kept out as failed",) if running else ()
        return Log(table, ("run_id", "status"), notes=notes)


def _told_apart(names: pd.Series) -> pd.Series:
    """A row is a run: of several with one name the second is name-2, or what comes after it."""
    taken, found = set(names), []
    numbers: dict[str, Iterator[int]] = defaultdict(lambda: count(2))  # each goes on where it was
    for name, again in zip(names, names.duplicated() & names.notna(), strict=True):
        if again:
            fresh = (f"{name}-{k}" for k in numbers[name])
            taken.add(name := next(n for n in fresh if n not in taken))
        found.append(name)
    return pd.Series(found, names.index)
