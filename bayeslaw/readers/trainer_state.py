"""Hugging Face's `trainer_state.json`."""

from __future__ import annotations

from pathlib import Path

from bayeslaw.readers.document import flat, read_document
from bayeslaw.readers.peek import Peek
from bayeslaw.readers.reader import ROW, Log, Reader, run_name
from bayeslaw.readers.records import table_of
from bayeslaw.runs import Unreadable


class TrainerState(Reader):
    """`log_history`: entries with `step` and, where it was evaluated, `eval_loss` or
    `eval_<set>_loss`; `num_input_tokens_seen` where the trainer was told to count.

    `total_flos` is not taken: it counts padding, and is of the end only.
    """

    name = "trainer_state"
    about = "Hugging Face trainer_state.json: an entry an evaluation"
    counted = "entry"

    def recognises(self, peek: Peek) -> bool:
        return peek.has("log_history", "global_step")

    def read(self, path: Path) -> Log:
        state = read_document(path)
        history = state.get("log_history") if isinstance(state, dict) else None
        if not isinstance(history, list) or not all(isinstance(entry, dict) for entry in history):
            raise Unreadable("no list of entries 'log_history'; give the trainer's own file")
        if not history:
            raise Unreadable("'log_history' is empty; give the file of the last checkpoint")
        table = table_of([{**dict(flat(e)), ROW: i} for i, e in enumerate(history)])
        known = ("run_id", "step") if "step" in table else ("run_id",)
        most = state.get("max_steps")
        ends = float(most) if isinstance(most, (int, float)) and most > 0 else None
        return Log(table.assign(run_id=run_name(path)), known, ends)
