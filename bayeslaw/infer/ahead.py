"""Compiling: quickly, and ahead of the first call, in the background."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache
from typing import Any

import jax
import numpy as np

_pool = ThreadPoolExecutor(1, thread_name_prefix="compile")


@lru_cache(maxsize=1)
def _options() -> dict[str, bool] | None:
    """Compiler options that this XLA knows.

    Without its newer fusion emitters XLA compiles these small programs in two thirds of the time,
    and they run as fast.
    """
    options = {"xla_cpu_use_fusion_emitters": False}
    try:
        jax.jit(lambda x: x, compiler_options=options)(0.0)
    except (jax.errors.JaxRuntimeError, ValueError):
        return None
    return options


def jit(fn: Callable[..., Any]) -> Any:
    """`jax.jit` with the options above."""
    return jax.jit(fn, compiler_options=_options())


class Ahead:
    """`jax.jit(fn)` with `prepare`: XLA compiles outside Python's lock while the caller goes on.

    Tracing stays in the caller's thread, because NumPyro's handlers are global. Arguments that
    differ in shape from those prepared are compiled when they are met.
    """

    def __init__(self, fn: Callable[..., Any]):
        self._jitted = jit(fn)
        self._ready: dict[Any, Future] = {}

    def prepare(self, *args: Any) -> None:
        """Begin to compile for the shapes of `args`: arrays, or what `jax.eval_shape` returns."""
        key = _shapes(args)
        if key not in self._ready:
            self._ready[key] = _pool.submit(self._jitted.lower(*args).compile)

    def shapes(self, *args: Any) -> Any:
        """The shapes of what a call would return."""
        return jax.eval_shape(self._jitted, *args)

    def __call__(self, *args: Any) -> Any:
        ready = self._ready.get(_shapes(args))
        return self._jitted(*args) if ready is None else ready.result()(*args)


def _shapes(args: Any) -> Any:
    leaves, structure = jax.tree.flatten(args)
    return structure, tuple(np.shape(leaf) for leaf in leaves)
