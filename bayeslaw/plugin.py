"""A user's own object, named by its file: `FILE.py:NAME`."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

from bayeslaw.errors import BayeslawError


def from_file(text: str, example: str, error: type[BayeslawError]) -> Any:
    """What `FILE.py:NAME` names. The file is run anew each time.

    example: what stands for NAME in the advice. Raises `error` where there is no such file, where
    it does not load, or where it has no such name.
    """
    path, attribute = text.rsplit(":", 1)
    file = Path(path)
    if not file.is_file():
        raise error(f"no file '{path}'; give FILE.py:{example} with a path from here")
    spec = importlib.util.spec_from_file_location(f"bayeslaw_own_{file.stem}", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as why:
        raise error(f"'{path}' does not load: {type(why).__name__}: {why}") from why
    if attribute not in vars(module):
        raise error(f"'{path}' has no '{attribute}'")
    return vars(module)[attribute]
