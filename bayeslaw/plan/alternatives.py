"""Alternatives that are no number to optimise: how many branches, how much replay, how close to the
predictions at the split. Those that runs
have tried are set against each other, each at its own best trunk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import jax
import numpy as np

from bayeslaw.infer.contrast import Contrast
from bayeslaw.infer.ensemble import Ensemble
from bayeslaw.laws import Run
from bayeslaw.plan.arrangement import ARRANGEMENTS
from bayeslaw.plan.offset import levels_of
from bayeslaw.plan.optimum import optimise, within
from bayeslaw.plan.outlook import Outlook
from bayeslaw.plan.question import Question
from bayeslaw.plan.scores import scores
from bayeslaw.plan.snap import snapped

DISTILLED = 4 / 3  # what a token costs that is held to the predictions of another model


@dataclass(frozen=True)
class Alternative:
    """One trunk at its best design, one thing about its branches chosen. run: fields (domain,), D′
    of each branch. totals: Σ wₖ Lₖ, (draw,); losses: of each domain, (draw, domain). p_best:
    probability that no other has a lower loss. forgetting: by how much more the branches lose on
    other domains than their trunk would, (draw,) of another fit; None where there is none."""

    value: float
    run: Run
    totals: np.ndarray
    risk: float
    p_best: float
    losses: np.ndarray
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
    outlooks = _outlooks(fitted, asked, contrast)
    per_domain = [count / len(asked.names) for count in outlooks]
    return _compared(asked, list(outlooks), list(outlooks.values()), per_domain)


def by_replay(
    fitted: Ensemble, asked: Question, forgetting: Ensemble | None = None
) -> Alternatives:
    """Every share of general data in the second stage that was measured, and none. Within
    `double()`.

    By the laws, where they know replay; else one pooled effect for each share. forgetting: a fit of
    laws of other branches, which says what a share keeps from being forgotten.
    """
    contrast = fitted.contrast("replay")
    if reason := ARRANGEMENTS["trunk"].unassessable(fitted):
        return Alternatives(unassessable=reason)
    if contrast is None:
        return Alternatives(unassessable="no runs of recipe replay")
    laws = [m.law for m in fitted.counted]
    if all("replay" in law.inputs for law in laws):
        shares = {0.0, *contrast.level.tolist()}
        outlooks = {s: jax.device_put(replace(asked.outlook, replay=s)) for s in sorted(shares)}
    else:
        outlooks = {0.0: asked.outlook, **_outlooks(fitted, asked, contrast)}
    found = _compared(asked, list(outlooks), list(outlooks.values()), [1.0] * len(outlooks))
    if forgetting is None:
        return found
    each = [replace(c, forgetting=_forgotten(forgetting, asked, c)) for c in found.each]
    return replace(found, each=tuple(each))


def by_distill(fitted: Ensemble, asked: Question) -> Alternatives:
    """Every weight of distillation that was measured, and none. Within `double()`.

    One pooled effect for each weight; a token of the second stage costs 8 N, a forward pass of the
    model at the split more.
    """
    contrast = fitted.contrast("distill")
    if reason := ARRANGEMENTS["trunk"].unassessable(fitted):
        return Alternatives(unassessable=reason)
    if contrast is None:
        return Alternatives(unassessable="no runs of recipe distill")
    outlooks = {0.0: asked.outlook, **_outlooks(fitted, asked, contrast)}
    costs = [1.0 if weight == 0 else DISTILLED for weight in outlooks]
    return _compared(asked, list(outlooks), list(outlooks.values()), costs)


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
    endless = replace(outlook, distinct=None, objective=None)  # as the runs were
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
            Alternative(value, run, s.totals[0], float(s.risks[0]), float(p), s.losses[0])
            for (value, run, s), p in zip(found, best_of, strict=True)
        )
    )


def _forgotten(fitted: Ensemble, asked: Question, one: Alternative) -> np.ndarray:
    """The weighted loss on a domain of a branch on another, less that of the trunk as it is."""
    n, d, split = (np.mean(f) for f in one.run[:3])
    both = Run(n, d, np.array([split, 0.0]), replay=one.value)
    losses = fitted.losses(both, "mean", asked.outlook.draws)
    kept = [fitted.domains.index(name) for name in asked.names]
    return np.asarray((losses[:, 0] - losses[:, 1])[:, kept] @ asked.weights)
