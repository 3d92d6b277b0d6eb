"""On an accelerator: what a processor trains in float32, to a stated tolerance; nothing lost."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
import torch

from bayeslaw.corpus import synthetic
from bayeslaw.sweep import RECIPES
from bayeslaw.train import capture, checkpoint
from bayeslaw.train.checkpoint import pack
from bayeslaw.train.data import mixed
from bayeslaw.train.device import settle
from bayeslaw.train.loop import start, train, warm
from bayeslaw.train.study import run_sweep
from tests.train.little import Here, Killed

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.slow,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no accelerator here"),
    # What torch's compiler says of its own parts fails no test.
    pytest.mark.filterwarnings("default"),
]

TINY = RECIPES["tiny"]
TOML = """
name = "little"
corpus = "synthetic"
corpus_options = {size = 200000}
recipe = "tiny"
widths = [16, 32]
pretrain_tokens = ["16k", "32k"]
specialize_tokens = ["8k"]
heldout_tokens = "16k"
microbatch = 3
second_stage = [
  {recipe = "plain"}, {recipe = "joint"}, {recipe = "distill", distill = 1.0, anneal = true},
]
"""


@pytest.fixture(autouse=True)
def chance() -> Iterator[None]:
    """What `settle` asks of torch is taken back."""
    yield
    torch.use_deterministic_algorithms(False)


def swept(folder: Path, device: str, monkeypatch) -> Path:
    monkeypatch.setenv("BAYESLAW_DEVICE", device)
    folder.mkdir(exist_ok=True)
    (folder / "sweep.toml").write_text(TOML)
    return run_sweep(folder / "sweep.toml", folder, executor=Here()).csv


def test_a_sweep_has_the_losses_of_a_processor_to_half_a_per_cent(tmp_path, monkeypatch):
    """bf16 products against float32: the first digits part within some steps, the losses do not."""
    here = pd.read_csv(swept(tmp_path / "cpu", "cpu", monkeypatch))
    there = pd.read_csv(swept(tmp_path / "cuda", "cuda", monkeypatch))
    assert (here["run_id"] == there["run_id"]).all()
    off = there["loss"] / here["loss"] - 1
    assert off.abs().max() < 0.005
    assert abs(off.mean()) < 0.001


def test_a_sweep_that_was_killed_goes_on_to_the_same_bytes(tmp_path, monkeypatch):
    whole = swept(tmp_path / "whole", "cuda", monkeypatch).read_bytes()

    keep, asked, dead = checkpoint.Keeper.__call__, [], (5, 30, 90)

    def deadly(self, state) -> None:
        keep(self, state)
        asked.append(state.steps)
        if len(asked) in dead:
            raise Killed

    monkeypatch.setattr(checkpoint.Keeper, "due", lambda self: True)
    monkeypatch.setattr(checkpoint.Keeper, "__call__", deadly)
    for _ in dead:
        with pytest.raises(Killed):
            swept(tmp_path / "killed", "cuda", monkeypatch)
    monkeypatch.undo()
    assert len(asked) == max(dead)
    assert swept(tmp_path / "killed", "cuda", monkeypatch).read_bytes() == whole


@pytest.mark.parametrize("microbatch", [0, 3])
def test_captured_steps_are_those_that_are_launched(microbatch, monkeypatch):
    """As many whole steps; the same bytes of weights and moments."""
    settle("cuda", 1)
    text = synthetic(size=200_000).domains[0].pretrain
    packed = []
    for eager in (capture.EAGER, 10**9):
        monkeypatch.setattr(capture, "EAGER", eager)
        state = start(TINY, 16, 0, device="cuda")
        windows = mixed([text], TINY.context, TINY.batch, 0)
        train(state, windows, 0, 40, warm(TINY, 16, 0), TINY.clip, microbatch=microbatch)
        packed.append(pack(state))
    assert state.steps == 40
    assert packed[0] == packed[1]


@pytest.mark.parametrize("options", [(), ("--shard",)], ids=["ddp", "fsdp"])
def test_a_team_of_one_trains_on_nccl(tmp_path, options, monkeypatch):
    alone = pd.read_csv(swept(tmp_path / "alone", "cuda", monkeypatch))
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "1",
         "-m", "bayeslaw.train.team", str(tmp_path / "alone" / "sweep.toml"),
         "--out", str(tmp_path / "team"), *options],
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    team = pd.read_csv(tmp_path / "team" / "runs.csv")
    off = (team["loss"] / alone["loss"] - 1).abs().max()
    assert off < 1e-3
