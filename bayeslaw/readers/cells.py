"""Cells of logs: what was written, and as which number."""

from __future__ import annotations

import numpy as np
import pandas as pd

from bayeslaw.quantity import parse_quantity


def written(cells: pd.Series) -> pd.Series:
    """Which cells hold anything."""
    return cells.notna() & (cells.astype(str) != "")


def number(cells: pd.Series) -> pd.Series:
    """Floats, human numbers read; what is no number is NaN, and is found fault with later."""

    def one(cell: object) -> float:
        try:
            return parse_quantity(cell)
        except ValueError:
            return np.nan

    plain = pd.to_numeric(cells, errors="coerce").astype(float)
    return plain.where(plain.notna(), cells.map(one)) if plain.isna().any() else plain
