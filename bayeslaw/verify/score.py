"""Scores of a forecast at what was measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy.stats import norm

from bayeslaw.backtest import crps

PROBS = (50, 80, 90)


@dataclass(frozen=True)
class Scored:
    """One measured loss against the draws of its forecast.

    mean, intervals: of the forecast; equal-tailed, by their probability in percent. z: the standard
    normal score of the loss among the draws: Normal(0, 1) where forecasts are right, whatever their
    shape. Beyond all draws it is the distance from their mean in standard deviations of log loss,
    where that is further. crps: nats.
    """

    mean: float
    intervals: dict[int, tuple[float, float]]
    z: float
    crps: float
    loss: float

    def inside(self, prob: int) -> bool:
        low, high = self.intervals[prob]
        return low <= self.loss <= high

    def to_json(self) -> dict[str, Any]:
        """Without the loss, which stands beside it."""
        return {"mean": self.mean, **{f"interval{p}": list(v) for p, v in self.intervals.items()}}


def scored(draws: np.ndarray, loss: np.ndarray) -> list[Scored]:
    """Predictive draws (draw, run) of the losses (run,)."""
    tails = np.array([[(1 - p / 100) / 2, (1 + p / 100) / 2] for p in PROBS])
    ends = np.quantile(draws, tails.ravel(), axis=0).reshape(len(PROBS), 2, -1)
    mean, z, score = draws.mean(0), z_of(draws, loss), crps(draws, loss)
    return [
        Scored(
            float(mean[i]),
            {p: (float(ends[j, 0, i]), float(ends[j, 1, i])) for j, p in enumerate(PROBS)},
            float(z[i]), float(score[i]), float(loss[i]),
        )
        for i in range(len(loss))
    ]  # fmt: skip


def z_of(draws: np.ndarray, loss: np.ndarray) -> np.ndarray:
    """The z of every loss, (run,); see `Scored`."""
    below = (draws < loss).sum(0)
    count = len(draws)
    z = norm.ppf((below + 0.5) / (count + 1))
    logs = np.log(draws)
    away = (np.log(loss) - logs.mean(0)) / logs.std(0)
    outside = (below == 0) | (below == count)
    return np.where(outside & (np.abs(away) > np.abs(z)), away, z)


@dataclass(frozen=True)
class Summary:
    """Of several rows: the share inside each interval, mean and sd of z, mean CRPS, and the mean
    |mean forecast / loss - 1|. Rows of one trunk are not independent."""

    rows: int
    coverage50: float
    coverage80: float
    coverage90: float
    z_mean: float
    z_sd: float
    crps: float
    error: float

    @classmethod
    def of(cls, rows: Sequence[Scored]) -> Summary:
        z = np.array([r.z for r in rows])
        inside = [float(np.mean([r.inside(p) for r in rows])) for p in PROBS]
        return cls(
            len(rows), inside[0], inside[1], inside[2], float(z.mean()), float(z.std()),
            float(np.mean([r.crps for r in rows])),
            float(np.mean([abs(r.mean / r.loss - 1) for r in rows])),
        )  # fmt: skip

    def to_json(self) -> dict[str, Any]:
        return asdict(self)
