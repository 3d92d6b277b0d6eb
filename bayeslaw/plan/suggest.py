"""suggest: the runs that would improve the decision most, for what they cost.

The value of a run is the expected drop of the decision's expected loss once its outcome is known
(EVSI). No fit is repeated (see `value`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass, fields, replace
from functools import lru_cache
from typing import Any, Unpack

import jax
import numpy as np
import pandas as pd

from bayeslaw.card import card
from bayeslaw.cost import Budget
from bayeslaw.errors import PlanError
from bayeslaw.infer.ensemble import Ensemble
from bayeslaw.infer.model import STUDENT_DF
from bayeslaw.infer.precision import double
from bayeslaw.laws import Run
from bayeslaw.plan.arguments import faults_of, question
from bayeslaw.plan.batch import Bill, Suggested, greedy
from bayeslaw.plan.choice import Choice
from bayeslaw.plan.constraints import Wishes, cost_of
from bayeslaw.plan.hindsight import hindsight
from bayeslaw.plan.optimum import Optimum, optimise, price
from bayeslaw.plan.pool import NextRun, pool_of, priced
from bayeslaw.plan.question import Question
from bayeslaw.plan.scores import scores
from bayeslaw.plan.value import Noise, Predicted, Value, stakes
from bayeslaw.plan.written import SCHEMA

SEEN = 500  # draws whose best plans are sought, for the EVPI
PLANS = 48  # designs whose losses tell how far apart the draws' best plans are
TOGETHER = 256  # runs whose losses are worked out at once
LEAST = 0.1  # of an even share of the spend: cheaper runs are not what is asked for

REFUSED = ("architectures", "limits", "at_least_generalist", "objective", "accuracy")  # wishes


@dataclass(frozen=True)
class Suggestion:
    """Runs, the best per FLOP first. evpi: what they could be worth at most. price: nats that a
    FLOP more of the plan's budget would buy. enough: whether it ended because no run was shown to
    be worth its FLOPs."""

    runs: tuple[Suggested, ...]
    evpi: float
    price: float
    candidates: int
    enough: bool
    passed: bool

    @property
    def flops(self) -> float:
        return sum(s.run.flops for s in self.runs)

    def to_dataframe(self) -> pd.DataFrame:
        """A row for every run, the best per FLOP first."""
        return pd.DataFrame(
            [{**asdict(s.run), "evsi": s.evsi, "error": s.error} for s in self.runs],
            columns=[*(f.name for f in fields(NextRun)), "evsi", "error"],
        )

    def _repr_html_(self) -> str:
        facts = [f"knowing everything would be worth {self.evpi:.3g} nats"]
        if self.enough:
            facts.append("no other run was shown to be worth its FLOPs")
        failed = () if self.passed else ("made with laws that failed the convergence gate",)
        rows: list[Any] = self.to_dataframe().to_dict("records")
        return card(f"Suggestion: {len(self.runs)} runs", facts, rows, failed)

    def to_json(self) -> dict[str, Any]:
        runs = [
            {
                **asdict(s.run),
                "evsi": s.evsi,
                "evsi_error": s.error,
                "evsi_per_flop": s.evsi_per_flop,
            }
            for s in self.runs
        ]
        return {
            "schema": SCHEMA,
            "passed": self.passed,
            "runs": runs,
            "flops": self.flops,
            "evpi": self.evpi,
            "price_per_flop": self.price,
            "candidates": self.candidates,
            "enough": self.enough,
        }


def suggest(
    fitted: Ensemble,
    plan_flops: float | str,
    spend: float | str,
    runs: int = 4,
    weights: Mapping[str, float] | None = None,
    arrangements: Sequence[str] | None = None,
    stretch: float = 4.0,
    pool: Sequence[NextRun] | None = None,
    draws: int = 1500,
    accept: bool = False,
    kind: str = "calibrated",
    seed: int = 0,
    **wishes: Unpack[Wishes],
) -> Suggestion:
    """The next runs for a plan of `plan_flops`, at a cost of at most `spend` together.

    pool: the runs to choose from (default: a grid within the sweep's ratios, and branches of its
    trunks, each at least a tenth of an even share of the spend). Two batches are chosen
    greedily, one by worth and one by worth for a FLOP, and the better is taken (Leskovec et al.
    2007, doi:10.1145/1281192.1281239): each run is the best less a standard error, given those
    before it. A batch ends after `runs`, when the rest costs too much, or when no run is shown to
    be worth what its FLOPs would be in the plan (the budget's shadow price). The value is that of
    the expected loss. A branch costs its own tokens only where its trunk is there or is among the
    runs. wishes: what else is asked of the plan, see `Wishes`; its cost is also that of the runs
    that say none of their own. Not for limits on losses, architectures and tasks.

    Raises `PlanError` on arguments that cannot be, and where no run of the pool costs so little.
    """
    fitted = fitted.accept(accept)
    also = faults_of(fitted, arrangements)
    money = also.of(lambda: _budget(spend, "spend"))
    budget = also.of(lambda: _budget(plan_flops, "plan_flops"))
    cost = wishes.get("cost", "6nd")
    refused = [n for n in REFUSED if wishes.get(n) is not None and wishes.get(n) != ()]
    also.unless(not refused, f"suggest knows no {', '.join(refused)}: leave them out")
    own = None if pool is None else also.of(lambda: priced(pool, fitted, cost_of(fitted, cost)))
    also.unless(runs >= 1, f"at least 1 run is suggested, got runs {runs}")
    asked = question(
        fitted, budget or 1.0, weights, "mean", stretch, draws, kind, seed=seed, also=also,
        wishes=wishes,
    )  # fmt: skip
    assert money is not None
    law = asked.cost
    allowed = Choice.of(fitted, arrangements).within(asked).allowed
    every = pool_of(fitted, np.inf, asked.weights, law) if own is None else own
    if not every:
        raise PlanError("the sweep's ranges leave no run to suggest; give a pool")
    dear = pool is None and any(LEAST * money / runs <= run.flops <= money for run in every)
    least = LEAST * money / runs if dear else 0.0
    kept = [i for i, run in enumerate(every) if least <= run.flops <= money]
    if not kept:
        cheapest = min(run.flops for run in every)
        raise PlanError(
            f"no run costs at most {money:.3g} FLOPs; the cheapest of {len(every)}: {cheapest:.3g}"
        )
    affordable = [every[i] for i in kept]
    told = [pool is not None and pool[i].flops > 0 for i in kept]  # its cost, by the caller
    with double():
        optima = {a: optimise(asked, a) for a in allowed}
        best, evpi, worth = _stakes(asked, optima, seed)
        shown = _predicted(fitted, asked, affordable)
    value = Value(best, _noise(fitted, asked.outlook.draws), shown)
    batches = [
        greedy(deepcopy(value), Bill(affordable, told, law), money, runs, worth, per_flop)
        for per_flop in (True, False)
    ]
    batch = max(batches, key=lambda b: b.gain(worth))
    return Suggestion(batch.runs, evpi, worth, len(affordable), batch.enough, fitted.passed)


def _stakes(
    asked: Question, optima: Mapping[str, Optimum], seed: int
) -> tuple[np.ndarray, float, float]:
    """Where each draw's best plan lies (see `stakes`), the EVPI, and the price of a FLOP. Within
    `double()`."""
    seen = hindsight(asked, optima, draws=SEEN)
    some = np.sort(np.random.default_rng([seed, 11]).permutation(len(seen.rows))[:PLANS])
    designs = np.moveaxis(np.stack(seen.designs[:3]), 0, 1)
    own = [
        Optimum(seen.arrangements[seen.chosen[i]], Run(*designs[i]), (), np.empty(0)) for i in some
    ]
    table = scores(asked, [*optima.values(), *own]).totals
    ours, theirs = table[: len(optima)], table[len(optima) :]
    first = int(ours.mean(1).argmin())
    best = list(optima.values())[first]
    evpi = max(0.0, float(ours[first][seen.rows].mean() - seen.best.mean()))
    worth = max(0.0, price(asked, best)) / asked.flops
    return stakes(theirs, seen.rows[some], evpi), evpi, worth


def _budget(flops: float | str, named: str) -> float:
    """FLOPs, or `PlanError` under the argument's own name."""
    try:
        return Budget.of(flops).flops
    except PlanError as error:
        raise PlanError(named + str(error).removeprefix("flops")) from None


def _predicted(fitted: Ensemble, asked: Question, runs: Sequence[NextRun]) -> list[Predicted]:
    """What every run would show. Within `double()`."""
    names = list(fitted.domains)
    fields = np.array([[r.params, r.pretrain_tokens, r.specialize_tokens] for r in runs])
    every = np.repeat(fields[:, :, None], len(names), 2)
    # Parts of a power of two: few shapes, each compiled once.
    size = min(TOGETHER, 1 << (len(every) - 1).bit_length())
    padded = np.concatenate([every, np.repeat(every[:1], -len(every) % size, 0)])
    parts = np.split(padded, len(padded) // size)
    outlook = replace(asked.outlook, distinct=None)  # the runs are small
    logs = np.concatenate([np.asarray(_log_losses()(outlook, part)) for part in parts])
    found = []
    for run, log_loss in zip(runs, logs[: len(runs)], strict=True):
        on = np.array([names.index(run.branch)] if run.branch else range(len(names)))
        found.append(Predicted(on, log_loss[:, on]))
    return found


def _noise(fitted: Ensemble, draws: int) -> Noise:
    """Of a run under each draw: that of its domains, and its trunk's effect, which they share."""
    df = STUDENT_DF if fitted.members[0].likelihood == "student" else None
    return Noise(*fitted.noise_sds(draws), df)


@lru_cache(maxsize=1)
def _log_losses() -> Any:
    """Compiled: (outlook, fields of runs) -> log losses, (run, draw, domain)."""
    one = lambda outlook, fields: outlook.log_loss(Run(*fields))  # noqa: E731
    return jax.jit(jax.vmap(one, in_axes=(None, 0)))
