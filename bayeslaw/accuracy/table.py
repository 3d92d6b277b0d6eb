"""Scores: the validated table of accuracies that the map from loss to accuracy is fitted to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bayeslaw.cell import unguarded
from bayeslaw.errors import RunsError
from bayeslaw.runs import Fault, digest_of, refuse, renamed

NEEDED = ("task", "domain", "accuracy", "loss", "chance", "items")
TEXT = ("task", "domain", "run_id", "sweep", "lineage", "branch", "router")
NUMBERS = ("params", "pretrain_tokens", "specialize_tokens", "flops", "loss_se")


@dataclass(frozen=True, eq=False)
class Scores:
    """table: a row is one model on one task, of the columns that `bayeslaw evaluate --out` writes.
    left_out: rows of systems, whose accuracy is no single model's, rows without a loss, and
    branches on other domains than their own: at the same loss those answer more, for forgetting
    costs the loss more than the answers."""

    table: pd.DataFrame
    left_out: int = 0

    def __len__(self) -> int:
        return len(self.table)

    @property
    def tasks(self) -> tuple[str, ...]:
        return tuple(sorted(set(self.table["task"])))

    @property
    def digest(self) -> str:
        return digest_of(self.table)

    def select(self, mask: Any) -> Scores:
        kept = self.table[np.asarray(mask)].reset_index(drop=True)
        return replace(self, table=kept)

    @classmethod
    def from_table(
        cls, table: pd.DataFrame, map: Mapping[str, str] | None = None, name: str = "table"
    ) -> Scores:
        """Checked: raises `RunsError` with every fault, its row, column, value and remedy."""
        faults: list[Fault] = []
        t = renamed(table, name, map or {}, faults)
        faults += [
            Fault(name, 0, c, None, "missing: `bayeslaw evaluate --out` writes it")
            for c in NEEDED if c not in t
        ]  # fmt: skip
        refuse(faults)
        given, t = t, t.copy()
        for column in TEXT:
            cells = t[column].astype(object) if column in t else pd.Series("", t.index)
            t[column] = cells.where(cells.notna(), "").astype(str)
        for column in (*NEEDED[2:], *NUMBERS):
            t[column] = pd.to_numeric(t[column], errors="coerce") if column in t else np.nan
        t["specialize_tokens"] = t["specialize_tokens"].fillna(0.0)
        rows = np.arange(len(t))
        away = (t["branch"] != "") & (t["branch"] != t["domain"]) & (t["specialize_tokens"] > 0)
        alone = (t["router"] == "") & t["loss"].notna() & ~away
        checks = {
            "task": (t["task"] == "", "must be named"),
            "domain": (t["domain"] == "", "must be named: whose loss goes with the task"),
            "accuracy": (~t["accuracy"].between(0, 1), "must lie between 0 and 1"),
            "chance": (~t["chance"].between(0, 0.99), "must lie between 0 and 1, one over choices"),
            "items": (~(t["items"] >= 1), "must be 1 or more"),
            "loss": (~(t["loss"] > 0), "must be more than 0, nats/token"),
        }  # fmt: skip
        for column, (wrong, remedy) in checks.items():
            for i in rows[(wrong & alone).to_numpy()]:
                value = _plain(given[column].iloc[i])
                faults.append(Fault(name, int(i) + 1, column, value, remedy))
        per_task = t[alone].groupby("task")
        for column in ("domain", "chance"):
            several = per_task[column].nunique()
            for task in several.index[several > 1]:
                faults.append(Fault(name, 0, column, None, f"task '{task}' has several; give one"))
        if not alone.any():
            faults.append(
                Fault(name, 0, "loss", None, "no model has one on its own domain: evaluate those "
                      "of a sweep, on tasks of its domains; or add the loss of each row")
            )  # fmt: skip
        refuse(faults)
        kept = t[alone.to_numpy()].reset_index(drop=True)
        return cls(kept, int((~alone).sum()))


def read_scores(path: str | Path, map: Mapping[str, str] | None = None) -> Scores:
    """The CSV that `bayeslaw evaluate --out` writes. map: ours -> theirs, of column names. Raises
    `RunsError`."""
    try:
        table = pd.read_csv(path, keep_default_na=True)
    except (OSError, ValueError) as error:
        raise RunsError(f"{path}: not readable as a table of accuracies: {error}") from None
    table = table.map(lambda v: unguarded(v) if isinstance(v, str) else v)
    return Scores.from_table(table, map, str(path))


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
