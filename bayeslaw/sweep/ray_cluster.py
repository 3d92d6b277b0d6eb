"""Ray as an executor: a task that dies with its worker is tried again, and goes on where it was."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from typing import Any

from bayeslaw.errors import SweepError
from bayeslaw.sweep.execute import pin

RETRIES = 5


class RayCluster:
    """Tasks on `threads` cores each. The folder of the sweep must be one that all nodes see.

    options: go to `ray.remote`, as `num_gpus = 1` or `max_retries`. Raises `SweepError` without
    Ray.
    """

    def __init__(self, processes: int, threads: int = 1, **options: Any):
        try:
            import ray
        except ModuleNotFoundError:
            raise SweepError("executor 'ray' needs Ray: pip install 'bayeslaw[ray]'") from None
        self.ray, self.threads = ray, threads
        fields = {"num_cpus": threads, "max_retries": RETRIES, **options}
        self.task = ray.remote(**fields)(_pinned)  # faults of the options, before a cluster starts
        self.ours = not ray.is_initialized()
        if self.ours:
            here: dict[str, Any] = {} if "RAY_ADDRESS" in os.environ else {
                "num_cpus": processes * threads, "include_dashboard": False,
            }  # fmt: skip
            ray.init(log_to_driver=False, logging_level=logging.ERROR, **here)

    def submit(self, fn: Callable[..., Any], /, *args: Any) -> Any:
        return Task(self.ray, self.task.remote(self.threads, fn, args))

    def __enter__(self) -> RayCluster:
        return self

    def __exit__(self, *error: Any) -> None:
        if self.ours:
            self.ray.shutdown()


class Task:
    def __init__(self, ray: Any, reference: Any):
        self.ray, self.reference = ray, reference

    def result(self) -> Any:
        try:
            return self.ray.get(self.reference)
        except self.ray.exceptions.RayTaskError as error:
            raise error.cause from None
        except self.ray.exceptions.RayError as error:
            raise SweepError(f"a Ray worker was lost for good: {error}") from None


def _pinned(threads: int, fn: Callable[..., Any], args: tuple[Any, ...]) -> Any:
    pin(threads)
    return fn(*args)
