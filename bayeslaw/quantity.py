"""Numbers as people write them: `7B`, `2.5T`, `1e21`."""

from __future__ import annotations

import math
import re

_SUFFIX = {"": 1.0, "k": 1e3, "m": 1e6, "b": 1e9, "g": 1e9, "t": 1e12}
_WRITTEN = re.compile(r"([+-]?(?:\d[\d_,]*\.?\d*|\.\d+)(?:e[+-]?\d+)?)\s*([kmbgt]?)", re.I)


def parse_quantity(text: str | float) -> float:
    """A plain float from a number or its human form. Raises `ValueError` on anything else.

    >>> parse_quantity("7B"), parse_quantity("2.5T"), parse_quantity("1e21"), parse_quantity(3)
    (7000000000.0, 2500000000000.0, 1e+21, 3.0)
    """
    if isinstance(text, (int, float)):
        return float(text)
    match = _WRITTEN.fullmatch(str(text).strip())
    if not match:
        if str(text).strip().lower() in ("inf", "infinity"):
            return math.inf
        raise ValueError(f"'{text}' is not a number; write 7e9, 7B, 350M, 12k or 2.5T")
    number, suffix = match.groups()
    return float(number.replace("_", "").replace(",", "")) * _SUFFIX[suffix.lower()]


def format_quantity(value: float) -> str:
    """Three significant digits and a suffix; scientific above 1000 T.

    >>> format_quantity(7e9), format_quantity(1.234e12), format_quantity(5.76e23)
    ('7B', '1.23T', '5.76e23')
    """
    if not math.isfinite(value) or value == 0:
        return f"{value:g}"
    rounded = float(f"{value:.3g}")
    for suffix, scale in (("T", 1e12), ("B", 1e9), ("M", 1e6), ("k", 1e3), ("", 1.0)):
        if scale <= abs(rounded) < scale * 1e3 or (suffix == "" and abs(rounded) < 1e3):
            return f"{rounded / scale:g}{suffix}"
    return re.sub(r"e\+?0*", "e", f"{rounded:.3g}")
