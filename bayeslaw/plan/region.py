"""The region of designs that are nearly as good as the plan."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bayeslaw.plan import stakes as compiled
from bayeslaw.plan.newton import Seen, equal_cost_step
from bayeslaw.plan.optimum import Optimum
from bayeslaw.plan.problem import Problem
from bayeslaw.plan.question import Question
from bayeslaw.plan.risk import MEAN

STEPS = 14  # of the bisection for where the region ends
FURTHEST = 8.0  # times the first guess
PARTS = (0.25, 0.5, 0.75)  # of it, that are looked at too
HELD = 1e3  # nats for a squared e-fold: the curvature of what a bound holds
ENDS = 12.0  # of the log of a ratio: no region goes further
SMALL = 1e-4  # of a slope: directions count, and a long step would be cut
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
    # What a bound holds stays nearly where it is, unless it is what is moved.
    held = HELD * np.logical_or(*space.fence.touched(space.logs(u)))
    held = np.repeat(held, len(gradients), 0)
    for i, (j, k) in enumerate(wanted):
        gradients[2 * i, k] = SMALL * space.exponents[j]  # down
        gradients[2 * i + 1, k] = -SMALL * space.exponents[j]  # up
        held[2 * i : 2 * i + 2, k, j] = 0.0
    # The gradients as the Newton step takes them, with what the budget gives to N.
    cost, _ = space.shares(u)
    slopes = (
        gradients - gradients[..., :1].sum(1, keepdims=True) / cost[..., :1].sum(1)[:, None] * cost
    )
    count = len(gradients)
    wide = Seen(
        np.repeat(u, count, 0), np.zeros(count), slopes,
        around.blocks + space.exponents.T @ (held[..., None] * space.exponents),
        np.repeat(cost, count, 0), np.zeros(count),
    )  # fmt: skip
    step = equal_cost_step(space, wide, np.zeros(count))
    bend = np.einsum("bki,bkij,bkj->b", step, wide.blocks, step)
    first = np.sqrt(2 * epsilon / np.maximum(bend, 1e-12))
    longest = np.maximum(np.abs(step).max((1, 2)), 1e-300)
    low, high = np.zeros(count), np.minimum(first * FURTHEST, ENDS / longest)

    def inside(reach: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        points = space.inside(wide.point + reach[:, None, None] * step)
        fields = np.moveaxis(space.fields(np.asarray(points)), 0, 1)
        losses, _, risks = compiled.scores(asked.risk)(asked.outlook, fields, asked.stakes)
        over = np.asarray(risks) - ceiling
        if asked.chances is not None:
            kept = [asked.chances.exact(each).max() <= 0 for each in np.asarray(losses)]
            over = np.where(kept, over, np.inf)
        return over, points

    fields = np.stack(optimum.run[:3])[None]
    ceiling = float(compiled.scores(asked.risk)(asked.outlook, fields, asked.stakes)[2][0])
    ceiling += epsilon
    # N takes what is left of the budget, so far out a quantity may turn back: the furthest that was
    # seen inside counts.
    fields_of, rows_of = (np.repeat(v, 2) for v in zip(*wanted, strict=True))
    way = np.tile([-1.0, 1.0], len(wanted))
    best = way * space.logs(wide.point)[np.arange(count), rows_of, fields_of]

    def seen(reach: np.ndarray) -> np.ndarray:
        nonlocal best
        over, points = inside(reach)
        values = way * space.logs(points)[np.arange(count), rows_of, fields_of]
        best = np.where(over <= 0, np.maximum(best, values), best)
        return over

    middle = np.minimum(first, high)
    for part in PARTS:
        seen(part * middle)
    for _ in range(STEPS):
        over = seen(middle)
        low, high = np.where(over <= 0, middle, low), np.where(over <= 0, high, middle)
        middle = (low + high) / 2
    found: list[list[np.ndarray]] = [[], [], []]
    for i, (j, _) in enumerate(wanted):
        here = not j or space.stages[j - 1]
        found[j].append(np.exp(way[:2] * best[2 * i : 2 * i + 2]) if here else np.zeros(2))
    return Region(
        epsilon, np.array(found[0]), np.array(found[1]), np.array(found[2]) if found[2] else None
    )
