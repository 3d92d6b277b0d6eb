"""The rate of the bundled sweep was measured at its two ends, and serves both."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bayeslaw.sweep import read_sweep

STDLIB = Path(__file__).resolve().parents[2] / "runs" / "stdlib"
MEASURED = pd.read_csv(STDLIB / "rates.csv")


def test_the_rates_were_measured_at_both_ends():
    widths = read_sweep(STDLIB / "sweep.toml").widths
    assert set(MEASURED["width"]) == {min(widths), max(widths)}


@pytest.mark.parametrize("width", sorted(set(MEASURED["width"])))
def test_the_rate_in_use_is_within_a_tenth_of_the_best(width):
    """The least of a parabola of log loss over log rate: `bench/rates.py` does the same."""
    here = MEASURED[MEASURED["width"] == width]
    a, b, _ = np.polyfit(np.log(here["factor"]), np.log(here["loss"]), 2)
    assert a > 0
    assert abs(np.exp(-b / (2 * a)) - 1) < 0.10
    assert b**2 / (4 * a) < 0.001  # of the loss: what the rate in use loses to it
