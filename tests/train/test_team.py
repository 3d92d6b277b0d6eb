"""Two processes that train one model together do what one does, whole or sharded."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from bayeslaw.errors import SweepError
from bayeslaw.train import team
from bayeslaw.train.study import run_sweep
from tests.train.little import TOML as LITTLE
from tests.train.little import Here

TOML = LITTLE.replace('["8k", "16k"]', '["8k"]') + "microbatch = 3\n"


@pytest.fixture(scope="module")
def alone(tmp_path_factory) -> tuple[Path, pd.DataFrame]:
    out = tmp_path_factory.mktemp("alone")
    (out / "sweep.toml").write_text(TOML)
    run_sweep(out / "sweep.toml", out, executor=Here())
    return out / "sweep.toml", pd.read_csv(out / "runs.csv")


def torchrun(toml: Path, out: Path, *options: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2",
         "-m", "bayeslaw.train.team", str(toml), "--out", str(out), *options],
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("options", [(), ("--shard",)], ids=["ddp", "fsdp"])
def test_two_gloo_processes_give_the_losses_of_one(alone, tmp_path, options):
    toml, one = alone
    done = torchrun(toml, tmp_path, *options)
    assert done.returncode == 0, done.stderr
    two = pd.read_csv(tmp_path / "runs.csv")
    assert (two["run_id"] == one["run_id"]).all()
    assert (two["loss"] - one["loss"]).abs().max() <= 1e-5
    kept = {p.name for p in (tmp_path / "work").iterdir()}
    assert not kept & {p.name for p in (toml.parent / "work").iterdir() if "-" in p.name} - {
        p for p in kept if p.startswith("corpus")
    }
    if not options:
        again = torchrun(toml, tmp_path)
        assert "0 cells trained, 4 there already" in again.stdout


def test_a_batch_that_a_team_cannot_share_is_refused_at_the_start(tmp_path, monkeypatch):
    (tmp_path / "sweep.toml").write_text(TOML)
    monkeypatch.setattr(team, "size", lambda: 3)
    with pytest.raises(SweepError, match="3 processes cannot share a batch of 8 equally"):
        run_sweep(tmp_path / "sweep.toml", tmp_path, executor=Here())
    assert [p.name for p in tmp_path.iterdir()] == ["sweep.toml"]


def test_without_a_team_there_is_one_process():
    assert (team.size(), team.name(), team.follower()) == (1, "", False)
    assert team.mine(8) == slice(0, 8)
    assert team.decided(True)
