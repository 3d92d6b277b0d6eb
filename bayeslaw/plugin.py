"""Objects of others: a user's own, named by its file (`FILE.py:NAME`), and those of plug-ins, named
by an entry point."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from importlib.metadata import entry_points
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


def registered(group: str, error: type[BayeslawError], name: str | None = None) -> Iterator[Any]:
    """What plug-ins registered in an entry point group, all of it or what has this name: the
    objects, classes made. Raises `error` where one does not load."""
    found = entry_points(group=group) if name is None else entry_points(group=group, name=name)
    for entry in found:
        try:
            loaded = entry.load()
            yield loaded() if isinstance(loaded, type) else loaded
        except Exception as why:
            raise error(
                f"'{entry.name}' ({entry.value}) of a plug-in does not load: "
                f"{type(why).__name__}: {why}"
            ) from why


def names_of(group: str) -> list[str]:
    """What plug-ins call what they registered in a group."""
    return sorted({entry.name for entry in entry_points(group=group)})
