"""Offsets: by how much another way to train differs from what the laws say of the usual one.

    log loss = log L(reference) + aₖ + b (r - r̄) + c (log N - log N̄) + s ε

aₖ of a domain is pooled; r is the log of the ratio that the way is about. The reference is a design
of the usual way that every law knows, so that one rule serves all laws. The laws' draws stand as
they were fitted: what these runs say about the laws themselves is left out. Given a draw of the
laws the rest is conjugate, and one draw of it goes with each of theirs.
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
# ratio and of N. That of N is what an offset may change by beyond the sizes that were measured.
SHARED, OWN, RATIO, SIZE = 0.3, 0.1, 0.05, 0.015
LEVEL = 0.1  # of one count of branches, of one share of replay
LIKE = 4.0  # runs whose scatter the laws' own noise counts as, when that of these runs is weighed


@dataclass(frozen=True)
class Way:
    """A way to train. reference: the design of the usual way that it is compared with. ratio: its
    own log ratio. Both of jax arrays."""

    reference: Callable[[Run], Run]
    ratio: Callable[[Run], Any]


WAYS: dict[str, Way] = {
    # A branch on the domain alone, with as many tokens.
    "joint": Way(lambda x: x, lambda x: jnp.log(x.specialize_tokens / x.pretrain_tokens)),
    # A generalist of as many tokens.
    "scratch": Way(
        lambda x: x._replace(
            pretrain_tokens=x.specialize_tokens,
            specialize_tokens=jnp.zeros_like(x.specialize_tokens),
        ),
        lambda x: jnp.log(x.specialize_tokens / x.params),
    ),
    "experts": Way(lambda x: x, lambda x: jnp.zeros_like(x.params)),
    "replay": Way(lambda x: x, lambda x: jnp.zeros_like(x.params)),
}


@dataclass(frozen=True)
class Offset:
    """Draws of an offset. level: aₖ, (draw, domain); slopes: b and c, (draw, 2); centre: r̄ and
    log N̄; low, high: of r, beyond which it is held. A pytree whose way is static."""

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
        ratio = jnp.clip(WAYS[self.way].ratio(run), self.low, self.high) - self.centre[0]
        size = jnp.log(run.params) - self.centre[1]
        return self.level + self.slopes[:, :1] * ratio + self.slopes[:, 1:] * size

    def rows(self, kept: Any) -> Offset:
        """Some of the draws."""
        return replace(self, level=self.level[kept], slopes=self.slopes[kept])


jax.tree_util.register_dataclass(
    Offset, data_fields=["level", "slopes", "centre", "low", "high"], meta_fields=["way"]
)


def offset_of(
    fitted: Ensemble,
    contrast: Contrast,
    curves: Callable[[Run], Any],
    draws: int,
    stretch: float = 4.0,
    seed: int = 0,
) -> Offset:
    """The offset of `joint` or `scratch`, a draw for each of `draws` of the laws.

    curves: a design, fields (domain,), -> log losses (draw, domain). Where a run has a twin, the
    two are compared, and what their trunk and the laws get wrong there cancels. stretch: as of the
    ratios of a plan.
    """
    way = WAYS[contrast.way]
    run = Run(contrast.params, contrast.pretrain_tokens, contrast.specialize_tokens)
    ratio, size = np.asarray(way.ratio(run)), np.log(contrast.params)
    domains = len(fitted.domains)
    columns = np.concatenate([
        np.ones((len(contrast), 1)), np.eye(domains)[contrast.domain],
        np.stack([ratio - ratio.mean(), size - size.mean()], 1),
    ], 1)  # fmt: skip
    prior = np.array([SHARED, *[OWN] * domains, RATIO, SIZE])
    found = _coefficients(fitted, contrast, curves, draws, columns, prior, seed)
    room = np.log(stretch)
    return Offset(
        contrast.way, found[:, :1] + found[:, 1 : domains + 1], found[:, domains + 1 :],
        np.array([ratio.mean(), size.mean()]), ratio.min() - room, ratio.max() + room,
    )  # fmt: skip


def levels_of(
    fitted: Ensemble,
    contrast: Contrast,
    curves: Callable[[Run], Any],
    draws: int,
    seed: int = 0,
) -> dict[float, Offset]:
    """Level -> its offset, of those of `experts` or `replay` that were measured: one effect each,
    pooled, the same for all domains."""
    levels, member = np.unique(contrast.level, return_inverse=True)
    columns, prior = np.eye(len(levels))[member], np.full(len(levels), LEVEL)
    found = _coefficients(fitted, contrast, curves, draws, columns, prior, seed)
    still, none = np.zeros((draws, 2)), np.zeros(2)
    return {
        float(level): Offset(contrast.way, found[:, i : i + 1], still, none, 0.0, 0.0)
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

        y = X β + Z u + s ε,   β ~ N(0, s² P),   u ~ N(0, s² τ²),   1/s² ~ Gamma(LIKE/2, LIKE/2)

    y: measured less predicted; ε: as wide as the law's noise; u: what the runs of one trunk share.
    Of twins y is their difference: noise twice, no trunk.
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
    rng = np.random.default_rng([seed, 13])
    found = np.empty((draws, len(prior)))
    for i in range(draws):
        # Columns in units of their prior sds: the prior's precision is then the identity.
        scaled = full * sds[i] / np.sqrt(noise[i])[:, None]
        y = residual[i] / np.sqrt(noise[i])
        lower = np.linalg.cholesky(np.eye(full.shape[1]) + scaled.T @ scaled)
        mean = np.linalg.solve(lower.T, np.linalg.solve(lower, scaled.T @ y))
        left = max(0.0, float(y @ (y - scaled @ mean)))
        s = np.sqrt((LIKE + left) / rng.chisquare(LIKE + len(y)))
        drawn = mean + s * np.linalg.solve(lower.T, rng.standard_normal(len(mean)))
        found[i] = (drawn * sds[i])[: len(prior)]
    return found
