"""Whether suggested runs are worth more to a decision than others of the same cost.

Worlds: from the cheapest eight runs of a factorial pilot on, `suggest` chooses among the rest of it
until a twentieth, a tenth and a fifth of the whole pilot's compute is spent; so do chance and a
D-optimal design. Each time the laws are fitted to what was run, and the plan for 100 times the
largest run is scored by the truth.

Public sweeps: the same with their runs as the pool, the largest held out and forecast.

python bench/suggest.py --worlds 20
python bench/suggest.py --sweeps FOLDER   # of gadre_overtraining.csv and olmo_ladder.csv
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from worlds import (
    DRAWS,
    FITTED,
    NOISE,
    RATIOS,
    SIZES,
    TOKENS,
    blended,
    factorial,
    flops_of,
    one_shape,
    options_of,
    over_worlds,
    taken,
    truth_of,
)  # fmt: skip

from bayeslaw import Law, Run, Runs, fit, suggest
from bayeslaw.infer.ensemble import Ensemble
from bayeslaw.infer.precision import double
from bayeslaw.plan.bounds import Bounds, bounds_of
from bayeslaw.plan.optimum import optimise
from bayeslaw.plan.outlook import Outlook
from bayeslaw.plan.pool import NextRun
from bayeslaw.plan.question import Question
from bayeslaw.plan.risk import MEAN

SHARES = (0.05, 0.1, 0.2)  # of the whole pool's compute
TIMES = 100.0  # the largest run of the pool: the plan's budget
ONE_STAGE = ("chinchilla", "coupled(chinchilla)")
START = 6  # runs, the cheapest, that public pools begin with
STEP = ("params", "pretrain_tokens", "specialize_tokens")


@dataclass(frozen=True)
class State:
    """What is known: the runs so far, their fit, the runs that are left, FLOPs to spend on them."""

    have: pd.DataFrame
    fitted: Ensemble
    left: pd.DataFrame
    spend: float
    budget: float  # of the plan
    rng: np.random.Generator
    arrangement: str = "trunk"


Chooser = Callable[[State], list[int]]


def cost_of(table: pd.DataFrame, have: pd.DataFrame) -> np.ndarray:
    """What each row costs, FLOPs: a branch of a trunk that is there costs its own tokens."""
    trunks = set(zip(have["params"], have["pretrain_tokens"], strict=True))
    there = [p in trunks for p in zip(table["params"], table["pretrain_tokens"], strict=True)]
    there = np.array(there, bool) & (table["specialize_tokens"] > 0).to_numpy()
    tokens = table["specialize_tokens"] + np.where(there, 0.0, table["pretrain_tokens"])
    return (6 * table["params"] * tokens).to_numpy(float)


def spent_on(table: pd.DataFrame, order: list[int], have: pd.DataFrame) -> float:
    """The cost of some rows in their order."""
    total = 0.0
    for i in order:
        total += float(cost_of(table.loc[[i]], have)[0])
        have = pd.concat([have, table.loc[[i]]])
    return total


def suggested(at: State) -> list[int]:
    costs = cost_of(at.left, at.have)
    if costs.min() > at.spend:
        return []
    pool = [
        NextRun(r.params, r.pretrain_tokens, r.specialize_tokens, r.branch)
        for r in at.left.itertuples()
    ]
    found = suggest(
        at.fitted, at.budget, at.spend, 99, arrangements=[at.arrangement], pool=pool, draws=DRAWS
    )
    runs = sorted(found.runs, key=lambda s: s.run.specialize_tokens > 0)  # trunks, then branches
    return [at.left.index[pool.index(replace(s.run, flops=0.0))] for s in runs]


def by_chance(at: State) -> list[int]:
    kept: list[int] = []
    have, spend = at.have, at.spend
    for i in at.rng.permutation(at.left.index):
        cost = float(cost_of(at.left.loc[[i]], have)[0])
        if cost <= spend:
            kept.append(i)
            spend -= cost
            have = pd.concat([have, at.left.loc[[i]]])
    return kept


def d_optimal(at: State) -> list[int]:
    """Greedily the run that tells most of the laws' parameters, per FLOP: log(1 + variance of what
    it would show / variance of its noise), given the runs before it."""
    fields = Run(*(at.left[n].to_numpy() for n in STEP))
    logs = np.log(at.fitted.losses(fields, "mean", DRAWS)[:, :, 0])
    cov = np.cov(logs.T).reshape(len(at.left), len(at.left))
    order: list[int] = []
    have, spend = at.have, at.spend
    while True:
        cost = cost_of(at.left, have)
        gain = np.log1p(np.diag(cov) / NOISE**2) / cost
        gain[order] = -1
        gain[cost > spend] = -1
        best = int(gain.argmax())
        if gain[best] <= 0:
            return [at.left.index[i] for i in order]
        order.append(best)
        spend -= cost[best]
        have = pd.concat([have, at.left.iloc[[best]]])
        cov = cov - np.outer(cov[best], cov[best]) / (cov[best, best] + NOISE**2)


CHOOSERS: dict[str, Chooser] = {
    "suggest": suggested, "chance": by_chance, "D-optimal": d_optimal,
}  # fmt: skip


def fitted_to(table: pd.DataFrame, seed: int) -> Ensemble:
    return blended(taken(fit(Runs.from_table(table), list(FITTED), "laplace", seed)))


def world(law: Law, seed: int) -> list[dict[str, Any]]:
    """Realised regrets at each share of the pilot's compute, and of the whole."""
    rng = np.random.default_rng([seed, 5])
    with double():
        truth = truth_of(law, rng)
        every = factorial(truth, rng)
    few = (every["params"] <= SIZES[1] * 1.01) & (every["pretrain_tokens"] <= TOKENS[1] * 1.01)
    few &= np.isin((every["specialize_tokens"] / every["pretrain_tokens"]).round(4), RATIOS[::2])
    start = every[few]
    whole = spent_on(every, list(every.index), every[:0])
    begun = spent_on(every, list(start.index), every[:0])
    budget = TIMES * float(flops_of(every).max())
    full = fitted_to(every, seed)
    bounds = bounds_of(full, 4.0)

    def regret(fitted: Ensemble) -> float:
        with double():
            run = _best(Outlook.of(fitted, "calibrated", DRAWS), budget, bounds)
            best = _best(Outlook(truth), budget, bounds)
            loss, least = (float(np.exp(np.asarray(truth.log_loss(Run(*r[:3]))))[0, 0])
                           for r in (run, best))  # fmt: skip
        return loss - least

    first = fitted_to(start, seed)
    found = [
        {"truth": law.name, "seed": seed, "method": name, "share": share, "regret": regret(f),
         "rows": len(t)}
        for name, share, f, t in (("all", 1.0, full, every), ("start", begun / whole, first, start))
    ]  # fmt: skip
    for name, choose in CHOOSERS.items():
        have, fitted, spent = start, first, begun
        for share in SHARES:
            left = every.drop(have.index)
            order = choose(State(have, fitted, left, share * whole - spent, budget, rng))
            if order:
                spent += spent_on(every, order, have)
                have = pd.concat([have, every.loc[order]])
                fitted = fitted_to(have.sort_index(), seed)
            found.append({
                "truth": law.name, "seed": seed, "method": name, "share": share,
                "spent": spent / whole, "regret": regret(fitted), "rows": len(have),
            })  # fmt: skip
    return found


def _best(outlook: Outlook, flops: float, bounds: Bounds) -> Run:
    return optimise(Question(outlook, flops, np.ones(1), MEAN, bounds, ("a",)), "trunk").run


def public(name: str, table: pd.DataFrame) -> list[dict[str, Any]]:
    """The largest fifth of a public sweep's runs, forecast from those that were chosen among the
    rest: mean absolute relative error of the loss."""
    cost = flops_of(table)
    order = np.argsort(cost.to_numpy(), kind="stable")
    held = table.iloc[order[round(0.8 * len(order)) :]]
    pool = table.drop(held.index)
    start = table.iloc[order[:START]]
    whole, begun = float(cost[pool.index].sum()), float(cost[start.index].sum())
    budget = float(cost[held.index].max())

    def fitted_here(rows: pd.DataFrame) -> Ensemble:
        return taken(fit(Runs.from_table(rows.sort_index()), list(ONE_STAGE), "laplace", 0))

    def error(fitted: Ensemble) -> float:
        draws = fitted.losses(Run(*(held[n].to_numpy() for n in STEP)), "mean", DRAWS)[:, :, 0]
        return float(np.abs(draws.mean(0) / held["loss"].to_numpy() - 1).mean())

    found = [{"sweep": name, "method": "all", "share": 1.0, "rows": len(pool),
              "error": error(fitted_here(pool))}]  # fmt: skip
    for method, choose in CHOOSERS.items():
        rng = np.random.default_rng(0)
        have, spent = start, begun
        fitted = fitted_here(have)
        for share in (0.05, 0.1, 0.15):
            left = pool.drop(have.index)
            chosen = choose(
                State(have, fitted, left, share * whole - spent, budget, rng, "generalist")
            )
            if chosen:
                have = pd.concat([have, pool.loc[chosen]])
                spent = float(cost[have.index].sum())
                fitted = fitted_here(have)
            found.append({"sweep": name, "method": method, "share": share, "spent": spent / whole,
                          "rows": len(have), "error": error(fitted)})  # fmt: skip
    return found


def public_sweeps(folder: Path) -> dict[str, pd.DataFrame]:
    """One-stage sweeps: each corpus of Gadre et al. on its own kind of text, and OLMo's ladder."""
    kept = ["run_id", "params", "pretrain_tokens", "loss"]
    gadre = pd.read_csv(folder / "gadre_overtraining.csv")
    gadre = gadre[(gadre["domain"] == "c4_val") & (gadre["chinchilla_multiplier"] >= 1)]
    gadre = gadre.assign(params=gadre["params_nonemb"])
    found = {f"gadre/{name}": t[kept] for name, t in gadre.groupby("train_set")}
    olmo = pd.read_csv(folder / "olmo_ladder.csv")
    found["olmo/c4_en"] = olmo[(olmo["domain"] == "c4_en") & (olmo["rerun"] == 0)][kept]
    return {
        name: t.assign(specialize_tokens=0.0, branch="", domain="a", sweep="public")
        .reset_index(drop=True)
        for name, t in found.items()
    }  # fmt: skip


def said(rows: list[dict[str, Any]]) -> None:
    table = pd.DataFrame(rows)
    print(
        table.groupby(["method", "share"])[["regret", "rows"]]
        .agg({"regret": ["mean", "median", "max", "count"], "rows": "mean"})
        .round(4).to_string()
    )  # fmt: skip
    whole = table[table["method"] == "all"].set_index("seed")["regret"]
    for name, group in table[table["method"].isin(CHOOSERS)].groupby("method"):
        reach = []
        for seed, one in group.groupby("seed"):
            met = one[one["regret"] <= whole[seed] + 1e-3]["share"]
            reach.append(met.min() if len(met) else np.inf)
        print(f"{name}: median share of the compute that reaches the whole pilot's regret "
              f"(to .001 nats): {np.median(reach):.2f}; within a fifth in "
              f"{np.mean(np.array(reach) <= 0.2):.0%} of worlds")  # fmt: skip


def main() -> None:
    options = options_of(20)
    options.add_argument("--sweeps", type=Path, metavar="FOLDER", help="of public sweeps")
    asked = options.parse_args()
    one_shape(48)
    if asked.sweeps:
        known = [r for n, t in public_sweeps(asked.sweeps).items() for r in public(n, t)]
        shown = pd.DataFrame(known)
        print(
            shown.pivot_table("error", "sweep", ["method", "share"]).mul(100).round(2).T.to_string()
        )
        print(shown.pivot_table("rows", "sweep", ["method", "share"]).T.to_string())
        return
    said(over_worlds(asked, world))


if __name__ == "__main__":
    main()
