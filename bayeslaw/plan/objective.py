"""An objective of tasks: the share of wrong answers in the place of the loss.

    error_k = Σ_t v_t (1 - accuracy_t(L_k)),   over the tasks t of domain k, Σ v_t = 1

Draws of the map go with draws of the laws, one each, so that a plan is decided with what neither
knows. Everything that is minimised, risked or regretted is then an error, not nats.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from bayeslaw.accuracy.density import LAW
from bayeslaw.accuracy.ladder import Ladder, bent
from bayeslaw.errors import PlanError
from bayeslaw.infer.ensemble import Ensemble
from bayeslaw.infer.precision import double
from bayeslaw.plan.chance import losses_of

if TYPE_CHECKING:
    from bayeslaw.plan.candidate import Candidate
    from bayeslaw.plan.question import Question

PREFIX = "task:"


@dataclass(frozen=True)
class Objective:
    """theta: parameter -> (draw, task). losses: least and largest that each task's curve was fitted
    to, (2, task); bends: what a nat beyond them counts for, (draw, task). share: v, (task, domain),
    0 where a task is of another domain; has: (domain,), whether it has a task. A pytree; `tasks`
    and `weights` (of each, summing to 1) are static."""

    theta: Any
    losses: Any
    bends: Any
    chance: Any
    share: Any
    has: Any
    tasks: tuple[str, ...]
    weights: tuple[float, ...]

    @classmethod
    def of(
        cls, ladder: Ladder, wanted: Mapping[str, float], domains: Sequence[str], draws: int,
        seed: int = 0, kind: str = "calibrated",
    ) -> Objective:  # fmt: skip
        """wanted: task -> weight. kind: of the draws; `mean` is of curves that go on as they are.
        Raises `PlanError` with every fault."""
        faults = [f"unknown task '{t}'; there is {', '.join(ladder.tasks)}"
                  for t in wanted if t not in ladder.tasks]  # fmt: skip
        faults += [f"weight of task '{t}' is {w:g}; it must be more than 0, and finite"
                   for t, w in wanted.items() if not 0 < w < np.inf]  # fmt: skip
        numbers = [ladder.tasks.index(t) for t in wanted if t in ladder.tasks]
        faults += [
            f"task '{ladder.tasks[t]}' is of domain '{ladder.domains[t]}', which the fit has not: "
            f"it has {', '.join(domains)}" for t in numbers if ladder.domains[t] not in domains
        ]  # fmt: skip
        faults += [] if wanted else ["an objective names no task"]
        if faults:
            raise PlanError("; ".join(faults))
        rows = ladder.rows(draws, seed)
        weights = np.array(list(wanted.values()), float)
        weights /= weights.sum()
        share = np.zeros((len(numbers), len(domains)))
        for i, t in enumerate(numbers):
            share[i, list(domains).index(ladder.domains[t])] = weights[i]
        total = share.sum(0)
        theta = {n: v[rows][:, numbers] for n, v in ladder.theta.items()}
        bends = ladder.bends(draws, seed) if kind != "mean" else np.ones((draws, len(ladder.tasks)))
        return cls(
            theta, ladder.losses[numbers].T, bends[:, numbers], ladder.chance[numbers],
            share / np.where(total > 0, total, 1.0), total > 0, tuple(wanted),
            tuple(map(float, weights)),
        )  # fmt: skip

    @property
    def domain_of(self) -> np.ndarray:
        """(task,) the number of its domain."""
        return np.asarray(self.share).argmax(1)

    def accuracies(self, losses: Any) -> Any:
        """(draw, task) from losses (draw, domain)."""
        low, high = self.losses
        at = bent(losses[:, self.domain_of], low, high, self.bends)
        return LAW.value(at, jnp.asarray(self.chance), SimpleNamespace(**self.theta))

    def log_error(self, log_loss: Any) -> Any:
        """log of the error, (draw, domain), from log losses; those of a domain without a task stay
        as they are, and count nothing."""
        p = SimpleNamespace(**{n: v[:, :, None] for n, v in self.theta.items()})
        chance = self.chance[:, None]
        # 1 - accuracy, without the cancellation of a high one
        low, high = self.losses[:, :, None]
        at = bent(jnp.exp(log_loss)[:, None, :], low, high, self.bends[:, :, None])
        fall = jax.nn.sigmoid(p.k_steep * (at - p.m_middle))
        error = p.e_ceiling + (1 - chance - p.e_ceiling) * fall  # (draw, task, domain)
        found = jnp.sum(self.share * error, axis=1)
        return jnp.where(self.has, jnp.log(jnp.where(self.has, found, 1.0)), log_loss)

    def rows(self, kept: Any) -> Objective:
        """Some of the draws."""
        theta = {n: v[kept] for n, v in self.theta.items()}
        return replace(self, theta=theta, bends=self.bends[kept])


jax.tree_util.register_dataclass(
    Objective,
    data_fields=["theta", "losses", "bends", "chance", "share", "has"],
    meta_fields=["tasks", "weights"],
)


def parse_objective(names: Sequence[str]) -> dict[str, float]:
    """`task:NAME`, or `task:NAME=WEIGHT`, each once. Raises `PlanError`."""
    found: dict[str, float] = {}
    for name in names:
        bare, equals, weight = name.removeprefix(PREFIX).rpartition("=")
        task = bare if equals else weight
        try:
            number = float(weight) if equals else 1.0
        except ValueError:
            task, number = "", 0.0
        if not name.startswith(PREFIX) or not task:
            raise PlanError(f"objective '{name}' is not task:NAME or task:NAME=WEIGHT")
        if task in found:
            raise PlanError(f"objective names task '{task}' twice")
        found[task] = number
    return found


def with_objective(asked: Question, objective: Objective | None) -> Question:
    """The question of an objective, where there is one: its weights are those of the tasks."""
    if objective is None:
        return asked
    with double():
        put = jax.device_put(objective)
    outlook = replace(asked.outlook, objective=put)
    others = {a: replace(o, objective=put) for a, o in asked.others.items()}
    weights = np.zeros(len(asked.names))
    for k, w in zip(objective.domain_of, objective.weights, strict=True):
        weights[k] += w
    return replace(asked, outlook=outlook, others=others, weights=weights)


def asked_objective(
    fitted: Ensemble,
    wishes: Mapping[str, Any],
    weights: Any,
    draws: int,
    seed: int,
    kind: str = "calibrated",
) -> Objective | None:
    """What wishes say: `objective`, task -> weight or names as `task:NAME`, and `accuracy`, the
    `Ladder`. None where they say nothing. Raises `PlanError`."""
    wanted, ladder = wishes.get("objective"), wishes.get("accuracy")
    if not wanted and ladder is None:
        return None
    if not wanted or ladder is None:
        raise PlanError("an objective of tasks and accuracy, the map to it, go together: give both")
    faults = []
    if weights:
        faults.append("weights are of losses; those of an objective stand with its tasks")
    if wishes.get("limits") or wishes.get("at_least_generalist") is not None:
        faults.append("limits on losses do not go with an objective of tasks")
    if faults:
        raise PlanError("; ".join(faults))
    named = dict(wanted) if isinstance(wanted, Mapping) else parse_objective(wanted)
    return Objective.of(ladder, named, fitted.domains, draws, seed, kind)


def plain_losses(asked: Question, c: Candidate) -> np.ndarray:
    """Losses of a candidate on every domain, (draw, domain), nats: of branches on their own, also
    where the objective is another."""
    outlook = asked.of(c.arrangement).outlook
    if outlook.objective is None and outlook.routed is None:
        return c.losses
    with double():
        plain = replace(outlook, objective=None, routed=None)
        return np.asarray(losses_of()(plain, np.stack(c.run[:3])))


def objective_said(asked: Question, c: Candidate, prob: float) -> dict[str, Any] | None:
    """What goes into plan.json: accuracies of a candidate, each task's and together."""
    objective = asked.outlook.objective
    if objective is None:
        return None
    with double():
        each = np.asarray(objective.accuracies(plain_losses(asked, c)))

    def said(draws: np.ndarray) -> dict[str, Any]:
        tail = (1 - prob) / 2
        ends = np.quantile(draws, [tail, 1 - tail])
        return {"mean": float(draws.mean()), "interval": [float(e) for e in ends]}

    return {
        "accuracy": said(each @ np.array(objective.weights)),
        "tasks": {
            t: {"weight": w, "domain": asked.names[k], **said(each[:, i])}
            for i, (t, w, k) in enumerate(
                zip(objective.tasks, objective.weights, objective.domain_of, strict=True)
            )
        },
    }
