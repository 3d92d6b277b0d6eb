"""SLURM as an executor, through submitit: a job that is preempted is queued again and goes on."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bayeslaw.errors import SweepError
from bayeslaw.sweep.execute import pin


class SlurmJobs:
    """A job for each cell, `processes` of them at once: `submit` waits while so many are queued or
    at work. Logs go to `folder`.

    options: parameters of submitit, as `timeout_min`, `slurm_partition` or `gpus_per_node`; and
    `cluster = "local"` to run them here. Raises `SweepError` without submitit.
    """

    def __init__(
        self, processes: int, threads: int = 1, folder: Path | None = None, **options: Any
    ):
        try:
            import submitit
        except ModuleNotFoundError:
            raise SweepError("executor 'slurm' needs: pip install 'bayeslaw[slurm]'") from None
        self.processes, self.threads, self.jobs = processes, threads, list[Any]()
        cluster = options.pop("cluster", None)
        place = folder or Path(tempfile.mkdtemp(prefix="bayeslaw-"))
        self.executor = submitit.AutoExecutor(folder=place / "%j", cluster=cluster)
        ours = {"name": "bayeslaw", "cpus_per_task": threads, "timeout_min": 240}
        self.executor.update_parameters(**{**ours, **options})

    def submit(self, fn: Callable[..., Any], /, *args: Any) -> SlurmJob:
        while len(busy := [j for j in self.jobs if not j.done()]) >= self.processes:
            busy[0].wait()  # the oldest
        job = self.executor.submit(Kept(), self.threads, fn, args)
        self.jobs.append(job)
        return SlurmJob(job)

    def __enter__(self) -> SlurmJobs:
        return self

    def __exit__(self, kind: Any, *error: Any) -> None:
        if kind is not None:
            for job in self.jobs:
                job.cancel()


class SlurmJob:
    def __init__(self, job: Any):
        self.job = job

    def result(self) -> Any:
        from submitit.core.utils import FailedJobError, UncompletedJobError

        try:
            value, error = self.job.result()
        except (FailedJobError, UncompletedJobError) as failed:
            raise SweepError(f"job {self.job.job_id} was lost, see {self.job.paths.stderr}: "
                             f"{str(failed).strip().splitlines()[-1]}") from None  # fmt: skip
        if error is not None:
            raise error
        return value


class Kept:
    """What a job calls. Before it is preempted it asks to be queued again, with the same cell."""

    def __call__(self, threads: int, fn: Callable[..., Any], args: tuple[Any, ...]) -> Any:
        pin(threads)
        try:
            return fn(*args), None
        except Exception as error:  # told where the sweep was started
            return None, error

    def checkpoint(self, *args: Any) -> Any:
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self, *args)
