"""forecast: what a design's loss will be, with an interval that says what it covers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bayeslaw.card import card
from bayeslaw.cell import unguarded
from bayeslaw.errors import FitError
from bayeslaw.infer.ensemble import Ensemble, Kind
from bayeslaw.laws import Run
from bayeslaw.quantity import parse_quantity

SCHEMA = 1


@dataclass(frozen=True)
class ForecastRow:
    """The loss of one design on one domain, nats/token.

    kind: what the interval covers. `mean`: the law's curve there (uncertainty of parameters and
        laws). `run`: a new training run's measured loss, if the laws hold there. `calibrated`:
        the same, with what laws have got wrong that far beyond a sweep.
    prob: the probability inside [lo, hi], an equal-tailed interval.
    extrapolation: the largest factor by which params, tokens or compute leave the sweep's range;
        1 inside it.
    """

    params: float
    pretrain_tokens: float
    specialize_tokens: float
    domain: str
    kind: str
    prob: float
    mean: float
    sd: float
    lo: float
    hi: float
    extrapolation: float

    def to_json(self) -> dict[str, Any]:
        return with_interval(self)


@dataclass(frozen=True)
class Forecast:
    """Rows in the order of the designs; a design without a domain has a row for each.

    passed: whether any law passed the gate; else the rows are those of a fit that failed it.
    """

    rows: tuple[ForecastRow, ...]
    passed: bool

    def to_json(self) -> dict[str, Any]:
        rows = [row.to_json() for row in self.rows]
        return {"schema": SCHEMA, "passed": self.passed, "rows": rows}

    def table(self) -> pd.DataFrame:
        return pd.DataFrame([asdict(row) for row in self.rows])

    def to_dataframe(self) -> pd.DataFrame:
        """A row for every design and domain."""
        return self.table()

    def _repr_html_(self) -> str:
        kinds = " and ".join(sorted({f"{100 * r.prob:g} % ({r.kind})" for r in self.rows}))
        rows = [
            {
                "domain": r.domain, "params": r.params, "pretrain_tokens": r.pretrain_tokens,
                "specialize_tokens": r.specialize_tokens, "loss": r.mean, "interval": [r.lo, r.hi],
                "extrapolation": r.extrapolation,
            }
            for r in self.rows
        ]  # fmt: skip
        failed = () if self.passed else ("made with laws that failed the convergence gate",)
        return card("Forecast", [f"loss in nats/token; intervals: {kinds}"], rows, failed)


def forecast(
    fitted: Ensemble,
    designs: pd.DataFrame | Sequence[Mapping[str, Any]] | Mapping[str, Any],
    kind: Kind = "calibrated",
    prob: float = 0.9,
    accept: bool = False,
    draws: int = 4000,
    seed: int = 0,
) -> Forecast:
    """The loss of every design, row by row in order.

    designs: a table with the columns of the runs: `params`, `pretrain_tokens`, and where they
        matter `specialize_tokens`, `unique_tokens`, `unique_specialize_tokens`, `domain`,
        `branch`; numbers may be written `7B`. Without `domain` a row is answered for its `branch`,
        else for every domain.
    kind: `mean`, `run` or `calibrated`. prob: in (0, 1). accept: use laws that failed the gate.

    Raises `FitError` with all faults of the designs at once, or when no law may be used.
    """
    if not 0 < prob < 1:
        raise FitError(f"prob must lie between 0 and 1, got {prob}")
    fitted = fitted.accept(accept)
    run, asked = designs_of(fitted, designs)
    losses = fitted.losses(run, kind, draws, seed)
    tail = (1 - prob) / 2
    mean, sd = losses.mean(0), losses.std(0)
    lo, hi = np.quantile(losses, [tail, 1 - tail], axis=0)
    beyond = np.max(list(fitted.beyond(run).values()), axis=0)
    rows = [
        ForecastRow(
            params=float(run.params[i]),
            pretrain_tokens=float(run.pretrain_tokens[i]),
            specialize_tokens=float(run.specialize_tokens[i]),
            domain=fitted.domains[k],
            kind=kind,
            prob=prob,
            mean=float(mean[i, k]),
            sd=float(sd[i, k]),
            lo=float(lo[i, k]),
            hi=float(hi[i, k]),
            extrapolation=float(beyond[i]),
        )
        for i, domains in enumerate(asked)
        for k in domains
    ]
    return Forecast(tuple(rows), fitted.passed)


def designs_of(fitted: Ensemble, designs: Any) -> tuple[Run, list[list[int]]]:
    """Designs as `forecast` takes them, as one `Run`, and the numbers of the domains that are asked
    for of each. Raises `FitError` with all their faults."""
    table, asked = _designs(fitted, designs)
    return Run(*[table[column].to_numpy(float) for column in Run._fields]), asked


def read_designs(path: str | Path) -> pd.DataFrame:
    """A table of designs (CSV, human numbers allowed). Raises `FitError` when it cannot be read."""
    path = Path(path)
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise FitError(f"{path}: not readable as a table of designs: {error}") from None
    names = [c for c in ("domain", "branch") if c in table]
    return table.assign(**{c: table[c].map(unguarded) for c in names})


def _quantity(cell: Any) -> Any:
    """A number, None where the cell is empty, or the text itself, for the checks to name."""
    if not isinstance(cell, str):
        return cell
    try:
        return parse_quantity(cell) if cell.strip() else None
    except ValueError:
        return cell


def _designs(fitted: Ensemble, designs: Any) -> tuple[pd.DataFrame, list[list[int]]]:
    """The designs with every input filled in, and the domains asked for of each."""
    rows = [designs] if isinstance(designs, Mapping) else designs
    table = pd.DataFrame(rows).reset_index(drop=True)
    for column in table.columns.intersection(list(Run._fields)):
        table[column] = pd.Series([_quantity(cell) for cell in table[column]], dtype=object)
    faults = []
    for column in ("params", "pretrain_tokens"):
        if column not in table:
            faults.append(f"the designs have no column '{column}'")
    for column, default in Run._field_defaults.items():
        table[column] = table[column].fillna(default) if column in table else default
    for column in Run._fields:
        if column not in table:
            continue
        values = pd.to_numeric(table[column], errors="coerce")
        must = "more than 0" if column == "params" else "0 or more"
        bad = values.isna() | (values < 0) | ((values == 0) if column == "params" else False)
        if not column.startswith("unique"):
            bad |= np.isinf(values)
        faults += [
            f"design {i + 1}: {column} is {table[column].iloc[i]!r}; it must be a number, {must}"
            for i in np.flatnonzero(bad)
        ]
        table[column] = values
    laws = [m.law for m in fitted.counted]
    for column in ("pretrain_tokens", "specialize_tokens"):
        if column in table and any(
            column in w.inputs and column not in w.may_be_zero for w in laws
        ):
            faults += [
                f"design {i + 1}: {column} is 0, where not every law of this fit is finite"
                for i in np.flatnonzero(table[column] == 0)
            ]
    if not fitted.two_stage:
        faults += [
            f"design {i + 1}: specialize_tokens > 0, but the fit is of a single stage"
            for i in np.flatnonzero(table["specialize_tokens"] > 0)
        ]
    asked = [_asked(fitted, i, row, faults) for i, row in enumerate(table.to_dict("records"))]
    if not len(table):
        faults.append("there are no designs")
    if faults:
        raise FitError("the designs cannot be forecast:\n  " + "\n  ".join(faults))
    return table, asked


def _asked(fitted: Ensemble, i: int, row: Mapping[Any, Any], faults: list[str]) -> list[int]:
    """Indices of the domains that a design is to be measured on."""

    def text(name: str) -> str:
        value = row.get(name)
        return "" if value is None or value != value else str(value)

    domain, branch = text("domain"), text("branch")
    elsewhere = fitted.members[0].law.rows == "other branches"
    if (
        domain
        and branch
        and row.get("specialize_tokens", 0) > 0
        and (domain == branch) == elsewhere
    ):
        faults.append(
            f"design {i + 1}: branch '{branch}' measured on '{domain}'; these laws speak of a "
            f"branch on {'other domains' if elsewhere else 'its own domain'} only"
        )
        return []
    name = domain or branch
    if not name:
        return list(range(len(fitted.domains)))
    if name not in fitted.domains:
        faults.append(
            f"design {i + 1}: unknown domain '{name}'; the fit has {', '.join(fitted.domains)}"
        )
        return []
    return [fitted.domains.index(name)]


def with_interval(row: Any) -> dict[str, Any]:
    """Fields of a dataclass, its lo and hi under one name."""
    found = asdict(row)
    interval = [found.pop("lo"), found.pop("hi")]
    return {**found, "interval": interval}
