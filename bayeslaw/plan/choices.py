"""How many branches: the counts K that the runs have tried, against each other."""

from __future__ import annotations

from dataclasses import dataclass, replace

import jax
import numpy as np

from bayeslaw.infer.ensemble import Ensemble
from bayeslaw.laws import Run
from bayeslaw.plan.arrangement import ARRANGEMENTS
from bayeslaw.plan.offset import experts_of
from bayeslaw.plan.optimum import Question, optimise
from bayeslaw.plan.scores import scores


@dataclass(frozen=True)
class Count:
    """One trunk with `experts` branches at its best design. run: fields (domain,), D′ of each
    branch. totals: Σ wₖ Lₖ, (draw,). p_best: probability that no other count has a lower loss."""

    experts: int
    run: Run
    totals: np.ndarray
    risk: float
    p_best: float


@dataclass(frozen=True)
class Experts:
    """counts: in their order; empty where the runs cannot speak, and then `unassessable` says
    why."""

    counts: tuple[Count, ...] = ()
    unassessable: str = ""


def by_experts(fitted: Ensemble, asked: Question) -> Experts:
    """The trunk's optimum for every count that was measured. Within `double()`.

    K branches serve the domains evenly: each domain has K over their number, of D′ₖ tokens each,
    and training costs 6 N (D + K/domains Σ D′ₖ). What a count changes in the loss beyond its tokens
    is one pooled effect for all domains; counts between those that were measured are not told.
    """
    contrast = next((c for c in fitted.contrasts if c.way == "experts"), None)
    if reason := ARRANGEMENTS["trunk"].unassessable(fitted):
        return Experts(unassessable=reason)
    if contrast is None:
        return Experts(unassessable="no two counts of experts were measured")
    outlook = asked.outlook
    found = []
    for count, offset in experts_of(fitted, contrast, outlook.log_loss, outlook.draws).items():
        its = replace(
            asked,
            outlook=jax.device_put(replace(outlook, offset=offset)),
            others={},
            copies=count / len(asked.names),
        )
        best = optimise(its, "trunk")
        found.append((count, best.run, scores(its, [best])))
    totals = np.array([s.totals[0] for _, _, s in found])
    best_of = (totals <= totals.min(0)).mean(1)
    return Experts(
        tuple(
            Count(count, run, s.totals[0], float(s.risks[0]), float(p))
            for (count, run, s), p in zip(found, best_of, strict=True)
        )
    )
