"""Favour: which laws the smaller runs speak for, and how far that is to be trusted beyond them.

Leaving out lineages of the smaller part tells laws apart by all of its runs. Where one of them is
the truth, or near to it, that is the best guide there is to what lies further out. Where none is,
it favours the one that bends most like these runs, which is no guide at all. What tells the two
apart is whether that law then predicted the larger runs as well as it said it would.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy.special import logsumexp, softmax

from bayeslaw.infer.density import log_density, mixture
from bayeslaw.infer.diagnose import MAX_KHAT, pareto_k
from bayeslaw.infer.model import STUDENT_DF, Likelihood
from bayeslaw.infer.refit import Predicted

REPLICATES = 200  # of the lineages
TEMPER = 4.0  # log densities count by a quarter: lineages are not independent, nor laws true
TRUST = 2.0  # nats by which a law may miss the larger runs, for an e-fold of trust
LEAST = 1e-4  # that every law has
MANY = 256  # lineages that are left out, and runs that are looked at, evenly
OUTCOMES, SOME = 100, 160  # outcomes of a run, and draws, that say what a law expected


def lineage_elpd(density: np.ndarray, groups: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Expected log predictive density of each group left out, by Pareto-smoothed importance
    sampling of log densities (draw, run), and its k-hat."""
    by_group = [density[:, groups == g].sum(1) for g in np.unique(groups)]
    found = [pareto_k(-one) for one in by_group]
    elpd = [logsumexp(w + one) for (w, _), one in zip(found, by_group, strict=True)]
    return np.array(elpd), np.array([k for _, k in found])


def favours(
    inside: np.ndarray, short: float, families: Sequence[str] = (), seed: int = 0
) -> np.ndarray:
    """Weight of each law's family, (law,): q times pseudo-BMA+ with log densities over `TEMPER`,
    and 1 - q for all families alike, q = exp(-short / `TRUST`). Over families they sum to 1.

    inside: log densities of lineages left out, (law, lineage). short: nats by which the law that
    they favour predicted the larger runs worse than it said (`shortfall`). families: (law,), see
    `Law.family`; default: all different. Pseudo-BMA+ averages over Bayesian bootstraps of the
    lineages (Yao et al. 2018, arXiv:1704.02030).
    """
    laws, count = inside.shape
    member = np.array(families or list(map(str, range(laws))))
    v = np.random.default_rng(seed).dirichlet(np.ones(count), REPLICATES)
    each = softmax(count * (v @ inside.T) / TEMPER, axis=1).mean(0)
    # What speaks for a law speaks for the one that stands for its family.
    together = np.array([each[member == family].sum() for family in member])
    trust = np.exp(-max(0.0, short) / TRUST)
    mixed = trust * together + (1 - trust) / len(set(member)) + LEAST
    return np.asarray(mixed / (1 + LEAST * len(set(member))))


def shortfall(expected: np.ndarray, found: np.ndarray, groups: np.ndarray) -> float:
    """Nats by which log densities that were `found` (run,) are below those `expected`, of as many
    runs as there are lineages, one standard error on top; below 0 where a law was too modest."""
    gap, names = expected - found, np.unique(groups)
    sums = np.array([gap[groups == g].sum() for g in names])
    error = sums.std() * np.sqrt(len(names)) / len(gap)
    return float(len(names) * (gap.mean() + error))


def expected_density(p: Predicted, likelihood: Likelihood, seed: int = 0) -> np.ndarray:
    """What a law expects its log predictive density to be, (run,): over outcomes of its own."""
    rng = np.random.default_rng(seed)
    rows = np.linspace(0, len(p.run) - 1, min(SOME, len(p.run))).astype(int)
    few = replace(p, run=p.run[rows], scale=p.scale[rows])
    total = np.zeros(p.run.shape[1])
    for _ in range(OUTCOMES):
        i = rng.integers(len(p.run))
        noise = (
            rng.standard_t(STUDENT_DF, len(total)) if likelihood == "student"
            else rng.standard_normal(len(total))
        )  # fmt: skip
        outcome = p.run[i] + p.scale[i] * noise
        total += mixture(log_density(few, outcome, likelihood))
    return total / OUTCOMES


def evenly(groups: np.ndarray, most: int = MANY) -> np.ndarray:
    """A mask of every k-th group, so that at most so many are left."""
    names = np.unique(groups)
    return np.isin(groups, names[:: -(-len(names) // most)])


def centre(
    log_loss: np.ndarray,
    lineage: np.ndarray,
    predicted: Sequence[Sequence[Predicted]],
    trains: Sequence[np.ndarray],
    tests: Sequence[np.ndarray],
    likelihood: Likelihood,
    families: Sequence[str] = (),
    seed: int = 0,
) -> np.ndarray:
    """`favours` of laws by what each predicted at every origin, (law,). predicted: of each law;
    trains, tests: masks of the runs that were fitted, and of the larger."""

    def some_of(mask: np.ndarray) -> np.ndarray:
        found = mask.copy()
        found[found] = evenly(lineage[mask])
        return found

    largest = some_of(trains[-1])
    left_out = [
        lineage_elpd(
            log_density(every[-1].of(largest), log_loss[largest], likelihood), lineage[largest]
        )
        for every in predicted
    ]
    inside = np.maximum(np.nan_to_num([elpd for elpd, _ in left_out], nan=-1e6), -1e6)
    first = int(inside.sum(1).argmax())
    best, k_hat = predicted[first], left_out[first][1]
    if not (k_hat <= MAX_KHAT).mean() > 0.5:  # few lineages of many runs: each decides the fit
        return favours(inside, np.inf, families, seed)
    expected, found, groups = [], [], []
    for p, test in zip(best, tests, strict=True):
        some = some_of(test)
        there = p.of(some)
        expected.append(expected_density(there, likelihood, seed))
        found.append(mixture(log_density(there, log_loss[some], likelihood)))
        groups.append(lineage[some])
    gap = (np.concatenate(part) for part in (expected, found, groups))
    short = shortfall(*gap)
    return favours(inside, short if np.isfinite(short) else np.inf, families, seed)
