"""Alternatives that are no number to optimise: how many branches, how much replay, how close to the
predictions at the split. Those that runs have tried are set against each other, each at its own
best trunk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import jax
import numpy as np

from bayeslaw.infer.contrast import Contrast
from bayeslaw.infer.ensemble import Ensemble
from bayeslaw.laws import Run
from bayeslaw.plan.arrangement import ARRANGEMENTS, Recipe, arrangements_of
from bayeslaw.plan.candidate import Candidate
from bayeslaw.plan.offset import levels_of
from bayeslaw.plan.optimum import optimise, within
from bayeslaw.plan.outlook import Outlook
from bayeslaw.plan.question import Question
from bayeslaw.plan.scores import scores
from bayeslaw.plan.snap import snapped


@dataclass(frozen=True)
class Alternative:
    """One trunk at its best design, one thing about its branches chosen. run: fields (domain,), D′
    of each branch. totals: Σ wₖ Lₖ, (draw,). p_best: probability that no other has a lower loss.
    forgetting: by how much more the branches lose on
    other domains than their trunk would, (draw,) of another fit; None where there is none."""

    value: float
    run: Run
    totals: np.ndarray
    risk: float
    p_best: float
    forgetting: np.ndarray | None = None


@dataclass(frozen=True)
class Alternatives:
    """each: in their order; empty where the runs cannot speak, and then `unassessable` says why."""

    each: tuple[Alternative, ...] = ()
    unassessable: str = ""


def by_experts(fitted: Ensemble, asked: Question) -> Alternatives:
    """Every count K of branches that was measured. Within `double()`.

    K branches serve the domains evenly: each domain has K over their number, of D′ₖ tokens each,
    and training costs 6 N (D + K/domains Σ D′ₖ). What a count changes in the loss beyond its tokens
    is one pooled effect for all domains; counts between those that were measured are not told.
    """
    contrast = fitted.contrast("experts")
    if reason := ARRANGEMENTS["trunk"].unassessable(fitted):
        return Alternatives(unassessable=reason)
    if contrast is None:
        return Alternatives(unassessable="no two counts of experts were measured")
    if asked.outlook.routed is not None:
        return Alternatives(unassessable="the routing is to one branch of every domain")
    outlooks = _outlooks(fitted, asked, contrast)
    per_domain = [count / len(asked.names) for count in outlooks]
    return _compared(asked, list(outlooks), list(outlooks.values()), per_domain)


def by_recipe(fitted: Ensemble, way: str, found: Mapping[str, Candidate]) -> Alternatives:
    """Every level of a recipe that was measured, and none. Of replay by the laws, where they know
    it; else one pooled effect for each level.

    found: arrangement -> its optimum.
    """
    if reason := ARRANGEMENTS["trunk"].unassessable(fitted):
        return Alternatives(unassessable=reason)
    if fitted.contrast(way) is None:
        return Alternatives(unassessable=f"no runs of recipe {way}")
    levels = {"trunk": 0.0} | {
        name: a.level for name, a in arrangements_of(fitted).items()
        if isinstance(a, Recipe) and a.way == way
    }  # fmt: skip
    each = {level: found[name] for name, level in levels.items() if name in found}
    kept = {level: c for level, c in each.items() if c.kept}
    if not kept:
        return Alternatives(unassessable="none keeps the bounds and limits")
    least = np.min([c.totals for c in kept.values()], axis=0)
    return Alternatives(
        tuple(
            Alternative(level, c.run, c.totals, c.risk, float((c.totals <= least).mean()))
            for level, c in kept.items()
        )
    )


def forgotten(
    forgetting: Ensemble, names: Sequence[str], weights: np.ndarray, draws: int, each: Alternatives
) -> Alternatives:
    """Shares of replay, with what they keep from being forgotten: the weighted loss on a domain of
    a branch on another, less that of the trunk as it is. Within `double()`."""

    def lost(one: Alternative) -> np.ndarray:
        n, d, split = (np.mean(f) for f in one.run[:3])
        both = Run(n, d, np.array([split, 0.0]), replay=one.value)
        losses = forgetting.losses(both, "mean", draws)
        kept = [forgetting.domains.index(name) for name in names]
        return np.asarray((losses[:, 0] - losses[:, 1])[:, kept] @ weights)

    return replace(each, each=tuple(replace(c, forgetting=lost(c)) for c in each.each))


def forgetting_faults(fitted: Ensemble, forgetting: Ensemble) -> list[str]:
    """Why a fit cannot say what branches of another fit forget."""
    faults = []
    if any(m.law.rows == "own branch" for m in forgetting.members):
        names = ", ".join(m.law.name for m in forgetting.members)
        faults.append(
            f"forgetting: {names} speaks of branches on their own domain; fit `forgetting`"
        )
    if missing := [d for d in fitted.domains if d not in forgetting.domains]:
        faults.append(f"forgetting: its fit has no domain {', '.join(missing)}")
    return faults


def _outlooks(fitted: Ensemble, asked: Question, contrast: Contrast) -> dict[float, Outlook]:
    """Each level that was measured, with its pooled effect."""
    outlook = asked.outlook
    endless = replace(outlook, distinct=None, routed=None, objective=None)  # as the runs were
    found = levels_of(fitted, contrast, endless.log_loss, outlook.draws)
    return {v: jax.device_put(replace(outlook, offset=o)) for v, o in found.items()}


def _compared(
    asked: Question,
    values: Sequence[float],
    outlooks: Sequence[Outlook],
    copies: Sequence[float],
) -> Alternatives:
    """Those that keep the caller's bounds and limits; of models that can be built."""
    found = []
    for value, outlook, each in zip(values, outlooks, copies, strict=True):
        its = replace(asked, outlook=outlook, others={}, copies=each)
        if not its.space("trunk").possible:
            continue
        best = snapped(its, within(its, optimise(its, "trunk")))
        if best is not None and best.kept:
            found.append((value, best.run, scores(its, [best])))
    if not found:
        return Alternatives(unassessable="none keeps the bounds and limits")
    totals = np.array([s.totals[0] for *_, s in found])
    best_of = (totals <= totals.min(0)).mean(1)
    return Alternatives(
        tuple(
            Alternative(value, run, s.totals[0], float(s.risks[0]), float(p))
            for (value, run, s), p in zip(found, best_of, strict=True)
        )
    )
