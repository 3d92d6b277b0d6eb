"""A program: a function that jax compiles once, in the background, and later processes find."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

import jax
from jax import export
from numpyro.infer.hmc import HMCState
from numpyro.infer.hmc_util import HMCAdaptState

from bayeslaw.infer.model import Described, Rows
from bayeslaw.infer.precision import cache_folder
from bayeslaw.laws import Anchor, Run
from bayeslaw.whole import whole

KEPT = 1024  # programs in the cache folder; the oldest go first

_pool = ThreadPoolExecutor(2, thread_name_prefix="compile")
Kind = TypeVar("Kind", bound=type[tuple])


def argument(kind: Kind) -> Kind:
    """Let a NamedTuple go in and out of programs."""
    name = f"{kind.__module__}.{kind.__qualname__}"
    export.register_namedtuple_serialization(kind, serialized_name=name)
    return kind


for _kind in (Run, Anchor, Rows, Described, HMCState, HMCAdaptState):
    argument(_kind)


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


class Program:
    """`jax.jit(fn)` that is compiled outside Python's lock, and kept for later processes.

    jax keeps machine code, but finds it only by tracing the function again, which for a sampler
    takes longer than the rest. So what was traced is kept too, in the cache folder, by what it was
    traced from: `about` (which must change whenever what `fn` computes does), the source of this
    room, the libraries, and the shapes of the arguments. A file that cannot be read is made again.

    Tracing stays in the caller's thread, because NumPyro's handlers are global.
    """

    def __init__(self, fn: Callable[..., Any], about: str):
        self._fn = fn
        self._about = about
        self._coming: dict[Any, Future] = {}
        self._compiled: dict[Any, Any] = {}

    def prepare(self, *args: Any) -> None:
        """Begin to compile for the shapes of `args`: arrays, or what `shapes` returns."""
        shapes = _shapes(args)
        if shapes not in self._compiled and shapes not in self._coming:
            self._coming[shapes] = _pool.submit(self._lowered(shapes, args).compile)

    def shapes(self, *args: Any) -> Any:
        """The shapes of what a call would return."""
        return jax.eval_shape(self._fn, *args)

    def __call__(self, *args: Any) -> Any:
        shapes = _shapes(args)
        if shapes not in self._compiled:
            coming = self._coming.pop(shapes, None)
            self._compiled[shapes] = (
                coming.result() if coming else self._lowered(shapes, args).compile()
            )
        return self._compiled[shapes](*args)

    def _lowered(self, shapes: Any, args: Any) -> Any:
        made_from = "\n".join((self._about, _maker(), *map(str, shapes)))
        file = cache_folder("programs") / hashlib.sha256(made_from.encode()).hexdigest()
        traced = _load(file) or _traced(self._fn, args, file)
        # What cannot be kept (a law that calls back into Python, say) runs all the same.
        fn = traced.call if traced else self._fn
        return jax.jit(fn, compiler_options=_options()).lower(*args)


def _shapes(args: Any) -> Any:
    leaves, structure = jax.tree.flatten(args)
    return structure, tuple(_shape(leaf) for leaf in leaves)


def _shape(leaf: Any) -> Any:
    return (leaf.shape, leaf.dtype) if hasattr(leaf, "dtype") else type(leaf).__name__


@lru_cache(maxsize=1)
def _maker() -> str:
    """What makes a program of a posterior: the source of this room, and what it stands on."""
    room = sorted(Path(__file__).parent.glob("*.py"))
    source = hashlib.sha256(b"\0".join(file.read_bytes() for file in room)).hexdigest()
    libraries = [f"{name} {version(name)}" for name in ("jax", "jaxlib", "numpyro")]
    return "\n".join((source, *libraries, jax.default_backend()))


def _load(file: Path) -> export.Exported | None:
    try:
        traced = export.deserialize(bytearray(file.read_bytes()))
        file.touch()
    except Exception:  # any file may lie there
        return None
    return traced


def _traced(fn: Callable[..., Any], args: Any, file: Path) -> export.Exported | None:
    try:
        traced = export.export(jax.jit(fn))(*args)
        words = traced.serialize()
    except Exception:  # of any kind: the caller traces again, and meets it there if it was ours
        return None
    # A cache that cannot be written costs time, not the answer.
    with suppress(OSError):
        with whole(file) as beside:
            beside.write_bytes(words)
        for old in sorted(file.parent.iterdir(), key=lambda f: -f.stat().st_mtime)[KEPT:]:
            old.unlink(missing_ok=True)
    return traced
