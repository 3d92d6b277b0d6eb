"""The density of the map from loss to accuracy, and draws of it."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from types import SimpleNamespace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from numpyro.distributions import biject_to
from scipy.optimize import minimize

from bayeslaw.infer.diagnose import MAX_KHAT, MIN_ESS, pareto_k
from bayeslaw.infer.laplace import tempered
from bayeslaw.infer.model import spread_prior
from bayeslaw.laws.accuracy import Accuracy

LAW = Accuracy()
# Times the binomial error of an accuracy: models that answer the same items differ by less.
NOISE = dist.LogNormal(math.log(0.7), 0.5)
LOOSE = ("e_ceiling",)  # accuracies far below it say little of it: its tasks are not centred
CHAINS, DRAWS = 4, 1000
PROPOSED = 30_000
ROUNDS = 6  # times that the proposal is moved to where the weight is
DF = 6.0  # of its Student's tails
WIDER = 1.1  # than the weighted draws: what it misses has no weight to be found by


class Rows(NamedTuple):
    """(row,) each: the number of its task, its loss and that one's error, chance, the binomial
    error of its accuracy, and the accuracy."""

    member: np.ndarray
    loss: np.ndarray
    loss_se: np.ndarray
    chance: np.ndarray
    binomial: np.ndarray
    accuracy: np.ndarray


def size(tasks: int) -> int:
    """Coordinates: log s; of each parameter its mean, log spread and value of every task, or its
    one value."""
    return 1 + len(LAW.parameters) * (tasks + 2 if tasks > 1 else 1)


def unpacked(z: Any, tasks: int) -> tuple[dict[str, Any], Any, Any]:
    """Parameter -> (task,), s, and the log density of the prior, from a point (size,)."""
    log_prior = NOISE.log_prob(jnp.exp(z[0])) + z[0]
    values, at = {}, 1
    for name, q in LAW.parameters.items():
        to_support = biject_to(q.prior.support)
        mean = z[at]
        constrained = to_support(mean)
        log_prior += q.prior.log_prob(constrained)
        log_prior += to_support.log_abs_det_jacobian(mean, constrained)
        if tasks == 1:
            values[name], at = constrained[None], at + 1
            continue
        spread, own = jnp.exp(z[at + 1]), z[at + 2 : at + 2 + tasks]
        log_prior += spread_prior(q.spread).log_prob(spread) + z[at + 1]
        placed = mean + spread * own if name in LOOSE else own
        around = dist.Normal(0.0, 1.0) if name in LOOSE else dist.Normal(mean, spread)
        log_prior += around.log_prob(own).sum()
        values[name], at = to_support(placed), at + 2 + tasks
    return values, jnp.exp(z[0]), log_prior


def log_density(z: Any, rows: Rows, tasks: int) -> Any:
    """Of the posterior on the real line, up to a constant."""
    values, s, log_prior = unpacked(z, tasks)
    p = SimpleNamespace(**{n: v[rows.member] for n, v in values.items()})
    mean = LAW.value(rows.loss, rows.chance, p)
    rise = jax.nn.sigmoid(p.k_steep * (p.m_middle - rows.loss))
    slope = (1 - rows.chance - p.e_ceiling) * p.k_steep * rise * (1 - rise)
    sd = jnp.sqrt((s * rows.binomial) ** 2 + (slope * rows.loss_se) ** 2)
    return log_prior + dist.Normal(mean, sd).log_prob(rows.accuracy).sum()


@lru_cache(maxsize=8)
def _compiled(tasks: int) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """The density with its gradient, of one point; and the density of many."""
    one = jax.jit(jax.value_and_grad(lambda z, rows: -log_density(z, rows, tasks)))
    many = jax.jit(jax.vmap(lambda z, rows: log_density(z, rows, tasks), in_axes=(0, None)))
    return one, many


def start(rows: Rows, tasks: int) -> np.ndarray:
    """The middle at the median loss, one and a half nats steep."""
    guess = {"e_ceiling": 0.1, "k_steep": 1.5, "m_middle": float(np.median(rows.loss))}
    z = [0.0]
    for name, q in LAW.parameters.items():
        mean = float(biject_to(q.prior.support).inv(guess[name]))
        own = 0.0 if name in LOOSE else mean
        z += [mean] if tasks == 1 else [mean, math.log(q.spread / 2), *[own] * tasks]
    return np.array(z)


def sampled(
    rows: Rows, tasks: int, seed: int
) -> tuple[dict[str, np.ndarray], np.ndarray, dict[str, float], tuple[str, ...]]:
    """Draws: parameter -> (draw, task), s (draw,); checks; and what fails. Within `double()`.

    Population Monte Carlo from Laplace's approximation at the mode: each round's weighted draws
    give the next its mean and covariance; the last is resampled by Pareto-smoothed weights.
    """
    one, many = _compiled(tasks)
    rng = np.random.default_rng([seed, 23])

    def fun(z: np.ndarray) -> tuple[float, np.ndarray]:
        value, slope = one(z, rows)
        return float(value), np.asarray(slope)

    found = minimize(fun, start(rows, tasks), jac=True, method="BFGS", options={"maxiter": 500})
    centre, step, dim = found.x, 1e-4, size(tasks)
    ahead = [
        (fun(centre + step * e)[1] - fun(centre - step * e)[1]) / (2 * step) for e in np.eye(dim)
    ]
    values, vectors = np.linalg.eigh((np.array(ahead) + np.array(ahead).T) / 2)
    shape = vectors / np.sqrt(np.clip(values, 0.1, None))  # nothing wider than three prior sds
    for last in (*[False] * ROUNDS, True):
        u = rng.standard_normal((PROPOSED, dim))
        u /= np.sqrt(rng.chisquare(DF, (PROPOSED, 1)) / DF)
        z = centre + u @ shape.T
        log_ratio = np.asarray(many(z, rows)) + 0.5 * (DF + dim) * np.log1p((u**2).sum(1) / DF)
        log_ratio = np.where(np.isfinite(log_ratio), log_ratio, -np.inf)
        log_ratio = np.maximum(log_ratio, log_ratio.max() - 700)
        if not last:
            weight = tempered(log_ratio)
            centre = weight @ z
            off = z - centre
            shape = WIDER * np.linalg.cholesky((off * weight[:, None]).T @ off + 1e-9 * np.eye(dim))
    smooth, k_hat = pareto_k(log_ratio)
    weight = np.exp(smooth - smooth.max())
    weight /= weight.sum()
    worth = float(1 / (weight**2).sum())
    kept = z[rng.choice(PROPOSED, CHAINS * DRAWS, p=weight)]
    theta, s, _ = jax.vmap(lambda each: unpacked(each, tasks))(kept)
    failures = []
    if not k_hat <= MAX_KHAT:
        failures.append(f"k-hat {k_hat:.2f} > {MAX_KHAT}")
    if not worth >= MIN_ESS:
        failures.append(f"ESS {worth:.0f} < {MIN_ESS:.0f}")
    checks = {"k_hat": float(k_hat), "ess": worth}
    return {n: np.asarray(v) for n, v in theta.items()}, np.asarray(s), checks, tuple(failures)
