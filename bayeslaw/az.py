"""ArviZ, the right one on either Python: `from bayeslaw import az`.

On Python 3.12 and later that is `arviz` 1. On 3.11 a bare `import arviz` would give the old
interface, which takes no DataTree; there this is one namespace of `arviz_base`, `arviz_stats` and
`arviz_plots`, which is what arviz 1 is made of. They are loaded when the first name is asked for.
"""

from __future__ import annotations

import importlib
from functools import lru_cache
from importlib.metadata import version
from types import ModuleType
from typing import Any

PARTS = ("arviz_plots", "arviz_stats", "arviz_base")


@lru_cache(maxsize=1)
def _parts() -> tuple[ModuleType, ...]:
    names = ("arviz",) if int(version("arviz").split(".")[0]) >= 1 else PARTS
    return tuple(importlib.import_module(name) for name in names)


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    for part in _parts():
        if hasattr(part, name):
            return getattr(part, name)
    said = ", ".join(part.__name__ for part in _parts())
    raise AttributeError(f"ArviZ has no '{name}' (looked in {said})")


def __dir__() -> list[str]:
    return sorted({n for part in _parts() for n in dir(part) if not n.startswith("_")})
