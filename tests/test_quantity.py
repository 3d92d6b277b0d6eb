"""Numbers as people write them."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bayeslaw.quantity import format_quantity, parse_quantity


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("7B", 7e9), ("7b", 7e9), ("7G", 7e9), ("2.5T", 2.5e12), ("350M", 350e6), ("12k", 12e3),
        ("1e21", 1e21), ("5.76E23", 5.76e23), (" 3 ", 3.0), ("1_000_000", 1e6), ("1,000,000", 1e6),
        (".5M", 5e5), ("-2", -2.0), ("+2", 2.0), (3, 3.0), (2.5, 2.5), ("inf", math.inf),
        ("0", 0.0), ("1_0e3", 1e4), ("7 B", 7e9),
    ],
)  # fmt: skip
def test_a_number_is_read(text, value):
    assert parse_quantity(text) == value


@pytest.mark.parametrize(
    "text",
    ["", " ", "seven", "7BB", "7 billion", "1,5B", "1.2.3", "nan", "0x10", "1e", "--2", "1e400",
     "7B2", "1__0", "½", "٣", None, True],
)  # fmt: skip
def test_what_is_no_number_is_refused(text):
    with pytest.raises(ValueError, match=r"is not a number|too large"):
        parse_quantity(text)


@pytest.mark.parametrize(
    ("value", "text"),
    [(7e9, "7B"), (1.234e12, "1.23T"), (5.76e23, "5.76e23"), (999.6e6, "1B"), (12_000, "12k"),
     (0, "0"), (-0.0, "0"), (12.34, "12.3"), (1e15, "1e15"), (0.00123, "0.00123"),
     (1e-7, "1e-7"), (-7e9, "-7B"), (math.inf, "inf")],
)  # fmt: skip
def test_a_number_is_written_for_people(value, text):
    assert format_quantity(value) == text


@given(st.floats(1e-30, 1e30))
def test_what_is_written_is_read_back_to_three_digits(value):
    assert parse_quantity(format_quantity(value)) == pytest.approx(value, rel=5.1e-3)
