"""Levanter's trackers: the lines of `json_logger`, and `tracker_metrics.jsonl`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bayeslaw.readers.document import first_object, flat, read_text
from bayeslaw.readers.peek import Peek
from bayeslaw.readers.reader import ROW, Log, Reader, run_name
from bayeslaw.readers.records import table_of
from bayeslaw.runs import Unreadable


class Levanter(Reader):
    """Lines of a log that hold an object with `event` (`hparams`, `log`, `summary`, `finish`) and,
    for `log`, `step` and `metrics`: what is logged of one step is one record. A line with `config`
    and `summary` (the copy of a W&B run) is one record, its last.
    """

    name = "levanter"
    about = "Levanter: lines of its json_logger, or tracker_metrics.jsonl"
    counted = "line"

    def recognises(self, peek: Peek) -> bool:
        return {"tracker", "event"} <= set(peek.first) or {"config", "summary"} <= set(peek.first)

    def read(self, path: Path) -> Log:
        steps: dict[Any, dict[str, Any]] = {}
        others: list[dict[str, Any]] = []
        config: dict[str, Any] = {}
        for i, line in enumerate(read_text(path).split("\n")):
            found = first_object(line)
            if found is None:
                continue  # other lines of the console
            metrics, settings = found.get("metrics"), found.get("hparams", found.get("config"))
            if isinstance(settings, dict):
                config = dict(flat(settings))
            if found.get("event") == "log" and isinstance(metrics, dict):
                record = steps.setdefault(str(found.get("step")), {})
                record.update(flat(metrics), **{"step": found.get("step"), ROW: i})
            elif isinstance(found.get("summary"), dict) and "event" not in found:
                summary = dict(flat(found["summary"]))
                step = summary.get("_step", summary.get("global_step"))
                run = _name(config) or Path(str(found.get("run_path", ""))).name
                named = {"step": step, "run_id": run or run_name(path), ROW: i}
                others.append({**summary, **named})
        name = _name(config) or run_name(path)
        rows = [*({**record, "run_id": name} for record in steps.values()), *others]
        if not rows:
            raise Unreadable("no line of a json_logger and no summary; give the tracker's own file")
        last = config.get("trainer/num_train_steps")
        ends = float(last) if isinstance(last, (int, float)) and len(others) < 2 else None
        return Log(table_of(rows), ("run_id", "step"), ends)


def _name(config: dict[str, Any]) -> str:
    name = config.get("trainer/id")
    return name if isinstance(name, str) else ""
