"""Accuracies of designs that were not trained: the laws' losses through the ladder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from bayeslaw.accuracy.ladder import Ladder
from bayeslaw.errors import FitError
from bayeslaw.forecast import designs_of, with_interval
from bayeslaw.infer.ensemble import Ensemble, Kind

SCHEMA = 1


@dataclass(frozen=True)
class AccuracyRow:
    """The accuracy of one design on one task; intervals as of `forecast`. kind `mean`: of the
    curves, law and map; `run`, `calibrated`: of a new run, measured on the task's items.

    loss: the mean forecast of its domain's. beyond: by how many nats that leaves the losses that
    the map was fitted to; 0 among them.
    """

    params: float
    pretrain_tokens: float
    specialize_tokens: float
    task: str
    domain: str
    kind: str
    prob: float
    mean: float
    sd: float
    lo: float
    hi: float
    loss: float
    beyond: float
    extrapolation: float

    def to_json(self) -> dict[str, Any]:
        return with_interval(self)


@dataclass(frozen=True)
class AccuracyForecast:
    rows: tuple[AccuracyRow, ...]
    passed: bool

    def to_json(self) -> dict[str, Any]:
        rows = [row.to_json() for row in self.rows]
        return {"schema": SCHEMA, "passed": self.passed, "rows": rows}


def forecast_accuracy(
    fitted: Ensemble,
    ladder: Ladder,
    designs: pd.DataFrame | Sequence[Mapping[str, Any]] | Mapping[str, Any],
    tasks: Sequence[str] | None = None,
    kind: Kind = "calibrated",
    prob: float = 0.9,
    accept: bool = False,
    draws: int = 4000,
    seed: int = 0,
) -> AccuracyForecast:
    """The accuracy of every design on every task (or those named) of the design's domains.

    Each draw of the loss goes through a draw of the map, so that what neither knows is in the
    interval. Raises `FitError` as `forecast` does; for an unknown task, and for one whose domain
    the laws do not know.
    """
    if not 0 < prob < 1:
        raise FitError(f"prob must lie between 0 and 1, got {prob}")
    fitted, ladder = fitted.accept(accept), ladder.accept(accept)
    wanted = domains_of(fitted, ladder, tasks)
    run, asked = designs_of(fitted, designs)
    losses = fitted.losses(run, kind, draws, seed)
    beyond = np.max(list(fitted.beyond(run).values()), axis=0)
    tail = (1 - prob) / 2
    rows = []
    for i, domains in enumerate(asked):
        for task, k in wanted.items():
            if k not in domains:
                continue
            found = ladder.accuracies(task, losses[:, i, k], kind != "mean", seed)
            low, high = np.quantile(found, [tail, 1 - tail])
            loss = float(losses[:, i, k].mean())
            least, most = ladder.losses[ladder.number(task)]
            rows.append(AccuracyRow(
                float(run.params[i]), float(run.pretrain_tokens[i]),
                float(run.specialize_tokens[i]), task, fitted.domains[k], kind, prob,
                float(found.mean()), float(found.std()), float(low), float(high), loss,
                float(max(0.0, least - loss, loss - most)), float(beyond[i]),
            ))  # fmt: skip
    if not rows:
        raise FitError("no task is of a domain that the designs name")
    return AccuracyForecast(tuple(rows), fitted.passed and ladder.passed)


def domains_of(fitted: Ensemble, ladder: Ladder, tasks: Sequence[str] | None) -> dict[str, int]:
    """Task -> the number of its domain among the fit's. Raises `FitError`."""
    found = {t: ladder.domains[ladder.number(t)] for t in tasks or ladder.tasks}
    lost = [f"{t} ({d})" for t, d in found.items() if d not in fitted.domains]
    if lost:
        raise FitError(
            f"the laws know no loss for {', '.join(lost)}; they were fitted to "
            + ", ".join(fitted.domains)
        )
    return {t: fitted.domains.index(d) for t, d in found.items()}
