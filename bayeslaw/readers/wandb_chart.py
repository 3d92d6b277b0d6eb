"""Weights & Biases, one chart: Export panel as CSV, a column a run."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from bayeslaw.readers.peek import Peek
from bayeslaw.readers.reader import ROW, Log, Reader, read_table
from bayeslaw.readers.records import fits
from bayeslaw.readers.words import LOG_CALLS, STEP
from bayeslaw.runs import Unreadable

_ENDS = ("__MIN", "__MAX")  # the band about a line
_BETWEEN = " - "  # run and metric


class WandbChart(Reader):
    """Columns `Step` and, for every run, `RUN - METRIC`, and the same with `__MIN` and `__MAX`."""

    name = "wandb_chart"
    about = "W&B chart (CSV): a column a run, a row a step"

    def recognises(self, peek: Peek) -> bool:
        lines = [c for c in peek.columns[1:] if _BETWEEN in c]
        return bool(lines) and any(c.endswith(_ENDS) for c in lines)

    def read(self, path: Path) -> Log:
        table = read_table(path)
        x = str(table.columns[0])
        parts = []
        for column in (str(c) for c in table.columns[1:]):
            run, between, metric = column.rpartition(_BETWEEN)
            if between and not metric.endswith(_ENDS) and metric != "_step":
                part = pd.DataFrame({x: table[x], metric: table[column], ROW: table[ROW]})
                parts.append(part.assign(run_id=run))
        if not parts:
            raise Unreadable("no column 'RUN - METRIC'; export the chart's data as CSV")
        metrics = {c for part in parts for c in part}
        fits(len(parts) * len(table), len(metrics))
        long = pd.concat(parts, ignore_index=True)
        if x in STEP:
            notes = (LOG_CALLS,) if x in ("Step", "_step") else ()
            return Log(long.assign(step=long[x]), ("run_id", "step"), notes=notes)
        return Log(long, ("run_id",))
