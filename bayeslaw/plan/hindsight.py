"""Hindsight: what each draw would have chosen, had it been known to be the truth."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from itertools import product

import jax
import numpy as np

from bayeslaw.laws import Run
from bayeslaw.plan import stakes as compiled
from bayeslaw.plan.fence import Fence
from bayeslaw.plan.newton import Seen, newton
from bayeslaw.plan.optimum import Optimum
from bayeslaw.plan.outlook import Outlook
from bayeslaw.plan.problem import DEEPEST, ROUGH, bent, fenced
from bayeslaw.plan.question import Question
from bayeslaw.plan.space import Space

MOST = 64_000  # draws x domains whose optima are sought; thinned beyond
HOLDS = 3  # times that draws are drawn to bounds; what is left outside is moved inside
ENOUGH = 1e-8  # nats still to gain, for each draw
LESS = np.arange(0.0, -DEEPEST, -0.5)  # of the log of the budget, that a draw may spend
STEPS = (0.4, 0.2, 0.1, 0.05, 0.025, 0.0125)  # of the last search, in logs
AGAIN = 3  # rounds of each
COARSE = 6  # points an axis of the ratios

Loss = Callable[[np.ndarray], np.ndarray]  # points, one a draw -> each draw's loss at its own
Look = Callable[..., Seen]  # points, and a fence that holds them -> what each draw sees there


@dataclass(frozen=True)
class Hindsight:
    """Each draw's own optimum of every arrangement, and its loss.

    rows: which of the draws were looked at. losses: (arrangement, draw). fields: (arrangement,
    field, draw, domain), of N, D and D′.
    """

    arrangements: tuple[str, ...]
    rows: np.ndarray
    losses: np.ndarray
    fields: np.ndarray

    def among(self, arrangements: Sequence[str]) -> Hindsight:
        """With only these to choose from."""
        kept = [i for i, name in enumerate(self.arrangements) if name in arrangements]
        names = tuple(self.arrangements[i] for i in kept)
        return Hindsight(names, self.rows, self.losses[kept], self.fields[kept])

    @property
    def best(self) -> np.ndarray:
        """(draw,) the least loss that each draw allows."""
        return self.losses.min(0)

    @property
    def chosen(self) -> np.ndarray:
        """(draw,) the number of the arrangement that each draw would have chosen."""
        return self.losses.argmin(0)

    @property
    def designs(self) -> Run:
        """Each draw's design, fields (draw, domain)."""
        rows = np.arange(len(self.rows))
        return Run(*np.moveaxis(self.fields[self.chosen, :, rows], 1, 0))


def hindsight(
    asked: Question,
    optima: Mapping[str, Optimum],
    all_draws: bool = False,
    draws: int | None = None,
) -> Hindsight:
    """Newton's method for every draw on its own, from the best for it of several starts, one of
    them the optimum of all together. The budget is a ceiling for each: a draw for which more
    compute means a higher loss spends less, unless bounds on N, D or D′ hold it: then it spends
    what they let it. Within `double()`.

    optima: arrangement -> its optimum. all_draws: do not thin them, however many there are.
    draws: about how many will do.
    """
    whole = asked.outlook
    step = 1 if all_draws else -(-whole.draws * whole.domains // MOST)
    if draws is not None:
        step = max(step, whole.draws // draws)
    rows = whole.rows(step)
    weights = np.asarray(asked.weights, float)
    losses, fields = [], []
    for name, optimum in optima.items():
        space, outlook = asked.space(name), asked.of(name).outlook
        if step > 1:
            outlook = jax.device_put(outlook.some(step))
        starts = np.concatenate([space.starts(), optimum.point[None]])
        tried = np.moveaxis(space.fields(starts), 0, 1)
        each = np.asarray(compiled.totals()(outlook, tried, weights))
        first = starts[np.nan_to_num(each, nan=np.inf).argmin(0)]

        def look(
            u: np.ndarray,
            fence: Fence | None = None,
            space: Space = space,
            seen: Outlook = outlook,
        ) -> Seen:
            designs = space.fields(u)
            found = compiled.bends_each()(seen, designs, weights)
            value, in_logs, blocks = map(np.asarray, found)
            return bent(space, u, value, in_logs, blocks, fence)

        def solve(fence: Fence, u: np.ndarray, space: Space = space, look: Look = look) -> Seen:
            return newton(space, look(u, fence), lambda v: look(v, fence), ENOUGH)

        def loss(u: np.ndarray, space: Space = space, seen: Outlook = outlook) -> np.ndarray:
            designs = space.fields(u)
            return np.asarray(compiled.totals_each()(seen, designs, weights))

        # Where the bounds allow less than the budget, the greatest design is the only one.
        points = first
        if not space.exhausted:
            points = fenced(solve, space, first, near=ROUGH, holds=HOLDS)[1].point
        points = space.inside(points)
        # Curves alone fall with every e-fold of compute, and have no kinks; not those of branches
        # that forget.
        if not (space.fence.bounded or outlook.curves_alone):
            less, lower = _below(space, look, outlook, weights)
            fewer = loss(space.spent(lower, less)) < loss(points)
            points = np.where(fewer[:, None, None], lower, points)
            points = _polished(space, points, np.where(fewer, less, 0.0), loss)
        designs = space.fields(points)
        exact = np.asarray(compiled.totals_each()(outlook, designs, weights))
        # Where rounding the sweep's edge led astray, the best start stands.
        started = space.fields(first)
        better = exact <= each.min(0)
        designs = np.where(better[:, None], designs, started)
        losses.append(np.where(better, exact, each.min(0)))
        fields.append(designs)
    return Hindsight(tuple(optima), rows, np.stack(losses), np.stack(fields))


def _below(
    space: Space,
    look: Look,
    outlook: Outlook,
    weights: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """What each draw would rather spend, as the log of a share of the budget, and its optimum at
    about that: the best of a coarse grid, then Newton's method."""
    starts = space.grid(COARSE)
    least, less = np.full(outlook.draws, np.inf), np.zeros(outlook.draws)
    first = np.repeat(starts[:1], outlook.draws, 0)
    for by in LESS:
        points = space.spent(starts, by)
        tried = np.moveaxis(space.fields(points), 0, 1)
        each = np.asarray(compiled.totals()(outlook, tried, weights))
        each = np.nan_to_num(each, nan=np.inf)
        which, value = each.argmin(0), each.min(0)
        better = value < least
        first = np.where(better[:, None, None], points[which], first)
        less, least = np.where(better, by, less), np.where(better, value, least)
    own = copy(space)
    own.flops = space.flops * np.exp(less)  # a budget for each draw
    return less, newton(own, look(own.spent(first)), look, ENOUGH).point


def _polished(space: Space, point: np.ndarray, less: np.ndarray, loss: Loss) -> np.ndarray:
    """A search in steps, one after the other halved, of what is spent and of the ratios: the edges
    of the sweep are kinks, in whose corners Newton's method does not settle. Domains move
    together."""
    least, less = loss(space.spent(point, less)), less.copy()
    moves = [m for m in product((0.0, 1.0, -1.0), repeat=3) if 0 < np.abs(m).sum() <= 2]
    moves = [m for m in moves if not (np.array(m[1:])[~space.present[1:]]).any()]
    for step in STEPS:
        for _ in range(AGAIN):
            before = least
            for move in moves:
                by = np.minimum(0.0, less + step * move[0])
                ahead = space.spent(point + step * np.array([0.0, *move[1:]]), by)
                value = loss(ahead)
                better = value < least
                point = np.where(better[:, None, None], ahead, point)
                less, least = np.where(better, by, less), np.where(better, value, least)
            if (least == before).all():
                break
    return space.spent(point, less)


def with_regret(asked: Question, optima: Mapping[str, Optimum]) -> Question:
    """The question on regret: of every draw's loss its least is taken off."""
    return replace(asked, reference=hindsight(asked, optima, all_draws=True).best)
