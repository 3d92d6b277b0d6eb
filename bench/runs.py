"""How fast a table of runs is read and checked, beside pandas reading the same file as text.

python bench/runs.py
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from bayeslaw import read_runs

ROWS = 100_000
PROMISED = 2.0  # s
REPEATS = 5


def table(rows: int) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    split = rng.choice([0.0, 1e7, 1e8], rows)
    return pd.DataFrame(
        {
            "run_id": [f"r{i}" for i in range(rows)],
            "lineage": [f"t{i // 100}" for i in range(rows)],
            "params": 10 ** rng.uniform(6, 10, rows),
            "pretrain_tokens": 10 ** rng.uniform(8, 12, rows),
            "specialize_tokens": split,
            "branch": np.where(split > 0, "code", ""),
            "domain": "code",
            "loss": rng.uniform(1.5, 4.0, rows),
            "loss_se": 0.003,
        }
    )


def median(work: Callable[[], object]) -> float:
    times = []
    for _ in range(REPEATS + 1):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return float(np.median(times[1:]))


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "runs.csv"
        table(ROWS).to_csv(path, index=False)
        plain = median(lambda: pd.read_csv(path, dtype=str))
        ours = median(lambda: read_runs(path))
    print(f"{ROWS} rows: pandas {plain:.2f} s, read and checked {ours:.2f} s "
          f"({ours / plain:.1f} x; promised {PROMISED:g} s)")  # fmt: skip


if __name__ == "__main__":
    main()
