"""What an outcome is worth to a decision: the expected value of sample information (EVSI).

A decision that is wrong costs about half a squared distance between what was chosen and what would
have been best. So the expected regret is the variance of the best plan, in that distance, and an
outcome is worth the variance that it explains (Bayes linear, Goldstein & Wooff 2007). It is what is
left to learn for normal draws and losses that are quadratic around their optima; nothing is
simulated, so cheap runs are told from worthless ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

TINY = 1e-300
FLAT = 1e-3  # of the variance along the main direction: as good as none
TOGETHER = 256  # outcomes that are looked at at once: so much memory for every draw


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

    def covariance(self, on: np.ndarray) -> np.ndarray:
        """(domain, domain) of a run on these domains, over the draws; a Student's t counts as the
        normal that tells as much of its location: its scale² times (ν + 3) / (ν + 1)."""
        wide = 1.0 if self.df is None else (self.df + 3) / (self.df + 1)
        own = wide * (self.own[:, on] ** 2).mean(0)
        return np.diag(own) + (self.shared**2).mean()


def stakes(table: np.ndarray, chosen: np.ndarray, evpi: float) -> np.ndarray:
    """(draw, direction): where each draw's best plan lies, such that squared distances from the
    mean are regret: they sum to the EVPI, over the draws on average.

    table: (plan, draw), losses of the plans that the draws `chosen` would choose. Quadratic losses
    of one curvature H are L_s(t) = ½ (u_s - u_t)' H (u_s - u_t) and what no plan changes; without
    the means of rows and columns -(H^½ u_s)' (H^½ u_t), whose factors are got from the draws
    that chose (landmark scaling, de Silva & Tenenbaum 2004).
    """
    apart = table.mean(0) - table
    apart -= apart.mean(1, keepdims=True)
    among = apart[:, chosen] - apart[:, chosen].mean(1, keepdims=True)
    power, axes = np.linalg.eigh((among + among.T) / 2)
    kept = power > FLAT * max(float(power[-1]), TINY)
    found = apart.T @ axes[:, kept] / np.sqrt(power[kept])
    total = float((found**2).mean(0).sum())
    return found * np.sqrt(evpi / total) if total > 0 and evpi > 0 else np.zeros((len(found), 1))


class Value:
    """What runs are worth to a decision, given those that are taken.

    stakes: (draw, direction), see there. Draws are moved, not counted anew, once a run is taken
    (a square-root filter): their covariances are then those that its outcome leaves.
    """

    def __init__(self, stakes: np.ndarray, noise: Noise, runs: Sequence[Predicted]):
        outcomes = [_whitened(r.means - r.means.mean(0), noise.covariance(r.on)) for r in runs]
        self.ends = np.cumsum([0, *(y.shape[1] for y in outcomes)])
        self.outcomes = np.concatenate(outcomes, 1)  # (draw, outcome) of all runs, of unit noise
        self.left = stakes - stakes.mean(0)

    @property
    def regret(self) -> float:
        """Nats that knowing everything would still be worth."""
        return float((self.left**2).mean(0).sum())

    def of(self, which: Sequence[int] | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """By how much the expected regret drops with each run's outcome, and the Monte Carlo
        standard error."""
        which = np.asarray(which)
        sizes = np.diff(self.ends)[which]
        gains, errors = np.empty(len(which)), np.empty(len(which))
        for size in np.unique(sizes):  # runs that are measured on as many domains, together
            alike = sizes == size
            columns = self.ends[which[alike]][:, None] + np.arange(size)
            gains[alike], errors[alike] = self._worth(columns)
        return gains, errors

    def _worth(self, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Of runs with as many outcomes, by the columns of each."""
        draws = len(self.left)
        gains, errors = np.empty((2, len(columns)))
        for some in np.array_split(np.arange(len(columns)), -(-columns.size // TOGETHER)):
            y = self.outcomes[:, columns[some]]  # (draw, run, outcome)
            across = np.einsum("dro,ds->ros", y, self.left) / draws
            unit = np.eye(y.shape[2])
            seen = np.einsum("dro,drp->rop", y, y) / draws + unit
            say = np.linalg.solve(seen, across)  # (run, outcome, direction): of the best plan
            # For each draw: what the outcome's word on it, right or wrong, takes off its regret.
            told = np.einsum("dro,ros->drs", y, say)
            each = np.einsum("drs,drs->dr", told, 2 * self.left[:, None] - told)
            # Chance makes covariances of 1 / draws where there are none.
            shares = np.trace(np.linalg.solve(seen, seen - unit), axis1=1, axis2=2)
            by_chance = self.regret * shares / draws
            gains[some] = each.mean(0) - (say**2).sum((1, 2)) - by_chance
            errors[some] = np.hypot(each.std(0) / np.sqrt(draws), by_chance)
        return gains, errors

    def take(self, run: int) -> None:
        """Count a run as taken, in what the others are worth from then on."""
        for column in range(self.ends[run], self.ends[run + 1]):
            one = self.outcomes[:, column].copy()
            power = float(one @ one)
            if not power:
                continue
            # Its variance v becomes v / (v + 1), for its noise is 1, and what goes with it shrinks.
            less = (1 - 1 / np.sqrt(power / len(one) + 1)) / power
            for moved in (self.outcomes, self.left):
                moved -= np.outer(one, less * (one @ moved))


def _whitened(means: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    """(draw, outcome) of unit noise."""
    factor = np.linalg.cholesky(covariance + 1e-24 * np.eye(len(covariance)))
    return np.linalg.solve(factor, means.T).T
