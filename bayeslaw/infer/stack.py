"""Stacking: how much each law is worth, by how it predicted the largest runs from the smaller."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bayeslaw.infer.density import log_density, mixture
from bayeslaw.infer.favour import centre, lineage_elpd
from bayeslaw.infer.model import Likelihood
from bayeslaw.infer.posterior import Posterior
from bayeslaw.infer.refit import Predicted
from bayeslaw.laws import Law
from bayeslaw.runs import Runs, lineages_of

ORIGINS = (0.5, 0.65, 0.8)  # shares of the lineages, by compute, that a law is fitted to
REPLICATES = 200  # of the lineages, for the uncertainty of the weights
STEPS = 400  # of expectation-maximisation
PRIOR = 20  # lineages left out that the prior of the weights is worth
HOPELESS = 1.0  # nats a run behind the best law
ADDS = 0.02  # weight without the prior, from which on a law adds something


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


def behind(density: np.ndarray, groups: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """By how many nats a run each law (law, run) predicted worse than the best, and the standard
    error of that over groups of runs."""
    gap = density[density.mean(1).argmax()] - density
    per_group = np.array([gap[:, groups == g].sum(1) for g in np.unique(groups)])
    return gap.mean(1), per_group.std(0) * np.sqrt(len(per_group)) / density.shape[1]


def weigh(
    density: np.ndarray,
    groups: np.ndarray,
    families: Sequence[str] = (),
    seed: int = 0,
    favour: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Stacking weights, and their sd, from log predictive densities (law, run).

    The weights maximise Σᵢ vᵢ log Σₖ wₖ pᵢₖ + c Σₖ fₖ log wₖ: the score of the mixture, and a
    Dirichlet prior that is worth c = `PRIOR` groups. Without the prior the law that predicted the
    smaller part's neighbours best gets nearly all, and what laws disagree about further out is lost
    (`docs/log.md`). Its centre f is `favour` (law,), that of a law's family, by default all alike.
    They are averaged over Bayesian bootstraps v of the groups, so that a few runs do not decide
    alone (Yao et al. 2018, arXiv:1704.02030).

    Weight 0 have: of each family all but the best; a law that is behind the best by more than
    `HOPELESS` nats a run, surely so, and adds nothing to it.

    families: (law,) see `Law.family`; default: all different.
    """
    weight, sd = np.zeros(len(density)), np.zeros(len(density))
    stands = _heads(density.mean(1), families or list(map(str, range(len(density)))))
    f = np.ones(len(density)) if favour is None else favour
    weight[stands], sd[stands] = _weighed(density[stands], groups, seed, f[stands])
    return weight, sd


def _heads(score: np.ndarray, families: Sequence[str]) -> np.ndarray:
    """Which law is the best of each family."""
    heads: dict[str, int] = {}
    for k, family in enumerate(families):
        if family not in heads or score[k] > score[heads[family]]:
            heads[family] = k
    return np.array(sorted(heads.values()))


def _weighed(
    density: np.ndarray, groups: np.ndarray, seed: int, favour: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    laws = len(density)
    if laws == 1:
        return np.ones(1), np.zeros(1)
    names, member = np.unique(groups, return_inverse=True)
    p = np.exp(density - density.max(0)) + 1e-12  # a law that is certain and wrong stays in reach
    gap, se = behind(density, groups)
    adds = _stacked(p, np.ones((1, p.shape[1])) / p.shape[1], np.ones(laws), 0.0)[0] >= ADDS
    hopeful = np.where((gap <= HOPELESS + 2 * se) | adds, favour, 0.0)
    v = np.random.default_rng(seed).dirichlet(np.ones(len(names)), REPLICATES)[:, member]
    v /= v.sum(1, keepdims=True)
    known = len(names) + PRIOR
    w = _stacked(p, v, hopeful, PRIOR / known)
    mean = w.mean(0)
    # Over the bootstraps, and of a Dirichlet distribution that knows as many groups.
    return mean, np.sqrt(w.var(0) + mean * (1 - mean) / (known + 1))


def _stacked(p: np.ndarray, v: np.ndarray, among: np.ndarray, share: float) -> np.ndarray:
    """Weights (replicate, law) by expectation-maximisation. p: densities (law, run); v: weights of
    the runs (replicate, run), each summing to 1; among: the prior's centre, up to a factor, 0 for a
    law that may have no weight; share: of what is known, that is the prior's."""
    prior = among / among.sum()
    w = np.tile(prior, (len(v), 1))
    for _ in range(STEPS):
        w = (1 - share) * w * ((v / (w @ p)) @ p.T) + share * prior
    return w / w.sum(1, keepdims=True)


def standings(
    runs: Runs,
    predicted: Mapping[str, Sequence[Predicted]],
    origins: Sequence[np.ndarray],
    likelihood: Likelihood,
    laws: Sequence[Law],
    within: np.ndarray | None = None,
    seed: int = 0,
) -> tuple[Standing, ...]:
    """How the laws stand, from what each predicted at every origin. With no origins: `untested`."""
    names = [law.name for law in laws]
    if not origins:
        return untested(laws)
    within = np.ones(len(runs), bool) if within is None else within
    log_loss, lineage = np.log(runs.table["loss"].to_numpy(float)), lineages_of(runs)
    tests = [within & ~train for train in origins]
    density = np.array(
        [
            np.concatenate(
                [
                    mixture(log_density(p.of(test), log_loss[test], likelihood))
                    for p, test in zip(predicted[n], tests, strict=True)
                ]
            )
            for n in names
        ]
    )
    density = np.maximum(np.nan_to_num(density, nan=-1e3), -1e3)
    groups = np.concatenate([lineage[test] for test in tests])
    families = [law.family for law in laws]
    said = [predicted[n] for n in names]
    favour = centre(log_loss, lineage, said, origins, tests, likelihood, families, seed)
    weight, sd = weigh(density, groups, families, seed, favour)
    gap, se = behind(density, groups)
    return tuple(
        Standing(
            n, float(weight[k]), float(sd[k]), float(density[k].mean()), float(gap[k]),
            float(se[k]), float(np.max([p.k_hat for p in predicted[n]])),
        )
        for k, n in enumerate(names)
    )  # fmt: skip


def untested(laws: Sequence[Law]) -> tuple[Standing, ...]:
    """Equal weights, where nothing can be left out: of each family to the freest law."""
    freedom = np.array([len(law.parameters) for law in laws])
    heads = _heads(freedom, [law.family for law in laws])
    return tuple(
        Standing(law.name, 1 / len(heads) if k in heads else 0.0) for k, law in enumerate(laws)
    )


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
    elpd, k_hat = lineage_elpd(density.reshape(-1, density.shape[-1]), trunk)
    se = float(elpd.std() * np.sqrt(len(elpd)))
    return Loo(float(elpd.sum()), se, float(k_hat.max()))
