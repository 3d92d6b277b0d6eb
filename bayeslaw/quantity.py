"""Numbers as people write them: `7B`, `2.5T`, `1e21`."""

from __future__ import annotations

import math
import re
from typing import Any

SCALES = (("T", 1e12), ("B", 1e9), ("M", 1e6), ("k", 1e3))
_SUFFIX = {"": 1.0, "k": 1e3, "m": 1e6, "b": 1e9, "g": 1e9, "t": 1e12}
# Digits in groups (1_000, 1,000), but never a decimal comma: '1,5B' must not be read as 15B.
_DIGITS = r"\d+(?:_\d+)*|\d{1,3}(?:,\d{3})+"
_PLAIN = re.compile(rf"([+-]?(?:(?:{_DIGITS})(?:\.\d*)?|\.\d+))\s*([kmbgt]?)", re.I | re.A)
_SCIENTIFIC = re.compile(r"[+-]?(?:\d+(?:_\d+)*(?:\.\d*)?|\.\d+)e[+-]?\d+", re.I | re.A)


def parse_quantity(text: Any) -> float:
    """A plain float from a number or its human form. Raises `ValueError` on anything else.

    Suffixes are k, M, B (or G) and T, in either case; `inf` is read, `nan` is not.

    >>> parse_quantity("7B"), parse_quantity("2.5T"), parse_quantity("1e21"), parse_quantity(3)
    (7000000000.0, 2500000000000.0, 1e+21, 3.0)
    """
    if isinstance(text, float):
        return float(text)  # a NumPy float is one too
    written = str(text).strip()
    if written.lower().lstrip("+-") in ("inf", "infinity"):
        return float(written)
    if scientific := _SCIENTIFIC.fullmatch(written):
        value = float(scientific.group().replace("_", ""))
    elif plain := _PLAIN.fullmatch(written):
        number, suffix = plain.groups()
        value = float(re.sub("[_,]", "", number)) * _SUFFIX[suffix.lower()]
    else:
        raise ValueError(f"'{text}' is not a number; write 7e9, 7B, 350M, 12k or 2.5T")
    if math.isinf(value):
        raise ValueError(f"'{text}' is too large for a number")
    return value


def format_quantity(value: float) -> str:
    """Three significant digits and a suffix; scientific from 1000 T on.

    >>> format_quantity(7e9), format_quantity(1.234e12), format_quantity(5.76e23)
    ('7B', '1.23T', '5.76e23')
    """
    value = float(value)
    if not math.isfinite(value) or value == 0:
        return f"{abs(value) if value == 0 else value:g}"
    rounded = float(f"{value:.3g}")
    if abs(rounded) < 1e3 or abs(rounded) >= 1e15:
        return re.sub(r"e\+?(-?)0*", r"e\1", f"{rounded:.3g}")
    suffix, scale = next(s for s in SCALES if abs(rounded) >= s[1])
    return f"{rounded / scale:.3g}{suffix}"


def plain(value: float, digits: int = 3) -> str:
    """Significant digits as they are, with a suffix from a thousand on.

    >>> plain(1.2345), plain(12345.0), plain(0.5, 2)
    ('1.23', '12.3k', '0.5')
    """
    rounded = float(f"{value:.{digits}g}")
    return format_quantity(rounded) if abs(rounded) >= 1000 else f"{rounded:g}"


def chance(value: float, words: bool = False) -> str:
    """A probability in two digits; what is not certain is not called so.

    >>> chance(0.5), chance(0.999), chance(0.001, words=True)
    ('0.50', '> 0.99', 'less than 0.01')
    """
    less, more = ("less than", "more than") if words else ("<", ">")
    if 0 < value < 0.005:
        return f"{less} 0.01"
    return f"{more} 0.99" if 0.995 <= value < 1 else f"{value:.2f}"
