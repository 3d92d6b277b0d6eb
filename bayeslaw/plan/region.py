"""The region of designs that are nearly as good as the plan."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bayeslaw.plan import stakes as compiled
from bayeslaw.plan.newton import Seen, equal_cost_step
from bayeslaw.plan.optimum import Optimum, Problem, Question
from bayeslaw.plan.risk import MEAN

STEPS = 14  # of the bisection for where the region ends
FURTHEST = 8.0  # times the first guess
MOST = 32  # domains that each have a range of D′ of their own


@dataclass(frozen=True)
class Region:
    """Designs of the plan's arrangement whose risk is within `epsilon` of the plan's.

    Ranges of N, D (one each, or one a domain) and D′ₖ that the region reaches. Each end is of a
    design that was scored: along the direction that moves one quantity most for what it costs, all
    others giving way. Where the risk is curved otherwise than its expectation near the plan, the
    region may reach somewhat further. rows: 1 where all domains share a quantity.
    """

    epsilon: float
    params: np.ndarray  # (rows, 2)
    pretrain_tokens: np.ndarray  # (rows, 2)
    specialize_tokens: np.ndarray | None  # (domain, 2); None with more than `MOST` domains


def near_optimal(asked: Question, optimum: Optimum, epsilon: float) -> Region:
    """The region within `epsilon` nats of an optimum. Within `double()`."""
    asked, space = asked.of(optimum.arrangement), asked.space(optimum.arrangement)
    u = optimum.point[None]
    around = Problem(space, asked.outlook.few, asked.few_stakes, MEAN).bends(u)
    own = [not space.shared[0], not (space.shared[0] and space.shared[1]), True]
    wanted = [
        (j, k)
        for j in range(3)
        if not (j == 2 and space.domains > MOST)
        for k in range(space.domains if own[j] else 1)
    ]
    gradients = np.zeros((2 * len(wanted), space.domains, 3))
    for i, (j, k) in enumerate(wanted):
        gradients[2 * i, k] = space.exponents[j]  # down
        gradients[2 * i + 1, k] = -space.exponents[j]  # up
    # The gradients as the Newton step takes them, with what the budget gives to N.
    cost, _ = space.shares(u)
    whole = cost[..., :1].sum(1, keepdims=True)
    slopes = gradients - gradients[..., :1].sum(1, keepdims=True) / whole * cost
    count = len(gradients)
    wide = Seen(
        np.repeat(u, count, 0), np.zeros(count), slopes,
        np.repeat(around.blocks, count, 0), np.repeat(cost, count, 0), np.zeros(count),
    )  # fmt: skip
    step = equal_cost_step(space, wide, np.zeros(count))
    bend = np.einsum("bki,bkij,bkj->b", step, wide.blocks, step)
    first = np.sqrt(2 * epsilon / np.maximum(bend, 1e-12))
    low, high = np.zeros(count), first * FURTHEST

    def inside(reach: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        points = space.spent(wide.point + reach[:, None, None] * step)
        fields = np.stack([np.stack(space.design(p)[:3]) for p in points])
        _, _, risks = compiled.scores(asked.risk)(asked.outlook, fields, asked.stakes)
        return np.asarray(risks) - ceiling, points

    fields = np.stack(optimum.run[:3])[None]
    ceiling = float(compiled.scores(asked.risk)(asked.outlook, fields, asked.stakes)[2][0])
    ceiling += epsilon
    middle = np.minimum(first, high)
    for _ in range(STEPS):
        over, _ = inside(middle)
        low, high = np.where(over <= 0, middle, low), np.where(over <= 0, high, middle)
        middle = (low + high) / 2
    _, points = inside(low)
    logs = points @ space.exponents.T
    found: list[list[np.ndarray]] = [[], [], []]
    for i, (j, k) in enumerate(wanted):
        ends = np.exp(logs[2 * i : 2 * i + 2, k, j])
        if j and not space.stages[j - 1]:
            ends = np.zeros(2)
        found[j].append(np.array([ends.min(), ends.max()]))
    return Region(
        epsilon, np.array(found[0]), np.array(found[1]), np.array(found[2]) if found[2] else None
    )
