"""Names as cells of a CSV: a spreadsheet takes none of them for a formula."""

from __future__ import annotations

import re

# A spreadsheet computes a cell that starts so. An apostrophe before it makes it text, and is not
# shown; a name that has one there already gets one more, so that reading gives back what was meant.
_FORMULA = re.compile(r"'*[=+\-@\t\r]")
_NAMELESS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def guarded(name: str) -> str:
    """The name as it is written.

    >>> guarded("code"), guarded("=1+1"), guarded("'=1+1")
    ('code', "'=1+1", "''=1+1")
    """
    return f"'{name}" if _FORMULA.match(name) else name


def unguarded(cell: str) -> str:
    """The name that was meant: the inverse of `guarded`.

    >>> unguarded("code"), unguarded("'=1+1"), unguarded("=1+1"), unguarded("'tis")
    ('code', '=1+1', '=1+1', "'tis")
    """
    return cell[1:] if cell[:1] == "'" and _FORMULA.match(cell) else cell


def inert(cell: str) -> str:
    """A cell of somebody's file, which is read as before: guarded if it would be computed.

    >>> inert("=1+1"), inert("'=1+1"), inert("-3"), inert("+1e9")
    ("'=1+1", "'=1+1", '-3', '+1e9')
    """
    if cell[:1] == "'" or not _FORMULA.match(cell):
        return cell
    try:
        float(cell)
    except ValueError:
        return f"'{cell}"
    return cell


def printable(name: str) -> bool:
    """Whether it has no control characters and no halves of characters: it can be written as
    UTF-8, in one line, and does nothing to a terminal.

    >>> printable("größe é"), printable("two\\nlines")
    (True, False)
    """
    return _NAMELESS.search(name) is None
