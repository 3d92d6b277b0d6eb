"""Ticks: round numbers within the axis, few enough to stand apart, as people write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bayeslaw.plots.palette import COLORS, ramp
from bayeslaw.plots.scale import even_ticks, log_ticks


@pytest.mark.parametrize(
    ("low", "high", "most", "names"),
    [
        (7e6, 8e9, 4, ["10M", "100M", "1B"]),
        (1e9, 3e13, 3, ["1B", "100B", "10T"]),
        (1e20, 1e24, 6, ["1e20", "1e21", "1e22", "1e23", "1e24"]),
        (2e12, 3e12, 4, ["2T", "2.5T", "3T"]),
    ],
)
def test_logarithmic_ticks_are_human(low, high, most, names):
    assert log_ticks(low, high, most)[1] == names


@given(
    low=st.floats(1e-3, 1e20),
    factor=st.floats(1.01, 1e12),
    most=st.integers(3, 12),
)
def test_ticks_lie_within_the_axis_and_are_few(low, factor, most):
    for make in (log_ticks, even_ticks):
        places, names = make(low, low * factor, most)
        assert 1 <= len(places) <= most
        assert len(set(names)) == len(names) == len(places)
        room = 0.002 * low + 1e-8 * low * factor
        assert all(low - room <= p <= (low + room) * factor for p in places)


def test_what_is_ordered_has_colours_of_its_own():
    assert len(set(ramp(6))) == 6
    assert ramp(1) == ramp(5)[:1]
    assert len(set(COLORS)) == len(COLORS) == 8
