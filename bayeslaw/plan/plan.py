"""plan: the decision under a posterior, what it is compared with, and how sure it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Unpack

import numpy as np
import pandas as pd

from bayeslaw.errors import PlanError
from bayeslaw.infer.ensemble import Ensemble
from bayeslaw.infer.precision import double
from bayeslaw.plan.alternatives import (
    Alternatives,
    by_experts,
    by_recipe,
    forgetting_faults,
    forgotten,
)
from bayeslaw.plan.arguments import EPSILON, faults_of, question
from bayeslaw.plan.arrangement import kind_of
from bayeslaw.plan.candidate import Candidate, Own, own_designs, scored
from bayeslaw.plan.certificate import Certificate, certify
from bayeslaw.plan.choice import Choice
from bayeslaw.plan.constraints import Wishes
from bayeslaw.plan.decision import best, decide, with_reference
from bayeslaw.plan.devices import Hardware
from bayeslaw.plan.hindsight import Hindsight, hindsight
from bayeslaw.plan.information import Information, information
from bayeslaw.plan.limited import keeping, with_limits
from bayeslaw.plan.limits import Term, limits
from bayeslaw.plan.objective import plain_losses
from bayeslaw.plan.optimum import Optimum, price
from bayeslaw.plan.question import Question
from bayeslaw.plan.region import Region, near_optimal
from bayeslaw.plan.risk import NATS, Risk
from bayeslaw.plan.routed import with_routing
from bayeslaw.plan.routing import Confusion, confusion_of
from bayeslaw.plan.seen import as_card, as_table
from bayeslaw.plan.sensitivity import Alone, PriorShift, alone, prior_shifts
from bayeslaw.plan.trade import Traded, trade
from bayeslaw.plan.written import write_json, written


@dataclass(frozen=True)
class Plan:
    """The answer. `to_json` is its file; every field is described there by its name.

    chosen: the plan. others: every other assessable arrangement at its own optimum, the rules of
    thumb, and the caller's designs, at the same budget. flops: the budget, a ceiling. passed:
    whether any law passed the gate; else this is the plan of a fit that failed it. forgetting: a
    fit of laws of other branches, or none. confusion: where a router sends text, or none; with both
    what is minimised is the loss of the whole system. stretch, seed: as they were given.

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
    choice: Choice
    extrapolation: Mapping[str, float]
    passed: bool
    epsilon: float
    asked: Question = field(repr=False)
    fitted: Ensemble = field(repr=False)
    hardware: Hardware | None = None
    forgetting: Ensemble | None = field(default=None, repr=False)
    confusion: Confusion | None = None
    stretch: float = 4.0
    seed: int = 0

    @property
    def not_assessable(self) -> tuple[tuple[str, str], ...]:
        """Arrangements that the runs cannot speak about, and why."""
        return self.choice.not_assessable

    @cached_property
    def by_arrangement(self) -> dict[str, Candidate]:
        """Every assessable arrangement at its own optimum."""
        every = (self.chosen, *self.others)
        return {c.arrangement: c for c in every if c.kind == "optimum"}

    def losses_of(self, c: Candidate) -> np.ndarray:
        """Losses of a candidate on every domain, (draw, domain), nats: also where the objective is
        another."""
        return plain_losses(self.asked, c)

    @cached_property
    def hindsight(self) -> Hindsight:
        """What each draw would have chosen."""
        optima = {a: _as_optimum(c) for a, c in self.by_arrangement.items()}
        with double():
            return hindsight(self.asked.expected, optima)

    @cached_property
    def _best(self) -> np.ndarray:
        """Every draw's least loss within the budget, at the draws of `hindsight`."""
        every = [c for c in (self.chosen, *self.others) if c.spent <= self.flops * (1 + 1e-9)]
        rows = self.hindsight.rows
        return np.min([self.hindsight.best, *(c.totals[rows] for c in every)], axis=0)

    def regret(self, candidate: Candidate) -> float:
        """Expected loss above the best that each draw allows within the budget, nats. A design that
        costs more than the budget may have less than none."""
        first = float(self.regrets(self.chosen).mean())
        return first + float(candidate.totals.mean() - self.chosen.totals.mean())

    def regrets(self, candidate: Candidate) -> np.ndarray:
        """(draw,) what a candidate loses against the best that each draw allows within the budget,
        nats, at the draws of `hindsight`."""
        return candidate.totals[self.hindsight.rows] - self._best

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
        """Probability that the best trunk with branches has a lower loss than the best
        generalist."""
        named = self.by_arrangement
        splits = [
            c for a, c in named.items()
            if a == "trunk" or (kind_of(a) == "trunk" and a in self.choice.allowed)
        ]  # fmt: skip
        if not splits or "generalist" not in named:
            return None
        best = min(splits, key=lambda c: c.risk)
        return float((best.totals < named["generalist"].totals).mean())

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
        optima = {a: _as_optimum(self.by_arrangement[a]) for a in self.choice.allowed}
        with double():
            return information(self.asked, optima, self.hindsight.among(self.choice.allowed))

    @cached_property
    def shadow_price(self) -> float | None:
        """Nats that an e-fold more of the budget takes off the risk. None where the risk is not in
        nats, and on regret, whose reference moves with the budget."""
        if self.risk.unit != NATS or self.on == "regret" or self.chosen.over is not None:
            return None
        if self.chosen.spent < self.flops * (1 - 1e-6):
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
        found = by_recipe(self.fitted, "replay", self.by_arrangement)
        if self.forgetting is None:
            return found
        with double():
            return forgotten(
                self.forgetting, self.domains, self.weights, self.asked.outlook.draws, found
            )

    @cached_property
    def distill(self) -> Alternatives:
        """The same, by the weight of the predictions at the split."""
        return by_recipe(self.fitted, "distill", self.by_arrangement)

    @cached_property
    def limits(self) -> tuple[Term, ...]:
        """The laws' terms at the plan, largest first."""
        with double():
            run = self.asked.usual(self.chosen.arrangement, self.chosen.run)
            return limits(self.asked.outlook.curves, run, self.weights)

    @cached_property
    def alone(self) -> list[Alone]:
        """What every law alone would have chosen."""
        optima = {a: _as_optimum(self.by_arrangement[a]) for a in self.choice.allowed}
        with double():
            return alone(self.fitted, self.asked, optima, self.chosen.name)

    @cached_property
    def prior_shifts(self) -> list[PriorShift]:
        """How the plan moves when a prior counts less or more."""
        with double():
            return prior_shifts(self.fitted, self.asked, _as_optimum(self.chosen))

    @cached_property
    def uncapped(self) -> Candidate | None:
        """The plan, were there no end of data; None where nobody said that there is."""
        if self.asked.uncapped is self.asked:
            return None
        return best(self.asked.uncapped, self.choice.allowed)

    @cached_property
    def unserved(self) -> Candidate | None:
        """The plan, were nothing served; None where nothing is."""
        if self.asked.serving is None:
            return None
        return best(replace(self.asked, serving=None), self.choice.allowed)

    @cached_property
    def trade(self) -> list[Traded]:
        """Training against serving, at the plan's expected loss; empty where nothing is served."""
        if self.asked.serving is None:
            return []
        with double():
            return trade(self.asked, _as_optimum(self.chosen), float(self.chosen.totals.mean()))

    @cached_property
    def unsnapped(self) -> Candidate | None:
        """The plan, could any N be built; None where no architectures were given."""
        return best(self.asked, self.choice.allowed) if self.asked.architectures else None

    @cached_property
    def certificate(self) -> Certificate:
        """Why the optimum is to be believed."""
        with double():
            return certify(self._spent, _as_optimum(self.chosen))

    @property
    def _spent(self) -> Question:
        """What was asked, at the budget that the plan spends; at its N, where it was snapped."""
        asked = self.asked.at(self.chosen.spent)
        return asked.sized(self.chosen.run.params) if asked.architectures else asked

    def to_dataframe(self) -> pd.DataFrame:
        """A row for every design (the plan first) and domain."""
        return as_table(self)

    def _repr_html_(self) -> str:
        return as_card(self)

    def to_json(self) -> dict[str, Any]:
        return written(self)

    def write(self, path: str | Path) -> Path:
        """Write plan.json, atomically."""
        return write_json(self.to_json(), path)


def _as_optimum(c: Candidate) -> Optimum:
    assert c.point is not None
    return Optimum(c.arrangement, c.run, c.at_bound, c.point, over=c.over)


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
    designs: Mapping[str, Own] | None = None,
    kind: str = "calibrated",
    on: str = "loss",
    epsilon: float = EPSILON,
    seed: int = 0,
    hardware: Hardware | None = None,
    forgetting: Ensemble | None = None,
    routing: Mapping[str, Mapping[str, float]] | str | Path | None = None,
    **wishes: Unpack[Wishes],
) -> Plan:
    """Choose the arrangement and its N, D and D′ₖ that minimise ρ(Σ wₖ Lₖ) within a budget.

    flops: a ceiling on training compute; less is spent only where less carries less risk. weights:
    domain -> weight; a domain that is not named has 1, so that {"code": 2} counts code twice; they
    are scaled to sum to 1. risk: see `parse_risk`. on: `loss`, or `regret`, the loss above the
    least that the same draw allows. kind: `calibrated`, the laws' curves with what laws have got
    wrong that far beyond a sweep; `mean`, the curves alone. arrangements: those to choose from
    (default: every assessable one); the others stand beside the plan all the same. stretch: how far
    the ratios D/N and D′/D may leave the sweep's range, as a factor. designs: name -> a design of
    the caller's, or its arrangement and it, scored beside the plan. epsilon: nats within which the
    region of designs is as good as the plan. hardware: what it is trained on, for the plan's hours,
    money and days; `hardware.flops(gpu_hours=…)` is a budget. forgetting: a fit of laws of other
    branches to the same domains, for what branches lose elsewhere. routing: domain -> branch -> the
    share of its text that a router sends there, or a file of it (`read_confusion`): with
    `forgetting`, what is minimised is the loss of the whole system. wishes: what else is asked of
    it, see `Wishes`.

    Raises `PlanError` with every fault of the arguments, and `FitError` when no law may be used.
    """
    fitted = fitted.accept(accept)
    also = faults_of(fitted, arrangements, prob, epsilon, designs)
    if forgetting is not None:
        forgetting = forgetting.accept(accept)
        also += forgetting_faults(fitted, forgetting)
    also.unless(
        routing is None or forgetting is not None,
        "routing needs forgetting: a fit of `forgetting`, for what branches lose on other domains",
    )
    sent = also.of(lambda: confusion_of(routing, fitted.domains))
    asked = question(fitted, flops, weights, risk, stretch, draws, kind, on, seed, also, wishes)
    if forgetting is not None and sent is not None:
        asked = with_routing(asked, forgetting, sent.shares, kind, seed)
    answer = answered(fitted, asked, arrangements, prob, designs, on, kind, epsilon, hardware)
    return replace(answer, forgetting=forgetting, confusion=sent, stretch=stretch, seed=seed)


def answered(
    fitted: Ensemble,
    asked: Question,
    arrangements: Sequence[str] | None,
    prob: float,
    designs: Mapping[str, Own] | None,
    on: str,
    kind: str,
    epsilon: float = EPSILON,
    hardware: Hardware | None = None,
) -> Plan:
    """The plan that answers a question. Arguments as of `plan`, checked by `faults_of`."""
    choice = Choice.of(fitted, arrangements).within(asked)
    mine = own_designs(designs or {}, fitted)
    untold = [f"{n}: {asked.mute[o.arrangement]}" for n, o in mine.items()
              if o.arrangement in asked.mute]  # fmt: skip
    if untold:
        raise PlanError("the designs cannot be scored: " + "; ".join(untold))
    with double():
        asked = with_reference(with_limits(asked, choice), choice.assessed, on)
        found = decide(asked, choice.assessed)
        choice = keeping(asked, choice, found)
        found += scored(mine, asked, ["own"] * len(mine))
    optima = (c for c in found if c.kind == "optimum" and c.name in choice.allowed)
    chosen = min(optima, key=lambda c: c.risk)
    others = tuple(c for c in found if c is not chosen)
    wanted = asked.wanted  # a model that nobody wants goes nowhere
    usual = asked.usual(chosen.arrangement, chosen.run)
    beyond = {n: float(factor[wanted].max()) for n, factor in fitted.beyond(usual).items()}
    return Plan(
        chosen, others, fitted.domains, asked.weights, asked.flops, asked.risk, on, kind, prob,
        choice, beyond, fitted.passed, epsilon, asked, fitted, hardware,
    )  # fmt: skip
