"""The docstrings of the package as reStructuredText.

They are written to be read in the source: `names` in single backticks, a field and its meaning on
a line (`flops: the budget`), formulas indented. Markup that nobody meant is escaped.
"""

from __future__ import annotations

import re

_FIELD = re.compile(r"([a-zA-Z_][\w, /.…]{0,60}): +(\S.*)")
_NAME = re.compile(r"`([^`]+)`")


def as_rst(lines: list[str]) -> list[str]:
    """The same text as paragraphs, fields and literal blocks.

    >>> as_rst(["Its `loss`.", "", "flops: the budget,", "    in FLOPs.", "", "    6 N D"])
    ['Its ``loss``.', '', '* **flops**: the budget, in FLOPs.', '', '::', '', '    6 N D', '']
    """
    out: list[str] = []
    for block in _blocks(lines):
        if block[0].startswith(" ") or block[0].startswith((">>>", "- ", "|")):
            out += [
                "::",
                "",
                *(f"    {line.strip() and line.removeprefix('    ')}" for line in block),
            ]
        elif any(_FIELD.fullmatch(line.strip()) and not line.startswith(" ") for line in block):
            out += _fields(block)
        else:
            out.append(_inline(" ".join(line.strip() for line in block)))
        out.append("")
    return out[:-1] if out and out[-1] == "" and not lines[-1].startswith(" ") else out


def _blocks(lines: list[str]) -> list[list[str]]:
    found: list[list[str]] = [[]]
    for line in lines:
        if line.strip():
            found[-1].append(line.rstrip())
        elif found[-1]:
            found.append([])
    return [block for block in found if block]


def _fields(block: list[str]) -> list[str]:
    """`name: meaning`, continued on indented lines; other lines are text before or after."""
    items: list[str] = []
    for line in block:
        field = _FIELD.fullmatch(line.strip())
        if field and not line.startswith(" "):
            items.append(f"* **{_plain(field[1])}**: {_inline(field[2])}")
        elif items:
            items[-1] += f" {_inline(line.strip())}"
        else:
            items.append(f"* {_inline(line.strip())}")
    return items


def _inline(text: str) -> str:
    parts = _NAME.split(text)
    said = ""
    for i, part in enumerate(parts):
        if i % 2:
            follows = parts[i + 1][:1].isalnum()  # as in `Law`s: the markup must end before
            said += f"``{part}``" + ("\\ " if follows else "")
        else:
            said += _plain(part)
    return said


def _plain(text: str) -> str:
    return re.sub(r"([\\*|_`])", r"\\\1", text)
