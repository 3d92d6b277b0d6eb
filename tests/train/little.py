"""A sweep of a second or two, run in this process, and deaths in the middle of it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from bayeslaw.train import checkpoint
from bayeslaw.train.study import run_sweep

TOML = """
name = "little"
corpus = "synthetic"
corpus_options = {size = 60000}
recipe = "tiny"
widths = [16]
pretrain_tokens = ["8k", "16k"]
specialize_tokens = ["4k"]
heldout_tokens = "4k"
"""
OFTEN = "checkpoint_minutes = 1e-9\n"  # a checkpoint after every step


class Here:
    """The executor protocol without processes."""

    def __init__(self) -> None:
        self.cells = 0

    def submit(self, fn: Any, /, *args: Any) -> Any:
        self.cells += 1
        value = fn(*args)
        return SimpleNamespace(result=lambda: value)


def write(folder: Path, text: str = TOML) -> Path:
    """The settings of a sweep, in a folder that need not be there."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "sweep.toml"
    path.write_text(text)
    return path


def swept(folder: Path, text: str = TOML) -> Path:
    """A sweep's folder after it was run there."""
    run_sweep(write(folder, text), folder, executor=Here())
    return folder


class Killed(Exception):
    """What ends a sweep in the middle of a cell."""


class Mortal:
    """Checkpoints end the process that keeps them, once `left` more were kept."""

    def __init__(self, monkeypatch: Any) -> None:
        self.left = 10**9
        keep = checkpoint.Keeper.__call__

        def deadly(keeper: Any, state: Any) -> None:
            keep(keeper, state)
            self.left -= 1
            if self.left < 0:
                raise Killed

        monkeypatch.setattr(checkpoint.Keeper, "__call__", deadly)
