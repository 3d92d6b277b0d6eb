"""Stacking: how much each law is worth, by how it predicted the largest runs from the smaller."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import gammaln, logsumexp

from bayeslaw.infer.diagnose import pareto_k
from bayeslaw.infer.model import STUDENT_DF, Likelihood
from bayeslaw.infer.posterior import Posterior
from bayeslaw.infer.refit import Predicted
from bayeslaw.runs import Runs, lineages_of

ORIGINS = (0.5, 0.65, 0.8)  # shares of the lineages, by compute, that a law is fitted to
REPLICATES = 200  # of the lineages, for the uncertainty of the weights
STEPS = 400  # of expectation-maximisation


@dataclass(frozen=True)
class Standing:
    """How a law did at predicting the larger lineages of a sweep from its smaller ones.

    weight, weight_sd: its share in the stack, over Bayesian bootstraps of the lineages.
    score: mean log predictive density (of log loss) of a left-out run.
    behind, behind_se: how far that is below the best law's, and the standard error of the distance.
    k_hat: the worst of the refits' importance weights; above .7 the score is rough.
    """

    law: str
    weight: float
    weight_sd: float = 0.0
    score: float = float("nan")
    behind: float = 0.0
    behind_se: float = 0.0
    k_hat: float = float("nan")


def origins_of(runs: Runs, within: np.ndarray | None = None) -> list[np.ndarray]:
    """Masks of the runs that the refits are fitted to, smallest part first; the larger lineages of
    `within` (a mask; default: all runs) are what they predict. Empty where there are too few."""
    within = np.ones(len(runs), bool) if within is None else within
    lineage = lineages_of(runs)
    present = np.unique(lineage[within])
    sizes = sorted({round(share * len(present)) for share in ORIGINS})
    masks = [within & (lineage <= present[n - 1]) for n in sizes if 2 <= n < len(present)]
    return [m for m in masks if m.sum() >= MIN_TRAIN]


MIN_TRAIN = 6  # runs; fewer say nothing about a law of three terms


def log_density(p: Predicted, log_loss: np.ndarray, likelihood: Likelihood) -> np.ndarray:
    """log p(run | draw), (draw, run)."""
    z = (log_loss - p.run) / p.scale
    if likelihood == "normal":
        return -0.5 * z**2 - np.log(p.scale) - 0.5 * np.log(2 * np.pi)
    v = STUDENT_DF
    constant = gammaln((v + 1) / 2) - gammaln(v / 2) - 0.5 * np.log(v * np.pi)
    return constant - (v + 1) / 2 * np.log1p(z**2 / v) - np.log(p.scale)


def weigh(density: np.ndarray, groups: np.ndarray, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Stacking weights, and their sd, from log predictive densities (law, run).

    The weights maximise Σᵢ vᵢ log Σₖ wₖ pᵢₖ. They are averaged over Bayesian bootstraps v of the
    groups, so that a few runs do not decide alone (Yao et al. 2018, arXiv:1704.02030).
    """
    laws = len(density)
    if laws == 1:
        return np.ones(1), np.zeros(1)
    names, member = np.unique(groups, return_inverse=True)
    rng = np.random.default_rng(seed)
    v = rng.dirichlet(np.ones(len(names)), REPLICATES)[:, member]
    v /= v.sum(1, keepdims=True)
    p = np.exp(density - density.max(0)) + 1e-12  # a law that is certain and wrong stays in reach
    w = np.full((REPLICATES, laws), 1 / laws)
    for _ in range(STEPS):
        w = w * ((v / (w @ p)) @ p.T)
    w /= w.sum(1, keepdims=True)
    return w.mean(0), w.std(0)


def standings(
    runs: Runs,
    predicted: Mapping[str, Sequence[Predicted]],
    origins: Sequence[np.ndarray],
    likelihood: Likelihood,
    within: np.ndarray | None = None,
    seed: int = 0,
) -> tuple[Standing, ...]:
    """How the laws stand, from what each predicted at every origin. Equal weights where there are
    no origins."""
    names = list(predicted)
    if not origins:
        return tuple(Standing(n, 1 / len(names)) for n in names)
    within = np.ones(len(runs), bool) if within is None else within
    log_loss, lineage = np.log(runs.table["loss"].to_numpy(float)), lineages_of(runs)
    tests = [within & ~train for train in origins]
    density = np.array(
        [
            np.concatenate(
                [
                    (logsumexp(log_density(p, log_loss, likelihood), axis=0) - np.log(len(p.run)))[
                        test
                    ]
                    for p, test in zip(predicted[n], tests, strict=True)
                ]
            )
            for n in names
        ]
    )
    density = np.maximum(np.nan_to_num(density, nan=-1e3), -1e3)
    groups = np.concatenate([lineage[test] for test in tests])
    weight, sd = weigh(density, groups, seed)
    best = density.mean(1).argmax()
    gap = density[best] - density
    per_group = np.array([gap[:, groups == g].sum(1) for g in np.unique(groups)])
    se = per_group.std(0) * np.sqrt(len(per_group)) / density.shape[1]
    return tuple(
        Standing(
            n, float(weight[k]), float(sd[k]), float(density[k].mean()), float(gap[k].mean()),
            float(se[k]), float(np.max([p.k_hat for p in predicted[n]])),
        )
        for k, n in enumerate(names)
    )  # fmt: skip


@dataclass(frozen=True)
class Loo:
    """PSIS leave-one-lineage-out: expected log predictive density (sum), its standard error, and
    the largest Pareto k; above .7 the sum is rough."""

    elpd: float
    se: float
    k_hat: float


def leave_one_out(m: Posterior) -> Loo | None:
    """None for a point fit, which has no densities."""
    if "log_likelihood" not in m.tree or "constant_data" not in m.tree:
        return None
    density = m.tree["log_likelihood"]["log_loss"].to_numpy().astype(float)
    trunk = m.tree["constant_data"]["trunk"].to_numpy()
    names = np.unique(trunk)
    density = density.reshape(-1, density.shape[-1])
    by_trunk = np.stack([density[:, trunk == k].sum(1) for k in names])
    found = [pareto_k(-one) for one in by_trunk]
    elpd = np.array([logsumexp(w + one) for (w, _), one in zip(found, by_trunk, strict=True)])
    se = float(elpd.std() * np.sqrt(len(elpd)))
    return Loo(float(elpd.sum()), se, max(k for _, k in found))
