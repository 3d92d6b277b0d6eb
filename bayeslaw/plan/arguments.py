"""Arguments: those of a plan, checked, and the question that they make."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

import jax
import numpy as np

from bayeslaw.cost import Budget
from bayeslaw.infer.ensemble import Ensemble
from bayeslaw.infer.precision import double
from bayeslaw.plan.arrangement import Recipe, arrangements_of
from bayeslaw.plan.bounds import bounds_of
from bayeslaw.plan.candidate import Own, own_designs
from bayeslaw.plan.choice import Choice
from bayeslaw.plan.constraints import Constraints, Wishes
from bayeslaw.plan.faults import Faults
from bayeslaw.plan.objective import asked_objective, with_objective
from bayeslaw.plan.offset import Offset, levels_of, offset_of
from bayeslaw.plan.outlook import Outlook, check_kind
from bayeslaw.plan.question import Question
from bayeslaw.plan.risk import Risk, parse_risk
from bayeslaw.plan.weights import weights_of

EPSILON = 0.01  # nats within which a design is as good as the plan
ON = ("loss", "regret")


def question(
    fitted: Ensemble,
    flops: float | str,
    weights: Mapping[str, float] | None = None,
    risk: str | Risk | Callable[[Any], Any] = "mean",
    stretch: float = 4.0,
    draws: int = 1000,
    kind: str = "calibrated",
    on: str = "loss",
    seed: int = 0,
    also: Sequence[str] = (),
    wishes: Wishes | None = None,
) -> Question:
    """The arguments of `plan`, checked. also: faults that the caller has found in its others.
    Raises `PlanError` with all of them."""
    faults = Faults(also)
    budget = faults.of(lambda: Budget.of(flops))
    found = faults.of(lambda: parse_risk(risk))
    share = faults.of(lambda: weights_of(fitted, weights))
    within = faults.of(lambda: Constraints.of(fitted, wishes or {}))
    bounds = faults.of(lambda: bounds_of(fitted, stretch))
    faults.of(lambda: check_kind(fitted, kind))
    objective = faults.of(lambda: asked_objective(fitted, wishes or {}, weights, draws, seed, kind))
    faults.unless(on in ON, f"on '{on}' is not one of {', '.join(ON)}")
    faults.unless(draws >= 1, f"draws must be at least 1, got {draws}")
    faults.tell()
    assert budget is not None
    assert found is not None
    assert share is not None
    assert bounds is not None
    assert within is not None
    outlook, others = _outlook(fitted, kind, draws, seed), _others(fitted, kind, draws, seed)
    distinct = within.data.distinct(fitted.domains)
    if distinct is not None:
        outlook = jax.device_put(replace(outlook, distinct=distinct))
        others = {a: jax.device_put(replace(o, distinct=distinct)) for a, o in others.items()}
    bounds = replace(bounds, own=within.bounds)
    asked = Question(
        outlook, budget.flops, share, found, bounds, fitted.domains, within.data, within.serving,
        within.architectures, within.limits, others=others, cost=within.cost,
        recipes=within.recipes,
    )  # fmt: skip
    return with_objective(asked, objective)


def faults_of(
    fitted: Ensemble,
    arrangements: Sequence[str] | None,
    prob: float = 0.9,
    epsilon: float = EPSILON,
    designs: Mapping[str, Own] | None = None,
) -> Faults:
    """What is wrong with the arguments of `plan` that are not part of the question."""
    faults = Faults()
    faults.of(lambda: Choice.of(fitted, arrangements))
    faults.unless(0 < prob < 1, f"prob must lie between 0 and 1, got {prob}")
    faults.unless(0 < epsilon < np.inf, f"epsilon must be positive, got {epsilon}")
    faults.of(lambda: own_designs(designs or {}, fitted))
    return faults


@lru_cache(maxsize=4)
def _outlook(fitted: Ensemble, kind: str, draws: int, seed: int) -> Outlook:
    """An ensemble's outlook on the device; planned on again and again."""
    with double():
        return jax.device_put(Outlook.of(fitted, kind, draws, seed))


@lru_cache(maxsize=4)
def _others(fitted: Ensemble, kind: str, draws: int, seed: int) -> dict[str, Outlook]:
    """The outlooks of arrangements that runs speak for, and laws do not; and of shares of replay
    that laws know."""
    outlook = _outlook(fitted, kind, draws, seed)
    found = {}
    for name, arrangement in arrangements_of(fitted).items():
        contrast = arrangement.contrast(fitted)
        if contrast is None or arrangement.unassessable(fitted):
            continue
        with double():
            if not isinstance(arrangement, Recipe):
                offset = offset_of(fitted, contrast, outlook.log_loss, draws, seed)
                own = replace(outlook, offset=offset)
            elif arrangement.by_laws(fitted):
                own = replace(outlook, replay=arrangement.level)
            else:
                levels = _levels(fitted, arrangement.way, kind, draws, seed)
                own = replace(outlook, offset=levels[arrangement.level])
            found[name] = jax.device_put(own)
    return found


@lru_cache(maxsize=4)
def _levels(fitted: Ensemble, way: str, kind: str, draws: int, seed: int) -> dict[float, Offset]:
    contrast = fitted.contrast(way)
    assert contrast is not None
    return levels_of(fitted, contrast, _outlook(fitted, kind, draws, seed).log_loss, draws, seed)
