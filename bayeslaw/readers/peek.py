"""The shape of a file, from which its reader is guessed."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from bayeslaw.readers.document import first_object, read_document
from bayeslaw.runs import Unreadable

START = 1 << 16  # bytes that are looked at


@dataclass(frozen=True)
class Peek:
    """A file's beginning: as text, as a table's header, as JSON. What it is not is empty."""

    path: Path

    @cached_property
    def text(self) -> str:
        with self.path.open("rb") as stream:
            start = stream.read(START)
        return "" if b"\0" in start else start.decode("utf-8-sig", errors="replace")

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """The header of a CSV or parquet table."""
        if self.path.suffix in (".parquet", ".pq"):
            try:
                from pyarrow.parquet import read_schema

                return tuple(read_schema(self.path).names)
            except (ImportError, OSError, ValueError):
                return ()
        if self.text.lstrip()[:1] in ("{", "["):
            return ()
        try:
            header: list[str] = next(csv.reader(self.text.splitlines()), [])
        except csv.Error:
            return ()
        return tuple(name.strip() for name in header)

    @cached_property
    def document(self) -> Any:
        """The whole file as JSON; None where it is none."""
        if self.text.lstrip()[:1] not in ("{", "["):
            return None
        try:
            return read_document(self.path)
        except Unreadable:
            return None

    @cached_property
    def first(self) -> dict[str, Any]:
        """The first JSON object that stands on a line of its own, after a log's prefix or not."""
        return next((o for o in map(first_object, self.text.split("\n")) if o), {})

    def has(self, *keys: str) -> bool:
        """Whether the file is one JSON object with these keys."""
        return isinstance(self.document, dict) and set(keys) <= set(self.document)
