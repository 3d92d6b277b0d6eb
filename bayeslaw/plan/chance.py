"""Chances: losses that must be kept with a probability, P(Lₖ ≤ ceilingₖ) ≥ q."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bayeslaw.errors import PlanError
from bayeslaw.infer.ensemble import Ensemble
from bayeslaw.laws import Run
from bayeslaw.plan.faults import Faults
from bayeslaw.plan.outlook import Outlook
from bayeslaw.plan.risk import Risk
from bayeslaw.plan.stakes import Stakes

STIFF = 100.0  # 1/nats: what an augmented Lagrangian adds to a squared excess
ROUNDED = 1 / 3  # of the smaller tail: the width of the order statistics that are averaged
SAME = 1e-12  # nats: a design that is the generalist is not worse than it
GENERALIST = "no domain is worse than the generalist"


@dataclass(frozen=True)
class Limit:
    """A loss on a domain to be kept with a probability; domain None: the generalist's, on all."""

    domain: int | None
    loss: float
    prob: float
    said: str


@dataclass(frozen=True)
class Chances:
    """ceilings: (limit, draw, domain), infinite where a limit does not speak of a domain. weights:
    (limit, draw), of the sorted excesses, that stand for the one that counts. rank: (limit,), the
    number of that."""

    ceilings: Any
    weights: Any
    rank: Any

    @classmethod
    def of(cls, limits: Sequence[Limit], generalist: np.ndarray) -> Chances:
        """generalist: its losses, (draw, domain)."""
        draws = len(generalist)
        ceilings = np.full((len(limits), *generalist.shape), np.inf)
        for i, limit in enumerate(limits):
            if limit.domain is None:
                ceilings[i] = generalist
            else:
                ceilings[i, :, limit.domain] = limit.loss
        prob = np.array([limit.prob for limit in limits])
        rank = np.minimum(draws, np.ceil(prob * draws - 1e-9)).astype(int) - 1
        width = np.maximum(ROUNDED * np.minimum(prob, 1 - prob), 1 / draws)[:, None]
        away = ((np.arange(draws) + 0.5) / draws - prob[:, None]) / width
        weights = np.exp(-0.5 * away**2)
        return cls(ceilings, weights / weights.sum(1, keepdims=True), rank)

    def excess(self, losses: Any) -> Any:
        """By how much each draw exceeds each limit, (limit, draw), from losses (draw, domain)."""
        return jnp.max(losses - self.ceilings, axis=-1)

    def smooth(self, losses: Any) -> Any:
        """(limit,) about the excess that is at most 0 if a limit is kept: its slopes are not those
        of one draw."""
        return (jnp.sort(self.excess(losses), axis=1) * self.weights).sum(1)

    def exact(self, losses: np.ndarray) -> np.ndarray:
        """(limit,) the excess that is at most 0 if and only if a limit is kept."""
        excess = np.sort((losses - np.asarray(self.ceilings)).max(-1), axis=1)
        return np.take_along_axis(excess, np.asarray(self.rank)[:, None], 1)[:, 0] - SAME

    def reached(self, losses: np.ndarray) -> np.ndarray:
        """(limit,) the probability with which a design keeps each limit."""
        return ((losses - np.asarray(self.ceilings)).max(-1) <= SAME).mean(1)


jax.tree_util.register_dataclass(
    Chances, data_fields=["ceilings", "weights", "rank"], meta_fields=[]
)


@dataclass(frozen=True)
class Hold:
    """How hard a descent is held by limits. pull: (limit,) multipliers; offset: (limit,) from the
    smooth excess to the exact one; weight: of the risk itself: 0 to seek what keeps the limits."""

    chances: Chances
    pull: Any
    offset: Any
    weight: Any = 1.0


jax.tree_util.register_dataclass(
    Hold, data_fields=["chances", "pull", "offset", "weight"], meta_fields=[]
)


@lru_cache(maxsize=32)
def held_slopes(risk: Risk) -> Any:
    """(outlook, fields, stakes, hold) -> the risk with the augmented Lagrangian of the limits, and
    its gradient in the logs of N, D and D′, (domain, 3)."""

    def one(outlook: Outlook, fields: Any, stakes: Stakes, hold: Hold) -> Any:
        def value(by: Any) -> Any:
            losses = jnp.exp(outlook.log_loss(Run(*(fields * jnp.exp(by.T)))))
            over = hold.chances.smooth(losses) + hold.offset
            force = jnp.maximum(0.0, hold.pull + STIFF * over)
            added = ((force**2 - hold.pull**2) / (2 * STIFF)).sum()
            return hold.weight * stakes.risk(risk, losses) + added

        return jax.value_and_grad(value)(jnp.zeros((outlook.domains, 3)))

    return jax.jit(one)


@lru_cache(maxsize=1)
def losses_of() -> Any:
    """(outlook, fields) -> losses, (draw, domain), and nothing else."""
    return jax.jit(lambda outlook, fields: jnp.exp(outlook.log_loss(Run(*fields))))


def limits_of(
    fitted: Ensemble, limits: Mapping[str, Any], at_least_generalist: float | None
) -> tuple[Limit, ...]:
    """The caller's. limits: domain -> (loss, probability) or `LOSS:PROBABILITY`;
    at_least_generalist: the probability with which no domain may be worse than the generalist of
    the same budget. Raises `PlanError` with all faults."""
    faults, found = Faults(), []
    for name, value in limits.items():
        ends = value.split(":") if isinstance(value, str) else value
        try:
            loss, prob = (float(end) for end in ends)
        except (TypeError, ValueError):
            faults.append(f"limit of '{name}' is {value!r}; give LOSS:PROBABILITY, as 1.10:0.9")
            continue
        if name not in fitted.domains:
            known = ", ".join(fitted.domains)
            faults.append(f"limit of unknown domain '{name}'; the fit has {known}")
            continue
        faults.unless(0 < loss < np.inf, f"limit of '{name}': a loss is positive, got {loss:g}")
        faults.of(lambda p=prob, n=name: _probability(p, f"limit of '{n}'"))  # type: ignore[misc]
        said = f"P({name} <= {loss:g}) >= {prob:g}"
        found.append(Limit(fitted.domains.index(name), loss, prob, said))
    if at_least_generalist is not None:
        prob = at_least_generalist
        faults.of(lambda: _probability(prob, "at_least_generalist"))
        said = f"P({GENERALIST}) >= {prob:g}"
        found.append(Limit(None, np.nan, prob, said))
    faults.tell()
    return tuple(found)


def _probability(prob: float, what: str) -> None:
    if not 0 < prob < 1:
        raise PlanError(f"{what}: a probability lies between 0 and 1, got {prob:g}")
