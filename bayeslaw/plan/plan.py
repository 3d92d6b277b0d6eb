"""plan: the decision under a posterior, what it is compared with, and how sure it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Literal

import jax
import numpy as np

from bayeslaw.cost import COSTS, SIX_ND, Budget, CostLaw
from bayeslaw.errors import PlanError
from bayeslaw.infer.ensemble import Ensemble
from bayeslaw.infer.precision import double
from bayeslaw.laws import Run
from bayeslaw.plan.alternatives import Alternatives, by_experts, by_replay, forgetting_faults
from bayeslaw.plan.arrangement import ARRANGEMENTS
from bayeslaw.plan.bounds import bounds_of
from bayeslaw.plan.candidate import RULES, Candidate, own_designs, scored
from bayeslaw.plan.certificate import Certificate, certify
from bayeslaw.plan.devices import Hardware
from bayeslaw.plan.faults import Faults
from bayeslaw.plan.hindsight import Hindsight, hindsight, with_regret
from bayeslaw.plan.information import Information, information
from bayeslaw.plan.limits import Term, limits
from bayeslaw.plan.offset import offset_of
from bayeslaw.plan.optimum import Optimum, Question, optimise, price, within
from bayeslaw.plan.outlook import Outlook, check_kind
from bayeslaw.plan.region import Region, near_optimal
from bayeslaw.plan.risk import NATS, Risk, parse_risk
from bayeslaw.plan.sensitivity import Alone, PriorShift, alone, prior_shifts
from bayeslaw.plan.written import write_json, written

EPSILON = 0.01  # nats within which a design is as good as the plan
On = Literal["loss", "regret"]
ON: tuple[On, ...] = ("loss", "regret")


@dataclass(frozen=True)
class Plan:
    """The answer. `to_json` is its file; every field is described there by its name.

    chosen: the plan. others: every other assessable arrangement at its own optimum, the rules of
    thumb, and the caller's designs, at the same budget. forgetting: a fit of laws of other
    branches, or none. flops: the budget, a ceiling. passed:
    whether any law passed the gate; else this is the plan of a fit that failed it.

    What costs more than the decision (`region`, `hindsight`, …) is worked out when it is first
    asked for, and by `to_json`.
    """

    chosen: Candidate
    others: tuple[Candidate, ...]
    domains: tuple[str, ...]
    weights: np.ndarray
    flops: float
    risk: Risk
    on: str
    kind: str
    prob: float
    not_assessable: tuple[tuple[str, str], ...]
    allowed: tuple[str, ...]
    extrapolation: Mapping[str, float]
    passed: bool
    epsilon: float
    asked: Question = field(repr=False)
    fitted: Ensemble = field(repr=False)
    hardware: Hardware | None = None
    forgetting: Ensemble | None = field(default=None, repr=False)

    @cached_property
    def by_arrangement(self) -> dict[str, Candidate]:
        """Every assessable arrangement at its own optimum."""
        every = (self.chosen, *self.others)
        return {c.arrangement: c for c in every if c.kind == "optimum"}

    @cached_property
    def hindsight(self) -> Hindsight:
        """What each draw would have chosen."""
        optima = {a: _as_optimum(c) for a, c in self.by_arrangement.items()}
        with double():
            return hindsight(self.asked.expected, optima)

    @cached_property
    def _best(self) -> np.ndarray:
        """Every draw's least loss within the budget, at the draws of `hindsight`."""
        every = [c for c in (self.chosen, *self.others) if c.flops <= self.flops * (1 + 1e-9)]
        rows = self.hindsight.rows
        return np.min([self.hindsight.best, *(c.totals[rows] for c in every)], axis=0)

    def regret(self, candidate: Candidate) -> float:
        """Expected loss above the best that each draw allows within the budget, nats. A design that
        costs more than the budget may have less than none."""
        first = float((self.chosen.totals[self.hindsight.rows] - self._best).mean())
        return first + float(candidate.totals.mean() - self.chosen.totals.mean())

    def p_best_of(self, arrangement: str) -> float:
        """Probability that no other arrangement (at its own optimum) has a lower loss."""
        least = np.min([c.totals for c in self.by_arrangement.values()], axis=0)
        return float((self.by_arrangement[arrangement].totals <= least).mean())

    @property
    def p_best(self) -> float:
        """That of the plan's."""
        return self.p_best_of(self.chosen.name)

    @property
    def p_split_beats_generalist(self) -> float | None:
        """Probability that the best split has a lower loss than the best generalist."""
        named = self.by_arrangement
        if "trunk" not in named or "generalist" not in named:
            return None
        return float((named["trunk"].totals < named["generalist"].totals).mean())

    @cached_property
    def p_reached(self) -> float:
        """Probability that all targets are reached; 1 where there are none."""
        if self.asked.targets is None:
            return 1.0
        every = np.concatenate([self.chosen.losses, self.chosen.totals[:, None]], 1)
        return float((every <= self.asked.targets + 1e-12).all(1).mean())

    @cached_property
    def region(self) -> Region:
        """Designs within `epsilon` of the plan's risk."""
        with double():
            return near_optimal(self._spent, _as_optimum(self.chosen), self.epsilon)

    @cached_property
    def information(self) -> Information:
        """What knowing the truth would be worth."""
        optima = {a: _as_optimum(self.by_arrangement[a]) for a in self.allowed}
        with double():
            return information(self.asked, optima, self.hindsight.among(self.allowed))

    @cached_property
    def shadow_price(self) -> float | None:
        """Nats that an e-fold more of the budget takes off the risk. None where the risk is not in
        nats, and on regret, whose reference moves with the budget."""
        if self.risk.unit != NATS or self.on == "regret":
            return None
        if self.chosen.flops < self.flops * (1 - 1e-6):
            return 0.0
        with double():
            return max(0.0, price(self._spent, _as_optimum(self.chosen)))

    @cached_property
    def experts(self) -> Alternatives:
        """One trunk and its branches, by the number of branches."""
        with double():
            return by_experts(self.fitted, self.asked)

    @cached_property
    def replay(self) -> Alternatives:
        """The same, by the share of general data in the second stage."""
        with double():
            return by_replay(self.fitted, self.asked, self.forgetting)

    @cached_property
    def limits(self) -> tuple[Term, ...]:
        """The laws' terms at the plan, largest first."""
        outlook = self.asked.of(self.chosen.arrangement).outlook
        with double():
            return limits(outlook.curves, outlook.reference(self.chosen.run), self.weights)

    @cached_property
    def alone(self) -> list[Alone]:
        """What every law alone would have chosen."""
        optima = {a: _as_optimum(self.by_arrangement[a]) for a in self.allowed}
        with double():
            return alone(self.fitted, self.asked, optima, self.chosen.name)

    @cached_property
    def prior_shifts(self) -> list[PriorShift]:
        """How the plan moves when a prior counts less or more."""
        with double():
            return prior_shifts(self.fitted, self.asked, _as_optimum(self.chosen))

    @cached_property
    def certificate(self) -> Certificate:
        """Why the optimum is to be believed."""
        with double():
            return certify(self._spent, _as_optimum(self.chosen))

    @property
    def _spent(self) -> Question:
        """What was asked, at the budget that the plan spends."""
        return self.asked.at(self.chosen.flops)

    def to_json(self) -> dict[str, Any]:
        return written(self)

    def write(self, path: str | Path) -> Path:
        """Write plan.json, atomically."""
        return write_json(self.to_json(), path)


def _as_optimum(c: Candidate) -> Optimum:
    assert c.point is not None
    return Optimum(c.arrangement, c.run, c.at_bound, c.point)


def plan(
    fitted: Ensemble,
    flops: float | str,
    weights: Mapping[str, float] | None = None,
    risk: str | Risk | Callable[[Any], Any] = "mean",
    arrangements: Sequence[str] | None = None,
    stretch: float = 4.0,
    prob: float = 0.9,
    draws: int = 1000,
    accept: bool = False,
    designs: Mapping[str, Run] | None = None,
    kind: str = "calibrated",
    on: str = "loss",
    epsilon: float = EPSILON,
    seed: int = 0,
    hardware: Hardware | None = None,
    forgetting: Ensemble | None = None,
    cost: str = "6nd",
) -> Plan:
    """Choose the arrangement and its N, D and D′ₖ that minimise ρ(Σ wₖ Lₖ) within a budget.

    flops: a ceiling on training compute; less is spent only where less carries less risk. weights:
    domain -> weight; a domain that is not named has 1, so that {"code": 2} counts code twice; they
    are scaled to sum to 1. risk: see `parse_risk`. on: `loss`, or `regret`, the loss above the
    least that the same draw allows. kind: `calibrated`, the laws' curves with what laws have got
    wrong that far beyond a sweep; `mean`, the curves alone. arrangements: those to choose from
    (default: every assessable one); the others stand beside the plan all the same. stretch: how far
    the ratios D/N and D′/D may leave the sweep's range, as a factor. designs: name -> a design of
    the caller's, scored beside the plan. epsilon: nats within which the region of designs is as
    good as the plan. hardware: what it is trained on, for the plan's hours, money and days;
    `hardware.flops(gpu_hours=…)` is a budget. forgetting: a fit of laws of other branches to the
    same domains, for what shares of replay keep from being forgotten. cost: of training, `6nd`, or
    `runs`, as the runs' own FLOPs say.

    Raises `PlanError` with every fault of the arguments, and `FitError` when no law may be used.
    """
    fitted = fitted.accept(accept)
    also = faults_of(fitted, arrangements, prob, epsilon, designs)
    if forgetting is not None:
        forgetting = forgetting.accept(accept)
        also += forgetting_faults(fitted, forgetting)
    asked = question(fitted, flops, weights, risk, stretch, draws, kind, on, seed, also, cost)
    answer = answered(fitted, asked, arrangements, prob, designs, on, kind, epsilon, hardware)
    return replace(answer, forgetting=forgetting)


def answered(
    fitted: Ensemble,
    asked: Question,
    arrangements: Sequence[str] | None,
    prob: float,
    designs: Mapping[str, Run] | None,
    on: str,
    kind: str,
    epsilon: float = EPSILON,
    hardware: Hardware | None = None,
) -> Plan:
    """The plan that answers a question. Arguments as of `plan`, checked by `faults_of`."""
    assessed, allowed, without = assessable(fitted, arrangements)
    mine = own_designs(designs or {}, len(fitted.domains))
    with double():
        asked = with_reference(asked, assessed, on)
        found = decide(asked, assessed)
        found += scored(mine, asked, ["own"] * len(mine))
    chosen = min((c for c in found[: len(assessed)] if c.name in allowed), key=lambda c: c.risk)
    others = tuple(c for c in found if c is not chosen)
    wanted = asked.weights > 0  # a model that nobody wants goes nowhere
    beyond = {
        name: float(factor[wanted].max())
        for name, factor in fitted.beyond(
            asked.of(chosen.arrangement).outlook.reference(chosen.run)
        ).items()
    }
    return Plan(
        chosen, others, fitted.domains, asked.weights, asked.flops, asked.risk, on, kind, prob,
        without, tuple(allowed), beyond, fitted.passed, epsilon, asked, fitted,
        hardware,
    )  # fmt: skip


def question(
    fitted: Ensemble,
    flops: float | str,
    weights: Mapping[str, float] | None = None,
    risk: str | Risk | Callable[[Any], Any] = "mean",
    stretch: float = 4.0,
    draws: int = 1000,
    kind: str = "calibrated",
    on: str = "loss",
    seed: int = 0,
    also: Sequence[str] = (),
    cost: str = "6nd",
) -> Question:
    """The arguments of `plan`, checked. also: faults that the caller has found in its others.
    Raises `PlanError` with all of them."""
    faults = Faults(also)
    budget = faults.of(lambda: Budget.of(flops))
    found = faults.of(lambda: parse_risk(risk))
    share = faults.of(lambda: _weights(fitted, weights))
    bounds = faults.of(lambda: bounds_of(fitted, stretch))
    faults.of(lambda: check_kind(fitted, kind))
    law = faults.of(lambda: cost_of(fitted, cost))
    faults.unless(on in ON, f"on '{on}' is not one of {', '.join(ON)}")
    faults.unless(draws >= 1, f"draws must be at least 1, got {draws}")
    faults.tell()
    assert budget is not None
    assert found is not None
    assert share is not None
    assert bounds is not None
    assert law is not None
    outlook = _outlook(fitted, kind, draws, seed)
    others = _others(fitted, kind, draws, seed)
    return Question(
        outlook, budget.flops, share, found, bounds, fitted.domains, others=others, cost=law
    )


def faults_of(
    fitted: Ensemble,
    arrangements: Sequence[str] | None,
    prob: float = 0.9,
    epsilon: float = EPSILON,
    designs: Mapping[str, Run] | None = None,
) -> Faults:
    """What is wrong with the arguments of `plan` that are not part of the question."""
    faults = Faults()
    faults.of(lambda: assessable(fitted, arrangements))
    faults.unless(0 < prob < 1, f"prob must lie between 0 and 1, got {prob}")
    faults.unless(0 < epsilon < np.inf, f"epsilon must be positive, got {epsilon}")
    faults.of(lambda: own_designs(designs or {}, len(fitted.domains)))
    return faults


def cost_of(fitted: Ensemble, cost: str) -> CostLaw:
    """The cost law of that name. Raises `PlanError` where there is none."""
    if cost not in COSTS:
        raise PlanError(f"cost '{cost}' is not one of {', '.join(COSTS)}")
    if cost == "6nd":
        return SIX_ND
    if fitted.cost is None:
        raise PlanError("this fit kept no cost of its runs: fit again, or take cost 6nd")
    return fitted.cost


@lru_cache(maxsize=4)
def _outlook(fitted: Ensemble, kind: str, draws: int, seed: int) -> Outlook:
    """An ensemble's outlook on the device; planned on again and again."""
    with double():
        return jax.device_put(Outlook.of(fitted, kind, draws, seed))


@lru_cache(maxsize=4)
def _others(fitted: Ensemble, kind: str, draws: int, seed: int) -> dict[str, Outlook]:
    """The outlooks of arrangements that runs speak for, and laws do not."""
    outlook = _outlook(fitted, kind, draws, seed)
    found = {}
    for name, arrangement in ARRANGEMENTS.items():
        contrast = arrangement.contrast(fitted)
        if contrast is None or arrangement.unassessable(fitted):
            continue
        with double():
            offset = offset_of(fitted, contrast, outlook.log_loss, draws, seed)
            found[name] = jax.device_put(replace(outlook, offset=offset))
    return found


def with_reference(asked: Question, arrangements: Sequence[str], on: str) -> Question:
    """The question, with each draw's best loss taken off where it is on regret. Within
    `double()`."""
    if on != "regret":
        return asked
    return with_regret(asked, {a: optimise(asked.expected, a) for a in arrangements})


def decide(asked: Question, arrangements: Sequence[str]) -> list[Candidate]:
    """Every arrangement at its optimum, in order, then the rules of thumb. Within `double()`."""
    optima = {a: within(asked, optimise(asked, a)) for a in arrangements}
    if "trunk" in optima:
        for name, share in RULES.items():
            pins = {"split_ratio": float(np.log(share / (1 - share) / len(asked.names)))}
            best = optimise(asked, "trunk", pins, optima["trunk"].point)
            optima[name] = within(asked, best, pins)
    return scored(optima, asked, ["rule" if name in RULES else "optimum" for name in optima])


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


def assessable(
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
