"""Pareto fronts: designs of one budget that trade one aim for another."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar, Unpack

import numpy as np

from bayeslaw.errors import PlanError
from bayeslaw.infer.ensemble import Ensemble
from bayeslaw.infer.precision import double
from bayeslaw.plan.arguments import faults_of, question
from bayeslaw.plan.candidate import Candidate, scored
from bayeslaw.plan.choice import Choice
from bayeslaw.plan.constraints import Wishes
from bayeslaw.plan.optimum import optimise, within
from bayeslaw.plan.question import Question
from bayeslaw.plan.risk import MEAN, RISKS, Pair, Risk, parse_risk
from bayeslaw.plan.written import SCHEMA, interval, sizes

DOMAIN = "domain:"  # before a domain's name: its expected loss
SAME = 1e-5  # nats: nearer to its neighbours, a point is not another one

T = TypeVar("T")


@dataclass(frozen=True)
class Aim:
    """What is to be small: a risk of a weighted loss."""

    name: str
    risk: Risk
    weights: np.ndarray

    def of(self, losses: np.ndarray) -> float:
        """From draws of losses, (draw, domain)."""
        return float(self.risk(losses @ self.weights))


@dataclass(frozen=True)
class Traced(Generic[T]):
    """A point of a front: what was found, its two values, and how much the second counted."""

    found: T
    values: tuple[float, float]
    share: float


def trace(solve: Callable[[float], tuple[T, tuple[float, float]]], points: int) -> list[Traced[T]]:
    """A front of two aims by dichotomy (Aneja & Nair 1979, doi:10.1287/mnsc.25.1.73).

    solve(share): the best of (1 - share) times the first value and share times the second, and its
    two values. From the ends on, the gap with the most room is asked for what lies below its chord,
    until there are `points` or nothing does. What is found is best for some weighing: where a front
    bends inwards, its hollow is not. In the order of the first value; none is dominated.
    """
    ends = [Traced(*solve(share), share) for share in (0.0, 1.0)]
    gaps = [(ends[0], ends[1])]
    every = list(ends)
    while gaps and len(every) < points:
        gaps.sort(key=lambda gap: _room(*gap))
        left, right = gaps.pop()
        across = right.values[0] - left.values[0]
        down = left.values[1] - right.values[1]
        if across <= SAME or down <= SAME:
            continue
        share = across / (across + down)
        new = Traced(*solve(share), share)
        if _weighed(new, share) < _weighed(left, share) - SAME:
            every.append(new)
            gaps += [(left, new), (new, right)]
    kept = undominated(np.array([p.values for p in every]))
    return sorted((p for p, good in zip(every, kept, strict=True) if good), key=_first)


def _weighed(point: Traced[Any], share: float) -> float:
    return (1 - share) * point.values[0] + share * point.values[1]


def _room(left: Traced[Any], right: Traced[Any]) -> float:
    """Of the box between two points, in which the front must run: its area."""
    return (right.values[0] - left.values[0]) * (left.values[1] - right.values[1])


def _first(point: Traced[Any]) -> tuple[float, float]:
    return point.values


def undominated(values: np.ndarray) -> np.ndarray:
    """Which points (point, aim) no other is at least as good as in everything and better in
    something; of points that are equal, the first."""
    no_worse = (values[:, None] <= values[None]).all(-1)
    better = (values[:, None] < values[None]).any(-1)
    equal = (values[:, None] == values[None]).all(-1) & np.tri(len(values), k=-1, dtype=bool).T
    return ~((no_worse & better) | equal).any(0)


@dataclass(frozen=True)
class Point:
    """A design of the front. values: of the two aims. share: how much the second counted when it
    was the best."""

    candidate: Candidate
    values: tuple[float, float]
    share: float
    extrapolation: float


@dataclass(frozen=True)
class Front:
    """The front of two aims at one budget, in the order of the first."""

    points: tuple[Point, ...]
    between: tuple[str, str]
    domains: tuple[str, ...]
    flops: float
    kind: str
    prob: float
    passed: bool

    def to_json(self) -> dict[str, Any]:
        return {
            "schema": SCHEMA,
            "passed": self.passed,
            "between": list(self.between),
            "budget": self.flops,
            "kind": self.kind,
            "prob": self.prob,
            "points": [self._said(p) for p in self.points],
        }

    def _said(self, p: Point) -> dict[str, Any]:
        c = p.candidate
        return {
            "values": dict(zip(self.between, p.values, strict=True)),
            "share": p.share,
            **sizes(c.arrangement, c.run, self.domains),
            "flops": c.flops,
            "domains": {
                d: {
                    "mean": float(c.losses[:, k].mean()),
                    "interval": interval(c.losses[:, k], self.prob),
                }
                for k, d in enumerate(self.domains)
            },
            "at_bound": list(c.at_bound),
            "extrapolation": p.extrapolation,
        }


def pareto(
    fitted: Ensemble,
    flops: float | str,
    between: tuple[str, str],
    points: int = 9,
    weights: Mapping[str, float] | None = None,
    arrangements: Sequence[str] | None = None,
    stretch: float = 4.0,
    prob: float = 0.9,
    draws: int = 1000,
    accept: bool = False,
    kind: str = "calibrated",
    seed: int = 0,
    **wishes: Unpack[Wishes],
) -> Front:
    """The front between two aims: a risk of Σ wₖ Lₖ as `parse_risk` reads it, or `domain:NAME`, the
    expected loss of a domain.

    points: at most. Each is the best of all arrangements for some weighing of the two, so no design
    whatever dominates it (see `trace`); the ends are the best for one aim alone. Other arguments
    and errors as of `plan`; neither architectures nor limits on losses.
    """
    fitted = fitted.accept(accept)
    also = faults_of(fitted, arrangements, prob)
    also.unless(points >= 2, f"a front has at least 2 points, got {points}")
    also.unless(
        len(set(between)) == 2, f"a front is between two different aims, got {between[0]} twice"
    )
    also.unless(
        not wishes.get("architectures"),
        "architectures are not for a front: plan one of its weighings with them",
    )
    limited = wishes.get("limits") or wishes.get("at_least_generalist") is not None
    also.unless(not limited, "limits on losses are not for a front: plan one of its weighings")
    for aim in between:
        also.of(lambda aim=aim: _aim(fitted, aim, np.ones(len(fitted.domains))))  # type: ignore[misc]
    asked = question(
        fitted, flops, weights, "mean", stretch, draws, kind, seed=seed, also=also, wishes=wishes
    )
    allowed = Choice.of(fitted, arrangements).within(asked).allowed
    first, second = (_aim(fitted, aim, asked.weights) for aim in between)
    with double():
        front = trace(lambda share: _best(asked, allowed, first, second, share), points)
    said = [Point(p.found, p.values, p.share, _beyond(fitted, asked, p.found)) for p in front]
    return Front(
        tuple(said), (first.name, second.name), fitted.domains, asked.flops, kind, prob,
        fitted.passed,
    )  # fmt: skip


def _aim(fitted: Ensemble, text: str, weights: np.ndarray) -> Aim:
    if text.startswith(DOMAIN):
        name = text.removeprefix(DOMAIN)
        if name not in fitted.domains:
            raise PlanError(f"unknown domain '{name}'; the fit has {', '.join(fitted.domains)}")
        return Aim(text, MEAN, np.array([float(d == name) for d in fitted.domains]))
    risk = parse_risk(text)
    if risk.function is None and RISKS[risk.name].steps:
        raise PlanError(f"'{text}' is a step and has no front; give a risk in nats")
    return Aim(text, risk, weights)


def _best(
    asked: Question, arrangements: Sequence[str], first: Aim, second: Aim, share: float
) -> tuple[Candidate, tuple[float, float]]:
    """The best design for a weighing of two aims, and its values. Within `double()`."""
    weights = (1 - share) * first.weights + share * second.weights
    if first.risk == second.risk == MEAN:
        its = replace(asked, weights=weights)
    elif share in (0.0, 1.0):
        alone = second if share else first
        its = replace(asked, risk=alone.risk, weights=alone.weights)
    else:
        its = replace(
            asked, risk=Pair.of(first.risk, second.risk), weights=first.weights,
            second=np.array([share, *second.weights]),
        )  # fmt: skip
    optima = {a: within(its, optimise(its, a)) for a in arrangements}
    best = min(scored(optima, its, ["optimum"] * len(optima)), key=lambda c: c.risk)
    return best, (first.of(best.losses), second.of(best.losses))


def _beyond(fitted: Ensemble, asked: Question, c: Candidate) -> float:
    usual = asked.usual(c.arrangement, c.run)
    return max(float(np.max(f)) for f in fitted.beyond(usual).values())
