"""A posterior and a plan whose names are hostile, and their report; made once a session."""

from __future__ import annotations

import copy
import json
import tempfile
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from bayeslaw import Ensemble, Report, Runs, find_law, report
from bayeslaw.infer.assess import prior_of
from bayeslaw.infer.fit import _fit_one
from bayeslaw.infer.precision import double
from bayeslaw.infer.refit import Table
from bayeslaw.infer.sample import Settings
from bayeslaw.infer.source import Source
from tests.conftest import two_stage

HOSTILE = ("<script>alert(1)</script>", "'\"><img src=x onerror=alert(2)>&amp; $x^2$")
RUN = "</td></table><script>alert(3)</script>"
FLOPS = 1e17
_FOLDER = tempfile.TemporaryDirectory()


def _each(first: float, second: float) -> dict[str, float]:
    return dict(zip(HOSTILE, (first, second), strict=True))


def _spread(low: float, middle: float, high: float) -> dict[str, Any]:
    return {"median": middle, "interval": [low, high]}


PLAN: dict[str, Any] = {
    "schema": 1, "passed": True, "arrangement": "trunk", "params": 2e7, "pretrain_tokens": 5e8,
    "specialize_tokens": _each(1.5e8, 1.8e8), "models": 2, "flops": 9.96e16,
    "budget": {"flops": FLOPS, "spent": 0.996, "exhausted": False},
    "cost": {"factor": 1.0, "overhead": 0.0, "power": 0.5, "error": 0.0},
    "hardware": None, "risk": "mean", "on": "loss", "targets": None, "kind": "calibrated",
    "prob": 0.9, "draws": 300, "seed": 0, "stretch": 4.0,
    "arrangements": ["trunk", "independent", "generalist"],
    "loss": {"mean": 1.9, "interval": [1.8, 2.05]},
    "domains": {d: {"mean": 1.9, "interval": [1.7, 2.1]} for d in HOSTILE},
    "weights": _each(0.5, 0.5), "p_best": 0.93,
    "p_best_of": {"trunk": 0.93, "independent": 0.07, "generalist": 0.0},
    "p_split_beats_generalist": 0.999, "regret": 0.012, "at_bound": ["tokens_per_param low"],
    "extrapolation": {"params": 1.25, "pretrain_tokens": 1.4, "compute": 6.5},
    "not_assessable": [{"arrangement": "scratch", "reason": "no runs of <b>scratch</b>"}],
    "region": {"epsilon": 0.01, "unit": "nats", "params": [1e7, 3e7],
               "pretrain_tokens": [3e8, 8e8],
               "specialize_tokens": {d: [5e7, 4e8] for d in HOSTILE}},
    "own_optima": {"arrangements": {"trunk": 0.9, "independent": 0.1},
                   "params": _spread(8e6, 2e7, 4e7), "pretrain_tokens": _spread(2e8, 5e8, 1e9),
                   "specialize_tokens": {d: _spread(4e7, 1e8, 5e8) for d in HOSTILE}},
    "evpi": 0.011, "evpi_flops": 1.2e17, "shadow_price": 0.07,
    "limits": [{"name": "size", "nats": 0.3, "p_largest": 0.9},
               {"name": "floor", "nats": 1.0, "p_largest": 0.0}],
    "laws": [], "certificate": {"faults": []},
    "priors": [{"law": "additive", "prior": "a_size", "power": 2.0, "params": 1.2,
                "pretrain_tokens": 0.8, "specialize_tokens": 1.1, "loss": -0.001},
               {"law": "additive", "prior": "level", "power": 0.5, "params": None,
                "pretrain_tokens": None, "specialize_tokens": None, "loss": None}],
    "baselines": [
        {"name": "independent", "arrangement": "independent", "params": _each(1e7, 1.1e7),
         "pretrain_tokens": _each(2e8, 2e8), "specialize_tokens": _each(1e8, 1e8), "flops": FLOPS,
         "loss": {"mean": 1.95, "interval": [1.8, 2.1]}, "regret": 0.06, "p_plan_beats": 0.92},
        {"name": "generalist", "arrangement": "generalist", "params": 2.5e7,
         "pretrain_tokens": 6.6e8, "specialize_tokens": _each(0, 0), "flops": FLOPS,
         "loss": {"mean": 2.1, "interval": [1.9, 2.4]}, "regret": 0.21, "p_plan_beats": 0.999},
        {"name": "<i>mine</i>", "arrangement": "trunk", "params": 2e7, "pretrain_tokens": 6e8,
         "specialize_tokens": _each(1e8, 1e8), "flops": FLOPS,
         "loss": {"mean": 1.91, "interval": [1.8, 2.1]}, "regret": 0.022, "p_plan_beats": 0.7},
    ],
    "command": ["bayeslaw", "plan", "p.nc", "--flops", "1e17", "--weight", f"{HOSTILE[0]}=1"],
}  # fmt: skip


def said(**changed: Any) -> dict[str, Any]:
    return copy.deepcopy(PLAN) | changed


def written(path: Path, **changed: Any) -> Path:
    path.write_text(json.dumps(said(**changed)))
    return path


@lru_cache
def posterior() -> Ensemble:
    """A preview of one law, of two domains; not gated: whether it is the truth does not matter."""
    table = two_stage()
    names = dict(zip(("d0", "d1"), HOSTILE, strict=True))
    for column in ("domain", "branch"):
        table[column] = table[column].replace(names)
    table.loc[5, "run_id"] = RUN
    table.loc[5, "loss"] *= 1.2
    with double():
        rows = Table.of(Runs.from_table(table), find_law("additive"))
        member = _fit_one(rows, "laplace", 0, Settings())
        one = replace(member, diagnostics=replace(member.diagnostics, failures=()), weight=1.0)
        return Ensemble((one,), (), prior_of(rows), seed=0)


@lru_cache
def files() -> tuple[Path, Path]:
    """The posterior and a plan of it, in a folder that goes when the tests end."""
    folder = Path(_FOLDER.name)
    source = Source.of(posterior().save(folder / "p.nc"))
    return folder / "p.nc", written(folder / "plan.json", posterior=dict(source.to_json()))


@lru_cache
def told() -> Report:
    """The report of both."""
    path, plan = files()
    return report(path, [plan])
