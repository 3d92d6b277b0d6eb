"""What the gate saw of every law, and what each law says of its parameters."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bayeslaw.infer.diagnose import Diagnostics
from bayeslaw.infer.ensemble import Ensemble
from bayeslaw.infer.posterior import Posterior
from bayeslaw.quantity import plain

GREEK = {"alpha": "α", "beta": "β", "gamma": "γ", "kappa": "κ"}
NONE = "–"
VERDICT = {"nuts": "converged", "laplace": "preview", "huber": "point only"}
COLUMNS: dict[str, Callable[[Diagnostics], str]] = {
    "starts that agree": lambda d: f"{d.agree}/{d.starts}",
    "R-hat": lambda d: _number(d.r_hat, 3),
    "bulk ESS": lambda d: _number(d.ess_bulk, 0),
    "tail ESS": lambda d: _number(d.ess_tail, 0),
    "divergences": lambda d: str(d.divergences),
    "BFMI": lambda d: _number(d.bfmi, 2),
    "k-hat": lambda d: _number(d.k_hat, 2),
    "modes": lambda d: str(len(d.modes)),
}


@dataclass(frozen=True)
class Checked:
    """A law before the gate. cells: what stands under `columns`."""

    law: str
    weight: float
    cells: tuple[str, ...]
    passed: bool
    verdict: str


@dataclass(frozen=True)
class Estimates:
    """A law's published parameters: rows of a name and a cell for every domain."""

    law: str
    formula: str
    rows: tuple[tuple[str, tuple[str, ...]], ...]


def columns(fitted: Ensemble) -> list[str]:
    """Those of `COLUMNS` in which some law has a number."""
    return [
        name
        for name, show in COLUMNS.items()
        if any(show(m.diagnostics) != NONE for m in fitted.members)
    ]


def checked(fitted: Ensemble, shown: Sequence[str]) -> list[Checked]:
    """Every law, under these of `COLUMNS`."""
    weights = fitted.weights() if any(m.weight > 0 for m in fitted.members) else {}
    return [
        Checked(
            m.law.name, weights.get(m.law.name, 0.0),
            tuple(COLUMNS[name](m.diagnostics) for name in shown), m.passed,
            VERDICT[m.method] if m.passed else "FAILED: " + "; ".join(m.diagnostics.failures),
        )
        for m in fitted.members
    ]  # fmt: skip


def estimates(m: Posterior) -> Estimates:
    """Medians with 90 % intervals; a point has no interval."""
    rows = [
        (GREEK.get(str(name), str(name)), tuple(_said(v) for v in values.to_numpy().T))
        for name, values in m.published().items()
    ]
    noise = tuple(f"{100 * v:.2f} %" for v in m.sigma.mean(0))
    return Estimates(m.law.name, m.law.formula, (*rows, ("noise σ", noise)))


def failures(fitted: Ensemble) -> list[str]:
    """What is wrong with each law that failed."""
    return [
        f"{m.law.name}: {'; '.join(m.diagnostics.failures)}" for m in fitted.members if not m.passed
    ]


def _said(draws: Any) -> str:
    low, middle, high = (float(q) for q in np.quantile(draws, [0.05, 0.5, 0.95]))
    if not high - low > 1e-9 * abs(middle):
        return plain(middle)
    return f"{plain(middle)} [{plain(low)}, {plain(high)}]"


def _number(value: float, digits: int) -> str:
    return NONE if math.isnan(value) else f"{value:.{digits}f}"
