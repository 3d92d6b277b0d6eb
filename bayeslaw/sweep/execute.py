"""Executors: whatever has `submit(fn, *args)` returning an object with `.result()`."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.connection import wait
from threading import Thread
from typing import Any, Protocol


class Job(Protocol):
    def result(self) -> Any: ...


class Executor(Protocol):
    """The whole protocol. `fn` is a module-level function; arguments and result are picklable."""

    def submit(self, fn: Callable[..., Any], /, *args: Any) -> Job: ...


class Local(ProcessPoolExecutor):
    """A pool of processes on this machine. Left by an exception (Ctrl-C too) it ends them at once:
    they are used for work that can be killed at any moment."""

    def __exit__(self, kind: Any, *rest: Any) -> bool | None:
        if kind is not None:
            for process in list((self._processes or {}).values()):
                process.kill()
            self.shutdown(cancel_futures=True)
        return super().__exit__(kind, *rest)


def local(processes: int, threads: int = 1) -> Local:
    """A pool of processes on this machine, each pinned to `threads` threads.

    Spawned, not forked: a forked process inherits locks of the parent's libraries.
    """
    return Local(
        processes,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_settle,
        initargs=(threads,),
    )


def _settle(threads: int) -> None:
    """A worker's first act: pinned, deaf to Ctrl-C (its parent ends it), gone with its parent."""
    import os

    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = str(threads)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        sentinel = parent.sentinel

        def follow() -> None:
            wait([sentinel])
            os._exit(1)

        Thread(target=follow, daemon=True).start()


EXECUTORS = {"local": local}
