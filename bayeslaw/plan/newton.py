"""Newton's method over designs of equal cost, for a batch of problems at once.

What domains have of their own couples only through the budget and through what they share: the
Hessian is an arrow, and a step costs a solve of 3 × 3 a domain. Shapes begin with the batch: points
(batch, domain, 3).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from bayeslaw.plan.space import Space

LEAST = 0.2  # of the price: the least curvature of what a domain has of its own
LONGEST = 2.0  # a step in the log of a ratio
ITERATIONS = 60
CROSSINGS = 5  # times that a step is cut at the edges of the box
HOPELESS = 1e6  # damping beyond which no step leads down


class Seen(NamedTuple):
    """A risk around a point: what a Newton step needs."""

    point: np.ndarray  # (batch, domain, 3)
    value: np.ndarray  # (batch,)
    slopes: np.ndarray  # (batch, domain, 3), with N giving what the ratios take from the budget
    blocks: np.ndarray  # (batch, domain, 3, 3)
    cost: np.ndarray  # (batch, domain, 3): the gradient of the log of the cost
    price: np.ndarray  # (batch,): nats that an e-fold of the budget takes off

    def where(self, these: np.ndarray, other: Seen) -> Seen:
        """Of `these` members of the batch, else of `other`."""
        pairs = zip(self, other, strict=True)
        return Seen(*(np.where(_wide(these, a.ndim), a, b) for a, b in pairs))


def _wide(values: np.ndarray, dimensions: int) -> np.ndarray:
    """(batch,) with axes of length 1 behind it."""
    return values.reshape(-1, *[1] * (dimensions - 1))


def newton(space: Space, seen: Seen, look: Callable[[np.ndarray], Seen], enough: float) -> Seen:
    """Damped Newton steps, until the next one leaves less than `enough` nats to gain.

    With the curvature of other draws a step leaves a part of what there was to gain: as large a one
    as the step before. What is returned was seen before the last step, but for its point.
    """
    count = len(seen.value)
    damping, before, done = np.zeros(count), np.zeros(count), np.zeros(count, bool)
    for _ in range(ITERATIONS):
        trial = space.spent(seen.point + equal_cost_step(space, seen, damping))
        gain = -(seen.slopes * (trial - seen.point)).sum((1, 2)) / 2
        left = np.where(before > 0, np.minimum(1.0, gain / np.where(before > 0, before, 1.0)), 1.0)
        settled = ~done & (gain * left >= 0) & (gain * left < enough) & (damping == 0)
        if settled.any():
            seen = seen._replace(point=np.where(_wide(settled, 3), trial, seen.point))
            done |= settled
        if done.all():
            return seen
        ahead = look(np.where(_wide(done, 3), seen.point, trial))
        better = ~done & (ahead.value <= seen.value)
        seen = ahead.where(better, seen) if not better.all() else ahead
        before = np.where(better, gain, before)
        worse = np.maximum(10 * damping, 0.1)
        damping = np.where(better, np.where(damping > 0.01, damping / 10, 0.0), worse)
        done |= ~better & (damping > HOPELESS)
        if done.all():
            return seen
    return seen


def tempered(blocks: np.ndarray, prices: np.ndarray, own: np.ndarray) -> np.ndarray:
    """A Hessian, with what a domain has of its own (the numbers of its coordinates) made positive.

    Where D′ is too short to matter, the loss in log D′ bends down nearly as much as the price bends
    up, and a Newton step would leap: at least a part of the price stays.
    """
    if not len(own):
        return blocks
    at = (..., own[:, None], own)
    if len(own) == 1:
        blocks[at] = np.maximum(np.abs(blocks[at]), LEAST * prices[at])
        return blocks
    values, vectors = np.linalg.eigh(blocks[at])
    turned = np.swapaxes(vectors, -1, -2)
    least = LEAST * ((turned @ prices[at]) * turned).sum(-1)
    blocks[at] = (vectors * np.maximum(np.abs(values), least)[..., None, :]) @ turned
    return blocks


def equal_cost_step(space: Space, seen: Seen, damping: np.ndarray) -> np.ndarray:
    """The Newton step, (batch, domain, 3), of equal cost and within the box."""
    u = seen.point
    whole = np.where(space.shared, seen.slopes.sum(1, keepdims=True), seen.slopes)
    pressed = (u <= space.low) & (whole >= 0) | (u >= space.high) & (whole <= 0)
    free = (space.low < space.high) & ~pressed
    given = np.zeros_like(u)
    for _ in range(CROSSINGS):
        step = _equal_cost(space, seen, damping, free, given)
        ahead = u + step
        crossing = free & ((ahead < space.low) | (ahead > space.high))
        if not crossing.any():
            break
        # What would leave the box goes as far as its edge, and the rest is solved again.
        given = np.where(crossing, np.clip(ahead, space.low, space.high) - u, given)
        free = free & ~crossing
    if not (np.abs(step) <= LONGEST).all():
        for some in (space.own, space.shared):
            furthest = np.abs(step[..., some]).max(2, initial=LONGEST, keepdims=True)
            step[..., some] *= LONGEST / furthest
    return step


def _equal_cost(
    space: Space, seen: Seen, damping: np.ndarray, free: np.ndarray, given: np.ndarray
) -> np.ndarray:
    """The Newton step at equal cost: domains on their own, then what they share.

    free: which coordinates move; the others move by `given`.
    """
    own, shared = space.own_at, space.shared_at
    slopes, blocks, cost = seen.slopes, seen.blocks, seen.cost
    if given.any():
        slopes = slopes + (blocks @ given[..., None])[..., 0]
    scale = np.abs(blocks).max((1, 2, 3)) + 1e-300
    # Own coordinates: (domain, q). Columns: the gradient, the shared coordinates, the cost.
    keep = free[..., own, None]
    rows = blocks[..., own, :]
    columns = np.concatenate([slopes[..., own, None], rows[..., shared], cost[..., own, None]], -1)
    columns = columns * keep
    local = rows[..., own] * (keep & free[..., None, own])
    solved = _solve(local, columns, scale, damping) * keep
    reduced = (np.swapaxes(columns, -1, -2) @ solved).sum(1)
    # Shared coordinates, with the price of the budget put in.
    loose = free[:, 0, shared]
    by = cost[..., shared].sum(1) - reduced[:, 1:-1, -1]
    give = np.maximum(reduced[:, -1, -1], 1e-8 / scale)
    short = (cost * given).sum((1, 2)) - reduced[:, -1, 0]
    moved = np.zeros(loose.shape)
    if loose.any():
        joint = blocks[..., shared, :][..., shared].sum(1) - reduced[:, 1:-1, 1:-1]
        joint = joint + by[:, :, None] * by[:, None, :] / give[:, None, None]
        joint = joint * (loose[:, :, None] & loose[:, None, :])
        right = reduced[:, 1:-1, 0] - slopes[..., shared].sum(1) - by * (short / give)[:, None]
        moved = _solve(joint, (right * loose)[..., None], scale, damping)[..., 0] * loose
    last = ((by * moved).sum(1) + short) / give
    parts = np.concatenate([np.ones((len(last), 1)), moved, last[:, None]], 1)
    step = given.copy()
    step[..., shared] += moved[:, None, :]
    step[..., own] -= (solved @ parts[:, None, :, None])[..., 0]
    return step


def _solve(
    blocks: np.ndarray, columns: np.ndarray, scale: np.ndarray, damping: np.ndarray
) -> np.ndarray:
    """|H|⁻¹ b of every block: directions of negative curvature are gone down, not up."""
    if blocks.shape[-1] == 1:
        wide = _wide(scale, blocks.ndim)
        return columns / (
            np.maximum(np.abs(blocks), 1e-10 * wide) + _wide(damping * scale, blocks.ndim)
        )
    values, vectors = np.linalg.eigh(blocks)
    wide = _wide(scale, values.ndim)
    values = np.maximum(np.abs(values), 1e-10 * wide) + _wide(damping, values.ndim) * wide
    return vectors @ ((np.swapaxes(vectors, -1, -2) @ columns) / values[..., None])
