"""The pool: runs that could be trained next, and what each would cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd

from bayeslaw.cell import unguarded
from bayeslaw.cost import SIX_ND, CostLaw, stage_flops
from bayeslaw.errors import PlanError
from bayeslaw.infer.ensemble import Ensemble
from bayeslaw.quantity import parse_quantity

SIZES, RATIOS, SPLITS = 8, 4, 4  # values of N, of D/N and of D′/D
FURTHER = 4.0  # times the sweep's largest N
TRUNKS, BRANCHES = 16, 8  # at most, of existing trunks and of domains to branch to
SAME = 0.01  # of the log of N or of D: nearer, it is an existing trunk


@dataclass(frozen=True)
class NextRun:
    """One run. branch: the domain of its second stage; empty where it has none, and then it is
    measured on every domain. flops: what it costs; a branch of a trunk that is there already costs
    its own tokens only."""

    params: float
    pretrain_tokens: float
    specialize_tokens: float = 0.0
    branch: str = ""
    flops: float = 0.0


def pool_of(
    fitted: Ensemble, spend: float, weights: np.ndarray, law: CostLaw = SIX_ND
) -> list[NextRun]:
    """Runs within the sweep's ratios, up to four times its largest size, and branches of its
    trunks, that cost at most `spend`."""
    n_low, n_high = fitted.ranges["params"]
    r_low, r_high = fitted.ranges.get("tokens_per_param", (20.0, 20.0))
    sizes = np.geomspace(n_low, FURTHER * n_high, SIZES)
    ratios = np.unique(np.geomspace(max(r_low, 1e-3), max(r_high, 1e-3), RATIOS))
    found = []
    trunks = [(float(n), float(n * r)) for n, r in product(sizes, ratios)]
    found += [NextRun(n, d) for n, d in trunks]
    splits = _splits(fitted)
    wanted = np.argsort(-weights, kind="stable")[:BRANCHES]
    names = [fitted.domains[k] for k in sorted(wanted) if weights[k] > 0]
    there = _existing(fitted)
    for n, d in [*trunks, *there[:TRUNKS]]:
        for s, name in product(splits, names):
            found.append(NextRun(n, d, float(d * s), name))
    every = [_priced(run, there, law) for run in found]
    return [run for run in every if 0 < run.flops <= spend]


def read_pool(path: str | Path, fitted: Ensemble) -> list[NextRun]:
    """A pool of the caller's: a CSV with `params`, `pretrain_tokens`, and where they matter
    `specialize_tokens`, `branch` and `flops` (0 where it says none). Raises `PlanError` with all
    faults."""
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise PlanError(f"{path}: not readable as a table of runs: {error}") from None
    faults = [f"no column '{c}'" for c in ("params", "pretrain_tokens") if c not in table]
    runs: list[NextRun] = []
    for i, row in enumerate(table.to_dict("records")):
        values = {}
        for column in ("params", "pretrain_tokens", "specialize_tokens", "flops"):
            try:
                values[column] = parse_quantity(row.get(column) or "0")
            except ValueError:
                faults.append(f"row {i + 2}: {column} is '{row.get(column)}'; write a number")
                values[column] = 1.0
        name = unguarded(str(row.get("branch") or ""))
        branch = name if values["specialize_tokens"] > 0 else ""
        run = NextRun(branch=branch, **values)
        absent = [c for c in ("params", "pretrain_tokens") if c not in table]
        wrong = [w for w in faults_of(run, fitted) if w.split()[0] not in absent]
        faults += [f"row {i + 2}: {w}" for w in wrong]
        runs.append(run)
    if not runs:
        faults.append("there are no runs")
    if faults:
        raise PlanError(f"{path}: the runs cannot be ranked:\n  " + "\n  ".join(faults))
    return runs


def faults_of(run: NextRun, fitted: Ensemble) -> list[str]:
    """Why a run cannot be trained, or not be measured."""
    faults = [
        f"{name} is {value:g}; it must be more than 0 and finite"
        for name, value in (("params", run.params), ("pretrain_tokens", run.pretrain_tokens))
        if not 0 < value < np.inf
    ]
    faults += [
        f"{name} is {value:g}; it must be 0 or more and finite"
        for name, value in (("specialize_tokens", run.specialize_tokens), ("flops", run.flops))
        if not 0 <= value < np.inf
    ]
    if (run.branch or run.specialize_tokens > 0) and run.branch not in fitted.domains:
        faults.append(f"branch '{run.branch}' is not one of {', '.join(fitted.domains)}")
    return faults


def priced(runs: Sequence[NextRun], fitted: Ensemble, law: CostLaw = SIX_ND) -> list[NextRun]:
    """The runs, with the cost of those that say none. Raises `PlanError` with all faults."""
    faults = [f"run {i + 1}: {w}" for i, run in enumerate(runs) for w in faults_of(run, fitted)]
    if not runs:
        faults.append("there are no runs")
    if faults:
        raise PlanError("the pool cannot be ranked: " + "; ".join(faults))
    there = _existing(fitted)
    return [_priced(run, there, law) for run in runs]


def alone(run: NextRun, law: CostLaw) -> float:
    """What the run costs where its trunk is there."""
    return float(stage_flops(run.params, run.specialize_tokens, law))


def one_trunk(run: NextRun, other: NextRun) -> bool:
    """Whether two runs are of one N and one D."""
    return _near(run, other.params, other.pretrain_tokens)


def _near(run: NextRun, params: float, pretrain_tokens: float) -> bool:
    return (
        abs(np.log(run.params / params)) < SAME
        and abs(np.log(run.pretrain_tokens / pretrain_tokens)) < SAME
    )


def _priced(run: NextRun, there: Sequence[tuple[float, float]], law: CostLaw) -> NextRun:
    """there: (N, D) of trunks that are."""
    if run.flops > 0:
        return run
    tokens = run.specialize_tokens
    if not (tokens > 0 and any(_near(run, n, d) for n, d in there)):
        tokens += run.pretrain_tokens
    return replace(run, flops=float(stage_flops(run.params, tokens, law)))


def _existing(fitted: Ensemble) -> list[tuple[float, float]]:
    """(N, D) of the sweep's trunks, the dearest first."""
    group = fitted.members[0].tree.get("constant_data")
    if group is None or "pretrain_tokens" not in group:
        return []
    pairs = zip(group["params"].to_numpy(), group["pretrain_tokens"].to_numpy(), strict=True)
    each = {(float(n), float(d)) for n, d in pairs if d > 0}
    return sorted(each, key=lambda t: -t[0] * t[1])


def _splits(fitted: Ensemble) -> np.ndarray:
    if not fitted.two_stage or "split_ratio" not in fitted.ranges:
        return np.empty(0)
    low, high = fitted.ranges["split_ratio"]
    return np.unique(np.geomspace(max(low, 1e-4), max(high, 1e-4), SPLITS))
