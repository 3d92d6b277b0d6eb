"""The decision: every arrangement at its optimum, and the rules of thumb beside them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bayeslaw.infer.precision import double
from bayeslaw.plan.candidate import RULES, Candidate, scored
from bayeslaw.plan.hindsight import with_regret
from bayeslaw.plan.optimum import optimise, within
from bayeslaw.plan.question import Question
from bayeslaw.plan.snap import snapped


def with_reference(asked: Question, arrangements: Sequence[str], on: str) -> Question:
    """The question, with each draw's best loss taken off where it is on regret. Within
    `double()`."""
    if on != "regret":
        return asked
    return with_regret(asked, {a: optimise(asked.expected, a) for a in arrangements})


def decide(asked: Question, arrangements: Sequence[str]) -> list[Candidate]:
    """Every arrangement at its optimum, in order, then the rules of thumb. Within `double()`."""
    optima = {a: within(asked, optimise(asked, a)) for a in arrangements}
    pins: dict[str, dict[str, float]] = {}
    for name, share in RULES.items() if "trunk" in optima else ():
        pin = {"split_ratio": float(np.log(share / (1 - share) / len(asked.names)))}
        if asked.space("trunk", pin).possible:
            best = optimise(asked, "trunk", pin, optima["trunk"].point)
            optima[name], pins[name] = within(asked, best, pin), pin
    built = {name: snapped(asked, o, pins.get(name)) for name, o in optima.items()}
    found = {name: o for name, o in built.items() if o is not None}
    return scored(found, asked, ["rule" if name in RULES else "optimum" for name in found])


def best(asked: Question, arrangements: Sequence[str]) -> Candidate:
    """The arrangement of least risk, at its optimum."""
    with double():
        optima = {a: within(asked, optimise(asked, a)) for a in arrangements}
        found = scored(optima, asked, ["optimum"] * len(optima))
    return min(found, key=lambda c: c.risk)
