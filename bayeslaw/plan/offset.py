"""Offsets: by how much another way to train differs from what the laws say of the usual one.

    log loss = log L(reference) + aₖ + b (r - r̄) + c (log N - log N̄) + s ε

aₖ of a domain is pooled; r is the log of what the way is about. A trend is not carried
beyond what was measured: there b and c start anew from their priors, of mean 0. The reference is a
design of the usual way that every law knows, so that one rule serves all laws. The laws' draws
stand as they were fitted: what these runs say about the laws themselves is left out. Given a draw
of the laws and s the rest is normal, and one draw of it goes with each of theirs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bayeslaw.infer.contrast import Contrast
from bayeslaw.infer.ensemble import Ensemble
from bayeslaw.laws import Run

# Prior sds, of log loss: of what all domains share, of what one has of its own, of an e-fold of the
# measure and of N. The last two are also what an offset may change by beyond what was measured.
SHARED, OWN, MEASURE, SIZE = 0.3, 0.1, 0.05, 0.015
LEVEL = 0.1  # of one count of branches, one share of replay, one weight of distillation
HELD = np.log(4.0)  # below what was measured, and above it of a ratio; further out it stays
ROUNDED = 0.2  # e-folds, of the edges of what was measured
SCALES = np.geomspace(0.1, 100.0, 61)  # of s, that are looked at
MANY = 10_000_000  # numbers, of draws, rows and columns at once
LIKE = 4.0  # runs whose scatter the laws' own noise counts as, when that of these runs is weighed


@dataclass(frozen=True)
class Way:
    """A way to train. reference: the design of the usual way that it is compared with. measure: the
    log of what its effect goes with, beside N. Both of jax arrays."""

    reference: Callable[[Run], Run]
    measure: Callable[[Run], Any]


WAYS: dict[str, Way] = {
    # A branch on the domain alone, with as many tokens.
    "joint": Way(lambda x: x, lambda x: jnp.log(x.specialize_tokens / x.pretrain_tokens)),
    # A generalist of as many tokens.
    "scratch": Way(
        lambda x: x._replace(
            pretrain_tokens=x.specialize_tokens,
            specialize_tokens=jnp.zeros_like(x.specialize_tokens),
            unique_tokens=x.unique_specialize_tokens,
        ),
        lambda x: jnp.log(x.specialize_tokens),
    ),
    "experts": Way(lambda x: x, lambda x: jnp.zeros_like(x.params)),
    "replay": Way(lambda x: x, lambda x: jnp.zeros_like(x.params)),
    "distill": Way(lambda x: x, lambda x: jnp.zeros_like(x.params)),
}


def rounded(z: Any, width: float) -> Any:
    """max(z, 0), or a hyperbola that rounds its corner."""
    return (z + jnp.sqrt(z**2 + width**2)) / 2 if width else jnp.maximum(z, 0)


@dataclass(frozen=True)
class Offset:
    """Draws of an offset. level: aₖ, (draw, domain); slopes: (draw, 6), of r and of log N, each
    within what was measured, above it and below it; centre, low, high: of r and log N, (2,). A
    pytree whose way is static."""

    way: str
    level: Any
    slopes: Any
    centre: Any
    low: Any
    high: Any

    def reference(self, run: Run) -> Run:
        """The design of the usual way."""
        return WAYS[self.way].reference(run)

    def of(self, run: Run) -> Any:
        """(draw, domain) of a design: fields (domain,), or (draw, domain)."""
        parts = columns_of(self.way, run, self.centre, self.low, self.high)
        return self.level + sum(self.slopes[:, j : j + 1] * part for j, part in enumerate(parts))

    def rows(self, kept: Any) -> Offset:
        """Some of the draws."""
        return replace(self, level=self.level[kept], slopes=self.slopes[kept])


jax.tree_util.register_dataclass(
    Offset, data_fields=["level", "slopes", "centre", "low", "high"], meta_fields=["way"]
)


def columns_of(way: str, run: Run, centre: Any, low: Any, high: Any) -> list[Any]:
    """What slopes are of: r, then log N; each as far as it was measured, and by how much it lies
    above and below that. Edges are rounded, or an optimum would sit in them."""
    found = []
    for j, x in enumerate((WAYS[way].measure(run), jnp.log(run.params))):
        x = jnp.maximum(x, low[j] - HELD)
        x = jnp.minimum(x, high[j] + HELD) if way == "joint" and j == 0 else x
        above, below = rounded(x - high[j], ROUNDED), rounded(low[j] - x, ROUNDED)
        found += [x - above + below - centre[j], above, below]
    return found


def offset_of(
    fitted: Ensemble,
    contrast: Contrast,
    curves: Callable[[Run], Any],
    draws: int,
    seed: int = 0,
) -> Offset:
    """The offset of `joint` or `scratch`, a draw for each of `draws` of the laws.

    curves: a design, fields (domain,), -> log losses (draw, domain). Where a run has a twin, the
    two are compared, and what their trunk and the laws get wrong there cancels.
    """
    way = WAYS[contrast.way]
    run = Run(contrast.params, contrast.pretrain_tokens, contrast.specialize_tokens)
    axes = np.stack([np.asarray(way.measure(run)), np.log(contrast.params)])
    ends = (axes.mean(1), axes.min(1), axes.max(1))
    domains = len(fitted.domains)
    columns = np.concatenate([
        np.ones((len(contrast), 1)), np.eye(domains)[contrast.domain],
        np.stack([np.asarray(c) for c in columns_of(contrast.way, run, *ends)], 1),
    ], 1)  # fmt: skip
    prior = np.array([SHARED, *[OWN] * domains, *[MEASURE] * 3, *[SIZE] * 3])
    found = _coefficients(fitted, contrast, curves, draws, columns, prior, seed)
    level = found[:, :1] + found[:, 1 : domains + 1]
    return Offset(contrast.way, level, found[:, domains + 1 :], *ends)


def levels_of(
    fitted: Ensemble,
    contrast: Contrast,
    curves: Callable[[Run], Any],
    draws: int,
    seed: int = 0,
) -> dict[float, Offset]:
    """Level -> its offset, of those of `experts`, `replay` or `distill` that were measured: one
    effect each, pooled, the same for all domains."""
    levels, member = np.unique(contrast.level, return_inverse=True)
    columns, prior = np.eye(len(levels))[member], np.full(len(levels), LEVEL)
    found = _coefficients(fitted, contrast, curves, draws, columns, prior, seed)
    still, none = np.zeros((draws, 6)), np.zeros(2)
    return {
        float(level): Offset(contrast.way, found[:, i : i + 1], still, none, none, none)
        for i, level in enumerate(levels)
    }


def _coefficients(
    fitted: Ensemble,
    contrast: Contrast,
    curves: Callable[[Run], Any],
    draws: int,
    columns: np.ndarray,
    prior: np.ndarray,
    seed: int,
) -> np.ndarray:
    """(draw, column): one draw of the coefficients for each draw of the laws.

        y = X β + Z u + s ε,   β ~ N(0, P),   u ~ N(0, τ²),   1/s² ~ Gamma(LIKE/2, LIKE/2)

    y: measured less predicted; ε: as wide as the law's noise; u: what the runs of one trunk share.
    Of twins y is their difference: noise twice, no trunk. Chance is centred within each law: it
    must not tilt a plan.
    """
    way = WAYS[contrast.way]
    reference = way.reference(
        Run(contrast.params, contrast.pretrain_tokens, contrast.specialize_tokens)
    )
    paired = np.isfinite(contrast.twin)
    domains = len(fitted.domains)
    each = [np.repeat(np.asarray(f, float)[:, None], domains, 1) for f in reference[:3]]
    said = np.asarray(jax.jit(jax.vmap(lambda n, d, s: curves(Run(n, d, s))))(*each))
    predicted = said[np.arange(len(contrast)), :, contrast.domain].T  # (draw, row)
    residual = contrast.log_loss - np.where(paired, contrast.twin, predicted)
    sigma, trunk = fitted.noise_sds(draws)
    noise = (sigma[:, contrast.domain] ** 2 + contrast.log_se**2) * np.where(paired, 2.0, 1.0)
    of_trunk = np.eye(contrast.lineage.max() + 1)[contrast.lineage] * ~paired[:, None]
    of_trunk = of_trunk[:, of_trunk.sum(0) > 1]  # alone, its effect is noise
    full = np.concatenate([columns, of_trunk], 1)
    sds = np.concatenate(
        [np.tile(prior, (draws, 1)), np.tile(trunk[:, None], (1, of_trunk.shape[1]))], 1
    )
    noise = noise + np.where(of_trunk.any(1) | paired, 0.0, trunk[:, None] ** 2)
    y = residual / np.sqrt(noise)
    rng = np.random.default_rng([seed, 13])
    by_law = [len(rows) for _, rows in fitted._picked(draws)]
    chance = [z - z.mean(0) for z in (rng.standard_normal((n, full.shape[1])) for n in by_law)]
    chances, place, drawn = np.concatenate(chance), rng.random(draws), []
    for some in np.array_split(np.arange(draws), 1 + draws * full.size // MANY):
        scaled = full[None] * sds[some, None, :] / np.sqrt(noise[some])[:, :, None]
        drawn.append(_posterior(scaled, y[some], chances[some], place[some]))
    return (np.concatenate(drawn) * sds)[:, : len(prior)]


def _posterior(x: np.ndarray, y: np.ndarray, chance: np.ndarray, place: np.ndarray) -> np.ndarray:
    """One draw of β for each draw of the laws, y = x β + s ε with β, ε ~ N(0, 1): s from its
    posterior on a grid, then β given s. x: (draw, row, column); chance: of β, standard normals;
    place: of s, uniform."""
    values, turn = np.linalg.eigh(np.swapaxes(x, 1, 2) @ x)
    values = np.maximum(values, 0.0)[:, None, :]
    along = np.einsum("xcj,xrc,xr->xj", turn, x, y)[:, None, :]
    s2 = SCALES[:, None] ** 2  # (scale, 1): draws go before, columns behind
    weight = (along**2 / (s2 + values)).sum(-1) / SCALES**2 - (y**2).sum(1)[:, None] / SCALES**2
    weight = weight / 2 - np.log1p(values / s2).sum(-1) / 2
    weight -= (y.shape[1] + LIKE) * np.log(SCALES) + LIKE / (2 * SCALES**2)
    weight = np.exp(weight - weight.max(1, keepdims=True))
    total = np.cumsum(weight, 1)
    found = (total < place[:, None] * total[:, -1:]).sum(1)
    scale2 = SCALES[found][:, None] ** 2
    mean = along[:, 0] / (scale2 + values[:, 0])
    spread = 1 / np.sqrt(1 + values[:, 0] / scale2)
    return np.einsum("xcj,xj->xc", turn, mean + spread * chance)
