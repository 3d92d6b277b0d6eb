"""Candidates: designs with the draws of their losses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from bayeslaw.cost import SIX_ND, CostLaw
from bayeslaw.errors import PlanError
from bayeslaw.infer.ensemble import Ensemble
from bayeslaw.laws import Run
from bayeslaw.plan.arrangement import Arrangement, Recipe, arrangement_of, arrangements_of
from bayeslaw.plan.optimum import Optimum
from bayeslaw.plan.question import Question
from bayeslaw.plan.scores import scores

SIZES = ("params", "pretrain_tokens", "specialize_tokens")
# Shares of compute in branches that people use as rules of thumb, by what they are called.
RULES = {f"split at {share:.0%}": share for share in (0.1, 0.5)}
Kind = Literal["optimum", "rule", "own"]
Own = Run | tuple[str, Run]  # a design of the caller's, or its arrangement and it


@dataclass(frozen=True)
class Candidate:
    """One design with the draws of its loss on every domain.

    kind: an arrangement's optimum, a rule of thumb, or a design of the caller's own.
    """

    name: str
    kind: Kind
    arrangement: str
    run: Run  # fields of shape (domain,)
    losses: np.ndarray  # (draw, domain)
    totals: np.ndarray  # (draw,): the weighted loss
    risk: float
    at_bound: tuple[str, ...] = ()
    at_limit: tuple[str, ...] = ()
    point: np.ndarray | None = None  # where it lies in its `Space`
    serving: float = 0.0  # FLOPs of the budget that serving it takes
    architectures: tuple[str, ...] = ()
    over: float | None = None  # as of its `Optimum`
    cost: CostLaw = SIX_ND

    @property
    def kept(self) -> bool:
        """Whether it keeps the limits on losses."""
        return self.over is None or self.over <= 0

    @property
    def flops(self) -> float:
        """What training it costs."""
        return float(arrangement_of(self.arrangement).flops(self.run, self.cost))

    @property
    def spent(self) -> float:
        """What training and serving it costs."""
        return self.flops + self.serving


def scored(
    optima: Mapping[str, Optimum], asked: Question, kinds: Sequence[Kind]
) -> list[Candidate]:
    """Designs by name, with the draws of their losses. kinds: of each. Within `double()`."""
    if not optima:
        return []
    losses, totals, risks = scores(asked, list(optima.values()))
    return [
        Candidate(
            name, kind, o.arrangement, o.run, losses[i], totals[i], float(risks[i]), o.at_bound,
            o.at_limit, None if kind == "own" else o.point, asked.served(o.run), o.architectures,
            o.over, asked.cost,
        )
        for i, ((name, o), kind) in enumerate(zip(optima.items(), kinds, strict=True))
    ]  # fmt: skip


def own_designs(designs: Mapping[str, Own], fitted: Ensemble) -> dict[str, Optimum]:
    """The caller's designs, of the arrangement that they name, or that would train them: without a
    first stage that is `scratch`, with a share of replay that recipe. Raises `PlanError` with all
    their faults."""
    found, faults = {}, []
    every, domains = arrangements_of(fitted), len(fitted.domains)
    for name, given in designs.items():
        named, run = ("", given) if isinstance(given, Run) else _pair(given)
        if run is None:
            faults.append(f"design '{name}' is {given!r}; give a Run, or its arrangement and a Run")
            continue
        if name in every or name in RULES:
            faults.append(f"design '{name}' has the name of a candidate of the plan's; rename it")
        wrong, fields = [], []
        for size, written in zip(SIZES, run[:3], strict=True):
            try:
                values = np.broadcast_to(np.asarray(written, float), (domains,))
            except (TypeError, ValueError):
                wrong.append(
                    f"{size} of design '{name}' is {written!r}; give 1 number or {domains}"
                )
                continue
            positive = size == "params"
            if not (np.isfinite(values) & (values > 0 if positive else values >= 0)).all():
                least = "more than 0" if positive else "0 or more"
                wrong.append(
                    f"{size} of design '{name}' is {written!r}; it must be {least}, finite"
                )
            fields.append(values)
        faults += wrong
        if wrong:
            continue
        full = Run(*fields)._replace(replay=float(np.mean(run.replay)))
        kind = named or _would_train(full)
        faults += [f"design '{name}' {why}" for why in _misfits(kind, full, every, fitted)]
        found[name] = Optimum(kind, full._replace(replay=0.0), (), np.empty(0))
    if faults:
        raise PlanError("the designs cannot be scored: " + "; ".join(faults))
    return found


def _pair(given: Any) -> tuple[str, Run | None]:
    if isinstance(given, tuple) and len(given) == 2 and isinstance(given[1], Run):
        return str(given[0]), given[1]
    return "", None


def _would_train(run: Run) -> str:
    if not run.pretrain_tokens.any():
        return "scratch"
    if np.ptp(run.params) or np.ptp(run.pretrain_tokens):
        return "independent"
    if not run.specialize_tokens.any():
        return "generalist"
    return Recipe("replay", float(run.replay)).name if run.replay else "trunk"


def _misfits(
    kind: str, run: Run, every: Mapping[str, Arrangement], fitted: Ensemble
) -> Iterator[str]:
    """Why an arrangement cannot be that of a design, or cannot be told."""
    if kind not in every:
        yield f"is of '{kind}', which is none of {', '.join(every)}"
        return
    a = every[kind]
    if run.replay and kind != Recipe("replay", run.replay).name:
        yield f"is of '{kind}' and has replay {run.replay:g}"
    if reason := a.unassessable(fitted):
        yield f"is of '{kind}', which is not assessable: {reason}"
    for j, (size, stage) in enumerate(zip(SIZES[1:], a.stages, strict=True), 1):
        if stage and (j == 1 or not a.stages[0]) and not run[j].all():
            yield f"is of '{kind}' and has no {size} for every domain"
        if not stage and run[j].any():
            yield f"is of '{kind}' and has {size}"
    ratios = ("params", "tokens_per_param", "split_ratio")
    once = [size for j, size in enumerate(SIZES) if not a.own & set(ratios[: j + 1])]
    if differ := [s for s in once if np.ptp(getattr(run, s))]:
        yield f"is of '{kind}', one model with the same {' and '.join(differ)} for every domain"
