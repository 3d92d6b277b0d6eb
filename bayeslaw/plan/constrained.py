"""Constrained: the optimum that keeps losses with a probability."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from bayeslaw.plan.chance import STIFF, Hold, losses_of
from bayeslaw.plan.problem import ROUGH, Problem, fenced
from bayeslaw.plan.question import Question
from bayeslaw.plan.space import Space

ROUNDS = 16  # times that multipliers and offsets are learnt
CLOSE = 2e-5  # nats that an excess still moves: multipliers are learnt
HOPELESS = 0.95  # of the last change of the excess: it will not end inside
MARGIN = 2e-6  # nats more than it takes, where a round ends outside


@dataclass(frozen=True)
class Kept:
    """A design (its point) and by how much it exceeds the limits: at most 0 where it keeps all."""

    point: np.ndarray
    over: float


def constrained(
    asked: Question, space: Space, problem: Problem, start: np.ndarray, blocks: np.ndarray
) -> Kept:
    """The design of least risk that keeps the limits of a question, from a start that does not; or
    the one nearest to them that was found. An augmented Lagrangian of a smooth stand-in, moved each
    time to agree with the exact excess where the last round ended. Within `double()`."""
    nearest = _descended(asked, space, problem, start, blocks, 1.0)
    if nearest.over <= 0:
        return nearest
    inside = _descended(asked, space, problem, nearest.point, blocks, 0.0)
    if inside.over > 0:
        return min(nearest, inside, key=lambda k: k.over)
    again = _descended(asked, space, problem, inside.point, blocks, 1.0)
    return again if again.over <= 0 else inside


def _descended(
    asked: Question,
    space: Space,
    problem: Problem,
    u: np.ndarray,
    blocks: np.ndarray,
    weight: float,
) -> Kept:
    assert asked.chances is not None
    chances, fence = asked.chances, space.fence
    count = len(chances.rank)
    pull = np.full(count, 0.0 if weight else 1.0)  # alone, it seeks the inside and not the edge
    kept: list[tuple[float, Kept]] = []
    best = Kept(u, np.inf)
    more, before = np.zeros(count), np.inf
    for _ in range(ROUNDS):
        losses = _losses(asked, space, u)
        smooth, exact = np.asarray(chances.smooth(losses)), chances.exact(losses)
        hold = Hold(chances, pull, exact - smooth + more, weight)
        held = replace(problem, hold=hold)
        fence, seen = fenced(
            lambda f, v, held=held: held.descend(v, blocks, f),  # type: ignore[misc]
            space, u[None], fence, ROUGH, holds=3,
        )  # fmt: skip
        u = space.inside(space.pushed(seen.point, fence)[0])
        losses = _losses(asked, space, u)
        exact = chances.exact(losses)
        here = Kept(u, float(exact.max()))
        if here.over <= 0:
            risk = float(np.asarray(asked.stakes.risk(asked.risk, losses)))
            kept.append((risk, here))
            if not weight:
                return here
        best = min(best, here, key=lambda k: k.over)
        told = np.asarray(chances.smooth(losses)) + hold.offset
        learnt = np.maximum(0.0, pull + STIFF * told)
        moved = np.abs(learnt - pull).max() / STIFF
        pull = learnt
        if here.over > 0 and moved > HOPELESS * before:
            break
        before = moved
        if moved < CLOSE:  # what is still outside is so because the stand-in differs by as much
            if here.over <= 0:
                break
            more, before = more + np.maximum(exact, 0) + MARGIN * (exact > 0), np.inf
    return min(kept, key=lambda pair: pair[0])[1] if kept else best


def _losses(asked: Question, space: Space, u: np.ndarray) -> np.ndarray:
    return np.asarray(losses_of()(asked.outlook, space.fields(u)))
