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

from bayeslaw.laws.accuracy import Accuracy

LAW = Accuracy()
# Times the binomial error of an accuracy: models that answer the same items differ by less.
NOISE = dist.LogNormal(math.log(0.7), 0.5)
CHAINS, DRAWS = 4, 1000
LONGEST = 4  # times as many draws, before the gate stays closed
WINDOWS = (100, 150, 200)  # of the warm-up
LEAPS = (5, 13)  # steps of a transition: at least, and fewer than
ACCEPT = 0.9
NOWHERE = 1e30  # of a density that is not finite
NUDGE = 1e-4  # of a coordinate, to see the Hessian


class Rows(NamedTuple):
    """member, loss, loss_se, binomial, accuracy: (row,), the number of its task, its loss and that
    one's error, the binomial error of its accuracy, and the accuracy. chance, anchor: (task,), of
    guessing, and the loss at which its curve's height and slope are coordinates."""

    member: np.ndarray
    loss: np.ndarray
    loss_se: np.ndarray
    binomial: np.ndarray
    accuracy: np.ndarray
    chance: np.ndarray
    anchor: np.ndarray


def size(tasks: int) -> int:
    """Coordinates: log s; where there are several tasks three means; three of each task."""
    return 1 + len(LAW.parameters) * ((tasks > 1) + tasks)


def curve(own: Any, chance: Any, anchor: Any) -> Any:
    """(ε, k, m), each on the real line, of one task, from its three coordinates.

    Height A and slope at the anchor, and ε as a part of 1 - A: what rows tell well apart. In ε, k
    and m they leave a thin bent ridge.
    """
    height, steep, part = own
    above = (1 - chance) * jax.nn.sigmoid(height)  # A - c
    below = (1 - chance) * jax.nn.sigmoid(-height)  # 1 - A
    ceiling = below * jax.nn.sigmoid(part)
    left = below * jax.nn.sigmoid(-part)  # 1 - ε - A
    u = jnp.log(above) - jnp.log(left)
    k = jnp.exp(steep) * (above + left) / (above * left)
    values = (ceiling, k, anchor + u / k)
    return jnp.stack([
        biject_to(q.prior.support).inv(v)
        for q, v in zip(LAW.parameters.values(), values, strict=True)
    ])  # fmt: skip


def unpacked(z: Any, rows: Rows) -> tuple[dict[str, Any], Any, Any]:
    """Parameter -> (task,), s, and the log density of the prior, from a point (size,).

    A task's parameters are normal around the mean of all, on the real line, as wide as their
    `spread`; a single task's have the prior itself.
    """
    tasks, laws = rows.chance.shape[0], list(LAW.parameters.items())
    log_prior = NOISE.log_prob(jnp.exp(z[0])) + z[0]
    own = z[size(tasks) - 3 * tasks :].reshape(tasks, 3)
    placed = jax.vmap(curve)(own, rows.chance, rows.anchor)  # (task, parameter)
    volume = jax.vmap(jax.jacfwd(curve))(own, rows.chance, rows.anchor)
    log_prior += jnp.linalg.slogdet(volume)[1].sum()
    values = {}
    for j, (name, q) in enumerate(laws):
        to_support = biject_to(q.prior.support)
        values[name] = to_support(placed[:, j])
        mean = z[1 + j] if tasks > 1 else placed[0, j]
        log_prior += q.prior.log_prob(to_support(mean))
        log_prior += to_support.log_abs_det_jacobian(mean, to_support(mean))
        if tasks > 1:
            log_prior += dist.Normal(mean, q.spread).log_prob(placed[:, j]).sum()
    return values, jnp.exp(z[0]), log_prior


def log_density(z: Any, rows: Rows) -> Any:
    """Of the posterior on the real line, up to a constant."""
    values, s, log_prior = unpacked(z, rows)
    chance = jnp.asarray(rows.chance)[rows.member]
    p = SimpleNamespace(**{n: v[rows.member] for n, v in values.items()})
    mean = LAW.value(rows.loss, chance, p)
    rise = jax.nn.sigmoid(p.k_steep * (p.m_middle - rows.loss))
    slope = (1 - chance - p.e_ceiling) * p.k_steep * rise * (1 - rise)
    sd = jnp.sqrt((s * rows.binomial) ** 2 + (slope * rows.loss_se) ** 2)
    return log_prior + dist.Normal(mean, sd).log_prob(rows.accuracy).sum()


@lru_cache(maxsize=1)
def _compiled() -> tuple[Callable[..., Any], Callable[..., Any]]:
    """(points (chain, size), rows) -> log densities and gradients; and points -> what they say."""
    said = jax.vmap(lambda z, rows: unpacked(z, rows)[:2], in_axes=(0, None))
    return jax.jit(jax.vmap(jax.value_and_grad(log_density), in_axes=(0, None))), jax.jit(said)


def start(rows: Rows) -> np.ndarray:
    """Through the mean accuracy of each task, at half of right answers a nat."""
    own, tasks = [], len(rows.chance)
    for t, chance in enumerate(rows.chance):
        height = float(np.mean(rows.accuracy[rows.member == t]))
        share = np.clip((height - chance) / (1 - chance), 0.02, 0.9)
        own += [float(np.log(share / (1 - share))), math.log(0.5), -1.0]
    means = [-2.2, math.log(2.0), math.log(float(np.median(rows.loss)))] if tasks > 1 else []
    return np.array([0.0, *means, *own])


class Drawn(NamedTuple):
    """theta: parameter -> (draw, task); noise: s, (draw,); z: (chain, draw, size); diverging: how
    many transitions of the draws were."""

    theta: dict[str, np.ndarray]
    noise: np.ndarray
    z: np.ndarray
    diverging: int


def sampled(rows: Rows, seed: int, enough: Callable[[np.ndarray], bool]) -> Drawn:
    """Draws by Hamiltonian Monte Carlo from around the mode, more of them until `enough` of those
    (chain, draw, size) and their divergences, at most `LONGEST` times as many; with half the step
    where some diverged. Within `double()`.

    All chains move at once, in coordinates whitened by the Hessian at the mode, then by the draws
    of each window of the warm-up, in which the step is tuned too.
    """
    density, said = _compiled()
    rng, dim = np.random.default_rng([seed, 23]), size(len(rows.chance))

    def look(z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        value, slope = density(z, rows)
        return np.asarray(value), np.asarray(slope)

    def fun(z: np.ndarray) -> tuple[float, np.ndarray]:
        value, slope = look(np.repeat(z[None], CHAINS, 0))  # of the shape that was compiled
        if not (np.isfinite(value[0]) and np.isfinite(slope[0]).all()):
            return NOWHERE, np.zeros(dim)  # a step too far: the search turns back
        return -float(value[0]), -slope[0]

    mode = minimize(fun, start(rows), jac=True, method="BFGS", options={"maxiter": 300}).x
    mode = mode if np.isfinite(mode).all() and fun(mode)[0] < NOWHERE else start(rows)
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
    drawn, diverging = np.empty((CHAINS, 0, dim)), 0
    for _ in range(LONGEST):
        more, diverging, _ = _moved(look, z, shape, step, DRAWS, rng)
        z = more[:, -1]
        if diverging:  # shorter steps, from the start
            step, drawn = step / 2, np.empty((CHAINS, 0, dim))
            continue
        drawn = np.concatenate([drawn, more], 1)
        if enough(drawn):
            break
    drawn = more if diverging else drawn
    theta, noise = said(drawn.reshape(-1, dim), rows)
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
        # Where m would be less than 0 there is no density: such a step is refused, no more.
        diverging += int((np.isfinite(gain) & (gain < -1000)).sum())
        gain = np.where(np.isfinite(gain), gain, -np.inf)
        accept = np.exp(np.minimum(gain, 0.0))
        taken = rng.random(len(z)) < accept
        z = np.where(taken[:, None], at, z)
        value, slope = np.where(taken, above, value), np.where(taken[:, None], push, slope)
        if tune:
            step *= np.exp(0.1 * (accept.mean() - ACCEPT))
        found.append(z)
    return np.stack(found, 1), diverging, float(step)
