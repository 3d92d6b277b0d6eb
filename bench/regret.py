"""How good the decisions are: realised regret in simulated worlds whose truth is known.

A world is a truth (a law with parameters drawn from plausible priors), a pilot sweep of it, and
budgets of 10, 100 and 1000 times the pilot's largest run. Every method gets the same runs, plans
one trunk with a branch for each domain, and keeps to the same bounds of D/N and D′/D. Regret is the
true loss of what it chose, above that of the best.

python bench/regret.py                     # 200 worlds, from previews of the posteriors
python bench/regret.py --worlds 18 --method nuts
python bench/regret.py --worlds 18 --domains 2
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from worlds import (
    DRAWS,
    FITTED,
    blended,
    flops_of,
    one_shape,
    options_of,
    over_worlds,
    pilot,
    taken,
    truth_of,
)

from bayeslaw import Law, Run, Runs, fit
from bayeslaw.infer.ensemble import Ensemble
from bayeslaw.infer.fit import METHODS, Method
from bayeslaw.infer.precision import double
from bayeslaw.infer.stack import leave_one_out
from bayeslaw.plan.bounds import Bounds, bounds_of
from bayeslaw.plan.optimum import optimise
from bayeslaw.plan.outlook import Outlook
from bayeslaw.plan.question import Question
from bayeslaw.plan.risk import MEAN

BUDGETS = (10.0, 100.0, 1000.0)
STRETCH = 4.0


def alone(fitted: Ensemble) -> Ensemble:
    """The one law that leaving out runs favours (PSIS-LOO)."""
    elpd = [getattr(leave_one_out(m), "elpd", -np.inf) for m in fitted.members]
    best = int(np.argmax(elpd))
    members = [replace(m, weight=float(k == best)) for k, m in enumerate(fitted.members)]
    return replace(fitted, members=tuple(members))


def chinchilla_split(single: Ensemble, flops: float, bounds: Bounds, domains: int) -> Run:
    """Single-stage Chinchilla, then a tenth of its tokens in the branches."""
    even = np.full(1, 1.0)
    asked = Question(Outlook.of(single, "mean", 1), flops, even, MEAN, bounds, single.domains[:1])
    run = optimise(asked, "generalist").run
    n, d = float(run.params[0]), float(run.pretrain_tokens[0])
    ratio = np.clip(0.1 / 0.9 / domains, *bounds.split_ratio)
    d = d / (1 + domains * ratio)
    low, high = bounds.tokens_per_param
    total = n * d * (1 + domains * ratio)
    per = np.clip(d / n, low, high)
    n = np.sqrt(total / (per * (1 + domains * ratio)))
    return Run(n, n * per, n * per * ratio)


def world(
    law: Law, seed: int, method: Method, domains: int, laws: Sequence[str]
) -> list[dict[str, Any]]:
    """Realised regrets of every method at every budget."""
    rng = np.random.default_rng([seed, 3])
    names = tuple("abcdefgh"[:domains])
    even = np.full(domains, 1 / domains)
    with double():
        truth = truth_of(law, rng, domains)
        table = pilot(truth, rng, names)
    runs = Runs.from_table(table)
    began = time.perf_counter()
    ours = fit(runs, list(laws), method, seed)
    passed = sum(m.passed for m in ours.members)
    ours = taken(ours) if method == "laplace" else ours.accept(True)
    took = time.perf_counter() - began
    point = fit(runs, ["additive"], "huber", seed).accept(True)
    flat = Runs.from_table(table[(table["specialize_tokens"] == 0) & (table["domain"] == "a")])
    single = fit(flat, ["chinchilla"], "huber", seed).accept(True)
    bounds = bounds_of(ours, STRETCH)
    found = []
    with double():
        outlooks = {
            "bayeslaw": Outlook.of(blended(ours), "calibrated", DRAWS),
            "bayeslaw, curves": Outlook.of(blended(ours), "mean", DRAWS),
            "best law by LOO": Outlook.of(blended(alone(ours)), "mean", DRAWS),
            "Huber point": Outlook.of(point, "mean", 1),
            "oracle": Outlook(truth),
        }
        for times in BUDGETS:
            flops = times * float(flops_of(table).max())
            designs = {
                n: optimise(Question(o, flops, even, MEAN, bounds, names), "trunk").run
                for n, o in outlooks.items()
            }
            designs["chinchilla + 10 %"] = chinchilla_split(single, flops, bounds, domains)
            losses = {
                n: float(np.exp(np.asarray(truth.log_loss(Run(*run[:3])))[0]).mean())
                for n, run in designs.items()
            }
            found += [
                {"truth": law.name, "seed": seed, "rows": len(table), "budget": times,
                 "method": n, "regret": loss - losses["oracle"], "passed": passed,
                 "fit_seconds": took}
                for n, loss in losses.items() if n != "oracle"
            ]  # fmt: skip
    return found


def said(rows: list[dict[str, Any]]) -> None:
    """Mean regret and that of the worst 5 %, by budget; then by truth at 100 times."""
    table = pd.DataFrame(rows)

    def worst(values: pd.Series) -> float:
        count = max(1, round(0.05 * len(values)))
        return float(np.sort(values)[-count:].mean())

    regrets = table.groupby(["budget", "method"])["regret"]
    print(regrets.agg(["mean", worst, "median", "count"]).round(4).to_string())
    at = table[table["budget"] == 100.0]
    print(at.pivot_table("regret", "truth", "method", "mean").round(4).to_string())


def main() -> None:
    options = options_of(200)
    options.add_argument("--method", default="laplace", choices=METHODS[:2])
    options.add_argument("--domains", type=int, default=1)
    options.add_argument("--laws", nargs="*", default=list(FITTED))
    asked = options.parse_args()
    one_shape(48)
    said(over_worlds(
        asked, lambda law, seed: world(law, seed, asked.method, asked.domains, asked.laws)
    ))  # fmt: skip


if __name__ == "__main__":
    main()
