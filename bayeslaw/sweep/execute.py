"""Executors: whatever has `submit(fn, *args)` returning an object with `.result()`."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Any, Protocol


class Job(Protocol):
    def result(self) -> Any: ...


class Executor(Protocol):
    """The whole protocol. `fn` is a module-level function; arguments and result are picklable."""

    def submit(self, fn: Callable[..., Any], *args: Any) -> Job: ...


def local(processes: int, threads: int = 1) -> ProcessPoolExecutor:
    """A pool of processes on this machine, each pinned to `threads` threads.

    Spawned, not forked: a forked process inherits locks of the parent's libraries.
    """
    return ProcessPoolExecutor(
        processes,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_pin,
        initargs=(threads,),
    )


def _pin(threads: int) -> None:
    import os

    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = str(threads)


EXECUTORS = {"local": local}
