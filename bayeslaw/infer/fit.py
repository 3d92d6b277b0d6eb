"""fit: from a table of runs to an Ensemble of posteriors."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from threading import Thread
from typing import Any, Literal

import jax
import numpy as np

from bayeslaw.cost import fit_cost
from bayeslaw.errors import FitError
from bayeslaw.infer.allowed import allowed, spoken_of
from bayeslaw.infer.assess import Assessment, assess, kept, prior_of
from bayeslaw.infer.contrast import contrasts_of
from bayeslaw.infer.diagnose import Diagnostics, array_stats
from bayeslaw.infer.ensemble import Ensemble
from bayeslaw.infer.laplace import laplace
from bayeslaw.infer.model import (
    Likelihood,
    Spec,
    every_kth,
    inputs_of,
)
from bayeslaw.infer.modes import Mode
from bayeslaw.infer.point import HUBER_DELTA, On, PointFit, Rho, minimise
from bayeslaw.infer.posterior import Posterior
from bayeslaw.infer.precision import double
from bayeslaw.infer.priors import with_priors
from bayeslaw.infer.refit import Table
from bayeslaw.infer.sample import Settings, modes, prepare
from bayeslaw.infer.separated import sample_modes
from bayeslaw.infer.stack import untested
from bayeslaw.infer.tree import point_tree, tree_of
from bayeslaw.laws import Law, find_law
from bayeslaw.runs import Fault, Runs, lineages_of, refuse

Method = Literal["nuts", "laplace", "huber"]
ENOUGH = 1024  # runs that judge laws and their discrepancy
MANY = 4096  # runs whose gradient is dear: fewer chains, and the gate will say if they are too few
METHODS: tuple[Method, ...] = ("nuts", "laplace", "huber")


def fit(
    runs: Runs,
    laws: str | Law | Sequence[str | Law] | None = None,
    method: Method = "nuts",
    seed: int = 0,
    likelihood: Likelihood = "student",
    fixed: Mapping[str, float] | None = None,
    priors: Mapping[str, Any] | None = None,
    settings: Settings = Settings(),
    progress: Callable[[str], None] | None = None,
) -> Ensemble:
    """Fit every law to the runs and return them as one Ensemble.

    laws: a name, a `Law`, or several; None takes all of the table's kind (single or two-stage).
    method: `nuts` (exact, behind the gate), `laplace` (a preview in a fraction of the time, with
        its Pareto k-hat), `huber` (the usual point fit: no uncertainty of parameters).
    likelihood: of log loss, `student` (ν = 4) or `normal`.
    fixed: parameter -> value to hold it at, in every domain; of some laws also by the published
        names (E, A, B, alpha, beta).
    priors: parameter -> NumPyro distribution, in place of a law's own; see `read_priors`.
    seed: same seed, same result.

    A law that fails the gate is kept with weight 0 and named; `Ensemble.passed` tells whether any
    passed. Raises `RunsError` with every row that a law cannot speak about, and `FitError` when
    there is nothing to fit.
    """
    if method not in METHODS:
        raise FitError(f"method '{method}' is not one of {', '.join(METHODS)}")
    if likelihood not in ("student", "normal"):
        raise FitError(f"likelihood '{likelihood}' is not one of student, normal")
    if len(runs.sweeps) > 1:
        raise FitError(
            f"{len(runs.sweeps)} sweeps in one table ({', '.join(runs.sweeps)}): their recipes may "
            f"differ by more than a law knows. Fit one at a time: --sweep {runs.sweeps[0]}, or "
            f"runs.of_sweep('{runs.sweeps[0]}')"
        )
    if isinstance(laws, str | Law):
        laws = [laws]
    chosen = [find_law(law) for law in laws] if laws else allowed(runs)
    if priors:
        chosen = list(with_priors(chosen, priors))
    if len({law.name for law in chosen}) < len(chosen):
        raise FitError("a law is named twice: " + ", ".join(law.name for law in chosen))
    if len({law.rows for law in chosen}) > 1:
        raise FitError(
            "these laws speak of different rows (a branch on its own domain, or on others): fit "
            + " and ".join(law.name for law in chosen)
            + " apart"
        )
    said = progress or (lambda _: None)
    tables = {}
    for law, rows in zip(chosen, usable(runs, chosen), strict=True):
        with double():
            tables[law.name] = Table.of(rows, law, likelihood, fixed)
    if method == "huber":
        found = Assessment(untested(chosen), prior_of(next(iter(tables.values()))))
    else:
        found = assess(_thinned(tables, likelihood, fixed), seed=seed, progress=said)
        whole = prior_of(next(iter(tables.values()))).hull  # not only of the runs that judged
        found = found._replace(discrepancy=replace(found.discrepancy, hull=whole))
    # Laws that are named are sampled whatever they are worth.
    sampled = found.standings if laws else kept(found.standings)
    members = []
    for s in sampled:
        said(s.law)
        with double():
            member = _fit_one(tables[s.law], method, seed, settings)
        members.append(replace(member, weight=max(s.weight, 1e-6) if member.passed else 0.0))
    contrasts = contrasts_of(runs, members[0].domains, chosen[0].rows == "own branch")
    # The rows that laws are fitted to: distillation costs more than its tokens.
    t = next(iter(tables.values())).runs.table
    tokens = (t["pretrain_tokens"] + t["specialize_tokens"]).to_numpy(float)
    cost = fit_cost(t["params"].to_numpy(float), tokens, t["flops"].to_numpy(float))
    return Ensemble(
        tuple(members), found.standings, found.discrepancy, contrasts, cost, runs.embeddings, seed
    )


def _thinned(
    tables: dict[str, Table], likelihood: Likelihood, fixed: Mapping[str, float] | None
) -> dict[str, Table]:
    """The tables, of every k-th lineage (by compute) where there are very many runs: refits judge
    laws and their discrepancy as well by a thousand."""
    found = {}
    for name, table in tables.items():
        step = math.ceil(len(table.runs) / ENOUGH)
        if step > 1:
            lineage = lineages_of(table.runs)
            part = table.runs.select((lineage.max() - lineage) % step == 0)
            with double():
                table = Table.of(part, table.spec.law, likelihood, fixed)
        found[name] = table
    return found


def point_fit(
    runs: Runs,
    law: str | Law,
    rho: Rho = "huber",
    scale: float = HUBER_DELTA,
    on: On = "log_loss",
    fixed: Mapping[str, float] | None = None,
    starts: int = 32,
    seed: int = 0,
) -> PointFit:
    """Least squares, or another loss of residuals of the caller's choice, without priors.

    Every domain has its own parameters. See `minimise` for the objective, `rho`, `scale` and `on`;
    `fixed`: parameter -> value to hold it at. Raises `FitError` as `fit` does.
    """
    law = find_law(law)
    (used,) = usable(runs, [law])
    with double():
        table = Table.of(used, law, "student", fixed)
        return minimise(table.spec, table.rows, seed, starts, rho, scale, on)


def usable(runs: Runs, laws: Sequence[Law]) -> list[Runs]:
    """The rows that each law is fitted to.

    Most two-stage laws take rows on their own branch or before the split, of the domains that have
    a branch; what is left out is counted in `counts`. A law of other branches takes those, and the
    rows before the split. Raises `FitError` when nothing is left, and `RunsError` with every row
    that one of the laws cannot speak about.
    """
    if len(recipes := runs.recipes) > 1 and recipes[0] != "plain":
        raise FitError(
            f"second stages of {len(recipes)} recipes in one table ({', '.join(recipes)}), none of "
            "them 'plain': their laws differ. Fit one at a time"
        )
    found = []
    for law in laws:
        rows = spoken_of(runs, law)
        if not len(rows):
            raise FitError(f"no rows to fit '{law.name}' to: it speaks of rows on their {law.rows}")
        found.append(rows)
    refuse(_misfits(laws, found))
    return found


def _misfits(laws: Sequence[Law], runs: Sequence[Runs]) -> list[Fault]:
    """What a law's rows have that it cannot speak about; laws that agree in it are named once."""
    beyond: dict[Fault, list[str]] = {}
    for law, rows in zip(laws, runs, strict=True):
        for column, values in inputs_of(rows.table)._asdict().items():
            places = []
            if column in law.inputs and column not in law.may_be_zero:
                places = [rows.fault(int(i), column, "") for i in np.flatnonzero(values == 0)]
            if column == "specialize_tokens" and column not in law.inputs and values.any():
                places = [Fault(", ".join(rows.sources), 0, column, None, "")]
            for place in places:
                beyond.setdefault(place, []).append(law.name)
    remedy = "choose another --law, or leave the row out"
    return [
        replace(
            place,
            remedy=f"not finite there: {', '.join(names)}; {remedy}"
            if place.row
            else f"more than 0 in some rows, and not an input of {', '.join(names)}; {remedy}",
        )
        for place, names in beyond.items()
    ]


def ranges_of(runs: Runs) -> dict[str, tuple[float, float]]:
    """Smallest and largest value in the rows of every input, of the two ratios that a plan must
    stay near (D/N and, where D′ > 0, D′/D), and of compute (6 N (D + D′), in FLOPs)."""
    t = runs.table
    n, d, split = (t[c].to_numpy(float) for c in ("params", "pretrain_tokens", "specialize_tokens"))
    both = (split > 0) & (d > 0)
    values = {
        "params": n,
        "pretrain_tokens": d,
        "specialize_tokens": split,
        "tokens_per_param": d[d > 0] / n[d > 0],
        "split_ratio": split[both] / d[both],
        "flops": 6 * n * (d + split),
    }
    return {name: (float(v.min()), float(v.max())) for name, v in values.items() if len(v)}


def _fit_one(table: Table, method: Method, seed: int, settings: Settings) -> Posterior:
    runs, spec, rows = table.runs, table.spec, table.rows
    law, likelihood = spec.law, spec.likelihood
    about: dict[str, Any] = {
        "law": law,
        "likelihood": likelihood,
        "method": method,
        "anchor": rows.at,
        "domains": runs.domains,
        "ranges": ranges_of(runs),
        "runs_digest": runs.digest,
        "counts": {
            **{n: int(c) for n, c in runs.counts.items()},
            "fitted": len(runs),
            "lineages_with_effect": spec.lineages,
        },
        "fixed": dict(spec.fixed),
    }
    if method == "huber":
        point = minimise(spec, rows, seed)
        return _point_posterior(point, runs, spec, about)

    if len(runs) > MANY:
        settings = replace(settings, chains=settings.chains // 2, draws=settings.draws // 2)
    rows = jax.device_put(rows)
    if method == "nuts":
        # An import of half a second, while XLA loads, compiles and looks for modes.
        Thread(target=array_stats, daemon=True).start()
        prepare(spec, rows, settings)
    starts: np.ndarray | None = None
    first: tuple[Mode, ...] = ()
    if len(runs) > MANY:
        first = modes(spec, every_kth(rows, math.ceil(len(runs) / ENOUGH)), seed, settings)
        starts = np.array([m.z for m in first]) if first else None
    found = modes(spec, rows, seed, settings, starts)
    if first:  # how many starts agree was asked of the few rows
        found = tuple(replace(m, starts=first[0].starts, agree=first[0].agree) for m in found)
    if not found:
        raise FitError(
            f"law '{law.name}': no start found a mode; the density is not finite on these runs"
        )
    if method == "laplace":
        draws = laplace(spec, rows, found, seed, settings)
    else:
        draws = sample_modes(spec, rows, found, seed, settings)
    tree = tree_of(spec, rows, draws, runs.take(table.cells), table.lineages, seed, settings)
    return Posterior(**about, diagnostics=draws.diagnostics, tree=tree)


def _point_posterior(point: PointFit, runs: Runs, spec: Spec, about: dict[str, Any]) -> Posterior:
    """A point fit as a posterior of one draw, so that everything downstream takes it."""
    nan = float("nan")
    failures = ("only 1 start reached the best objective",) if point.agree < 2 else ()
    diagnostics = Diagnostics(
        nan, nan, nan, 0, nan, nan, 0, len(point.objectives), point.agree, (1.0,), failures
    )
    return Posterior(**about, diagnostics=diagnostics, tree=point_tree(spec, point, runs))
