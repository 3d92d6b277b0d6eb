"""Float64 and the compilation cache, for the length of a call and not longer."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import jax
from platformdirs import user_cache_dir

# jax.enable_x64 is a context manager from 0.8 on; before, it lived in jax.experimental.
if hasattr(jax, "enable_x64"):
    _enable_x64 = jax.enable_x64
else:
    from jax.experimental import enable_x64 as _enable_x64  # type: ignore[no-redef]

_CACHE = {
    "jax_compilation_cache_dir": "",  # filled in at the first use
    "jax_persistent_cache_min_compile_time_secs": 0.0,
    "jax_persistent_cache_min_entry_size_bytes": -1,
}


def cache_folder(name: str) -> Path:
    """Where what was compiled is kept: in `$BAYESLAW_CACHE`, or in the user's cache folder."""
    return Path(os.environ.get("BAYESLAW_CACHE") or user_cache_dir("bayeslaw")) / name


@contextmanager
def double() -> Iterator[None]:
    """Run the block in float64 with the persistent compilation cache on.

    Global jax settings are as before when the block ends. A cache folder that the caller has set
    for jax is left in use.
    """
    before = {name: getattr(jax.config, name) for name in _CACHE}
    ours = not before["jax_compilation_cache_dir"]
    try:
        if ours:
            for name, value in {
                **_CACHE,
                "jax_compilation_cache_dir": str(cache_folder("xla")),
            }.items():
                jax.config.update(name, value)
        with _enable_x64(True):
            yield
    finally:
        if ours:
            for name, value in before.items():
                jax.config.update(name, value)
