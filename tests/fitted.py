"""Small fits that several tests read, made once a session. Read them; do not change them."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

from bayeslaw import Ensemble, Runs, fit
from tests.conftest import simulated, two_stage

FAILURE = "R-hat 1.300 > 1.01"


@lru_cache
def single() -> Ensemble:
    """One stage, one domain, sampled."""
    return fit(Runs.from_table(simulated(60)), ["chinchilla"])


@lru_cache
def split() -> Ensemble:
    """Two stages, two domains, two laws; points, because they cost little."""
    return fit(Runs.from_table(two_stage()), ["additive", "transfer"], method="huber")


def failed(fitted: Ensemble, *laws: str) -> Ensemble:
    """The same fit, had these laws (all, if none is named) not passed the gate."""
    return replace(
        fitted,
        members=tuple(
            replace(m, weight=0.0, diagnostics=replace(m.diagnostics, failures=(FAILURE,)))
            if not laws or m.law.name in laws
            else m
            for m in fitted.members
        ),
    )
