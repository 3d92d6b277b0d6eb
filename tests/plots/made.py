"""What plots are drawn of, made by hand where that says more; read it, do not change it."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np
import pandas as pd

from bayeslaw import Backtest, Ensemble, Frontier, Plan, Runs, Suggestion, forecast, plan
from bayeslaw.backtest import KINDS, BacktestRow
from bayeslaw.infer.stack import Standing
from bayeslaw.laws import Run
from bayeslaw.plan.candidate import Candidate
from bayeslaw.plan.frontier import Point
from bayeslaw.plan.pool import NextRun
from bayeslaw.plan.risk import MEAN
from bayeslaw.plan.suggest import Suggested
from tests.fitted import single
from tests.plan import drawn

STANDINGS = (
    Standing("additive", 0.7, 0.1, 2.0, 0.0, 0.0, 0.2),
    Standing("transfer", 0.3, 0.1, 1.9, 0.1, 0.04, 0.2),
)


@lru_cache
def fitted() -> Ensemble:
    """Two stages, two domains, draws that a test has chosen."""
    return replace(drawn.ensemble("additive", 2, 100), standings=STANDINGS)


@lru_cache
def planned() -> Plan:
    return plan(fitted(), 1e21, draws=100)


@lru_cache
def runs() -> Runs:
    n, d, split = np.array([1e7, 1e8, 1e9]), np.array([2e9, 1e10, 5e10]), np.array([2e8, 1e9, 5e9])
    rows = [
        pd.DataFrame({
            "params": n, "pretrain_tokens": d, "specialize_tokens": split, "branch": name,
            "domain": name, "loss": np.array([3.2, 2.8, 2.4]) + 0.1 * k,
        })
        for k, name in enumerate(("d0", "d1"))
    ]  # fmt: skip
    return Runs.from_table(pd.concat(rows))


def candidate(name: str, flops: float, loss: float, split: float = 0.1) -> Candidate:
    """One model at D/N = 20, of whose tokens each of two branches has a share `split`."""
    rng = np.random.default_rng([7, int(1e3 * loss)])
    losses = loss * np.exp(0.02 * rng.standard_normal((200, 2)))
    n = np.full(2, np.sqrt(flops / (6 * 20 * (1 + 2 * split))))
    run = Run(n, 20 * n, 20 * n * split)
    kind = "trunk" if split else "generalist"
    return Candidate(name, "optimum", kind, run, losses, losses.mean(1), float(losses.mean()))


@lru_cache
def frontier() -> Frontier:
    points = tuple(
        Point(
            c,
            candidate("trunk", c, 3 - 0.2 * i),
            (candidate("generalist", c, 3.1 - 0.2 * i, 0.0),),
            1.0,
        )
        for i, c in enumerate((1e20, 1e21, 1e22))
    )
    return Frontier(points, ("d0", "d1"), MEAN, "loss", "calibrated", 0.9, True)


def backtested() -> Backtest:
    rows = [
        BacktestRow(cut, kind, 30, 10 * (1 + i), 0.4, 0.7, 0.5 + 0.3 * i, 0.9, 0.1, 0.2,
                    0.01 * (1 + j), 1.0, 0.02)
        for i, cut in enumerate((0.5, 0.8)) for j, kind in enumerate(KINDS)
    ]  # fmt: skip
    return Backtest("flops", tuple(rows), {0.5: {"additive": 1.0}}, {})


def suggested() -> Suggestion:
    runs = (
        Suggested(NextRun(4e8, 8e9, 8e8, "d0", 2e19), 0.004, 0.0005),
        Suggested(NextRun(2e8, 4e9, flops=5e18), 0.002, 0.0004),
    )
    return Suggestion(runs, 0.01, 1e-22, 40, False, True)


@lru_cache
def forecasted():
    designs = [
        {"params": "1B", "pretrain_tokens": "40B", "specialize_tokens": "2B"},
        {"params": "2B", "pretrain_tokens": "40B"},
    ]
    return forecast(fitted(), designs, kind="run", prob=0.8)


# plot -> its arguments; every function of the gallery, and every object that it takes.
CASES = {
    "forecast_fan": lambda: (fitted(), runs()),
    "isoflop_profiles": lambda: (fitted(), None, runs()),
    "isoloss_map": lambda: (fitted(), planned(), runs()),
    "isoloss_map without a plan": lambda: (fitted(), None, runs()),
    "split_frontier": lambda: (frontier(),),
    "domain_forest": lambda: (planned(),),
    "domain_forest of a forecast": lambda: (forecasted(),),
    "residuals": lambda: (single().members[0],),
    "backtest": lambda: (backtested(),),
    "stacking_weights": lambda: (fitted(),),
    "stacking_weights of one law": lambda: (replace(fitted(), standings=()),),
    "regret_curve": lambda: (planned(),),
    "regret_curve of a frontier": lambda: (frontier(),),
    "evsi": lambda: (suggested(),),
    "evsi of nothing": lambda: (Suggestion((), 0.0, 1e-22, 40, True, True),),
}
