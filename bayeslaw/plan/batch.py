"""Batches: runs chosen one after the other, for what they tell and what they cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from bayeslaw.cost import CostLaw
from bayeslaw.plan.pool import NextRun, alone, one_trunk
from bayeslaw.plan.value import Value

AGAIN = 256  # runs that are looked at again after a choice: those that were best before


@dataclass(frozen=True)
class Suggested:
    """A run and its worth. evsi: nats, given the runs that were chosen before it; error: its
    standard error, for want of draws."""

    run: NextRun
    evsi: float
    error: float

    @property
    def evsi_per_flop(self) -> float:
        return self.evsi / self.run.flops


@dataclass(frozen=True)
class Batch:
    """Runs, the best per FLOP first, but none before the run that pays for its trunk. enough:
    whether it ended because no run was shown to be worth its FLOPs."""

    runs: tuple[Suggested, ...]
    enough: bool

    def gain(self, price: float) -> float:
        """Nats above what the FLOPs would buy elsewhere."""
        return sum(s.evsi - price * s.run.flops for s in self.runs)


class Bill:
    """What runs cost, of a pool. told: which costs are the caller's own and stand. payer: the run
    of the pool that pays for the trunk of each, -1 for none."""

    def __init__(self, runs: Sequence[NextRun], told: Sequence[bool], law: CostLaw):
        self.runs, self.told, self.law = runs, told, law
        self.costs = np.array([run.flops for run in runs])
        self.payer = np.full(len(runs), -1)
        self.paid: set[int] = set()

    def pay(self, run: int) -> None:
        """Once a run is there, so is its trunk: its branches cost their own tokens."""
        self.paid.add(run)
        for i, other in enumerate(self.runs):
            if i in self.paid or not other.branch or self.told[i]:
                continue
            own = alone(other, self.law)
            if own < self.costs[i] and one_trunk(other, self.runs[run]):
                self.costs[i], self.payer[i] = own, run


def greedy(
    value: Value, bill: Bill, money: float, most: int, price: float, per_flop: bool
) -> Batch:
    """At most so many runs for at most so much: each the one of most worth, or of most worth for a
    FLOP, less a standard error, given those before it. price: nats that a FLOP buys elsewhere."""
    found: dict[int, Suggested] = {}
    left, enough = np.arange(len(bill.runs)), False
    while len(found) < most:
        left = left[bill.costs[left] <= money - sum(s.run.flops for s in found.values())]
        if not len(left):
            break
        gains, errors = value.of(left)
        sure = gains - errors
        pays = sure > price * bill.costs[left]
        score = np.where(pays, sure / bill.costs[left] if per_flop else sure, -np.inf)
        order = np.argsort(-score, kind="stable")
        first, chosen = order[0], int(left[order[0]])
        if not pays[first]:
            enough = True
            break
        run = replace(bill.runs[chosen], flops=float(bill.costs[chosen]))
        found[chosen] = Suggested(run, float(gains[first]), float(errors[first]))
        bill.pay(chosen)
        rest = left[order[1:]]
        left = rest[(np.arange(len(rest)) < AGAIN) | (bill.payer[rest] == chosen)]
        value.take(chosen)
    return Batch(tuple(found[i] for i in _listed(found, bill)), enough)


def _listed(found: Mapping[int, Suggested], bill: Bill) -> list[int]:
    """The best per FLOP first, and who pays for a trunk before its branches."""
    listed: list[int] = []
    for i in sorted(found, key=lambda i: -found[i].evsi_per_flop):
        chain = [i]
        while (payer := int(bill.payer[chain[-1]])) in found:
            chain.append(payer)
        listed += [k for k in reversed(chain) if k not in listed]
    return listed
