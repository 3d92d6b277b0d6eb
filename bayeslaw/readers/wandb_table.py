"""Weights & Biases, the table of runs: Export as CSV, or a frame of `api.runs`."""

from __future__ import annotations

from pathlib import Path

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
        which = "ID" if "ID" in table else "Name"
        table["run_id"] = table[which]
        states = table["State"].astype(str).str.lower()
        # crashed, failed, killed, preempted and running: no finished run
        table["status"] = (states == "finished").map({True: "ok", False: "failed"})
        running = int((states == "running").sum())
        notes = (f"{running} still running: kept out as failed",) if running else ()
        return Log(table, ("run_id", "status"), notes=notes)
