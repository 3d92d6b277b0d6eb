"""No run is lost: killed anywhere, out of disk, with broken files, beside another, interrupted."""

from __future__ import annotations

import contextlib
import errno
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bayeslaw.errors import SweepError
from bayeslaw.sweep import RECIPES, read_sweep
from bayeslaw.sweep.execute import local
from bayeslaw.train import cell as cells_at_work
from bayeslaw.train import checkpoint
from bayeslaw.train.loop import start
from bayeslaw.train.study import run_sweep
from tests.train.little import OFTEN, Here, Killed
from tests.train.little import TOML as LITTLE

TOML = LITTLE + OFTEN + "processes = 1\n"
COMMAND = [sys.executable, "-m", "bayeslaw", "sweep"]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> tuple[Path, bytes]:
    folder = tmp_path_factory.mktemp("undisturbed")
    toml = folder / "sweep.toml"
    toml.write_text(TOML)
    run_sweep(toml, folder, executor=Here())
    return toml, (folder / "runs.csv").read_bytes()


def test_killed_at_twenty_steps_it_ends_in_the_same_bytes(undisturbed, tmp_path, monkeypatch):
    """Every step keeps a state here; the blow falls before or after it was written."""
    toml, wanted = undisturbed
    rng, kills = random.Random(0), 0
    real = checkpoint.Keeper.__call__

    def dangerous(self, state) -> None:
        if falls[0] == 0 and rng.random() < 0.5:
            raise Killed
        real(self, state)
        falls[0] -= 1
        if falls[0] < 0:
            raise Killed

    monkeypatch.setattr(checkpoint.Keeper, "__call__", dangerous)
    while kills < 20:
        falls = [rng.randrange(6)]
        with pytest.raises(Killed):
            run_sweep(toml, tmp_path, executor=Here())
        kills += 1
    falls = [10**9]
    run_sweep(toml, tmp_path, executor=Here())
    assert stops_of(tmp_path) == stops_of(toml.parent)
    assert (tmp_path / "runs.csv").read_bytes() == wanted


def test_a_stop_that_was_reached_but_not_written_is_not_lost(undisturbed, tmp_path, monkeypatch):
    """Killed after the state of a stop's own step was kept, and before the stop was written."""
    toml, wanted = undisturbed
    real = checkpoint.Keeper.__call__
    stops = sorted(int(s) for s in stops_of(toml.parent))
    at = [s // read_sweep(toml).rule.tokens_per_step for s in stops]

    def deadly(self, state) -> None:
        real(self, state)
        if at and state.steps == at[0]:
            at.pop(0)
            raise Killed

    monkeypatch.setattr(checkpoint.Keeper, "__call__", deadly)
    for n, stop in enumerate(stops):
        with pytest.raises(Killed):
            run_sweep(toml, tmp_path, executor=Here())
        assert len(stops_of(tmp_path)) == n, stop
    run_sweep(toml, tmp_path, executor=Here())
    assert stops_of(tmp_path) == stops_of(toml.parent)
    assert (tmp_path / "runs.csv").read_bytes() == wanted


def stops_of(folder: Path) -> set[str]:
    return {p.stem for p in (folder / "work").glob("trunk-*/*.safetensors") if p.stem.isdigit()}


def test_seconds_of_a_state_are_those_before_this_process_and_its_own(tmp_path, monkeypatch):
    """What is kept holds both, the state in memory those before: they are not counted twice."""
    clock = iter(range(100))
    monkeypatch.setattr(checkpoint, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    state = start(RECIPES["tiny"], 16, 0)
    state.seconds = 100.0
    keep = checkpoint.Keeper(tmp_path / "part.safetensors", 5.0)
    for after in (2, 4):  # the clock is read twice each time
        keep(state)
        assert checkpoint.read(tmp_path / "part.safetensors")[1]["seconds"] == 100 + after
    assert state.seconds == 100


def test_a_state_within_a_cell_is_gone_on_with(undisturbed, tmp_path, monkeypatch):
    """After a kill at a late step only what was left is trained."""
    toml, _ = undisturbed
    steps = [0]
    real = checkpoint.Keeper.__call__

    def counting(self, state) -> None:
        real(self, state)
        steps[0] += 1
        if steps[0] == 20:
            raise Killed

    monkeypatch.setattr(checkpoint.Keeper, "__call__", counting)
    with pytest.raises(Killed):
        run_sweep(toml, tmp_path, executor=Here())
    run_sweep(toml, tmp_path, executor=Here())
    spec = read_sweep(toml)
    trunk, cooled = 64, 12 + 6  # steps: 16k tokens; a fifth of 16k and of 8k
    branches = 2 * 2 * (spec.whole(4000) // spec.rule.tokens_per_step)
    assert steps[0] == pytest.approx(trunk + cooled + branches, abs=4)


@pytest.mark.parametrize("harm", ["cut", "changed", "gone", "empty"])
def test_a_checkpoint_that_cannot_be_read_is_made_again(undisturbed, tmp_path, harm):
    toml, wanted = undisturbed
    run_sweep(toml, tmp_path, executor=Here())
    work = tmp_path / "work"
    for file in work.glob("trunk-*/*.safetensors"):
        if harm == "gone":
            file.unlink()
            continue
        raw = bytearray(file.read_bytes())
        raw[-9] ^= 1
        file.write_bytes({"cut": raw[:-50], "changed": raw, "empty": b""}[harm])
    for done in [*work.glob("branch-*/done.json"), *work.glob("cooldown-*/done.json")]:
        done.unlink()
    (tmp_path / "runs.csv").unlink()
    run_sweep(toml, tmp_path, executor=Here())
    assert (tmp_path / "runs.csv").read_bytes() == wanted


def test_a_result_or_a_corpus_cut_short_is_made_again(undisturbed, tmp_path):
    toml, wanted = undisturbed
    run_sweep(toml, tmp_path, executor=Here())
    next((tmp_path / "work").glob("branch-*/done.json")).write_text('{"status": "o')
    next((tmp_path / "work").glob("corpus-*/corpus.json")).write_text("")
    done = run_sweep(toml, tmp_path, executor=Here())
    assert done.trained == 1
    assert (tmp_path / "runs.csv").read_bytes() == wanted


def test_a_full_disk_is_told_and_gone_on_from(undisturbed, tmp_path, monkeypatch):
    toml, wanted = undisturbed
    real, room = checkpoint.write, [3]

    def write(state, path) -> None:
        room[0] -= 1
        if room[0] < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(state, path)

    for module in (checkpoint, cells_at_work):
        monkeypatch.setattr(module, "write", write)
    with pytest.raises(SweepError, match=r"no room left in .*run the same command again"):
        run_sweep(toml, tmp_path, executor=Here())
    assert not (tmp_path / "runs.csv").exists()
    room[0] = 10**9
    run_sweep(toml, tmp_path, executor=Here())
    assert (tmp_path / "runs.csv").read_bytes() == wanted


class Doubled:
    """An executor that asks for another sweep in the folder before every cell."""

    def __init__(self, toml: Path, out: Path):
        self.toml, self.out = toml, out

    def submit(self, fn, /, *args: Any):
        with pytest.raises(SweepError, match="another sweep is at work in"):
            run_sweep(self.toml, self.out, executor=Here())
        return Here().submit(fn, *args)


def test_a_second_sweep_in_the_folder_is_refused_while_the_first_runs(undisturbed, tmp_path):
    toml, wanted = undisturbed
    run_sweep(toml, tmp_path, executor=Doubled(toml, tmp_path))
    assert (tmp_path / "runs.csv").read_bytes() == wanted
    assert run_sweep(toml, tmp_path, executor=Here()).trained == 0


def waits(folder: str) -> None:
    Path(folder, str(os.getpid())).touch()
    time.sleep(60)


def ends(folder: str) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_an_interrupted_pool_ends_its_processes_at_once(tmp_path):
    began = time.monotonic()
    with contextlib.suppress(KeyboardInterrupt), local(1) as pool:
        pool.submit(waits, str(tmp_path))
        while not any(tmp_path.iterdir()):
            time.sleep(0.02)
        raise KeyboardInterrupt
    assert time.monotonic() - began < 50
    with pytest.raises(ProcessLookupError):
        os.kill(int(next(tmp_path.iterdir()).name), 0)


def test_a_worker_that_was_killed_is_told(undisturbed, tmp_path):
    class Deadly:
        def submit(self, fn, /, *args: Any):
            return pool.submit(ends, "")

    with local(1) as pool, pytest.raises(SweepError, match="a worker was killed"):
        run_sweep(undisturbed[0], tmp_path, executor=Deadly())


def started(toml: Path, out: Path) -> subprocess.Popen:
    """A sweep in a process group of its own; what it complains of goes to a file of its own too:
    a killed one's resource tracker may still have something to say later."""
    with (out / f"complaints-{len(list(out.glob('complaints-*')))}").open("w") as complaints:
        return subprocess.Popen(
            [*COMMAND, str(toml), "--out", str(out)], start_new_session=True,
            stdout=subprocess.DEVNULL, stderr=complaints,
        )  # fmt: skip


def busy(out: Path, process: subprocess.Popen, files: int) -> None:
    """Wait until the sweep has left so many files of its cells, one of them new."""
    before = set((out / "work").glob("*-*/*.*"))
    deadline = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < deadline:
        if len(here := set((out / "work").glob("*-*/*.*"))) >= files and here - before:
            return
        time.sleep(0.01)


@pytest.mark.slow
def test_kill_9_and_ctrl_c_lose_nothing(undisturbed, tmp_path):
    """Ctrl-C, the whole group killed, and the parent alone killed (its workers go with it)."""
    toml, wanted = undisturbed
    # Ctrl-C first: a sweep that is about to end may not be told of it in time.
    for files, blow in ((3, signal.SIGINT), (6, signal.SIGKILL), (9, signal.SIGKILL)):
        process = started(toml, tmp_path)
        busy(tmp_path, process, files)
        assert process.poll() is None
        if files == 9:
            process.kill()
        else:
            os.killpg(process.pid, blow)
        process.wait(60)
        if blow == signal.SIGINT:
            assert process.returncode == 130
            assert max(tmp_path.glob("complaints-*")).read_text() == "interrupted\n"
    process = started(toml, tmp_path)
    assert process.wait(120) == 0
    assert stops_of(tmp_path) == stops_of(toml.parent)
    assert (tmp_path / "runs.csv").read_bytes() == wanted
