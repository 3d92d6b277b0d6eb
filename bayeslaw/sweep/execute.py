"""Executors: whatever has `submit(fn, *args)` returning an object with `.result()`."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import AbstractContextManager
from multiprocessing.connection import wait
from pathlib import Path
from threading import Thread
from typing import Any, Protocol

from bayeslaw.errors import SweepError


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


def local(processes: int, threads: int = 1, folder: Path | None = None, **options: Any) -> Local:
    """A pool of processes on this machine, each pinned to `threads` threads.

    Spawned, not forked: a forked process inherits locks of the parent's libraries. Raises
    `SweepError` for options: it has none.
    """
    if options:
        raise SweepError(f"executor_options: executor 'local' has none, got {', '.join(options)}; "
                         "leave them out, or name the executor that they are for")  # fmt: skip
    return Local(
        processes,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_settle,
        initargs=(threads,),
    )


def _settle(threads: int) -> None:
    """A worker's first act: pinned, deaf to Ctrl-C (its parent ends it), gone with its parent."""
    import os

    pin(threads)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        sentinel = parent.sentinel

        def follow() -> None:
            wait([sentinel])
            os._exit(1)

        Thread(target=follow, daemon=True).start()


def pin(threads: int) -> None:
    """As many threads in this process as it was given cores, before its libraries load."""
    import os

    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = str(threads)


def ray(processes: int, threads: int = 1, folder: Path | None = None, **options: Any) -> Any:
    """Tasks of a Ray cluster: of the one that `RAY_ADDRESS` names, else of one started here."""
    from bayeslaw.sweep.ray_cluster import RayCluster

    return RayCluster(processes, threads, **options)


def slurm(processes: int, threads: int = 1, folder: Path | None = None, **options: Any) -> Any:
    """Jobs of SLURM through submitit; processes of this machine where there is no SLURM."""
    from bayeslaw.sweep.slurm_jobs import SlurmJobs

    return SlurmJobs(processes, threads, folder, **options)


def opened(
    name: str, processes: int, threads: int, folder: Path, options: Mapping[str, Any]
) -> AbstractContextManager[Any]:
    """An executor of the table. Raises `SweepError` for options that it does not take."""
    try:
        return EXECUTORS[name](processes, threads, folder, **options)
    except (TypeError, ValueError, NameError, RuntimeError) as error:
        raise SweepError(f"executor_options do not fit executor '{name}': {error}") from None


# name -> (processes, threads, folder for logs, options of sweep.toml) -> a context of an executor
EXECUTORS: dict[str, Callable[..., AbstractContextManager[Any]]] = {
    "local": local, "ray": ray, "slurm": slurm,
}  # fmt: skip
