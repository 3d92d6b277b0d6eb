"""MLflow, one metric of one run in its file store: `mlruns/<experiment>/<run>/metrics/<name>`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pandas as pd

from bayeslaw.readers.document import read_text
from bayeslaw.readers.peek import Peek
from bayeslaw.readers.reader import ROW, Log, Reader
from bayeslaw.readers.records import fits
from bayeslaw.runs import Unreadable

_LINE = re.compile(r"(-?\d+) (\S+)(?: (-?\d+))?")
_FINISHED = "3"  # of RunStatus; 1 running, 2 scheduled, 4 failed, 5 killed
_LONGEST = 6000  # characters of a param, MLflow's own limit


class MlflowMetric(Reader):
    """Lines `timestamp value step`. The run's `params/` and `meta.yaml` beside it are read too."""

    name = "mlflow_metric"
    about = "MLflow metric of one run (mlruns/…/metrics/NAME): a line a step"
    counted = "line"

    def recognises(self, peek: Peek) -> bool:
        first = peek.text.splitlines()[:1]
        return "metrics" in peek.path.absolute().parts[:-1] and bool(
            first and _LINE.fullmatch(first[0].strip())
        )

    def read(self, path: Path) -> Log:
        lines = [line.strip() for line in read_text(path).splitlines()]
        found = [(i, line, _LINE.fullmatch(line)) for i, line in enumerate(lines) if line]
        wrong = [str(i + 1) for i, _, match in found if match is None]
        if wrong:
            raise Unreadable(f"lines that are not 'timestamp value step': {', '.join(wrong[:10])}")
        place = path.absolute()
        folder = next((p for p in place.parents if p.name == "metrics"), place.parent)
        metric, run = str(place.relative_to(folder)), folder.parent
        rows = [{metric: m[2], "step": float(m[3] or 0), ROW: i} for i, _, m in found if m]
        params = {n: v for n, v in _params(run / "params").items() if n != metric}
        facts: dict[str, Any] = {**params, "run_id": run.name}
        known: tuple[str, ...] = ("run_id", "step")
        if (meta := run / "meta.yaml").is_file():
            status = re.search(r"^status:\s*(\d)", read_text(meta), re.M)
            facts["status"] = "ok" if status is None or status[1] == _FINISHED else "failed"
            known = (*known, "status")
        fits(len(rows), len(facts) + 3)
        return Log(pd.DataFrame(rows).assign(**facts), known)


def _params(folder: Path) -> dict[str, str]:
    if not folder.is_dir():
        return {}
    files = sorted(f for f in folder.iterdir() if f.is_file() and f.stat().st_size <= _LONGEST)
    files = [f for f in files if f.name not in (ROW, "step")]
    return {f.name: f.read_text(encoding="utf-8", errors="replace").strip() for f in files}
