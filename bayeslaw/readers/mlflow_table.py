"""MLflow, a table of runs: Download CSV of its pages, or `search_runs().to_csv()`."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

from bayeslaw.readers.peek import Peek
from bayeslaw.readers.reader import Log, Reader, read_table

_PAGES = {"Start Time", "Duration", "Run ID", "Name", "Status"}
_SEARCH = {"run_id", "status"}
_PREFIXES = ("metrics.", "params.")


class MlflowTable(Reader):
    """Pages: `Start Time`, `Duration`, `Run ID`, `Name`, …, `Status`, then params and metrics.
    `search_runs`: `run_id`, `status`, `metrics.<name>`, `params.<name>`, `tags.<name>`."""

    name = "mlflow_table"
    about = "MLflow table of runs (CSV): a row a run, its params and last metrics"

    def recognises(self, peek: Peek) -> bool:
        columns = set(peek.columns)
        searched = columns >= _SEARCH and any(c.startswith(_PREFIXES) for c in columns)
        return columns >= _PAGES or searched

    def read(self, path: Path) -> Log:
        pages = "Run ID" in Peek(path).columns
        table = read_table(path, *(("Run ID", "Status") if pages else ("run_id", "status")))
        if pages:  # its own names come first
            table = table.drop(columns=["run_id", "status"], errors="ignore")
        table = table.rename(columns={"Run ID": "run_id", "Status": "status"})
        plain = {c: re.sub(r"^(metrics|params)\.", "", c) for c in map(str, table)}
        twice = {c for c, count in Counter(plain.values()).items() if count > 1}
        # A param and a metric of one name keep the prefix that tells them apart.
        table = table.rename(columns={c: p for c, p in plain.items() if p not in twice})
        done = table["status"].astype(str).str.upper() == "FINISHED"
        table["status"] = done.map({True: "ok", False: "failed"})
        return Log(table, ("run_id", "status"))
