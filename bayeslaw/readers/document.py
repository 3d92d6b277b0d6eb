"""JSON as logs have it: whole documents, and an object a line."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from bayeslaw.runs import MOST, Unreadable


def read_text(path: Path) -> str:
    """The file as UTF-8. Raises `Unreadable`."""
    size = path.stat().st_size
    if size > MOST:
        raise Unreadable(f"{size} bytes; logs of up to {MOST} are read: cut it to its evaluations")
    raw = path.read_bytes()
    if b"\0" in raw:
        raise Unreadable("a binary file; give the log as text or as parquet")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Unreadable(f"not UTF-8 (byte {error.start}); save it as UTF-8") from None
    if not text.strip():
        raise Unreadable("the file is empty")
    return text


def parse(text: str) -> Any:
    """JSON whose NaN and Infinity stay text: what is missing is not what was measured.

    Raises `ValueError`, for what is nested beyond reason too.
    """
    try:
        return json.loads(text, parse_constant=str, parse_int=_whole)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _whole(digits: str) -> int | float:
    """Longer integers than a machine's are floats, infinite ones too."""
    return int(digits) if len(digits) <= 18 else float(digits)


def read_document(path: Path) -> Any:
    """One JSON document. Raises `Unreadable`."""
    try:
        return parse(read_text(path))
    except ValueError as error:
        raise Unreadable(f"not JSON: {error}; is the file whole?") from None


def first_object(line: str) -> dict[str, Any] | None:
    """The JSON object that ends a line, after what a logger wrote before it; None: no object."""
    begin = line.find("{")
    if begin < 0:
        return None
    try:
        found = parse(line[begin:])
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def flat(fields: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Names joined by `/` and their values; lists are left out."""
    stack = [(prefix, fields)]
    while stack:
        before, level = stack.pop()
        for name, value in level.items():
            if isinstance(value, Mapping):
                stack.append((f"{before}{name}/", value))
            elif not isinstance(value, list):
                yield f"{before}{name}", value
