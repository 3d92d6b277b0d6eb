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

from bayeslaw.infer.model import spread_prior
from bayeslaw.laws.accuracy import Accuracy

LAW = Accuracy()
# Times the binomial error of an accuracy: models that answer the same items differ by less.
NOISE = dist.LogNormal(math.log(0.7), 0.5)
LOOSE = ("e_ceiling",)  # accuracies far below it say little of it: its tasks are not centred
CHAINS, DRAWS = 8, 600
WINDOWS = (100, 150, 250)  # of the warm-up
LEAPS = (4, 12)  # steps of a transition: at least, and fewer than
ACCEPT = 0.85
NUDGE = 1e-4  # of a coordinate, to see the Hessian


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
    """(points (chain, size), rows) -> log densities and gradients; and points -> what they say."""
    density = jax.value_and_grad(lambda z, rows: log_density(z, rows, tasks))
    said = jax.vmap(lambda z: unpacked(z, tasks)[:2])
    return jax.jit(jax.vmap(density, in_axes=(0, None))), jax.jit(said)


def start(rows: Rows, tasks: int) -> np.ndarray:
    """The middle at the median loss, one and a half nats steep."""
    guess = {"e_ceiling": 0.1, "k_steep": 1.5, "m_middle": float(np.median(rows.loss))}
    z = [0.0]
    for name, q in LAW.parameters.items():
        mean = float(biject_to(q.prior.support).inv(guess[name]))
        own = 0.0 if name in LOOSE else mean
        z += [mean] if tasks == 1 else [mean, math.log(q.spread / 2), *[own] * tasks]
    return np.array(z)


class Drawn(NamedTuple):
    """theta: parameter -> (draw, task); noise: s, (draw,); z: (chain, draw, size); diverging: how
    many transitions of the draws were."""

    theta: dict[str, np.ndarray]
    noise: np.ndarray
    z: np.ndarray
    diverging: int


def sampled(rows: Rows, tasks: int, seed: int) -> Drawn:
    """Draws by Hamiltonian Monte Carlo from around the mode. Within `double()`.

    All chains move at once, in coordinates whitened by the Hessian at the mode, then by the draws
    of each window of the warm-up, in which the step is tuned too.
    """
    density, said = _compiled(tasks)
    rng, dim = np.random.default_rng([seed, 23]), size(tasks)

    def look(z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        value, slope = density(z, rows)
        return np.asarray(value), np.asarray(slope)

    def fun(z: np.ndarray) -> tuple[float, np.ndarray]:
        value, slope = look(np.repeat(z[None], CHAINS, 0))  # of the shape that was compiled
        return -float(value[0]), -slope[0]

    mode = minimize(fun, start(rows, tasks), jac=True, method="BFGS", options={"maxiter": 300}).x
    hessian = np.array(
        [(fun(mode + NUDGE * e)[1] - fun(mode - NUDGE * e)[1]) / (2 * NUDGE) for e in np.eye(dim)]
    )
    values, vectors = np.linalg.eigh((hessian + hessian.T) / 2)
    shape = vectors / np.sqrt(np.clip(values, 0.1, None))  # nothing wider than three prior sds
    z = mode + 0.5 * rng.standard_normal((CHAINS, dim)) @ shape.T
    step = 0.3
    for count in WINDOWS:
        drawn, _, step = _moved(look, z, shape, step, count, rng, tune=True)
        z = drawn[:, -1]
        late = drawn[:, count // 3 :].reshape(-1, dim)
        shape = np.linalg.cholesky(np.cov(late, rowvar=False) + 1e-6 * np.eye(dim))
    drawn, diverging, _ = _moved(look, z, shape, step, DRAWS, rng)
    theta, noise = said(drawn.reshape(-1, dim))
    return Drawn({n: np.asarray(v) for n, v in theta.items()}, np.asarray(noise), drawn, diverging)


def _moved(
    look: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]],
    z: np.ndarray,
    shape: np.ndarray,
    step: float,
    count: int,
    rng: np.random.Generator,
    tune: bool = False,
) -> tuple[np.ndarray, int, float]:
    """`count` transitions of all chains: draws (chain, draw, size), divergences, and the step."""
    value, slope = look(z)
    found, diverging = [], 0
    for _ in range(count):
        momentum = rng.standard_normal(z.shape)
        at, above, push = z, value, slope
        energy = value - (momentum**2).sum(1) / 2
        own = step * rng.uniform(0.8, 1.2)
        for _ in range(int(rng.integers(*LEAPS))):
            momentum = momentum + own / 2 * push @ shape
            at = at + own * momentum @ shape.T
            above, push = look(at)
            momentum = momentum + own / 2 * push @ shape
        gain = above - (momentum**2).sum(1) / 2 - energy
        gain = np.where(np.isfinite(gain), gain, -np.inf)
        diverging += int((gain < -1000).sum())
        accept = np.exp(np.minimum(gain, 0.0))
        taken = rng.random(len(z)) < accept
        z = np.where(taken[:, None], at, z)
        value, slope = np.where(taken, above, value), np.where(taken[:, None], push, slope)
        if tune:
            step *= np.exp(0.1 * (accept.mean() - ACCEPT))
        found.append(z)
    return np.stack(found, 1), diverging, float(step)
