"""The readers, by name: one line each, the more particular shape first."""

from __future__ import annotations

from collections.abc import Iterator

from bayeslaw.errors import RunsError
from bayeslaw.plugin import names_of, registered
from bayeslaw.readers.json_lines import JsonLines
from bayeslaw.readers.levanter import Levanter
from bayeslaw.readers.lm_eval import LmEval
from bayeslaw.readers.mlflow_metric import MlflowMetric
from bayeslaw.readers.mlflow_table import MlflowTable
from bayeslaw.readers.peek import Peek
from bayeslaw.readers.reader import Reader
from bayeslaw.readers.tensorboard import TensorBoard
from bayeslaw.readers.trainer_state import TrainerState
from bayeslaw.readers.wandb_chart import WandbChart
from bayeslaw.readers.wandb_history import WandbHistory
from bayeslaw.readers.wandb_table import WandbTable
from bayeslaw.runs import Unreadable

GROUP = "bayeslaw.readers"
READERS: dict[str, Reader] = {
    reader.name: reader
    for reader in (
        WandbHistory(),
        WandbTable(),
        WandbChart(),
        MlflowTable(),
        MlflowMetric(),
        TensorBoard(),
        TrainerState(),
        LmEval(),
        Levanter(),
        JsonLines(),
    )
}


def find_reader(name: str | Reader) -> Reader:
    """A reader by its name, or by that of an entry point. Raises `RunsError`."""
    if isinstance(name, Reader):
        return name
    if name in READERS:
        return READERS[name]
    for reader in _others(name):
        return reader
    known = ", ".join([*READERS, *names_of(GROUP)])
    raise RunsError(f"there is no reader '{name}'. Readers: {known}")


def guess_reader(peek: Peek) -> Reader:
    """The first reader that recognises the file: ours, then those of third parties.

    Raises `Unreadable` where none does.
    """
    for reader in READERS.values():
        if reader.recognises(peek):
            return reader
    for reader in _others():
        if reader.recognises(peek):
            return reader
    if peek.path.name.startswith("events.out.tfevents"):
        raise Unreadable("a TensorBoard event file is binary; download its scalars as CSV or JSON")
    if peek.columns and len(peek.columns) > 1:
        raise Unreadable(
            "no reader knows these columns. A table with a row a run needs no import: "
            "bayeslaw fit FILE --map loss=THEIRS. Else name the --reader"
        )
    raise Unreadable(f"no reader knows this shape; name one: --reader {', '.join(READERS)}")


def _others(name: str | None = None) -> Iterator[Reader]:
    """Readers of third parties, all or those of this name."""
    for reader in registered(GROUP, RunsError, name):
        if not isinstance(reader, Reader):
            raise RunsError(f"{reader!r} is no Reader: subclass bayeslaw.readers.Reader")
        yield reader
