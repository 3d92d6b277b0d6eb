"""Fixtures that several rooms share."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

# Compiled programs are shared between the tests of a run, and kept out of the user's cache.
os.environ.setdefault("BAYESLAW_CACHE", str(Path(tempfile.gettempdir()) / "bayeslaw-test-cache"))
os.environ.setdefault("MPLBACKEND", "agg")

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture
def say(capsys):
    """Run a command line; its exit code, stdout and stderr."""

    from bayeslaw.cli import run

    def call(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        code = run([str(a) for a in arguments])
        return code, *capsys.readouterr()

    return call


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of public sweeps; tests that need it skip where it is absent."""
    if not DATA.is_dir():
        pytest.skip(f"no folder of public sweeps beside the repository ({DATA.name})")
    return DATA


# The refitted Chinchilla law: truth of the simulated sets.
TRUTH = {"E": 1.8172, "A": 482.01, "B": 2085.43, "alpha": 0.3478, "beta": 0.3658}


def chinchilla_loss(n, d):
    t = TRUTH
    return t["E"] + t["A"] * n ** -t["alpha"] + t["B"] * d ** -t["beta"]


def simulated(rows: int = 245, noise: float = 0.01, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    n = np.exp(rng.uniform(np.log(5e7), np.log(1.6e10), rows))
    d = np.exp(rng.uniform(np.log(5e9), np.log(5e11), rows))
    loss = chinchilla_loss(n, d) * np.exp(noise * rng.standard_normal(rows))
    return pd.DataFrame({"params": n, "pretrain_tokens": d, "loss": loss})


def two_stage(domains: int = 2, noise: float = 0.005, seed: int = 0) -> pd.DataFrame:
    """A small factorial sweep of an additive law, one trunk per size."""
    rng = np.random.default_rng(seed)
    rows = []
    for k in range(domains):
        for i, n in enumerate((1e6, 4e6, 1.6e7)):
            for d in (4e7, 1.2e8, 3.6e8):
                for ratio in (0.0, 0.03, 0.15, 0.6):
                    split = d * ratio
                    loss = (
                        1.0 + 0.1 * k + 0.6 * (n / 4e6) ** -0.3 + 0.4 * (d / 1e8) ** -0.35
                        + 0.3 * ((split + 1e6) / 1e7) ** -0.3
                    )  # fmt: skip
                    rows.append({
                        "run_id": f"t{i}-{d:.0f}-{split:.0f}" + (f"-{k}" if split else ""),
                        "lineage": f"t{i}", "params": n, "pretrain_tokens": d,
                        "specialize_tokens": split, "branch": f"d{k}" if split else "",
                        "domain": f"d{k}", "loss": loss * np.exp(noise * rng.standard_normal()),
                    })  # fmt: skip
    return pd.DataFrame(rows).assign(sweep="simulated")
