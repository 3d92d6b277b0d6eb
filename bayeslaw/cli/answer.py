"""What programs read: one JSON object on stdout."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from bayeslaw.infer.ensemble import Ensemble
    from bayeslaw.infer.posterior import Posterior

SCHEMA = 1


def print_answer(answer: dict[str, Any]) -> None:
    typer.echo(json.dumps(finite(answer), allow_nan=False, ensure_ascii=False))


def finite(value: Any) -> Any:
    """The same with null for what JSON has no number for."""
    if isinstance(value, dict):
        return {str(k): finite(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(v) for v in value]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    return value


def fit_answer(fitted: Ensemble, path: Path) -> dict[str, Any]:
    """What a fit came to: whether it may be used, and every law with its checks and estimates."""
    weights = fitted.weights() if fitted.passed else {}
    first = fitted.members[0]
    return {
        "schema": SCHEMA,
        "posterior": str(path),
        "passed": fitted.passed,
        "domains": list(fitted.domains),
        "counts": dict(first.counts),
        "method": first.method,
        "likelihood": first.likelihood,
        "laws": [
            {"law": m.law.name, "weight": weights.get(m.law.name, 0.0), **_law(m)}
            for m in fitted.members
        ],
    }


def _law(m: Posterior) -> dict[str, Any]:
    published = m.published()
    return {
        "formula": m.law.formula,
        "diagnostics": m.diagnostics.as_dict(),
        "published": {
            str(n): {d: _said(draws.sel(domain=d)) for d in m.domains}
            for n, draws in published.items()
        },
        "sigma": {d: float(m.sigma[:, k].mean()) for k, d in enumerate(m.domains)},
        "lineage_sd": None if m.lineage_sd is None else float(m.lineage_sd.mean()),
    }


def _said(draws: Any) -> dict[str, Any]:
    low, high = (float(q) for q in draws.quantile([0.05, 0.95]))
    return {"mean": float(draws.mean()), "sd": float(draws.std()), "interval": [low, high]}
