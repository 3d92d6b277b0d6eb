"""Refits: one law on parts of a table, through one compiled program and without a sampler."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import jax
import numpy as np

from bayeslaw.errors import FitError
from bayeslaw.infer.laplace import laplace
from bayeslaw.infer.model import (
    Likelihood,
    Rows,
    Spec,
    anchor_of,
    density,
    non_centred,
    pooled_shapes,
    rows_of,
    steadied,
)
from bayeslaw.infer.precision import double
from bayeslaw.infer.sample import Settings, compiled, lanes, modes
from bayeslaw.infer.tree import DESCRIBED
from bayeslaw.laws import Law
from bayeslaw.runs import Runs

# As many draws as one block of the sampler: its programs of modes and descriptions serve here too.
SHORT = Settings(draws=1)


@dataclass(frozen=True)
class Predicted:
    """What a law that was fitted to some rows says of all of them, in the table's order.

    mean: log L, (draw, row).  run: the same with the trunk's effect where it has one, (draw, row).
    scale: of the noise around `run`, (draw, row).
    k_hat: of the importance weights. mode: the best one, (dim,).
    """

    mean: np.ndarray
    run: np.ndarray
    scale: np.ndarray
    k_hat: float = float("nan")
    mode: np.ndarray | None = None

    def of(self, some: np.ndarray) -> Predicted:
        """Of some of the rows, a mask."""
        parts = {n: getattr(self, n)[:, some] for n in ("mean", "run", "scale")}
        return replace(self, **parts)


@dataclass(frozen=True)
class Table:
    """A law and a table's arrays. Parts of the table differ in a mask only: shapes stay."""

    runs: Runs
    spec: Spec
    rows: Rows
    cells: np.ndarray  # which run each kept cell is
    lineages: tuple[str, ...]  # those with an effect

    @classmethod
    def of(
        cls,
        runs: Runs,
        law: Law,
        likelihood: Likelihood = "student",
        fixed: Mapping[str, Any] | None = None,
    ) -> Table:
        """Raises `FitError` where `fixed` names what is no parameter of the law."""
        anchor = anchor_of(runs)
        values = law.from_published(anchor, fixed or {})
        unknown = sorted(set(values) - set(law.parameters))
        if unknown:
            raise FitError(
                f"law '{law.name}' has no parameter {', '.join(unknown)} to hold fixed; "
                f"it has {', '.join(law.parameters)}"
            )
        held = tuple((n, _nested(np.asarray(v).tolist())) for n, v in sorted(values.items()))
        rows, lineages, cells = rows_of(runs, anchor)
        spec = Spec(law, likelihood, len(runs.domains), len(lineages), held)
        return cls(runs, spec, rows, cells, lineages)

    def part(self, train: np.ndarray) -> Rows:
        """The arrays, of which only the runs in `train` are looked at. Anchor and prior centre are
        theirs alone."""
        kept = np.asarray(self.rows.kept).copy()
        kept[kept] = train[self.cells]
        return self.rows._replace(
            kept=kept, at=anchor_of(self.runs.select(train), self.runs.domains)
        )

    def in_order(self, values: np.ndarray) -> np.ndarray:
        """(…, domain, row) -> (…, run), in the table's order."""
        flat = values[..., np.asarray(self.rows.kept)]
        ordered = np.empty_like(flat)
        ordered[..., self.cells] = flat
        return ordered


def _nested(value: Any) -> Any:
    return tuple(map(_nested, value)) if isinstance(value, list) else value


def previews(table: Table, origins: Sequence[np.ndarray], seed: int) -> list[Predicted]:
    """`preview` of several parts, each inside the next. The largest goes first, and in a hierarchy
    the others start where it ended: their modes are near."""
    found: list[Predicted] = []
    near = None
    for train in reversed(origins):
        found.append(preview(table, train, seed, near))
        near = found[-1].mode if pooled_shapes(table.spec) else None
    return found[::-1]


def preview(
    table: Table, train: np.ndarray, seed: int, near: np.ndarray | None = None
) -> Predicted:
    """The posterior of the runs in `train` (a mask), predicting every run of the table: from
    importance-weighted draws around the mode, judged by k-hat.

    near: a point to look for the mode from, in place of draws of the prior. Pooling sds are held at
    the medians of their priors, without which a hierarchy has no mode that speaks for it.
    """
    spec = steadied(table.spec)
    with double():
        rows = jax.device_put(table.part(train))
        starts = None if near is None else near[None]
        found = modes(spec, rows, seed, SHORT, starts)
        if not found:
            raise FitError(f"law '{spec.law.name}': no start found a mode on these runs")
        draws = laplace(spec, rows, found, seed, SHORT)
        p = compiled(spec, SHORT)
        z = draws.z.reshape(-1, draws.z.shape[-1])
        z = z[np.linspace(0, len(z) - 1, DESCRIBED).astype(int)]
        run = p.describe(z, rows, draws.centring)
        loc, scale = (table.in_order(np.asarray(a)) for a in (run.loc, run.scale))
        mean = loc
        if spec.lineages:
            alone = rows._replace(lineage=np.zeros_like(rows.lineage))
            mean = table.in_order(np.asarray(p.describe(z, alone, draws.centring).loc))
    return Predicted(mean, loc, scale, draws.diagnostics.k_hat, found[0].z)


def prepare_preview(table: Table) -> None:
    """Begin to compile what `preview` calls."""
    spec = steadied(table.spec)
    with double():
        p, centring = compiled(spec, SHORT), non_centred(spec)
        size, rows = density(spec).size, jax.device_put(table.rows)
        p.gradients.prepare(np.zeros((lanes(rows, SHORT), size)), rows, centring)
        p.describe.prepare(np.zeros((DESCRIBED, size)), rows, centring)
