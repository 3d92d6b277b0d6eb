"""What an outcome is worth to a decision: the expected value of sample information (EVSI).

Strong, Oakley, Brennan & Breeze 2015, doi:10.1177/0272989X15575286: outcomes are simulated from the
draws, and each plan's loss is regressed on them. Here what decides for a draw is the regression
without that draw, and what is scored is that draw's own loss: choosing does not pay itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

COLUMNS = 24  # outcomes that are regressed on as they are; more are reduced to so many components
SQUARES = 3  # components that also enter with their squares and products
CLIPPED = 4.0  # standard deviations: a wild outcome has no more of a say
HALF = 1e-9  # of a hat's diagonal below 1, at least


@dataclass(frozen=True)
class Predicted:
    """What a run would show. means: log losses (draw, domain), on the domains `on` that it is
    measured on."""

    on: np.ndarray
    means: np.ndarray


@dataclass(frozen=True)
class Noise:
    """Of one run under every draw: sd of each domain's own (draw, domain), sd of what its domains
    share (draw,), and degrees of freedom of the first; None where it is normal."""

    own: np.ndarray
    shared: np.ndarray
    df: float | None = None

    def sample(self, rng: np.random.Generator) -> np.ndarray:
        """(draw, domain)."""
        size = self.own.shape
        own = rng.standard_normal(size) if self.df is None else rng.standard_t(self.df, size)
        return self.own * own + self.shared[:, None] * rng.standard_normal((size[0], 1))


class Value:
    """The expected value of a decision once the outcomes of runs are known.

    table: (plan, draw), the loss of each plan. What is worth something is worth at most
    min E L - E min L over the table, by construction.
    """

    def __init__(self, table: np.ndarray, noise: Noise, seed: int = 0):
        self.table, self.noise, self.seed = table, noise, seed
        self.seen = np.empty((table.shape[1], 0))  # outcomes of the runs that are taken
        self.now = table[table.mean(1).argmin()]  # (draw,) the loss of what is decided with them
        self.taken = 0

    def of(self, runs: Sequence[Predicted]) -> tuple[np.ndarray, np.ndarray]:
        """By how much the expected loss drops with each run's outcome, over what is taken, and the
        Monte Carlo standard error. The same noise for all: differences are not of chance."""
        noise = self._noise(0)
        drops = [self.now - self._decided(self._with(run, noise)) for run in runs]
        return _mean_and_error(np.array(drops))

    def take(self, run: Predicted) -> tuple[float, float]:
        """Count this run as taken. By how much the expected loss drops, with noise that had no say
        in choosing it, and the standard error."""
        seen = self._with(run, self._noise(1))
        then = self._decided(seen)
        (drop,), (error,) = _mean_and_error((self.now - then)[None])
        self.seen, self.taken = seen, self.taken + 1
        if drop > 0:
            self.now = then
        return float(drop), float(error)

    def _noise(self, stream: int) -> np.ndarray:
        """Of the next run: other noise than that of the runs before it."""
        return self.noise.sample(np.random.default_rng([17, self.seed, self.taken, stream]))

    def _with(self, run: Predicted, noise: np.ndarray) -> np.ndarray:
        return np.concatenate([self.seen, run.means + noise[:, run.on]], axis=1)

    def _decided(self, outcomes: np.ndarray) -> np.ndarray:
        """(draw,) its loss under the plan that is best by what the other draws say of outcomes such
        as its own."""
        basis, _ = np.linalg.qr(_features(outcomes))
        fitted = (self.table @ basis) @ basis.T
        hat = np.minimum((basis**2).sum(1), 1 - HALF)
        without = (fitted - hat * self.table) / (1 - hat)  # the prediction that leaves it out
        return np.take_along_axis(self.table, without.argmin(0)[None], 0)[0]


def _features(outcomes: np.ndarray) -> np.ndarray:
    """(draw, feature): 1, the outcomes, and squares and products of their main components."""
    sd = outcomes.std(0)
    told = outcomes[:, sd > 1e-12]
    if not told.shape[1]:
        return np.ones((len(outcomes), 1))
    z = np.clip((told - told.mean(0)) / told.std(0), -CLIPPED, CLIPPED)
    z -= z.mean(0)
    left, size, _ = np.linalg.svd(z, full_matrices=False)
    kept = size > 1e-9 * size[0]
    scores = (left * np.sqrt(len(z)))[:, kept]
    main = scores[:, :SQUARES]
    i, j = np.triu_indices(main.shape[1])
    return np.column_stack([np.ones(len(z)), scores[:, :COLUMNS], main[:, i] * main[:, j]])


def _mean_and_error(drops: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return drops.mean(1), drops.std(1) / np.sqrt(drops.shape[1])
