"""What the plan would have been, had one law been the only one, or a prior counted otherwise.

Both change how much each draw counts, and nothing else: no fit is repeated and nothing is compiled
again. They are about the expected loss, whatever the risk.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from bayeslaw.infer.ensemble import Ensemble
from bayeslaw.laws import Run
from bayeslaw.plan.optimum import Optimum, optimise
from bayeslaw.plan.question import Question
from bayeslaw.plan.scores import scores

POWERS = (0.5, 2.0)  # that a prior is raised to
FEWEST = 20.0  # effective draws, for a plan made of reweighted ones


@dataclass(frozen=True)
class Alone:
    """The plan of one law. loss: its expected loss by that law; regret: by how much its expected
    loss, all laws counted, is above that of the plan of all. draws: of that law."""

    law: str
    weight: float
    arrangement: str
    run: Run
    loss: float
    regret: float
    draws: int


@dataclass(frozen=True)
class PriorShift:
    """The plan with one prior raised to a power. Fields are None where too few draws are left.

    params, pretrain_tokens, specialize_tokens: factors on the plan's N, D and Σ D′ (on their means
    over models where those differ). loss: its expected loss less the plan's, nats.
    """

    law: str
    prior: str
    power: float
    effective: float
    params: float | None = None
    pretrain_tokens: float | None = None
    specialize_tokens: float | None = None
    loss: float | None = None


def alone(
    fitted: Ensemble, asked: Question, optima: Mapping[str, Optimum], chosen: str
) -> list[Alone]:
    """What every law with draws would have chosen alone, of the arrangements in `optima`. Within
    `double()`."""
    everyone = asked.expected
    counts = _counts(asked)
    if len(counts) < 2:
        return []
    weights = fitted.weights()
    plan = expected_losses(everyone, [optima[chosen]])[0]
    found, first = [], 0
    for law, count in zip(asked.outlook.curves.laws, counts, strict=True):
        credence = np.zeros(asked.outlook.draws)
        credence[first : first + count] = 1 / count
        first += count
        its = replace(everyone, credence=credence)
        best = [optimise(its, a, start=o.point) for a, o in optima.items()]
        by_law, by_all = expected_losses(its, best), expected_losses(everyone, best)
        i = int(np.argmin(by_law))
        found.append(
            Alone(
                law.name, weights[law.name], best[i].arrangement, best[i].run,
                float(by_law[i]), float(by_all[i] - plan), count,
            )
        )  # fmt: skip
    return found


def prior_shifts(
    fitted: Ensemble, asked: Question, optimum: Optimum, powers: Sequence[float] = POWERS
) -> list[PriorShift]:
    """The plan's arrangement again, with every prior of every law raised to each power. Within
    `double()`.

    Draws of a law are weighted by its prior density to the power less 1 (as in power scaling,
    Kallioinen et al. 2024, doi:10.1007/s11222-023-10366-5); the law keeps its weight,
    and what it gets wrong its mean of 0. In a hierarchy the priors are those of the means and of
    the pooling sds.
    """
    expected = asked.of(optimum.arrangement).expected
    base = optimise(expected, optimum.arrangement, start=optimum.point)
    before = expected_losses(expected, [base])[0]
    found, first, draws = [], 0, asked.outlook.draws
    for member, rows in fitted._picked(draws):
        own = np.arange(first, first + len(rows))
        first += len(rows)
        if "log_prior" not in member.tree:
            continue
        for name, density in member.tree["log_prior"].to_dataset().data_vars.items():
            if str(name).endswith("_offset"):
                continue
            logs = np.asarray(density.transpose("chain", "draw"), float).reshape(-1)[rows]
            for power in powers:
                weight = np.exp((power - 1) * logs - ((power - 1) * logs).max())
                weight /= weight.sum()
                effective = float(1 / (weight**2).sum())
                shift = PriorShift(member.law.name, str(name), power, effective)
                if effective >= FEWEST:
                    credence = np.full(draws, 1 / draws)
                    credence[own] = weight * len(rows) / draws
                    outlook = expected.outlook.centred(own, weight)
                    its = replace(expected, outlook=outlook, credence=credence)
                    shift = _shifted(shift, its, base, before)
                found.append(shift)
    return found


def _shifted(shift: PriorShift, asked: Question, base: Optimum, before: float) -> PriorShift:
    moved = optimise(asked, base.arrangement, start=base.point)
    factors = [
        float(np.mean(a) / np.mean(b)) if np.mean(b) > 0 else 1.0
        for a, b in zip(moved.run[:3], base.run[:3], strict=True)
    ]
    return replace(
        shift, params=factors[0], pretrain_tokens=factors[1], specialize_tokens=factors[2],
        loss=float(expected_losses(asked, [moved])[0] - before),
    )  # fmt: skip


def _counts(asked: Question) -> list[int]:
    return [len(next(iter(theta.values()))) for theta in asked.outlook.curves.thetas]


def expected_losses(asked: Question, optima: Sequence[Optimum]) -> np.ndarray:
    """E Σ wₖ Lₖ of designs, (design,). Within `double()`."""
    return scores(asked, optima).totals @ np.asarray(asked.stakes.credence)
