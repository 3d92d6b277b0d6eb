"""TOML files, whatever is in them."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

from bayeslaw.errors import BayeslawError

MOST = 1 << 20  # bytes; settings are shorter
DEEP = 200  # parts of a dotted key
_DOTTED = re.compile(rf"(?:[\w\"'-]{{1,64}}[ \t]*\.[ \t]*){{{DEEP}}}")


def read_toml(path: str | Path, error: type[BayeslawError]) -> dict[str, Any]:
    """The file's tables. Raises `error` where it is none: absent, too large, not UTF-8, not TOML,
    nested beyond reason."""
    path = Path(path)
    try:
        if not path.is_file():
            raise error(f"{path}: no such file")
        if (size := path.stat().st_size) > MOST:
            raise error(f"{path}: {size} bytes; TOML of up to {MOST} is read")
        text = path.read_text(encoding="utf-8")
        if text.count(".") > DEEP and _DOTTED.search(text):
            raise RecursionError  # which it may not be, but would take the square of its length
        return tomllib.loads(text)
    except RecursionError:
        raise error(f"{path}: not readable as TOML: nested too deeply") from None
    except (OSError, ValueError) as why:  # what tomllib raises is a ValueError
        raise error(f"{path}: not readable as TOML: {why}") from None
