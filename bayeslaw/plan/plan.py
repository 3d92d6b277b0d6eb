"""plan: the decision under a posterior, what it is compared with, and how sure it is."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bayeslaw.cost import Budget
from bayeslaw.errors import PlanError
from bayeslaw.infer.curves import Curves
from bayeslaw.infer.ensemble import Ensemble
from bayeslaw.infer.precision import double
from bayeslaw.laws import Run
from bayeslaw.plan.arrangement import ARRANGEMENTS
from bayeslaw.plan.bounds import bounds_of
from bayeslaw.plan.optimum import Optimum, Question, optimise, total
from bayeslaw.plan.risk import Risk, parse_risk
from bayeslaw.whole import whole

SCHEMA = 1
SPLITS = (0.1, 0.5)  # shares of compute in branches that people use as rules of thumb


@dataclass(frozen=True)
class Candidate:
    """One design with the draws of its loss on every domain."""

    name: str
    arrangement: str
    run: Run  # fields of shape (domain,)
    losses: np.ndarray  # (draw, domain)
    totals: np.ndarray  # (draw,): the weighted loss
    risk: float
    at_bound: tuple[str, ...] = ()

    @property
    def flops(self) -> float:
        """What training it costs."""
        return float(ARRANGEMENTS[self.arrangement].flops(self.run))


@dataclass(frozen=True)
class Plan:
    """The answer. `to_json` is its file; every field is described there by its name.

    chosen: the plan. others: every other assessable arrangement at its own optimum, the rules of
    thumb, and the caller's designs, at the same budget. passed: whether any law passed the gate;
    else this is the plan of a fit that failed it.
    """

    chosen: Candidate
    others: tuple[Candidate, ...]
    domains: tuple[str, ...]
    weights: np.ndarray
    flops: float
    risk: Risk
    kind: str
    prob: float
    not_assessable: tuple[tuple[str, str], ...]
    extrapolation: Mapping[str, float]
    passed: bool

    def _best(self) -> np.ndarray:
        """Every draw's least loss among the candidates."""
        return np.min([c.totals for c in (self.chosen, *self.others)], axis=0)

    def regret(self, candidate: Candidate) -> float:
        """Expected loss above each draw's best candidate, nats."""
        return float((candidate.totals - self._best()).mean())

    @property
    def p_best(self) -> float:
        """Probability that no other arrangement (at its own optimum) has a lower loss."""
        rivals = [c.totals for c in self.others if c.name == c.arrangement]
        return float((self.chosen.totals <= np.min([self.chosen.totals, *rivals], axis=0)).mean())

    @property
    def p_split_beats_generalist(self) -> float | None:
        """Probability that the best split has a lower loss than the best generalist."""
        named = {c.arrangement: c for c in (*reversed(self.others), self.chosen)
                 if c.name == c.arrangement}  # fmt: skip
        if "trunk" not in named or "generalist" not in named:
            return None
        return float((named["trunk"].totals < named["generalist"].totals).mean())

    def to_json(self) -> dict[str, Any]:
        c = self.chosen
        return {
            "schema": SCHEMA,
            "passed": self.passed,
            **self._sizes(c),
            "flops": c.flops,
            "risk": str(self.risk),
            "kind": self.kind,
            "prob": self.prob,
            "loss": self._said(c.totals),
            "domains": {d: self._said(c.losses[:, k]) for k, d in enumerate(self.domains)},
            "weights": {d: float(w) for d, w in zip(self.domains, self.weights, strict=True)},
            "p_best": self.p_best,
            "p_split_beats_generalist": self.p_split_beats_generalist,
            "regret": self.regret(c),
            "at_bound": list(c.at_bound),
            "extrapolation": dict(self.extrapolation),
            "not_assessable": [{"arrangement": a, "reason": r} for a, r in self.not_assessable],
            "baselines": [
                {
                    "name": o.name,
                    **self._sizes(o),
                    "flops": o.flops,
                    "loss": self._said(o.totals),
                    "risk_value": o.risk,
                    "regret": self.regret(o),
                    "p_plan_beats": float((c.totals < o.totals).mean()),
                }
                for o in self.others
            ],
        }

    def write(self, path: str | Path) -> Path:
        """Write plan.json, atomically."""
        path = Path(path)
        with whole(path) as beside:
            beside.write_text(json.dumps(self.to_json(), indent=1) + "\n")
        return path

    def _said(self, draws: np.ndarray) -> dict[str, Any]:
        tail = (1 - self.prob) / 2
        lo, hi = np.quantile(draws, [tail, 1 - tail])
        return {"mean": float(draws.mean()), "interval": [float(lo), float(hi)]}

    def _sizes(self, c: Candidate) -> dict[str, Any]:
        def by_domain(values: np.ndarray) -> dict[str, float]:
            return {d: float(v) for d, v in zip(self.domains, values, strict=True)}

        one = c.arrangement in ("trunk", "generalist")
        return {
            "arrangement": c.arrangement,
            "params": float(c.run.params[0]) if one else by_domain(c.run.params),
            "pretrain_tokens": float(c.run.pretrain_tokens[0]) if one
            else by_domain(c.run.pretrain_tokens),
            "specialize_tokens": by_domain(c.run.specialize_tokens),
        }  # fmt: skip


def plan(
    fitted: Ensemble,
    flops: float | str,
    weights: Mapping[str, float] | None = None,
    risk: str | Risk = "mean",
    arrangements: Sequence[str] | None = None,
    stretch: float = 4.0,
    prob: float = 0.9,
    draws: int = 1000,
    accept: bool = False,
    designs: Mapping[str, Run] | None = None,
) -> Plan:
    """Choose the arrangement and its N, D and D′ₖ that minimise ρ(Σ wₖ Lₖ) within a budget.

    flops: a ceiling on training compute, spent in full. weights: domain -> weight; a domain that is
    not named has 1, so that {"code": 2} counts code twice; they are scaled to sum to 1. risk:
    `mean`, `quantile:q`, `cvar:a`, on draws of kind `mean`. arrangements: those to choose from
    (default: every assessable one); the others stand beside the plan all the same. stretch: how far
    the ratios D/N and D′/D may leave the sweep's range, as a factor. designs: name -> a design of
    the caller's, scored beside the plan.

    Raises `PlanError` with every fault of the arguments, and `FitError` when no law may be used.
    """
    fitted = fitted.accept(accept)
    budget, risk = Budget.of(flops), parse_risk(risk)
    share = _weights(fitted, weights)
    bounds = bounds_of(fitted, stretch)
    assessed, allowed, without = _assessable(fitted, arrangements)
    if not 0 < prob < 1:
        raise PlanError(f"prob must lie between 0 and 1, got {prob}")
    with double():
        curves = jax.device_put(fitted.curves(draws))
        asked = Question(curves, budget.flops, share, risk, bounds, fitted.domains)
        found = decide(asked, assessed)
        found += scored(_own(designs or {}, len(fitted.domains)), asked)
    chosen = min((c for c in found[: len(assessed)] if c.name in allowed), key=lambda c: c.risk)
    others = tuple(c for c in found if c is not chosen)
    beyond = {name: float(factor.max()) for name, factor in fitted.beyond(chosen.run).items()}
    return Plan(
        chosen, others, fitted.domains, share, budget.flops, risk, "mean", prob, without, beyond,
        fitted.passed,
    )  # fmt: skip


def _own(designs: Mapping[str, Run], domains: int) -> dict[str, Optimum]:
    """The caller's designs, of the arrangement that would train them."""
    found = {}
    for name, run in designs.items():
        full = Run(*(np.broadcast_to(np.asarray(f, float), (domains,)) for f in run[:3]))
        if np.ptp(full.params) or np.ptp(full.pretrain_tokens):
            kind = "independent"
        else:
            kind = "trunk" if full.specialize_tokens.any() else "generalist"
        found[name] = Optimum(kind, full, (), np.empty(0))
    return found


def decide(asked: Question, arrangements: Sequence[str]) -> list[Candidate]:
    """Every arrangement at its optimum, in order, then the rules of thumb. Within `double()`."""
    optima = {a: optimise(asked, a) for a in arrangements}
    if "trunk" in optima:
        for share in SPLITS:
            pins = {"split_ratio": float(np.log(share / (1 - share) / len(asked.names)))}
            best = optimise(asked, "trunk", pins, optima["trunk"].point)
            optima[f"split at {share:.0%}"] = best
    return scored(optima, asked)


def scored(optima: Mapping[str, Optimum], asked: Question) -> list[Candidate]:
    """Designs by name, with the draws of their losses. Within `double()`."""
    if not optima:
        return []
    fields = np.stack([np.stack(o.run[:3]) for o in optima.values()])
    answers = _scores(asked.risk)(asked.curves, fields, asked.weights)
    losses, totals, risks = (np.asarray(a) for a in answers)
    return [
        Candidate(name, o.arrangement, o.run, losses[i], totals[i], float(risks[i]), o.at_bound)
        for i, (name, o) in enumerate(optima.items())
    ]


@lru_cache(maxsize=32)
def _scores(risk: Risk) -> Any:
    """Compiled: draws of the losses (design, draw, domain), of their sum, and the risks."""

    def score(curves: Curves, fields: Any, weights: Any) -> Any:
        log_loss = curves.log_loss(Run(*fields))
        totals = total(log_loss, weights)
        return jnp.exp(log_loss), totals, risk(totals)

    def scores(curves: Curves, fields: Any, weights: Any) -> Any:
        return jax.lax.map(lambda one: score(curves, one, weights), fields)

    return jax.jit(scores)


def _weights(fitted: Ensemble, weights: Mapping[str, float] | None) -> np.ndarray:
    weights = weights or {}
    share = np.array([weights.get(d, 1.0) for d in fitted.domains], float)
    faults = [
        f"weight of unknown domain '{d}'; the fit has {', '.join(fitted.domains)}"
        for d in weights if d not in fitted.domains
    ]  # fmt: skip
    faults += [
        f"weight of '{d}' is {w:g}; it must be 0 or more, and finite"
        for d, w in weights.items() if not 0 <= w < float("inf")
    ]  # fmt: skip
    if not faults and not share.sum() > 0:
        faults.append("all weights are 0; give at least one domain a positive weight")
    if faults:
        raise PlanError("the weights cannot be used: " + "; ".join(faults))
    return share / share.sum()


def _assessable(
    fitted: Ensemble, arrangements: Sequence[str] | None
) -> tuple[list[str], list[str], tuple[tuple[str, str], ...]]:
    """The arrangements that can be assessed, those of them to choose from, and why not the rest."""
    unknown = [a for a in arrangements or () if a not in ARRANGEMENTS]
    if unknown:
        raise PlanError(f"arrangement {', '.join(unknown)} is not one of {', '.join(ARRANGEMENTS)}")
    reasons = {name: a.unassessable(fitted) for name, a in ARRANGEMENTS.items()}
    assessed = [n for n, reason in reasons.items() if not reason]
    allowed = [n for n in assessed if n in (arrangements or ARRANGEMENTS)]
    without = tuple((n, r) for n, r in reasons.items() if r)
    if not allowed:
        raise PlanError("nothing to choose from: " + "; ".join(f"{n}: {r}" for n, r in without))
    return assessed, allowed, without
