"""Every executor keeps the protocol: `submit(fn, *args)` and `.result()`, errors included."""

from __future__ import annotations

import os

import pytest

from bayeslaw.sweep import EXECUTORS


def power(base: int, exponent: int) -> int:
    return base**exponent


def fails() -> None:
    raise ValueError("as told")


def threads() -> str:
    return os.environ["OMP_NUM_THREADS"]


@pytest.mark.parametrize("make", EXECUTORS.values(), ids=list(EXECUTORS))
def test_executors_keep_the_protocol(make):
    with make(2) as executor:
        jobs = [executor.submit(power, 2, n) for n in range(5)]
        assert [job.result() for job in jobs] == [1, 2, 4, 8, 16]
        with pytest.raises(ValueError, match="as told"):
            executor.submit(fails).result()
        assert executor.submit(threads).result() == "1"
