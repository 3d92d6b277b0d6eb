"""Limited: a question with its limits on losses, and what cannot keep them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import jax
import numpy as np

from bayeslaw.errors import PlanError
from bayeslaw.plan.candidate import Candidate
from bayeslaw.plan.chance import Chances, losses_of
from bayeslaw.plan.choice import Choice
from bayeslaw.plan.optimum import optimise
from bayeslaw.plan.question import Question
from bayeslaw.plan.risk import Risk

MISSED = Risk("reach")  # of a shortfall: the probability that it is above 0


def with_limits(asked: Question, choice: Choice) -> Question:
    """The question, with its limits on its draws. Within `double()`. Raises `PlanError` where the
    generalist is to be kept up with, and there is none."""
    if not asked.limits:
        return asked
    generalist = np.full((asked.outlook.draws, len(asked.names)), np.inf)
    if any(limit.domain is None for limit in asked.limits):
        if "generalist" not in choice.assessed:
            raise PlanError("no generalist is within the bounds: leave out at_least_generalist")
        generalist = np.asarray(_losses(asked, "generalist"))
    chances = Chances.of(asked.limits, generalist)
    return replace(asked, chances=jax.device_put(chances))


def keeping(asked: Question, choice: Choice, found: Sequence[Candidate]) -> Choice:
    """The choice without what cannot keep the limits. Within `double()`. Raises `PlanError` where
    nothing can, with the probabilities that can be had."""
    lost = {c.name: c for c in found if c.kind == "optimum" and not c.kept}
    there = {c.name for c in found if c.kind == "optimum"}
    allowed = tuple(a for a in choice.allowed if a in there and a not in lost)
    if not allowed:
        raise PlanError(_refused(asked, choice, lost.values()))
    excluded = tuple(
        (a, f"it keeps {_reached(asked, lost[a].losses)}" if a in lost
         else "no architecture near its optimum keeps the limits")
        for a in choice.allowed if a not in allowed
    )  # fmt: skip
    return replace(choice, allowed=allowed, excluded=(*choice.excluded, *excluded))


def _refused(asked: Question, choice: Choice, nearest: object) -> str:
    told = []
    for limit in asked.limits:
        if limit.domain is None:
            continue
        targets = np.full(len(asked.names) + 1, np.inf)
        targets[limit.domain] = limit.loss
        alone = replace(asked, chances=None, reference=None, targets=targets, risk=MISSED)
        best = {
            a: float((_losses(alone, a)[:, limit.domain] <= limit.loss).mean())
            for a in choice.allowed
        }
        first = max(best, key=lambda a: best[a])
        told.append(f"{limit.said} can be had with probability {best[first]:.3g} ({first})")
    each = [f"{c.name} keeps {_reached(asked, c.losses)}" for c in nearest]  # type: ignore[attr-defined]
    return (
        "no design of this budget keeps the limits: " + "; ".join([*told, *each])
        + ". Raise the budget or a loss, or ask for less probability"
    )  # fmt: skip


def _reached(asked: Question, losses: np.ndarray) -> str:
    assert asked.chances is not None
    reached = asked.chances.reached(losses)
    pairs = zip(asked.limits, reached, strict=True)
    return ", ".join(f"{limit.said} with {p:.3g}" for limit, p in pairs)


def _losses(asked: Question, arrangement: str) -> np.ndarray:
    best = optimise(asked, arrangement)
    outlook = asked.of(arrangement).outlook
    return np.asarray(losses_of()(outlook, np.stack(best.run[:3])))
