"""An object a line, with a step and whatever a training script logs."""

from __future__ import annotations

from pathlib import Path

from bayeslaw.readers.document import first_object, flat, parse, read_text
from bayeslaw.readers.peek import Peek
from bayeslaw.readers.reader import ROW, Log, Reader, run_name
from bayeslaw.readers.records import table_of
from bayeslaw.readers.words import STEP
from bayeslaw.runs import Unreadable


class JsonLines(Reader):
    """Lines such as `{"step": 1000, "tokens": 524288000, "val": {"loss": 3.2}}`; names within names
    are joined by `/`. `--map` says what has another name."""

    name = "json_lines"
    about = "JSON lines of any training script: an object a line"
    counted = "line"

    def recognises(self, peek: Peek) -> bool:
        line = next((line for line in peek.text.split("\n") if line.strip()), "")
        return line.lstrip().startswith("{") and first_object(line) is not None

    def read(self, path: Path) -> Log:
        rows, wrong = [], []
        for i, line in enumerate(read_text(path).split("\n")):
            if not line.strip():
                continue
            try:
                found = parse(line)
            except ValueError:
                found = None
            if isinstance(found, dict):
                rows.append({**dict(flat(found)), ROW: i})
            else:
                wrong.append(i + 1)
        if wrong:
            shown = ", ".join(map(str, wrong[:10])) + (", …" if len(wrong) > 10 else "")
            raise Unreadable(
                f"lines that are no JSON object: {shown}; a run that was killed cuts its last: "
                "delete them"
            )
        table = table_of(rows)
        known = ["run_id"]
        table = table.assign(run_id=run_name(path)) if "run_id" not in table else table
        if step := next((s for s in STEP if s in table), None):
            table, known = table.assign(step=table[step]), [*known, "step"]
        return Log(table, tuple(known))
