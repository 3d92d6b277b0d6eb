"""What a shell and a terminal get: completion of commands and options, colour, no control codes."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from bayeslaw.cli import DONE

BAYESLAW = [sys.executable, "-m", "bayeslaw"]
HEAVY = ("jax", "torch", "pandas", "numpyro", "matplotlib")


def completed(words: str, home: Path) -> list[str]:
    """What bash is offered after these words."""
    asked = {"_BAYESLAW_COMPLETE": "complete_bash", "COMP_WORDS": words,
             "COMP_CWORD": str(len(words.split(" ")) - 1)}  # fmt: skip
    done = subprocess.run(
        BAYESLAW, env={**os.environ, **asked, "HOME": str(home)}, capture_output=True, text=True
    )
    assert done.returncode == DONE, done.stderr
    return done.stdout.split()


def test_a_shell_completes_commands_and_options(tmp_path):
    assert {"fit", "forecast", "frontier"} == set(completed("bayeslaw f", tmp_path))
    assert "--likelihood" in completed("bayeslaw fit --li", tmp_path)


@pytest.mark.parametrize(("shell", "place"), [("bash", ".bashrc"), ("zsh", ".zshrc")])
def test_completion_is_installed_where_the_shell_reads_it(shell, place, tmp_path):
    # typer asks the process tree for the shell; its own tests tell it so.
    told = {"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    env = {**os.environ, **told, "HOME": str(tmp_path)}
    done = subprocess.run(
        [*BAYESLAW, "--install-completion", shell], env=env, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (DONE, "")
    assert (tmp_path / place).is_file()
    scripts = [f for f in tmp_path.rglob("*") if f.is_file() and "bayeslaw" in f.name.lower()]
    assert any("_BAYESLAW_COMPLETE" in f.read_text() for f in scripts)


def in_terminal(folder: Path, **env: str) -> str:
    """What an import with a warning writes to a terminal."""
    (folder / "a.jsonl").write_text(
        "".join(f'{{"step": {i}, "tokens": {i}, "val_loss": 3.0}}\n' for i in (1, 2))
    )
    ours, theirs = pty.openpty()
    shown = {k: v for k, v in os.environ.items() if k != "NO_COLOR"}
    process = subprocess.Popen(
        [*BAYESLAW, "import", "a.jsonl", "--set", "params=1M"],
        stdout=theirs, stderr=theirs, cwd=folder, env={**shown, "TERM": "xterm", **env},
    )  # fmt: skip
    os.close(theirs)
    said = b""
    while True:
        try:
            piece = os.read(ours, 4096)
        except OSError:  # the other end is closed
            break
        if not piece:
            break
        said += piece
    os.close(ours)
    assert process.wait() == DONE
    return said.decode()


def test_warnings_are_red_in_a_terminal_and_plain_with_no_color(tmp_path):
    said = in_terminal(tmp_path)
    assert "\x1b[31m" in said
    assert "1 of 2 losses" in said
    plain = in_terminal(tmp_path, NO_COLOR="1")
    assert "\x1b" not in plain
    assert "1 of 2 losses" in plain
    assert "\x1b[31m" in in_terminal(tmp_path, NO_COLOR="")  # empty: not set
