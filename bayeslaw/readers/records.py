"""Records as a table: what has a name of its own in each record would be a column of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from bayeslaw.runs import CELLS, Unreadable


def table_of(records: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """A row a record, a column a name. Raises `Unreadable` where that is too large to hold."""
    names: set[str] = set().union(*records)
    fits(len(records), len(names))
    return pd.DataFrame(records)


def fits(rows: int, columns: int) -> None:
    """Raise `Unreadable` for a table of more cells than are held."""
    if rows * columns > CELLS:
        raise Unreadable(
            f"{rows} records with {columns} names between them; up to {CELLS} cells are read: "
            "keep its evaluations only"
        )
