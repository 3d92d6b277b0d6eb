"""The backtest of accuracies: map and laws fitted to the smaller models, the larger predicted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from bayeslaw.accuracy.ladder import LEAST, fit_accuracy
from bayeslaw.accuracy.table import Scores
from bayeslaw.backtest import By, cut_at, refuse_cuts, scores
from bayeslaw.errors import FitError
from bayeslaw.infer.allowed import allowed
from bayeslaw.infer.fit import usable
from bayeslaw.infer.precision import double
from bayeslaw.infer.refit import Table
from bayeslaw.infer.stack import MIN_TRAIN
from bayeslaw.laws import Law, find_law
from bayeslaw.runs import Runs, compute_of

SCHEMA = 1
KINDS = ("measured", "run", "calibrated")
MATCH = ("sweep", "run_id", "domain")


@dataclass(frozen=True)
class AccuracyBacktestRow:
    """How well accuracies of the larger models were predicted. kind `measured`: from their measured
    losses, the map alone; `run` and `calibrated`: from the laws' forecasts of their losses.

    cov…: share inside the central interval; width90: of that interval; crps and error (mean
    absolute, of the median) in shares of right answers. constant: the error of taking, for each
    task, the mean accuracy of the smaller models.
    """

    kind: str
    n_train: int
    n_test: int
    cov50: float
    cov80: float
    cov90: float
    width90: float
    crps: float
    error: float
    constant: float


@dataclass(frozen=True)
class AccuracyBacktest:
    by: str
    cut: float
    rows: tuple[AccuracyBacktestRow, ...]
    passed: bool

    def to_json(self) -> dict[str, Any]:
        rows = [asdict(row) for row in self.rows]
        return {"schema": SCHEMA, "by": self.by, "cut": self.cut, "passed": self.passed,
                "rows": rows}  # fmt: skip


def backtest_accuracy(
    runs: Runs,
    table: Scores,
    laws: Sequence[str | Law] | None = None,
    by: By = "flops",
    cut: float = 0.7,
    seed: int = 0,
    progress: Callable[[str], None] = lambda _: None,
) -> AccuracyBacktest:
    """Fit the laws and the map to the share `cut` of runs that is smallest, by compute or size;
    predict the accuracies of the larger. Rows of the two tables meet by sweep, run_id and domain.

    Raises `FitError` when that leaves too few on either side, and for other `by` or `cut`.
    """
    refuse_cuts(by, [cut])
    chosen = [find_law(law) for law in laws] if laws else allowed(runs)
    used = usable(runs, chosen)
    if len({rows.digest for rows in used}) > 1:
        raise FitError("these laws are fitted to different rows: backtest them apart")
    own = used[0]
    with double():
        tables = {law.name: Table.of(own, law) for law in chosen}
    size = compute_of(own) if by == "flops" else own.table["params"].to_numpy(float)
    train = size <= np.quantile(size, cut)
    names = list(zip(*(own.table[c].astype(str) for c in MATCH), strict=True))
    place = {name: i for i, name in enumerate(names)}
    each = np.array([
        place.get(n, -1) for n in zip(*(table.table[c].astype(str) for c in MATCH), strict=True)
    ])  # fmt: skip
    small = _smaller(own, table, each, train)
    counts = table.table["task"][small].value_counts()
    known = table.table["task"].isin(counts.index[counts >= LEAST]).to_numpy()
    fit_on, test = small & known, (each >= 0) & ~small & known
    if train.sum() < MIN_TRAIN or not test.any():
        raise FitError(
            f"{int(train.sum())} runs to fit and {int(test.sum())} accuracies to predict; at least "
            f"{MIN_TRAIN} and 1 are wanted. Do sweep and run_id of the two tables agree?"
        )
    progress("the map")
    ladder = fit_accuracy(table.select(fit_on), seed)
    progress("the laws")
    beyond = ~train
    drawn = cut_at(tables, train, beyond, seed).kinds(own, beyond, seed)
    column = np.cumsum(beyond) - 1
    t = table.table[test]
    truth, tasks = t["accuracy"].to_numpy(float), list(t["task"])
    through = {kind: drawn[kind][:, column[each[test]]] for kind in KINDS[1:]}
    measured = t["loss"].to_numpy(float)
    through["measured"] = np.repeat(measured[None], len(through["run"]), 0)
    means = table.table[fit_on].groupby("task")["accuracy"].mean()
    constant = float(np.abs(truth - means[tasks].to_numpy()).mean())
    rows = []
    for kind in KINDS:
        found = np.stack(
            [
                ladder.accuracies(task, through[kind][:, i], True, seed + i)
                for i, task in enumerate(tasks)
            ],
            1,
        )
        s = scores(found, truth)
        error = float(np.abs(np.median(found, 0) - truth).mean())
        kept = {n: s[n] for n in ("cov50", "cov80", "cov90", "width90", "crps")}
        rows.append(AccuracyBacktestRow(
            kind, int(fit_on.sum()), int(test.sum()), **kept, error=error, constant=constant
        ))  # fmt: skip
    return AccuracyBacktest(by, cut, tuple(rows), ladder.passed)


def _smaller(own: Runs, table: Scores, each: np.ndarray, train: np.ndarray) -> np.ndarray:
    """Rows of accuracies whose model is among the smaller: of those on other domains than their
    own, which no law was fitted to, such as are no larger than the largest that was."""
    largest = compute_of(own)[train].max()
    t = table.table
    n, d, split = (t[c].to_numpy(float) for c in ("params", "pretrain_tokens", "specialize_tokens"))
    small = np.isfinite(n) & (6 * n * (d + split) <= largest) & (each < 0)
    small[each >= 0] = train[each[each >= 0]]
    return small
