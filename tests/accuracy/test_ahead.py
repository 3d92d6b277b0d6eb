"""Accuracies ahead: draws of losses through draws of the map."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from bayeslaw.accuracy.ahead import forecast_accuracy
from bayeslaw.accuracy.back import backtest_accuracy
from bayeslaw.accuracy.table import Scores
from bayeslaw.errors import FitError
from bayeslaw.runs import Runs
from tests.accuracy import made
from tests.conftest import two_stage
from tests.plan import drawn

FITTED = drawn.ensemble("additive", 2)
DESIGN = {"params": 2e8, "pretrain_tokens": 2e10, "specialize_tokens": 2e9}


def losses(kind: str) -> np.ndarray:
    from bayeslaw.laws import Run

    run = Run(np.array([2e8]), np.array([2e10]), np.array([2e9]))
    return FITTED.losses(run, kind, 4000, 0)[:, 0]


def test_of_a_known_map_accuracies_are_the_curve_of_the_losses_draws():
    said = forecast_accuracy(FITTED, made.ladder(), DESIGN, kind="mean")
    assert [(r.task, r.domain) for r in said.rows] == [("easy", "d0"), ("hard", "d1")]
    for k, row in enumerate(said.rows):
        expected = made.curve(losses("mean")[:, k], row.task)
        assert row.mean == pytest.approx(expected.mean(), abs=1e-5)
        assert (row.lo, row.hi) == pytest.approx(np.quantile(expected, [0.05, 0.95]), abs=1e-5)
        assert row.loss == pytest.approx(losses("mean")[:, k].mean(), rel=1e-6)


def test_what_the_map_does_not_know_and_the_noise_of_items_widen_intervals():
    def width(ladder, kind):
        (row,) = forecast_accuracy(FITTED, ladder, DESIGN, ["easy"], kind).rows
        return row.hi - row.lo

    known, vague = made.ladder(), made.ladder(spread=0.15)
    assert width(known, "mean") < width(vague, "mean")
    assert width(known, "mean") < width(known, "run") < width(known, "calibrated") + 1e-9


def test_losses_beyond_those_fitted_are_told():
    sure = made.ladder()
    rows = forecast_accuracy(FITTED, sure, DESIGN, ["easy"]).rows
    least, most = sure.losses[0]
    expected = max(0.0, least - rows[0].loss, rows[0].loss - most)
    assert rows[0].beyond == pytest.approx(expected)


def test_tasks_of_domains_that_the_laws_do_not_know_are_refused():
    with pytest.raises(FitError, match=r"know no loss for easy \(d7\)"):
        forecast_accuracy(FITTED, made.ladder({"easy": "d7"}), DESIGN)
    with pytest.raises(FitError, match="unknown task 'x'"):
        forecast_accuracy(FITTED, made.ladder(), DESIGN, ["x"])


def test_the_command_tells_accuracies(say, tmp_path):
    FITTED.save(tmp_path / "p.nc")
    made.ladder().save(tmp_path / "a.nc")
    line = ("forecast", tmp_path / "p.nc", "--params", "200M", "--pretrain-tokens", "20B",
            "--kind", "run")  # fmt: skip
    code, said, _ = say(*line, "--accuracy", tmp_path / "a.nc", "--task", "hard", "--json")
    assert code == 0
    (row,) = json.loads(said)["rows"]
    assert (row["task"], row["domain"]) == ("hard", "d1")
    assert row["interval"][0] < row["mean"] < row["interval"][1]
    code, said, _ = say(*line, "--accuracy", tmp_path / "a.nc")
    assert code == 0
    assert max(map(len, said.splitlines())) <= 80
    code, _, err = say(*line, "--task", "hard")
    assert (code, "--task needs --accuracy FILE" in err) == (1, True)


@pytest.mark.long
def test_larger_models_accuracies_are_predicted_from_the_smaller():
    """Losses of a known law, accuracies of a known map: intervals hold, and the map is told from
    what a constant would say."""
    done = backtest_accuracy(
        Runs.from_table(two_stage(2)), scored(two_stage(2)), ["additive"], cut=0.6
    )
    assert done.passed
    assert [r.kind for r in done.rows] == ["measured", "run", "calibrated"]
    for row in done.rows:
        assert row.n_test >= 20
        assert row.cov90 > 0.75
        assert row.error < 0.25 * row.constant
    assert done.rows[0].width90 <= done.rows[1].width90 * 1.05


def scored(runs: pd.DataFrame) -> Scores:
    """Accuracies of these runs by the known map, with the noise of a thousand items."""
    rng = np.random.default_rng(3)
    rows = []
    for r in runs.to_dict("records"):
        task = "easy" if r["domain"] == "d0" else "hard"
        mean = float(made.curve(r["loss"], task))
        sd = 0.7 * np.sqrt(mean * (1 - mean) / 1000)
        rows.append({
            **{n: r[n] for n in ("sweep", "run_id", "domain", "loss", "params",
                                 "pretrain_tokens", "specialize_tokens")},
            "task": task, "accuracy": mean + sd * rng.standard_normal(), "chance": 0.25,
            "items": 1000, "router": "",
        })  # fmt: skip
    return Scores.from_table(pd.DataFrame(rows))


@pytest.mark.parametrize(
    ("how", "said"),
    [({"by": "tokens"}, "by is flops or params"), ({"cut": 1.0}, "cuts lie between 0 and 1")],
)
def test_shares_that_leave_nothing_to_predict_are_refused(how, said):
    with pytest.raises(FitError, match=said):
        backtest_accuracy(Runs.from_table(two_stage(2)), scored(two_stage(2)), **how)
