"""Cards: what a notebook shows of a result. Plain HTML that takes the page's own colours, light or
dark; every word is escaped."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

import numpy as np

from bayeslaw.quantity import format_quantity

ROWS = 24  # of a table; the rest is counted
QUANTITIES = ("params", "pretrain_tokens", "specialize_tokens", "flops")
_CELL = "padding:.15em .8em .15em 0;text-align:{};border:0;background:none;color:inherit"
_TABLE = "border-collapse:collapse;margin:.3em 0;font-size:90%;color:inherit"


def card(
    title: str,
    facts: Iterable[str] = (),
    rows: Sequence[Mapping[str, Any]] = (),
    warnings: Iterable[str] = (),
) -> str:
    """A title, what must not be overlooked, facts in sentences, and a table of rows of one kind.

    Numbers have four digits; sizes, tokens and FLOPs are written `7M`.
    """
    parts = [f"<strong>{escape(title)}</strong>"]
    parts += [f"<div><strong>! {escape(w)}</strong></div>" for w in warnings]
    parts += [f"<div>{escape(fact)}</div>" for fact in facts]
    if rows:
        names = list(rows[0])
        head = "".join(_cell("th", name, isinstance(rows[0][name], str)) for name in names)
        body = "".join(
            "<tr>" + "".join(_cell("td", _said(n, r[n]), isinstance(r[n], str)) for n in names)
            + "</tr>"
            for r in rows[:ROWS]
        )  # fmt: skip
        parts.append(f'<table style="{_TABLE}"><tr>{head}</tr>{body}</table>')
    if len(rows) > ROWS:
        parts.append(f"<div>and {len(rows) - ROWS} more rows: to_dataframe()</div>")
    return f'<div class="bayeslaw" style="color:inherit;overflow-x:auto">{"".join(parts)}</div>'


def _cell(tag: str, said: str, words: bool) -> str:
    return f'<{tag} style="{_CELL.format("left" if words else "right")}">{escape(said)}</{tag}>'


def _said(name: str, value: Any) -> str:
    """A value as people write it."""
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return "–"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_said(name, v) for v in value) + "]"
    if isinstance(value, (bool, np.bool_, str, int, np.integer)) and name not in QUANTITIES:
        return str(value)
    if name.startswith(QUANTITIES):
        return format_quantity(float(value))
    return f"{float(value):.4g}"
