"""Weights & Biases, one run's history: the parquet of its artifact, or a CSV of `run.history()`."""

from __future__ import annotations

from pathlib import Path

from bayeslaw.readers.peek import Peek
from bayeslaw.readers.reader import Log, Reader, read_table, run_name


class WandbHistory(Reader):
    """Columns `_step`, `_timestamp`, `_runtime` and one a metric; empty where it was not logged."""

    name = "wandb_history"
    about = "W&B history of one run (parquet or CSV): a row a step"

    def recognises(self, peek: Peek) -> bool:
        return "_step" in peek.columns

    def read(self, path: Path) -> Log:
        table = read_table(path, "_step")
        table = table.assign(run_id=run_name(path)) if "run_id" not in table else table
        return Log(table.assign(step=table["_step"]), ("run_id", "step"))
