"""Forecasts against the law's formula and NumPy, and what their file says."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from bayeslaw import forecast
from bayeslaw.errors import FitError
from bayeslaw.forecast import read_designs
from tests.fitted import failed
from tests.plan import drawn

THETA = drawn.draws("additive", 3, 400)
FITTED = drawn.of("additive", THETA)
ONE = {"params": 1e9, "pretrain_tokens": 2e10, "specialize_tokens": 3e9}


def truth(n=1e9, d=2e10, split=3e9):
    return drawn.additive_loss(THETA, *(np.full(3, v) for v in (n, d, split)))


@pytest.mark.parametrize("prob", [0.5, 0.9])
def test_a_mean_interval_is_the_quantiles_of_the_formula(prob):
    rows = forecast(FITTED, ONE, "mean", prob, draws=400).rows
    losses = truth()
    assert [r.domain for r in rows] == ["d0", "d1", "d2"]
    for k, row in enumerate(rows):
        tail = (1 - prob) / 2
        said = np.quantile(losses[:, k], [tail, 1 - tail])
        assert (row.mean, row.sd) == pytest.approx((losses[:, k].mean(), losses[:, k].std()))
        assert (row.lo, row.hi) == pytest.approx(tuple(said), rel=1e-9)


def test_a_run_interval_adds_the_noise_of_a_run():
    # Draws that agree: what is left of the interval is sigma = .01 of a Student-t with 4 degrees.
    theta = {n: np.repeat(v[:1], 400, 0) for n, v in THETA.items()}
    sharp = drawn.of("additive", theta)
    curve, run = (forecast(sharp, ONE, kind, draws=40_000).rows[0] for kind in ("mean", "run"))
    assert curve.hi - curve.lo == pytest.approx(0, abs=1e-12)
    assert np.log(run.hi / run.mean) == pytest.approx(0.01 * 2.1318, rel=0.05)
    assert np.log(run.lo / run.mean) == pytest.approx(-0.01 * 2.1318, rel=0.05)


def test_a_new_run_is_what_is_forecast_unless_said_otherwise():
    assert {r.kind for r in forecast(FITTED, ONE).rows} == {"calibrated"}


def test_the_same_seed_gives_the_same_forecast_and_another_another():
    first, same, other = (forecast(FITTED, ONE, seed=s).to_json() for s in (1, 1, 2))
    assert first == same != other


def test_rows_answer_the_designs_in_their_order():
    designs = pd.DataFrame(
        {
            "params": ["1B", "2B", "1B", "1B"],
            "pretrain_tokens": ["20B", "20B", "2e10", "20B"],
            "specialize_tokens": ["3B", "", "3e9", "3B"],
            "domain": ["d2", "", "", ""],
            "branch": ["", "", "d1", ""],
        }
    )
    rows = forecast(FITTED, designs, "mean", draws=400).rows
    assert [r.domain for r in rows] == ["d2", "d0", "d1", "d2", "d1", "d0", "d1", "d2"]
    assert [r.params for r in rows] == [1e9, 2e9, 2e9, 2e9, 1e9, 1e9, 1e9, 1e9]
    assert rows[0].mean == pytest.approx(truth()[:, 2].mean())
    assert rows[1].mean == pytest.approx(truth(2e9, split=0.0)[:, 0].mean())
    assert rows[4].mean == pytest.approx(truth()[:, 1].mean())


def test_the_file_has_the_keys_that_are_promised():
    said = forecast(FITTED, ONE).to_json()
    assert set(said) == {"schema", "passed", "rows"}
    assert said["schema"] == 1
    promised = {
        "params", "pretrain_tokens", "specialize_tokens", "domain", "kind", "prob", "mean", "sd",
        "interval",
    }  # fmt: skip
    for row in said["rows"]:
        assert set(row) - {"extrapolation"} == promised
        assert row["interval"][0] < row["mean"] < row["interval"][1]
    assert json.loads(json.dumps(said, allow_nan=False)) == said


def test_the_table_has_a_line_for_every_row():
    answer = forecast(FITTED, ONE)
    assert answer.table()["mean"].tolist() == [r.mean for r in answer.rows]


@pytest.mark.parametrize(
    ("design", "beyond"),
    [
        ({"params": 1e8, "pretrain_tokens": 1e10}, 1.0),
        ({"params": 4e9, "pretrain_tokens": 1e10}, 4.0),
        ({"params": 1e9, "pretrain_tokens": 1e8}, 10.0),
        ({"params": 1e9, "pretrain_tokens": 1e11}, 6.0),
        ({"params": 1e8, "pretrain_tokens": 1e10, "specialize_tokens": 5e10}, 5.0),
    ],
)
def test_extrapolation_is_the_worst_factor_outside_the_sweep(design, beyond):
    assert forecast(FITTED, design).rows[0].extrapolation == pytest.approx(beyond)


def test_all_faults_of_the_designs_are_said_at_once():
    designs = [
        {"params": "many", "pretrain_tokens": 1e10},
        {"params": 0, "pretrain_tokens": 1e10},
        {"params": 1e9, "pretrain_tokens": -1},
        {"params": 1e9, "pretrain_tokens": 0},
        {"params": 1e9, "pretrain_tokens": 1e10, "domain": "law"},
        {"params": 1e9, "pretrain_tokens": 1e10, "specialize_tokens": 1e9, "branch": "d0",
         "domain": "d1"},
    ]  # fmt: skip
    with pytest.raises(FitError) as caught:
        forecast(FITTED, designs)
    said = str(caught.value)
    for line in (
        "design 1: params is 'many'; it must be a number, more than 0",
        "design 2: params is 0",
        "design 3: pretrain_tokens is -1.0; it must be a number, 0 or more",
        "design 4: pretrain_tokens is 0, where not every law of this fit is finite",
        "design 5: unknown domain 'law'; the fit has d0, d1, d2",
        "design 6: branch 'd0' measured on 'd1'",
    ):
        assert line in said
    assert len(said.splitlines()) == 7


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"designs": {"params": 1e9}}, "the designs have no column 'pretrain_tokens'"),
        ({"designs": []}, "there are no designs"),
        ({"prob": 1.5}, "prob must lie between 0 and 1, got 1.5"),
        ({"kind": "other"}, "kind 'other' is not one of mean, run, calibrated"),
    ],
)
def test_what_cannot_be_forecast_is_refused(how, said):
    with pytest.raises(FitError, match=said):
        forecast(FITTED, **{"designs": ONE, **how})


def test_a_second_stage_is_unknown_to_a_fit_of_one():
    with pytest.raises(FitError, match="specialize_tokens > 0, but the fit is of a single stage"):
        forecast(drawn.ensemble("chinchilla", 1), ONE)


def test_a_fit_that_failed_the_gate_is_used_only_when_accepted():
    with pytest.raises(FitError, match="accept=True"):
        forecast(failed(FITTED), ONE)
    assert forecast(failed(FITTED), ONE, accept=True).to_json()["passed"] is False
    assert forecast(FITTED, ONE).to_json()["passed"] is True


def test_designs_are_read_from_a_file_and_a_bad_one_is_refused(tmp_path):
    path = tmp_path / "designs.csv"
    path.write_text("params,pretrain_tokens,domain\n1B,20B,d0\n")
    (row,) = forecast(FITTED, read_designs(path), "mean", draws=400).rows
    assert row.mean == pytest.approx(truth(split=0.0)[:, 0].mean())
    with pytest.raises(FitError, match=r"none\.csv: not readable as a table of designs"):
        read_designs(tmp_path / "none.csv")
