"""A reader: turns one kind of log into records, in the words of who wrote it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pandas as pd

from bayeslaw.readers.peek import Peek
from bayeslaw.runs import Unreadable, read_cells

ROW = "_row"  # where a record stands in its file, from 0


@dataclass(frozen=True)
class Log:
    """What a file holds.

    table: a record a row, their names as columns, and `_row` where it stands in the file, from 0.
        An empty cell (None, NaN, "") was not written; the texts NaN and Infinity were measured.
    known: columns of it that already have our name and meaning: `run_id`, `status`, `step`, `unit`,
        `loss` with `domain`, `loss/<domain>`.
    ends: the step at which the run's schedule ends, where the file says it.
    notes: what else a user should know, in sentences.
    """

    table: pd.DataFrame
    known: tuple[str, ...] = ()
    ends: float | None = None
    notes: tuple[str, ...] = ()


class Reader(ABC):
    """A kind of log. Third parties register theirs in the entry point group `bayeslaw.readers`.

    name: as in `--reader NAME`.  about: one line for people.
    counted: what `_row` counts where the file is no table (`line`, `entry`); "" for rows.
    """

    name: ClassVar[str]
    about: ClassVar[str]
    counted: ClassVar[str] = ""

    @abstractmethod
    def recognises(self, peek: Peek) -> bool:
        """Whether a file of this shape is one of these logs."""

    @abstractmethod
    def read(self, path: Path) -> Log:
        """The file's records. Raises `bayeslaw.runs.Unreadable` with the reason and the remedy."""


def read_table(path: Path, *columns: str) -> pd.DataFrame:
    """A CSV or parquet table that has these columns, and `_row`. Raises `Unreadable`."""
    table = read_cells(path)
    absent = [c for c in columns if c not in table]
    if absent:
        raise Unreadable(f"no column {', '.join(absent)}; export it anew, or name another --reader")
    return table.assign(**{ROW: range(len(table))})


def run_name(path: Path) -> str:
    """What to call the run of a file that does not say it: the file's name, or its folder's where
    all runs have files of that name.

    >>> run_name(Path("outputs/small/checkpoint-500/trainer_state.json"))
    'small'
    >>> run_name(Path("logs/small.jsonl"))
    'small'
    """
    if path.stem.lower() not in _COMMON and not path.stem.isdigit():
        return path.stem
    folders = path.absolute().parent
    while folders.name.startswith("checkpoint-"):
        folders = folders.parent
    return folders.name or path.stem


_COMMON = ("trainer_state", "tracker_metrics", "metrics", "history", "log", "logs", "train_log")
