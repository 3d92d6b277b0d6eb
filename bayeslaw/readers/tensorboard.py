"""TensorBoard, one scalar of one run: downloaded as CSV or JSON."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd

from bayeslaw.readers.document import read_document
from bayeslaw.readers.peek import Peek
from bayeslaw.readers.reader import ROW, Log, Reader, read_table
from bayeslaw.runs import Unreadable

_COLUMNS = ("Wall time", "Step", "Value")
_NAMED = re.compile(r"run-(?P<run>.*)-tag-(?P<tag>.+)")  # what a download is called


class TensorBoard(Reader):
    """CSV `Wall time,Step,Value`, or JSON `[[wall time, step, value], …]`; run and tag are in the
    file's name, `run-<run>-tag-<tag>`. Event files are binary and not read."""

    name = "tensorboard"
    about = "TensorBoard scalar (CSV or JSON download): a row a step"

    def recognises(self, peek: Peek) -> bool:
        rows = peek.document
        return peek.columns == _COLUMNS or (
            isinstance(rows, list) and bool(rows) and all(_triple(r) for r in rows)
        )

    def read(self, path: Path) -> Log:
        if path.suffix == ".json":
            rows = read_document(path)
            if not isinstance(rows, list) or not all(_triple(r) for r in rows):
                raise Unreadable("not a list of [wall time, step, value]")
            table = pd.DataFrame(rows, columns=list(_COLUMNS))
            table[ROW] = range(len(table))
        else:
            table = read_table(path, *_COLUMNS)
        named = _NAMED.fullmatch(path.stem)
        tag = named["tag"] if named and named["tag"] not in (ROW, "step", "Wall time") else "value"
        table = table.rename(columns={"Value": tag, "Step": "step"})
        run = named["run"] if named else path.stem
        return Log(table.assign(run_id=run), ("run_id", "step"))


def _triple(row: object) -> bool:
    return isinstance(row, list) and len(row) == 3 and not isinstance(row[1], str)
