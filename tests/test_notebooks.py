"""Planning notebooks run from their first cell to their last."""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import pytest

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "examples" / "notebooks").glob("*.py"))


def test_there_are_three():
    assert [n.stem for n in NOTEBOOKS] == ["closed_loop", "first_plan", "hierarchical_review"]


@pytest.mark.long
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_a_notebook_runs(path, monkeypatch, capsys):
    text = path.read_text()
    assert text.count("# %%") >= 8
    monkeypatch.setenv("BAYESLAW_QUICK", "1")
    monkeypatch.chdir(ROOT)
    exec(compile(text, path.name, "exec"), {"__name__": "__main__"})
    plt.close("all")  # ArviZ leaves its own open
