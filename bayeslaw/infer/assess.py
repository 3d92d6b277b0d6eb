"""Rolling origins: refits to the smaller part of a sweep judge the laws and their discrepancy."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from bayeslaw.infer.discrepancy import Discrepancy, Hull, Miss
from bayeslaw.infer.model import inputs_of
from bayeslaw.infer.refit import Predicted, Table, prepare_preview, previews
from bayeslaw.infer.stack import Standing, origins_of, standings, untested
from bayeslaw.laws import Run

NOISE_VARIANCE = 1.5  # of a Student-t run around its law, in σ²: that of its middle, not its tails
LEAST = 0.03  # weight below which a law is not worth sampling


class Assessment(NamedTuple):
    """How the laws stand, and what is known of the discrepancy beyond the sweep."""

    standings: tuple[Standing, ...]
    discrepancy: Discrepancy
    misses: tuple[Miss, ...] = ()


def assess(
    tables: Mapping[str, Table],
    within: np.ndarray | None = None,
    seed: int = 0,
    progress: Callable[[str], None] = lambda _: None,
) -> Assessment:
    """Judge the laws of `tables` (law -> its table) by the runs in the mask `within`.

    Laws of different rows cannot be compared, and where there are too few lineages to leave the
    larger ones out none can: see `untested`.
    """
    first, laws = next(iter(tables.values())), [table.spec.law for table in tables.values()]
    runs = first.runs
    if len({table.runs.digest for table in tables.values()}) > 1:
        return Assessment(untested(laws), prior_of(first, within))
    within = np.ones(len(runs), bool) if within is None else within
    origins = origins_of(runs, within)
    if origins:
        for table in tables.values():
            prepare_preview(table)
    predicted = {}
    for name, table in tables.items():
        progress(f"{name}, on the smaller runs")
        predicted[name] = previews(table, origins, seed)
    stand = standings(runs, predicted, origins, first.spec.likelihood, laws, within, seed)
    misses = tuple(
        _miss(first, train, within & ~train, [predicted[s.law][i] for s in stand], stand)
        for i, train in enumerate(origins)
    )
    return Assessment(stand, prior_of(first, within).updated(misses), misses)


def kept(stand: Sequence[Standing]) -> tuple[Standing, ...]:
    """The laws that are worth sampling, their weights summing to 1; the best is always there."""
    best = max(stand, key=lambda s: s.weight)
    good = [s for s in stand if s.weight >= LEAST or s is best]
    total = sum(s.weight for s in good)
    return tuple(replace(s, weight=s.weight / total) for s in good)


def mixed(parts: Sequence[np.ndarray], stand: Sequence[Standing]) -> np.ndarray:
    """Draws (draw, …) of the stack: from every law's, evenly, as many as its weight."""
    total = len(parts[0])
    counts = [round(total * s.weight) for s in stand]
    return np.concatenate(
        [p[np.linspace(0, len(p) - 1, n).astype(int)] for p, n in zip(parts, counts, strict=True)]
    )


def _inputs(table: Table, mask: np.ndarray) -> Run:
    return inputs_of(table.runs.table[mask])


def _log_loss(table: Table) -> np.ndarray:
    return np.log(table.runs.table["loss"].to_numpy(float))


def prior_of(table: Table, mask: np.ndarray | None = None) -> Discrepancy:
    """The discrepancy before any refit has been looked at."""
    mask = np.ones(len(table.runs), bool) if mask is None else mask
    domain = table.runs.table["domain"].to_numpy()[mask]
    return Discrepancy.prior(_inputs(table, mask), _log_loss(table)[mask], domain)


def _miss(
    table: Table,
    train: np.ndarray,
    test: np.ndarray,
    predicted: Sequence[Predicted],
    stand: Sequence[Standing],
) -> Miss:
    draws = mixed([p.run[:, test] for p in predicted], stand)
    scale = mixed([p.scale[:, test] for p in predicted], stand)
    domain = table.runs.table["domain"].to_numpy()[test]
    return Miss(
        _log_loss(table)[test] - np.median(draws, axis=0),
        draws,
        NOISE_VARIANCE * (scale**2).mean(0),
        Hull.of(_inputs(table, train)).distance(_inputs(table, test)),
        prior_of(table, train).unit,
        np.unique(domain, return_inverse=True)[1],
    )
