"""The trade of training against serving: the same loss from smaller models, trained for longer."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import brentq

from bayeslaw.plan.optimum import Optimum, optimise
from bayeslaw.plan.question import Question
from bayeslaw.plan.sensitivity import expected_losses

FACTORS = (0.5, 0.7, 1.0, 1.4, 2.0, 4.0)  # on the plan's N
AROUND = 7.0  # e-folds of the budget in which a size's own is sought
PRECISE = 1e-3  # of its log


@dataclass(frozen=True)
class Traded:
    """A way to the plan's expected loss. factor: on the plan's N; training, serving: FLOPs."""

    factor: float
    optimum: Optimum
    training: float
    serving: float


def trade(asked: Question, plan: Optimum, loss: float) -> list[Traded]:
    """Designs of the plan's arrangement and of `FACTORS` times its N that have its expected loss,
    at the least training; those sizes are left out that cannot reach it. Within `double()`."""
    assert asked.serving is not None
    free = replace(asked.expected, serving=None)
    found = []
    for factor in FACTORS:
        sized = free.sized(factor * plan.run.params)
        if not sized.space(plan.arrangement).fence.possible:
            continue
        low, high = np.log(sized.space(plan.arrangement).reach)
        low = max(low + PRECISE, np.log(asked.flops) - AROUND)
        high = min(high, np.log(asked.flops) + AROUND)

        def at(log_flops: float, sized: Question = sized) -> Optimum:
            return optimise(sized.at(float(np.exp(log_flops))), plan.arrangement)

        def over(log_flops: float) -> float:
            return float(expected_losses(free, [at(log_flops)])[0]) - loss

        if not (low < high and over(low) > 0 > over(high)):
            continue
        best = at(brentq(over, low, high, xtol=PRECISE))
        space = free.space(plan.arrangement)
        found.append(
            Traded(
                factor, best, float(space.costs(best.point).sum()), asked.serving.flops(best.run)
            )
        )
    return found
