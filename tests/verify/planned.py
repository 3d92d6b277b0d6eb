"""A small plan's file, and rows measured at its designs."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import pandas as pd

from bayeslaw import Ensemble, Runs, find_law
from bayeslaw.infer.assess import prior_of
from bayeslaw.infer.fit import _fit_one
from bayeslaw.infer.precision import double
from bayeslaw.infer.refit import Table
from bayeslaw.infer.sample import Settings
from bayeslaw.verify import Arm, PlanFile, arms_of, read_plan
from tests.conftest import two_stage

DOMAINS = ("d0", "d1")
PLAN: dict[str, Any] = {
    "schema": 1,
    "arrangement": "trunk",
    "params": 4e6,
    "pretrain_tokens": 1e8,
    "specialize_tokens": {"d0": 1e7, "d1": 3e7},
    "budget": {"flops": 24e6 * 1.4e8, "spent": 1.0},
    "weights": {"d0": 0.25, "d1": 0.75},
    "baselines": [
        {"name": "independent", "arrangement": "independent", "params": {"d0": 2e6, "d1": 3e6},
         "pretrain_tokens": {"d0": 9e7, "d1": 9e7}, "specialize_tokens": {"d0": 1e7, "d1": 3e7}},
        {"name": "generalist", "arrangement": "generalist", "params": 5e6,
         "pretrain_tokens": 1.12e8, "specialize_tokens": {"d0": 0.0, "d1": 0.0}},
        {"name": "split at 50%", "arrangement": "trunk", "params": 3e6, "pretrain_tokens": 9e7,
         "specialize_tokens": {"d0": 4.5e7, "d1": 4.5e7}},
    ],
}  # fmt: skip


def written(folder: Path, **changed: Any) -> Path:
    path = folder / "plan.json"
    path.write_text(json.dumps(copy.deepcopy(PLAN) | changed))
    return path


def plan_file(folder: Path, **changed: Any) -> PlanFile:
    return read_plan(written(folder, **changed))


def rows_of(arm: Arm, seed: int = 0, loss: float = 2.0, **more: Any) -> list[dict[str, Any]]:
    """A row for every domain, at the arm's design."""
    return [
        {
            "arm": arm.name, "seed": seed, "domain": d, "params": arm.params[k],
            "pretrain_tokens": arm.pretrain_tokens[k],
            "specialize_tokens": arm.specialize_tokens[k],
            "branch": "" if not arm.specialize_tokens[k] else
            "joint" if arm.stage == "joint" else d,
            "recipe": {"branch": "plain"}.get(arm.stage, arm.stage)
            if arm.specialize_tokens[k] else "",
            "loss": loss, "run_id": f"{arm.name}-{seed}-{d}", "lineage": f"{arm.name}-{seed}",
            "sweep": "simulated", **more,
        }
        for k, d in enumerate(arm.domains)
    ]  # fmt: skip


def table(plan: PlanFile, seeds: int = 3) -> pd.DataFrame:
    """Every arm measured on every domain with every seed."""
    return pd.DataFrame([r for a in arms_of(plan) for s in range(seeds) for r in rows_of(a, s)])


@lru_cache
def posterior() -> Ensemble:
    """A law with its uncertainty, from a simulated sweep of the same law. A preview, and not gated:
    where it is the truth that does not matter."""
    with double():
        rows = Table.of(Runs.from_table(two_stage()), find_law("additive"))
        member = _fit_one(rows, "laplace", 0, Settings())
        one = replace(member, diagnostics=replace(member.diagnostics, failures=()), weight=1.0)
        return Ensemble((one,), (), prior_of(rows))
