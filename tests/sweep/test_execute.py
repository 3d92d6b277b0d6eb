"""Every executor keeps the protocol: `submit(fn, *args)` and `.result()`, errors included; and the
same rows come out of a sweep, a killed worker or not."""

from __future__ import annotations

import os
import signal
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from bayeslaw.errors import SweepError
from bayeslaw.sweep import EXECUTORS
from bayeslaw.sweep.execute import opened
from bayeslaw.sweep.slurm_jobs import SlurmJobs

NEEDS = {"local": None, "ray": "ray", "slurm": "submitit"}
OPTIONS: dict[str, dict[str, Any]] = {"slurm": {"cluster": "local"}}
TOML = """
name = "little"
corpus = "synthetic"
corpus_options = {size = 60000}
recipe = "tiny"
widths = [16]
pretrain_tokens = ["8k"]
specialize_tokens = ["4k"]
heldout_tokens = "4k"
checkpoint_minutes = 1e-9
"""


def power(base: int, exponent: int) -> int:
    return base**exponent


def fails() -> None:
    raise SweepError("as told")


def threads() -> str:
    return os.environ["OMP_NUM_THREADS"]


# The clients of both leave sockets and processes to the collector.
LEFT_OPEN = pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning",
    "ignore::DeprecationWarning", "ignore::FutureWarning",
)  # fmt: skip


@pytest.fixture(
    scope="module",
    params=["local", pytest.param("slurm", marks=[pytest.mark.slow, LEFT_OPEN]),
            pytest.param("ray", marks=[pytest.mark.slow, LEFT_OPEN])],
)  # fmt: skip
def executor(request, tmp_path_factory):
    name = request.param
    if NEEDS[name]:
        pytest.importorskip(NEEDS[name], reason=f"executor '{name}' needs {NEEDS[name]}")
    logs: Path = tmp_path_factory.mktemp("logs")
    made: AbstractContextManager = EXECUTORS[name](2, 1, logs, **OPTIONS.get(name, {}))
    with made as pool:
        yield pool


def test_executors_keep_the_protocol(executor):
    jobs = [executor.submit(power, 2, n) for n in range(3)]
    assert [job.result() for job in jobs] == [1, 2, 4]
    with pytest.raises(SweepError, match="as told"):
        executor.submit(fails).result()
    assert executor.submit(threads).result() == "1"


@pytest.fixture(scope="module")
def wanted(tmp_path_factory) -> bytes:
    from bayeslaw.train.study import run_sweep

    class Here:
        def submit(self, fn, /, *args: Any):
            value = fn(*args)
            return type("Done", (), {"result": lambda self: value})()

    out = tmp_path_factory.mktemp("here")
    (out / "sweep.toml").write_text(TOML)
    run_sweep(out / "sweep.toml", out, executor=Here())
    return (out / "runs.csv").read_bytes()


def dies_once(folder: str, work: Any, cell: Any, past: Any) -> None:
    """A cell whose worker is killed at its tenth step, the first time."""
    from bayeslaw.train import checkpoint
    from bayeslaw.train.cell import train_cell

    marked = Path(folder, cell.key)
    if not marked.exists():
        marked.touch()
        real = checkpoint.Keeper.__call__

        def deadly(self, state) -> None:
            real(self, state)
            if state.stage_steps == 10:
                os.kill(os.getpid(), signal.SIGKILL)

        checkpoint.Keeper.__call__ = deadly  # type: ignore[method-assign]
    train_cell(work, cell, past)


class Deadly:
    """An executor whose workers die once in every cell."""

    def __init__(self, pool: Any, folder: Path):
        self.pool, self.folder = pool, folder

    def submit(self, fn, /, *args: Any):
        return self.pool.submit(dies_once, str(self.folder), *args)


@pytest.mark.slow
def test_the_same_rows_come_out_where_ray_has_its_workers_killed_too(
    executor, request, wanted, tmp_path
):
    """Ray's workers are killed once in every cell: they are started again and go on."""
    from bayeslaw.train.study import run_sweep

    (tmp_path / "sweep.toml").write_text(TOML)
    deaths = tmp_path / "deaths"
    deaths.mkdir()
    killed = request.node.callspec.params["executor"] == "ray"
    pool = Deadly(executor, deaths) if killed else executor
    run_sweep(tmp_path / "sweep.toml", tmp_path, executor=pool)
    # A trunk, a cool-down, two branches.
    assert len(list(deaths.iterdir())) == (4 if killed else 0)
    assert (tmp_path / "runs.csv").read_bytes() == wanted


@pytest.mark.parametrize("name", ["local", "ray", "slurm"])
def test_options_that_do_not_fit_an_executor_are_told(name, tmp_path):
    if NEEDS[name]:
        pytest.importorskip(NEEDS[name])
    with pytest.raises(SweepError, match=rf"executor_options.*'{name}'.*no_such_thing"):
        opened(name, 1, 1, tmp_path, {"no_such_thing": 1})


def test_slurm_has_so_many_jobs_at_once_as_there_are_processes():
    """A fourth job of three is submitted when the oldest has ended."""

    class Job:
        ended = False

        def done(self) -> bool:
            return self.ended

        def wait(self) -> None:
            self.ended = True

    class Submits:
        most = 0

        def submit(self, *args: Any) -> Job:
            self.most = max(self.most, 1 + sum(not j.ended for j in jobs.jobs))
            return Job()

    jobs = object.__new__(SlurmJobs)
    jobs.processes, jobs.threads, jobs.jobs, jobs.executor = 3, 1, [], Submits()
    for _ in range(5):
        jobs.submit(power, 2, 2)
    assert jobs.executor.most == 3
    assert [j.ended for j in jobs.jobs] == [True, True, False, False, False]


def test_an_executor_that_is_not_there_is_named(tmp_path):
    from bayeslaw.train.study import run_sweep

    (tmp_path / "sweep.toml").write_text(TOML)
    with pytest.raises(SweepError, match="executor 'none' is not one of local, ray, slurm"):
        run_sweep(tmp_path / "sweep.toml", tmp_path, executor="none")
