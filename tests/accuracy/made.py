"""Accuracies simulated from a known map, and ladders whose draws a test has chosen."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from bayeslaw.accuracy import Ladder, Scores

# task -> ε, k, m
TRUTH = {"easy": (0.08, 3.0, 1.9), "hard": (0.15, 3.5, 1.4), "odd": (0.1, 2.4, 1.7)}


def curve(loss, task: str, chance: float = 0.25):
    e, k, m = TRUTH[task]
    return chance + (1 - chance - e) / (1 + np.exp(-k * (m - np.asarray(loss, float))))


def scores(
    rows: int = 24, seed: int = 0, items: int = 1000, low: float = 1.4, noise: float = 0.7
) -> Scores:
    """Rows of each task, at losses between `low` and 2.3, as noisy as the fit expects."""
    rng = np.random.default_rng(seed)
    found = []
    for task in TRUTH:
        for i, loss in enumerate(rng.uniform(low, 2.3, rows)):
            mean = float(curve(loss, task))
            sd = noise * np.sqrt(mean * (1 - mean) / items)
            found.append({
                "task": task, "domain": "d0" if task == "easy" else "d1", "loss": loss,
                "accuracy": float(np.clip(mean + sd * rng.standard_normal(), 0, 1)),
                "chance": 0.25, "items": items, "run_id": f"r{i}", "params": 1e6,
                "pretrain_tokens": 1e8, "router": "",
            })  # fmt: skip
    return Scores.from_table(pd.DataFrame(found))


def ladder(
    tasks: Mapping[str, str] | None = None, draws: int = 200, spread: float = 0.0, seed: int = 0
) -> Ladder:
    """The truth in every draw, or around it by so many e-folds. tasks: of `TRUTH` -> domain."""
    tasks = tasks or {"easy": "d0", "hard": "d1"}
    rng = np.random.default_rng(seed)
    values = np.array([TRUTH[t] for t in tasks])  # (task, parameter)
    every = values * np.exp(spread * rng.standard_normal((draws, *values.shape)))
    names = ("e_ceiling", "k_steep", "m_middle")
    count = len(tasks)
    return Ladder(
        tuple(tasks), tuple(tasks.values()), np.full(count, 0.25), np.full(count, 500.0),
        np.tile([1.4, 2.3], (count, 1)), {n: every[:, :, j] for j, n in enumerate(names)},
        np.full(draws, 0.7), (), {"chains": 1},
    )  # fmt: skip
