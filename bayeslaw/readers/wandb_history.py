"""Weights & Biases, one run's history: the parquet of its artifact, or a CSV of `run.history()`."""

from __future__ import annotations

from pathlib import Path

from bayeslaw.readers.peek import Peek
from bayeslaw.readers.reader import Log, Reader, read_table, run_name
from bayeslaw.readers.words import LOG_CALLS, STEP


class WandbHistory(Reader):
    """Columns `_step`, `_timestamp`, `_runtime` and one a metric; empty where it was not logged.

    `_step` counts calls of log. Trainers log their own step beside it, which is taken first.
    """

    name = "wandb_history"
    about = "W&B history of one run (parquet or CSV): a row a step"

    def recognises(self, peek: Peek) -> bool:
        return "_step" in peek.columns

    def read(self, path: Path) -> Log:
        table = read_table(path, "_step")
        table = table.assign(run_id=run_name(path)) if "run_id" not in table else table
        step = next(s for s in STEP if s in table)
        notes = (LOG_CALLS,) if step == "_step" else ()
        return Log(table.assign(step=table[step]), ("run_id", "step"), notes=notes)
