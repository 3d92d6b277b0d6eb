"""calibrate: ranks of truths among draws, where they are uniform and where they are not."""

from __future__ import annotations

import json

import numpy as np
import pytest

from bayeslaw import FitError, Runs, calibrate
from bayeslaw.calibrate import KEPT, Calibration
from bayeslaw.laws import LAWS, find_law
from tests.conftest import simulated, two_stage
from tests.laws.test_recovery import simulated_by


def ranked(ranks):
    return Calibration("chinchilla", ("a",), np.asarray(ranks)[:, None], 0)


def test_uniform_ranks_cover_as_often_as_they_say():
    found = ranked(np.arange(1000) % (KEPT + 1))
    assert found.p_values()[0] == pytest.approx(1.0)
    assert [found.coverage(level)[0] for level in (50, 90)] == [0.5, 0.9]


@pytest.mark.parametrize("narrow", [np.r_[np.zeros(50, int), np.full(50, 99)], np.zeros(100, int)])
def test_ranks_at_the_ends_are_found_out(narrow):
    found = ranked(narrow)
    assert found.p_values()[0] < 1e-6
    assert found.coverage(90)[0] == 0.0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("law", "table"),
    [
        ("chinchilla", simulated(40)),
        pytest.param("additive", two_stage(1), marks=pytest.mark.long),
    ],
)
def test_the_sampler_is_calibrated(law, table):
    found = calibrate(law, Runs.from_table(table), simulations=60)
    # Six parameters or more, each test at one in a thousand.
    assert (found.p_values() > 1e-3).all()
    # Four binomial sd at 60 simulations.
    np.testing.assert_allclose(found.coverage(90), 0.9, atol=4 * np.sqrt(0.09 / 60))
    said = found.to_json()
    assert json.loads(json.dumps(said)) == said
    assert said["refused"] <= 12


@pytest.mark.sbc
@pytest.mark.slow
@pytest.mark.parametrize("law", LAWS)
def test_the_sampler_is_calibrated_for_every_law(law):
    table, _ = simulated_by(find_law(law), rows=60)
    found = calibrate(law, Runs.from_table(table), simulations=100)
    print(law, found.to_json())
    # Twenty laws of eight coordinates: one false alarm in sixty runs of them all.
    assert (found.p_values() > 1e-4).all()
    np.testing.assert_allclose(found.coverage(90), 0.9, atol=4 * np.sqrt(0.09 / 100))


def test_the_ranks_are_drawn(tmp_path):
    rng = np.random.default_rng(0)
    found = Calibration("chinchilla", ("a", "b"), rng.integers(0, 100, (50, 2)), 0)
    assert found.draw(tmp_path / "r.png").read_bytes().startswith(b"\x89PNG")


def test_nothing_to_simulate_is_one_clear_error():
    with pytest.raises(FitError, match="simulations must be 2 or more, got 1"):
        calibrate("chinchilla", Runs.from_table(simulated(10)), simulations=1)
