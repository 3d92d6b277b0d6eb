"""suggest: the runs that would improve the decision most, for what they cost.

The value of a run is the expected drop of the decision's expected loss once its outcome is known
(EVSI). No fit is repeated: an outcome is simulated from one draw, and weighs the other draws by how
likely each finds it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

import jax
import numpy as np

from bayeslaw.cost import Budget
from bayeslaw.errors import PlanError
from bayeslaw.infer.ensemble import Ensemble
from bayeslaw.infer.model import STUDENT_DF
from bayeslaw.infer.precision import double
from bayeslaw.laws import Run
from bayeslaw.plan import stakes as compiled
from bayeslaw.plan.hindsight import hindsight
from bayeslaw.plan.optimum import Optimum, Question, optimise, price
from bayeslaw.plan.plan import assessable, question
from bayeslaw.plan.pool import NextRun, pool_of, priced
from bayeslaw.plan.written import SCHEMA

PLANS = 48  # designs to choose among once an outcome is known
OUTCOMES = 64  # simulated, of each run
AGAIN = 64  # runs that are looked at again after each choice: those that were best before
LEAST = 1e-2  # of an even share of the spend: cheaper runs are not what is asked for

Predicted = tuple[np.ndarray, np.ndarray]  # domains measured on, log losses (draw, domain)


@dataclass(frozen=True)
class Suggested:
    """A run and its worth. evsi: nats, given the runs that were chosen before it."""

    run: NextRun
    evsi: float

    @property
    def evsi_per_flop(self) -> float:
        return self.evsi / self.run.flops


@dataclass(frozen=True)
class Suggestion:
    """Runs, best first. evpi: what they could be worth at most. price: nats that a FLOP more of the
    plan's budget would buy. enough: whether it ended because no run was worth its FLOPs."""

    runs: tuple[Suggested, ...]
    evpi: float
    price: float
    candidates: int
    enough: bool
    passed: bool

    @property
    def flops(self) -> float:
        return sum(s.run.flops for s in self.runs)

    def to_json(self) -> dict[str, Any]:
        runs = [
            {**asdict(s.run), "evsi": s.evsi, "evsi_per_flop": s.evsi_per_flop} for s in self.runs
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
    draws: int = 500,
    accept: bool = False,
    kind: str = "calibrated",
    seed: int = 0,
) -> Suggestion:
    """The next runs for a plan of `plan_flops`, at a cost of at most `spend` together.

    pool: the runs to choose from (default: a grid within the sweep's ratios, and branches of its
    trunks, each at least a hundredth of an even share of the spend). Greedy: each run is the one of
    most value per FLOP, given those before it. It ends after `runs`, when the rest costs too much,
    or when the best is worth less than its FLOPs would be in the plan (the budget's shadow price).
    The value is that of the expected loss.

    Raises `PlanError` on arguments that cannot be, and where no run of the pool costs so little.
    """
    fitted = fitted.accept(accept)
    money = Budget.of(spend).flops
    if runs < 1:
        raise PlanError(f"at least 1 run is suggested, got runs {runs}")
    asked = question(fitted, plan_flops, weights, "mean", stretch, draws, kind, seed=seed)
    _, allowed, _ = assessable(fitted, arrangements)
    every = pool_of(fitted, np.inf, asked.weights) if pool is None else priced(pool, fitted)
    affordable = [run for run in every if run.flops <= money]
    if not affordable:
        least = min((run.flops for run in every), default=np.inf)
        raise PlanError(
            f"no run costs at most {money:.3g} FLOPs; the cheapest of {len(every)}: {least:.3g}"
        )
    if pool is None:
        dear = [run for run in affordable if run.flops >= LEAST * money / runs]
        affordable = dear or affordable
    with double():
        optima = {a: optimise(asked, a) for a in allowed}
        table, evpi, worth = _plans(asked, optima, seed)
        means, noise = _predicted(fitted, asked, affordable)
    normal = fitted.members[0].likelihood == "normal"
    value = _Value(table, noise, normal)
    cost = np.array([run.flops for run in affordable])
    found: list[Suggested] = []
    left, enough = np.arange(len(affordable)), False
    while len(found) < runs:
        left = left[cost[left] <= money - sum(s.run.flops for s in found)]
        if not len(left):
            break
        gains = value.of([means[i] for i in left])
        order = np.argsort(-gains / cost[left], kind="stable")
        best = left[order[0]]
        if not gains[order[0]] > worth * cost[best]:
            enough = True
            break
        found.append(Suggested(affordable[best], float(gains[order[0]])))
        value.take(means[best])
        left = left[order[1 : AGAIN + 1]]
    # A run can be worth more given another than the other alone was.
    found.sort(key=lambda s: -s.evsi_per_flop)
    return Suggestion(tuple(found), evpi, worth, len(affordable), enough, fitted.passed)


def _plans(
    asked: Question, optima: Mapping[str, Optimum], seed: int
) -> tuple[np.ndarray, float, float]:
    """Σ wₖ Lₖ of a finite set of plans (plan, draw): the arrangements' optima, and what some draws
    would each have chosen. With the EVPI, and the price of a FLOP."""
    seen = hindsight(asked, optima)
    some = np.random.default_rng([seed, 11]).permutation(len(seen.rows))[: PLANS - len(optima)]
    own = np.moveaxis(np.stack(seen.designs[:3])[:, some], 0, 1)
    fields = np.concatenate([np.stack([np.stack(o.run[:3]) for o in optima.values()]), own])
    table = np.asarray(compiled.totals()(asked.outlook, fields, asked.stakes.weights))
    first = int(table[: len(optima)].mean(1).argmin())
    best = list(optima.values())[first]
    evpi = max(0.0, float(table[first][seen.rows].mean() - seen.best.mean()))
    return table, evpi, max(0.0, price(asked, best)) / asked.flops


def _predicted(
    fitted: Ensemble, asked: Question, runs: Sequence[NextRun]
) -> tuple[list[Predicted], np.ndarray]:
    """Of every run the domains that it is measured on and its log losses there, (draw, domain); and
    the noise of a run, (draw, domain)."""
    names = list(fitted.domains)
    fields = np.array([[r.params, r.pretrain_tokens, r.specialize_tokens] for r in runs])
    every = np.repeat(fields[:, :, None], len(names), 2)
    parts = np.array_split(every, -(-len(every) // 256))
    logs = np.concatenate(
        [np.asarray(_log_losses()(asked.outlook, part), np.float32) for part in parts]
    )
    found = []
    for run, log_loss in zip(runs, logs, strict=True):
        on = [names.index(run.branch)] if run.branch else list(range(len(names)))
        found.append((np.array(on), log_loss[:, on]))
    scale = []
    for member, rows in fitted._picked(asked.outlook.draws):
        shared = 0.0 if member.lineage_sd is None else member.lineage_sd[rows][:, None]
        scale.append(np.sqrt(member.sigma[rows] ** 2 + shared**2))
    return found, np.concatenate(scale)


@lru_cache(maxsize=1)
def _log_losses() -> Any:
    """Compiled: (outlook, fields of runs) -> log losses, (run, draw, domain)."""
    one = lambda outlook, fields: outlook.log_loss(Run(*fields))  # noqa: E731
    return jax.jit(jax.vmap(one, in_axes=(None, 0)))


class _Value:
    """The expected value of the decision after outcomes that are simulated from some draws.

    table: (plan, draw), the loss of each plan less that of the one that would be chosen now: by so
    much a plan is worse. noise: (draw, domain). The draw that an outcome came from does not weigh
    in on it: it would know the truth.
    """

    def __init__(self, table: np.ndarray, noise: np.ndarray, normal: bool):
        first = int(table.mean(1).argmin())
        self.table = (table - table[first]).astype(np.float32)
        self.noise, self.normal = noise.astype(np.float32), normal
        count = table.shape[1]
        self.truths = np.linspace(0, count - 1, min(OUTCOMES, count)).astype(int)
        self.logs = np.zeros((len(self.truths), count), np.float32)  # of what was seen
        self.logs[np.arange(len(self.truths)), self.truths] = -np.inf
        self.now = 0.0

    def of(self, predicted: Sequence[Predicted]) -> np.ndarray:
        """By how much the expected loss drops, over what is counted as trained, with each run's
        outcome."""
        gains = [self._gain(self.logs + self._likelihood(p)) - self.now for p in predicted]
        return np.maximum(np.array(gains), 0.0)

    def take(self, predicted: Predicted) -> None:
        """Count this run as trained."""
        self.logs = self.logs + self._likelihood(predicted)
        self.now = max(self.now, self._gain(self.logs))

    def _likelihood(self, predicted: Predicted) -> np.ndarray:
        """(outcome, draw): log density of each simulated outcome under each draw."""
        on, means = predicted
        # The same noise for every run: differences between runs are not of chance.
        rng = np.random.default_rng([17, len(on)])
        total = np.zeros(self.logs.shape, np.float32)
        for j, k in enumerate(on):
            scale, mean = self.noise[:, k], means[:, j]
            size = len(self.truths)
            drawn = rng.standard_normal(size) if self.normal else rng.standard_t(STUDENT_DF, size)
            outcomes = mean[self.truths] + scale[self.truths] * drawn.astype(np.float32)
            z = (outcomes[:, None] - mean) / scale
            z *= z
            if self.normal:
                total -= 0.5 * z + np.log(scale)
            else:
                total -= 0.5 * (STUDENT_DF + 1) * np.log1p(z / STUDENT_DF) + np.log(scale)
        return total

    def _gain(self, logs: np.ndarray) -> float:
        """The mean over outcomes of what the best plan then is better by."""
        weights = np.exp(logs - logs.max(-1, keepdims=True))
        weights /= weights.sum(-1, keepdims=True)
        return -float((weights @ self.table.T).min(-1).mean())
