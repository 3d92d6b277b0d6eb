"""The columns of a table of runs, said for people and programs, and a table to fill in."""

from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import Any

from bayeslaw.errors import RunsError
from bayeslaw.quantity import format_quantity
from bayeslaw.runs import COLUMNS, UNITS, Column
from bayeslaw.whole import whole

# What absent columns mean where that is not one value: `read_runs` fills them in.
_FILLED = {
    "sweep": "the file's name",
    "run_id": "one a row",
    "lineage": "run_id",
    "branch": "domain, where specialize_tokens > 0",
    "loss_se": "not known",
    "unique_tokens": "unlimited",
    "unique_specialize_tokens": "unlimited",
    "flops": "6 params (pretrain_tokens + specialize_tokens)",
}
# A trunk measured on two domains, and one of its branches.
_EXAMPLES: tuple[dict[str, str], ...] = (
    {"run_id": "small-d20", "domain": "general", "loss": "3.05"},
    {"run_id": "small-d20", "domain": "code", "loss": "2.41"},
    {"run_id": "small-d20-code", "domain": "code", "loss": "1.98", "specialize_tokens": "2B",
     "branch": "code", "recipe": "plain"},
)  # fmt: skip
_SHARED = {
    "sweep": "mine", "lineage": "small-d20", "seed": "0", "params": "124M",
    "pretrain_tokens": "20B", "loss_se": "0.004", "status": "ok", "unit": "nats/token",
}  # fmt: skip


def describe() -> list[dict[str, Any]]:
    """Every column: name, kind, unit, meaning, required, default and allowed range."""
    said = [
        {
            "name": c.name,
            "kind": c.kind,
            "unit": c.unit,
            "meaning": c.meaning,
            "required": c.required,
            "default": None if c.required else _default(c),
            "range": _range(c),
        }
        for c in COLUMNS
    ]
    unit = {
        "name": "unit", "kind": "text", "unit": "name", "meaning": "of the row's loss",
        "required": False, "default": UNITS[0], "range": ", ".join(UNITS),
    }  # fmt: skip
    return [*said, unit]


def write_template(path: str | Path) -> Path:
    """A table of all columns with rows to write over, which `read_runs` takes as it is.

    Raises `RunsError` where there is a file already.
    """
    path = Path(path)
    if path.exists():
        raise RunsError(f"{path} is there already; a template does not write over it")
    with whole(path) as beside, beside.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, [c["name"] for c in describe()], lineterminator="\n")
        writer.writeheader()
        writer.writerows({**_SHARED, **row} for row in _EXAMPLES)
    return path


def _default(c: Column) -> str:
    if c.name in _FILLED:
        return _FILLED[c.name]
    if c.kind == "text":
        return str(c.default)
    return "not known" if math.isnan(c.default) else format_quantity(c.default)


def _range(c: Column) -> str:
    if c.least is None:
        return ""
    low = f"{'>' if c.above else '>='} {c.least:g}"
    return low if c.most is None else f"{c.least:g} to {c.most:g}"
