"""Hindsight: what each draw would have chosen, had it been known to be the truth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import jax
import numpy as np

from bayeslaw.laws import Run
from bayeslaw.plan import stakes as compiled
from bayeslaw.plan.newton import Seen, newton
from bayeslaw.plan.optimum import Optimum, Question, bent
from bayeslaw.plan.outlook import Outlook
from bayeslaw.plan.space import Space

MOST = 64_000  # draws x domains whose optima are sought; thinned beyond
ENOUGH = 1e-8  # nats still to gain, for each draw


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


def hindsight(asked: Question, optima: Mapping[str, Optimum], all_draws: bool = False) -> Hindsight:
    """Newton's method for every draw on its own, from the best for it of several starts, one of
    them the optimum of all together. Within `double()`.

    optima: arrangement -> its optimum. all_draws: do not thin them, however many there are.
    """
    first = asked.outlook
    step = 1 if all_draws else -(-first.draws * first.domains // MOST)
    rows = first.rows(step)
    weights = np.asarray(asked.weights, float)
    losses, fields = [], []
    for name, optimum in optima.items():
        space, outlook = asked.space(name), asked.of(name).outlook
        if step > 1:
            outlook = jax.device_put(outlook.some(step))
        starts = np.stack([*space.starts(), optimum.point])
        tried = np.stack([np.stack(space.design(u)[:3]) for u in starts])
        each = np.asarray(compiled.totals()(outlook, tried, weights))
        first = starts[np.nan_to_num(each, nan=np.inf).argmin(0)]

        def look(u: np.ndarray, space: Space = space, seen: Outlook = outlook) -> Seen:
            designs = np.stack(space.design(u)[:3])
            found = compiled.bends_each()(seen, designs, weights)
            value, in_logs, blocks = map(np.asarray, found)
            return bent(space, u, value, in_logs, blocks)

        seen = newton(space, look(first), look, ENOUGH)
        designs = np.stack(space.design(seen.point)[:3])
        exact = np.asarray(compiled.totals_each()(outlook, designs, weights))
        # Where rounding the sweep's edge led astray, the best start stands.
        started = np.stack(space.design(first)[:3])
        better = exact <= each.min(0)
        designs = np.where(better[:, None], designs, started)
        losses.append(np.where(better, exact, each.min(0)))
        fields.append(designs)
    return Hindsight(tuple(optima), rows, np.stack(losses), np.stack(fields))


def with_regret(asked: Question, optima: Mapping[str, Optimum]) -> Question:
    """The question on regret: of every draw's loss its least is taken off."""
    return replace(asked, reference=hindsight(asked, optima, all_draws=True).best)
