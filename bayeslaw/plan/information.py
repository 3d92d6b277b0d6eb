"""What knowing the truth would be worth, in nats and in compute."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq

from bayeslaw.plan.hindsight import Hindsight
from bayeslaw.plan.optimum import Optimum, optimise, within
from bayeslaw.plan.question import Question
from bayeslaw.plan.scores import scores

FARTHEST = np.log(1e6)  # of the budget, in which its equivalent is sought
PRECISE = 1e-4  # of the log of a budget


@dataclass(frozen=True)
class Information:
    """evpi: the expected value of perfect information, min over plans of E L less E of min over
    plans of L, nats. budget: the least budget at which a plan made without it has as low an
    expected loss; None where no budget up to a million times this one has."""

    evpi: float
    budget: float | None


def information(asked: Question, optima: Mapping[str, Optimum], seen: Hindsight) -> Information:
    """Of the arrangements that `seen` looked at. Within `double()`.

    optima: arrangement -> its optimum, near to that of the mean.
    """
    expected = asked.expected
    best = {a: _best(expected, a, optima[a].point) for a in seen.arrangements}
    values = {a: _expected(expected, o) for a, o in best.items()}
    first = min(values, key=lambda a: values[a])
    thin = float(np.mean(_totals(expected, best[first])[seen.rows]))
    evpi = max(0.0, thin - float(seen.best.mean()))
    wanted = values[first] - evpi
    budget = least_budget(
        lambda flops: (
            min(_expected(expected, _best(expected.at(flops), a, o.point)) for a, o in best.items())
            - wanted
        ),
        asked.flops,
    )
    return Information(evpi, budget)


def least_budget(over: Callable[[float], float], flops: float) -> float | None:
    """The least budget from `flops` on at which `over` is 0, to `PRECISE`; None where there is none
    within `FARTHEST`. Steps grow until it has changed its sign; then Brent's method."""
    if over(flops) <= 0:
        return flops
    low, step = 0.0, 0.25
    while low < FARTHEST:
        high = min(low + step, FARTHEST)
        if over(flops * np.exp(high)) <= 0:
            root = brentq(lambda t: over(flops * np.exp(t)), low, high, xtol=PRECISE)
            return float(flops * np.exp(root))
        low, step = high, 2 * step
    return None


def _best(asked: Question, arrangement: str, start: np.ndarray) -> Optimum:
    """The budget is a ceiling here too."""
    return within(asked, optimise(asked, arrangement, start=start))


def _totals(asked: Question, optimum: Optimum) -> np.ndarray:
    return scores(asked, [optimum]).totals[0]


def _expected(asked: Question, optimum: Optimum) -> float:
    return float(_totals(asked, optimum).mean())
