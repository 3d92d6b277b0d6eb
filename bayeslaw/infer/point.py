"""Point fits: what is done today, offered as a baseline. No priors, no uncertainty."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax import random
from numpyro.distributions import biject_to
from scipy.optimize import least_squares, minimize

from bayeslaw.infer.model import Rows, Spec, held, predict

HUBER_DELTA = 1e-3
BOOTSTRAP_STEPS = 60
On = Literal["log_loss", "loss"]
# A function of squared, scaled residuals z -> (ρ, ρ′, ρ″), as scipy's least_squares takes it.
Rho = str | Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Optimum:
    """A local minimum, and how many starts ended in it."""

    objective: float
    theta: dict[str, np.ndarray]  # parameter -> (domain, …)
    starts: int


@dataclass(frozen=True)
class PointFit:
    """The best of many starts. `objective` is the sum over rows of the loss of the residuals."""

    theta: dict[str, np.ndarray]  # parameter -> (domain, …)
    objective: float
    objectives: tuple[float, ...]  # of every start, ascending
    sigma: np.ndarray  # (domain,) sd of the residuals of log loss, from their median magnitude
    residuals: np.ndarray  # (row,)
    z: np.ndarray  # the same as a flat vector on the real line
    optima: tuple[Optimum, ...]  # the separated ones, best first

    @property
    def agree(self) -> int:
        """How many starts ended within .1 % of the best objective."""
        return int(np.sum(np.array(self.objectives) <= self.objective * (1 + 1e-3)))


def minimise(
    spec: Spec,
    rows: Rows,
    seed: int = 0,
    starts: int = 32,
    rho: Rho = "huber",
    scale: float = HUBER_DELTA,
    on: On = "log_loss",
) -> PointFit:
    """Minimise the summed loss of the residuals from `starts` draws of the prior.

        Σᵢ scale² ρ((rᵢ / scale)²) / 2,   r = log L - log loss (or L - loss with `on="loss"`)

    rho: `huber` (with `scale` its δ), `linear` (least squares), `soft_l1`, `cauchy`, or a function
    as scipy's `least_squares` takes it. Every domain has its own values, but for `shared` ones.
    The sum, not the mean: a mean over rows stops gradient tests at the start.
    """
    residuals, jacobian, unpack, draw = _functions(spec, on)
    kept = np.asarray(rows.kept)

    def fun(z: np.ndarray) -> np.ndarray:
        r = np.asarray(residuals(z, rows))[kept]
        return np.clip(np.nan_to_num(r, nan=1e3), -1e3, 1e3)

    def jac(z: np.ndarray) -> np.ndarray:
        slopes = np.nan_to_num(np.asarray(jacobian(z, rows))[kept])
        return np.clip(slopes, -1e8, 1e8)  # far from the runs it may overflow

    fits = []
    for i, z in enumerate(np.asarray(draw(random.split(random.key(seed), starts)))):
        # The narrow scale is nearly L1, and rough: it has optima that a first pass on a wide one
        # never sees, and the wide one finds the basin where the narrow gets stuck. Both are tried.
        direct = rho == "huber" and i % 2 == 1
        for width in () if direct else (max(scale, 0.05), scale):
            with np.errstate(all="ignore"):  # of SciPy's steps, from far off
                found = least_squares(
                    fun, z, jac, loss=rho, f_scale=width, x_scale="jac", max_nfev=1000,
                    xtol=1e-12, ftol=1e-14, gtol=1e-12,
                )  # fmt: skip
            z = found.x
        fits.append(_polished(fun, jac, z, scale) if rho == "huber" else (float(found.cost), z))
    fits.sort(key=lambda fit: fit[0])
    objective, z = fits[0]
    theta = {n: np.asarray(v) for n, v in unpack(z).items()}
    optima = tuple(
        Optimum(f, {n: np.asarray(v) for n, v in unpack(z).items()}, count)
        for f, z, count in _separated(fits)
    )
    log_residuals = np.asarray(_functions(spec, "log_loss")[0](z, rows))
    sigma = np.array(
        [np.median(np.abs(r[k])) / 0.6745 for r, k in zip(log_residuals, kept, strict=True)]
    )
    return PointFit(theta, objective, tuple(f[0] for f in fits), sigma, fun(z), z, optima)


def _polished(fun: Any, jac: Any, z: np.ndarray, delta: float) -> tuple[float, np.ndarray]:
    """The Huber objective down from z by quasi-Newton steps, which least squares stops short of."""

    def objective(z: np.ndarray) -> tuple[float, np.ndarray]:
        r = fun(z)
        size = np.abs(r)
        rho = np.where(size < delta, size**2 / 2, delta * (size - delta / 2))
        return float(rho.sum()), np.clip(r, -delta, delta) @ jac(z)

    before = objective(z)[0]
    with np.errstate(all="ignore"):
        found = minimize(objective, z, jac=True, method="BFGS", options={"gtol": 1e-9})
    return (float(found.fun), found.x) if found.fun < before else (before, z)


def _separated(fits: list[tuple[float, np.ndarray]]) -> list[tuple[float, np.ndarray, int]]:
    """Ends of the starts, best first, that differ by more than the roughness of the objective."""
    found: list[tuple[float, np.ndarray, int]] = []
    for objective, z in fits:
        for i, (best, at, count) in enumerate(found):
            if abs(objective - best) < 2e-5 * best and np.abs(z - at).max() < 0.1:
                found[i] = (best, at, count + 1)
                break
        else:
            found.append((objective, z, 1))
    return found


def bootstrap(
    spec: Spec, rows: Rows, point: PointFit, draws: int = 1000, seed: int = 0
) -> dict[str, np.ndarray]:
    """The Huber fit of `draws` resamples of the rows (with replacement, within each domain), each
    started at `point`: parameter -> (draw, domain, …). All resamples go down in step."""
    rng, kept = np.random.default_rng(seed), np.asarray(rows.kept)
    share = kept / np.maximum(kept.sum(-1, keepdims=True), 1)
    counts = np.stack(
        [rng.multinomial(int(k.sum()), p, draws) for k, p in zip(kept, share, strict=True)], 1
    )
    descend, unpack = _resampled(spec)
    return {
        n: np.asarray(v) for n, v in unpack(descend(point.z, counts.astype(float), rows)).items()
    }


@lru_cache(maxsize=64)
def _resampled(spec: Spec) -> tuple[Any, Any]:
    """A compiled descent from z for many weights of the rows, and the map to parameters."""
    residuals, jacobian, unpack, _ = _functions(spec, "log_loss")

    def objective(z: Any, weight: Any, rows: Rows) -> Any:
        size = jnp.abs(jnp.nan_to_num(residuals(z, rows), nan=1e3))
        inside = size < HUBER_DELTA
        rho = jnp.where(inside, size**2 / 2, HUBER_DELTA * (size - HUBER_DELTA / 2))
        return jnp.sum(jnp.where(weight > 0, weight * rho, 0.0))

    def descend(z: Any, weight: Any, rows: Rows) -> Any:
        def step(state: Any, _: Any) -> tuple[Any, None]:
            z, best, damping = state
            r = jnp.nan_to_num(residuals(z, rows), nan=1e3)
            w = jnp.where(weight > 0, weight / jnp.maximum(jnp.abs(r), HUBER_DELTA), 0.0)
            slopes = jnp.clip(jnp.nan_to_num(jacobian(z, rows)), -1e8, 1e8)
            slopes = slopes.reshape(-1, z.shape[0])
            weighted = slopes * jnp.ravel(w)[:, None]
            normal, down = slopes.T @ weighted, weighted.T @ jnp.ravel(r)
            diagonal = jnp.diag(normal)
            ridge = damping * diagonal + 1e-9 * jnp.max(diagonal) + 1e-300
            trial = z - jnp.clip(jnp.linalg.solve(normal + jnp.diag(ridge), down), -2.0, 2.0)
            new = objective(trial, weight, rows)
            better = new < best
            z, best = jnp.where(better, trial, z), jnp.where(better, new, best)
            return (z, best, jnp.clip(jnp.where(better, damping / 4, damping * 6), 1e-9, 1e9)), None

        begin = (z, objective(z, weight, rows), jnp.asarray(1e-3))
        return jax.lax.scan(step, begin, None, length=BOOTSTRAP_STEPS)[0][0]

    return jax.jit(jax.vmap(descend, (None, 0, None))), jax.jit(jax.vmap(unpack))


@lru_cache(maxsize=64)
def _functions(spec: Spec, on: On) -> tuple[Any, Any, Any, Any]:
    """Residuals, their Jacobian, the map from a flat vector to parameters, and random starts."""
    fixed = dict(spec.fixed)
    free = {n: q for n, q in spec.law.parameters.items() if n not in fixed}
    to_support = {n: biject_to(q.prior.support) for n, q in free.items()}
    copies = {n: 1 if q.across == "shared" else spec.domains for n, q in free.items()}
    shape = {
        n: to_support[n].inverse_shape((*q.prior.batch_shape, *q.prior.event_shape))
        for n, q in free.items()
    }

    constant = {n: held(v, spec.law.parameters[n], spec.domains) for n, v in fixed.items()}

    def unpack(z: Any) -> dict[str, Any]:
        theta, at = {}, 0
        for n in free:
            count = copies[n] * int(np.prod(shape[n], dtype=int))
            value = to_support[n](z[at : at + count].reshape(copies[n], *shape[n]))
            theta[n] = jnp.broadcast_to(value, (spec.domains, *value.shape[1:]))
            at += count
        return {**theta, **constant}

    def residuals(z: Any, rows: Rows) -> Any:
        log_loss = predict(spec.law, rows.run, rows.at, unpack(z))
        if on == "loss":
            return jnp.exp(log_loss) - jnp.exp(rows.log_loss)
        return log_loss - rows.log_loss

    def draw(key: Any) -> Any:
        keys = random.split(key, len(free))
        parts = [
            jnp.ravel(to_support[n].inv(q.prior.sample(k, (copies[n],))))
            for k, (n, q) in zip(keys, free.items(), strict=True)
        ]
        return jnp.concatenate(parts)

    return (
        jax.jit(residuals),
        jax.jit(jax.jacfwd(residuals)),
        jax.jit(unpack),
        jax.jit(jax.vmap(draw)),
    )
