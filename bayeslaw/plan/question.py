"""The question: what is asked of every arrangement."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import jax
import numpy as np

from bayeslaw.cost import SIX_ND, CostLaw
from bayeslaw.infer.precision import double
from bayeslaw.laws import Run
from bayeslaw.plan.architecture import Architecture
from bayeslaw.plan.arrangement import arrangement_of
from bayeslaw.plan.bounds import Bound, Bounds
from bayeslaw.plan.chance import Chances, Limit
from bayeslaw.plan.data import Data
from bayeslaw.plan.outlook import THIN, Outlook
from bayeslaw.plan.risk import MEAN, Risk
from bayeslaw.plan.serving import Serving
from bayeslaw.plan.space import Space
from bayeslaw.plan.stakes import Stakes


@dataclass(frozen=True)
class Question:
    """What is asked of every arrangement: a risk of Σ wₖ Lₖ at a budget, on these draws.

    The draws are fixed, so that the answer is deterministic. reference: (draw,), taken off the
    loss: each draw's best, where the risk is on regret. credence: (draw,), how much a draw counts
    in an expectation; equally where it is None. targets: (domain + 1,), losses to be reached; then
    the risk is of the largest shortfall (see `Stakes`). data: what there is to train on.
    serving: a part of the budget. architectures: the only sizes that can be chosen. limits:
    losses to be kept with a probability; chances: the same on these draws. others: arrangement ->
    its outlook, where that is not the laws' own. mute: arrangement -> why nothing can be told of it
    under what is asked. recipes: of branches, those to choose from; empty: all that were measured.
    copies: branches of each domain. cost: of training. second: of a `Pair` of
    risks (see `Stakes`).
    """

    outlook: Outlook
    flops: float
    weights: np.ndarray
    risk: Risk
    bounds: Bounds
    names: tuple[str, ...]
    data: Data | None = None
    serving: Serving | None = None
    architectures: tuple[Architecture, ...] = ()
    limits: tuple[Limit, ...] = ()
    chances: Chances | None = None
    reference: np.ndarray | None = None
    credence: np.ndarray | None = None
    targets: np.ndarray | None = None
    others: Mapping[str, Outlook] = field(default_factory=dict)
    mute: Mapping[str, str] = field(default_factory=dict)
    recipes: tuple[str, ...] = ()
    copies: float = 1.0
    cost: CostLaw = SIX_ND
    second: np.ndarray | None = None

    def of(self, arrangement: str) -> Question:
        """The question of one arrangement, on its own outlook. Of one of which nothing can be told
        there is none."""
        assert arrangement not in self.mute, self.mute[arrangement]
        if arrangement not in self.others:
            return self
        return self._like(replace(self, outlook=self.others[arrangement], others={}))

    def usual(self, arrangement: str, run: Run) -> Run:
        """The design that the laws are asked about in the place of an arrangement's."""
        outlook = self.of(arrangement).outlook
        with double():
            found = outlook.reference(outlook.full(run, (outlook.domains,)))
            return Run(*(np.asarray(f) for f in found))

    @property
    def wanted(self) -> np.ndarray:
        """(domain,) whether anything comes of its branch: of its own text, or of what is sent."""
        weights = np.asarray(self.weights, float)
        routed = self.outlook.routed
        return weights > 0 if routed is None else weights @ np.asarray(routed.shares) > 0

    @property
    def expected(self) -> Question:
        """The same of the expected loss, and nothing that is asked of single draws."""
        return replace(self, risk=MEAN, reference=None, credence=None, targets=None, chances=None)

    @cached_property
    def stakes(self) -> Stakes:
        draws = self.outlook.draws
        reference = np.zeros(draws) if self.reference is None else self.reference
        credence = np.full(draws, 1 / draws) if self.credence is None else self.credence
        weights = np.asarray(self.weights, float)
        return jax.device_put(Stakes(weights, reference, credence, self.targets, self.second))

    @cached_property
    def few_stakes(self) -> Stakes:
        """Of the few draws that know the curvature."""
        draws = self.outlook.few.draws
        credence = np.full(draws, 1 / draws)
        if self.credence is not None:
            some = self.credence[self.outlook.thinned_rows(THIN)]
            credence = some / some.sum() if some.sum() > 0 else credence
        return jax.device_put(Stakes(self.stakes.weights, np.zeros(draws), credence))

    def space(self, arrangement: str, pins: Mapping[str, float] | None = None) -> Space:
        """Its designs at this budget."""
        key = (arrangement, *sorted((pins or {}).items()))
        if key not in self._spaces:
            self._spaces[key] = self._space(arrangement, pins)
        return self._spaces[key]

    @cached_property
    def _spaces(self) -> dict[tuple[Any, ...], Space]:
        return {}

    def _space(self, arrangement: str, pins: Mapping[str, float] | None) -> Space:
        two_stage = any(law.two_stage for law in self.outlook.curves.laws)
        kind = arrangement_of(arrangement)
        return Space(
            kind, len(self.names), two_stage, self.bounds, self.flops, pins, self.serving,
            self.copies, self.cost,
        )  # fmt: skip

    def at(self, flops: float) -> Question:
        """The same question at another budget."""
        return self._like(replace(self, flops=flops))

    def bounded(self, bounds: Bounds) -> Question:
        """The same question within other bounds."""
        return self._like(replace(self, bounds=bounds))

    def served(self, run: Run) -> float:
        """What serving a design costs the budget, FLOPs."""
        return 0.0 if self.serving is None else self.serving.flops(run)

    def sized(self, params: np.ndarray) -> Question:
        """The same with every domain's N held, (domain,)."""
        pins = tuple(Bound("params", n, n, f"{n:.3g} params", k) for k, n in enumerate(params))
        return self.bounded(replace(self.bounds, own=(*self.bounds.own, *pins)))

    def has_end(self, domain: str) -> bool:
        """Whether the distinct tokens of a domain have been told."""
        return self.data is not None and domain in self.data.unique

    @property
    def uncapped(self) -> Question:
        """The same, were there no end of data; itself where none is known."""
        if self.data is None or not self.data.unique:
            return self
        own = tuple(b for b in self.bounds.own if not b.cap)
        others = {a: replace(o, distinct=None) for a, o in self.others.items()}
        outlook, bounds = replace(self.outlook, distinct=None), replace(self.bounds, own=own)
        return replace(self, outlook=outlook, others=others, bounds=bounds)

    def _like(self, other: Question) -> Question:
        for name in ("stakes", "few_stakes"):  # they depend on neither budget, bounds nor outlook
            if name in self.__dict__:
                other.__dict__[name] = self.__dict__[name]
        return other
