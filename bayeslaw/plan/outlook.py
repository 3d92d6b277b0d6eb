"""The outlook: joint draws of a design's loss, as one pure jax function of the design.

    log L(x) = log of the law's curve at x + Σⱼ dⱼ(x) cⱼ

The second part is what laws get wrong beyond the sweep (`infer.discrepancy`): a random function per
draw, linear in the distances d by which the design leaves the sweep. The noise of one run is left
out: no plan can change it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from types import SimpleNamespace
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from bayeslaw.errors import PlanError
from bayeslaw.infer.curves import Curves
from bayeslaw.infer.discrepancy import AXES, Discrepancy, learnt
from bayeslaw.infer.ensemble import Ensemble
from bayeslaw.laws import Run
from bayeslaw.plan.offset import Offset, rounded

Kind = Literal["mean", "calibrated"]
KINDS: tuple[Kind, ...] = ("mean", "calibrated")
THIN = 64  # draws that know the curvature; all of them decide


@dataclass(frozen=True)
class Beyond:
    """A discrepancy's draws. low, high: the sweep's box along `AXES`; each: what an e-fold counts;
    shortest: the smallest D′ > 0 of the sweep; slopes: c, (draw, axis, domain)."""

    low: Any
    high: Any
    each: Any
    shortest: Any
    slopes: Any

    @classmethod
    def of(cls, discrepancy: Discrepancy, domains: int, counts: Sequence[int], seed: int) -> Beyond:
        """The functions that `Discrepancy.sample` draws, less their mean over the draws of each
        law: it is 0 but for chance, and chance must tilt neither a plan nor what a law alone would
        say. counts: draws of each law."""
        unit = replace(discrepancy, hull=_Unit())  # type: ignore[arg-type]
        slopes = unit.sample(Run(np.ones(len(AXES)), 1.0), domains, sum(counts), seed)
        by_law = np.split(slopes, np.cumsum(counts)[:-1])
        hull = discrepancy.hull
        each = np.array([learnt()["distance"][name] for name in AXES])
        return cls(
            np.array(hull.low), np.array(hull.high), each, float(hull.shortest),
            np.concatenate([s - s.mean(0) for s in by_law]),
        )  # fmt: skip

    def distance(self, run: Run, width: float = 0.0) -> Any:
        """`Hull.distance` in jax; fields of `run` of any one shape, axes first. width: e-folds over
        which the edge of the sweep is rounded."""
        n, d, split = run[:3]
        tokens = d + split
        shortest = jnp.where(self.shortest > 0, self.shortest, 1.0)
        branch = jnp.where(self.shortest > 0, jnp.log1p(split / shortest), 0.0)
        logs = jnp.stack([jnp.log(6 * n * tokens), jnp.log(n), jnp.log(tokens), branch])
        low, high, each = (
            jnp.reshape(v, (-1, *[1] * jnp.ndim(n))) for v in (self.low, self.high, self.each)
        )
        return each * (rounded(logs - high, width) + rounded(low - logs, width))


class _Unit:
    """A hull at which the j-th design is a distance of 1 along the j-th axis."""

    def distance(self, _: Run) -> np.ndarray:
        return np.eye(len(AXES))


@dataclass(frozen=True)
class Outlook:
    """Draws of laws, and of what they may get wrong. A pytree whose laws are static.

    distinct: tokens that there are for either stage, (2, domain); None: without end. offset: of
    another way to train, from what the laws say of the usual one. replay: the share of general data
    in the second stage, for laws that know it. routed: a router that errs; every loss here is then
    that of the system. objective: tasks whose error takes the place of the loss of a branch on its
    own domain; every loss here is then that error.
    """

    curves: Curves
    beyond: Beyond | None = None
    distinct: Any = None
    offset: Offset | None = None
    replay: Any = None
    routed: Any = None
    objective: Any = None

    @classmethod
    def of(
        cls, fitted: Ensemble, kind: str = "calibrated", draws: int = 1000, seed: int = 0
    ) -> Outlook:
        """Joint draws of an ensemble. Raises `PlanError` on a kind that it cannot give."""
        check_kind(fitted, kind)
        curves = fitted.curves(draws)
        if kind == "mean":
            return cls(curves)
        assert fitted.discrepancy is not None
        counts = [next(iter(theta.values())).shape[0] for theta in curves.thetas]
        return cls(curves, Beyond.of(fitted.discrepancy, len(fitted.domains), counts, seed))

    def centred(self, rows: np.ndarray, weight: np.ndarray) -> Outlook:
        """The same, with the discrepancy of some draws, a law's, of mean 0 under these weights."""
        if self.beyond is None:
            return self
        slopes = np.array(self.beyond.slopes)
        slopes[rows] -= np.tensordot(weight, slopes[rows], 1)
        return replace(self, beyond=replace(self.beyond, slopes=slopes))

    @cached_property
    def few(self) -> Outlook:
        """Draws that stand for all of them where only curvature matters; on the device."""
        return jax.device_put(self.thinned(THIN))

    @property
    def curves_alone(self) -> bool:
        """Whether losses are the laws' curves and nothing else."""
        return self.beyond is None and self.offset is None and self.routed is None

    @property
    def draws(self) -> int:
        return self.curves.draws

    @property
    def domains(self) -> int:
        return self.curves.domains

    def full(self, run: Run, shape: tuple[int, ...]) -> Run:
        """A design with the distinct tokens that there are, its fields of one shape."""
        if self.distinct is not None:
            first, second = self.distinct
            run = run._replace(unique_tokens=first, unique_specialize_tokens=second)
        return Run(*[jnp.broadcast_to(f, shape) for f in run])

    def reference(self, run: Run) -> Run:
        """The design that the laws are asked about."""
        if self.replay is not None:
            run = run._replace(replay=jnp.full_like(run.params, self.replay))
        return run if self.offset is None else self.offset.reference(run)

    def log_loss(self, run: Run) -> jax.Array:
        """log L, (draw, domain), of one design: fields are scalars or of shape (domain,)."""
        asked = self.full(run, (self.domains,))
        full = self.reference(asked)
        log_loss = self.curves.log_loss(full)
        if self.offset is not None:
            log_loss = log_loss + self.offset.of(asked)
        if self.beyond is not None:
            distance = self.beyond.distance(full)
            log_loss = log_loss + jnp.einsum("xak,ak->xk", self.beyond.slopes, distance)
        if self.objective is not None:
            return self.objective.log_error(log_loss)
        return log_loss if self.routed is None else self.routed.log_loss(log_loss, asked)

    def log_loss_each(self, run: Run, width: float = 0.0) -> jax.Array:
        """log L, (draw, domain), where every draw has a design: fields of shape (draw, domain).
        width: e-folds over which the edge of the sweep is rounded."""
        asked = self.full(run, (self.draws, self.domains))
        full = self.reference(asked)
        parts, first = [], 0
        for law, theta, at in zip(
            self.curves.laws, self.curves.thetas, self.curves.ats, strict=True
        ):

            def one(x: Run, loss: Any, p: dict[str, Any], law: Any = law, at: Any = at) -> Any:
                return law.log_loss(x, at._replace(loss=loss), SimpleNamespace(**p))

            count = next(iter(theta.values())).shape[0]
            own = Run(*[f[first : first + count] for f in full])
            over = jax.vmap(jax.vmap(one), in_axes=(0, None, 0))
            parts.append(over(own, at.loss, theta))
            first += count
        log_loss = jnp.concatenate(parts)
        if self.offset is not None:
            log_loss = log_loss + self.offset.of(asked)
        if self.beyond is not None:
            distance = self.beyond.distance(full, width)
            log_loss = log_loss + jnp.einsum("xak,axk->xk", self.beyond.slopes, distance)
        if self.objective is not None:
            return self.objective.log_error(log_loss)
        return (
            log_loss if self.routed is None else self.routed.log_loss_each(log_loss, asked, width)
        )

    def thinned(self, draws: int) -> Outlook:
        """About `draws` of the draws, evenly spaced within each law."""
        if self.draws <= 2 * draws:
            return self
        return self.some(self.draws // draws)

    def thinned_rows(self, draws: int) -> np.ndarray:
        """The numbers of the draws that `thinned` keeps."""
        return self.rows(self.draws // draws if self.draws > 2 * draws else 1)

    def rows(self, step: int) -> np.ndarray:
        """The numbers of every `step`-th draw of each law."""
        counts = [next(iter(theta.values())).shape[0] for theta in self.curves.thetas]
        first = np.cumsum([0, *counts])
        return np.concatenate(
            [
                f + np.arange(min(step // 2, n - 1), n, step)
                for f, n in zip(first, counts, strict=False)
            ]
        )

    def some(self, step: int) -> Outlook:
        """Every `step`-th draw of each law."""
        return self.only(self.rows(step))

    def only(self, kept: np.ndarray) -> Outlook:
        """The draws of these numbers, which ascend."""
        thetas, first = [], 0
        for theta in self.curves.thetas:
            count = next(iter(theta.values())).shape[0]
            own = kept[(kept >= first) & (kept < first + count)] - first
            thetas.append({n: v[own] for n, v in theta.items()})
            first += count
        beyond = self.beyond
        parts = {n: getattr(self, n) for n in ("offset", "routed", "objective")}
        return replace(
            self,
            curves=replace(self.curves, thetas=tuple(thetas)),
            beyond=None if beyond is None else replace(beyond, slopes=beyond.slopes[kept]),
            **{n: None if part is None else part.rows(kept) for n, part in parts.items()},
        )


def check_kind(fitted: Ensemble, kind: str) -> None:
    """Raise `PlanError` unless an ensemble can give draws of this kind."""
    if kind not in KINDS:
        raise PlanError(f"kind '{kind}' is not one of {', '.join(KINDS)}")
    if kind == "calibrated" and fitted.discrepancy is None:
        raise PlanError("this fit knows no discrepancy; plan with kind 'mean', or fit again")


for _cls, _fields in (
    (Beyond, ["low", "high", "each", "shortest", "slopes"]),
    (Outlook, ["curves", "beyond", "distinct", "offset", "replay", "routed", "objective"]),
):
    jax.tree_util.register_dataclass(_cls, data_fields=_fields, meta_fields=[])
