"""How good the decisions are: realised regret in simulated worlds whose truth is known.

A world is a truth (a law with parameters drawn from plausible priors), a pilot sweep of it, and
budgets of 10, 100 and 1000 times the pilot's largest run. Every method gets the same runs, plans
one trunk with a branch for each domain, and keeps to the same bounds of D/N and D′/D. Regret is the
true loss of what it chose, above that of the best.

python bench/regret.py                     # 200 worlds: many hours
python bench/regret.py --worlds 9          # one of each truth
python bench/regret.py --method laplace    # from previews of the posteriors: about an hour
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd

from bayeslaw import Runs, fit
from bayeslaw.infer.curves import Curves
from bayeslaw.infer.ensemble import Ensemble
from bayeslaw.infer.fit import METHODS, Method
from bayeslaw.infer.precision import double
from bayeslaw.laws import Anchor, Param, Run, SumLaw, exponent, find_law
from bayeslaw.plan.bounds import Bounds, bounds_of
from bayeslaw.plan.optimum import optimise
from bayeslaw.plan.outlook import Outlook
from bayeslaw.plan.plan import plan
from bayeslaw.plan.question import Question
from bayeslaw.plan.risk import MEAN

FITTED = ("additive", "transfer", "gap", "interaction")
BUDGETS = (10.0, 100.0, 1000.0)
STRETCH = 4.0
DOMAINS = ("a", "b")
AT = Anchor(4e6, 1.2e8, 1.2e7, np.full(len(DOMAINS), 3.0))
NOISE = 0.005  # sd of log loss


class Broken(SumLaw):
    """A data term whose exponent halves beyond some tokens: no law of the catalogue."""

    name = "broken"
    inputs = ("params", "pretrain_tokens", "specialize_tokens")
    may_be_zero = ("specialize_tokens",)
    a_size = Param(exponent(), of="size")
    b_data = Param(exponent())
    c_branch = Param(exponent())

    def terms(self, x: Run, at: Anchor, p: Any) -> dict[str, Any]:
        d = x.pretrain_tokens / at.pretrain_tokens
        bend = 0.5 * p.b_data * (jnp.log1p(d / 10) - jnp.log1p(1 / 10))
        split = jnp.log1p(x.specialize_tokens / at.specialize_tokens / 0.3) - jnp.log1p(1 / 0.3)
        return {
            "floor": 0.0,
            "size": -p.a_size * jnp.log(x.params / at.params),
            "data": -p.b_data * jnp.log(d) + bend,
            "branch": -p.c_branch * split,
        }


class Slowing(SumLaw):
    """A second stage that is worth less the larger the model: no law of the catalogue."""

    name = "slowing"
    inputs = ("params", "pretrain_tokens", "specialize_tokens")
    may_be_zero = ("specialize_tokens",)
    a_size = Param(exponent(), of="size")
    b_data = Param(exponent(), of="data")
    c_branch = Param(exponent())

    def terms(self, x: Run, at: Anchor, p: Any) -> dict[str, Any]:
        n = x.params / at.params
        scale = 0.3 * n**0.3
        split = jnp.log1p(x.specialize_tokens / at.specialize_tokens / scale) - jnp.log1p(1 / 0.3)
        return {
            "floor": 0.0,
            "size": -p.a_size * jnp.log(n),
            "data": -p.b_data * jnp.log(x.pretrain_tokens / at.pretrain_tokens),
            "branch": -p.c_branch * split,
        }


TRUTHS = (
    *(find_law(n) for n in (
        "additive", "transfer", "gap", "interaction", "multiplicative", "discount", "mixture"
    )),
    Broken(), Slowing(),
)  # fmt: skip


def truth_of(law: Any, rng: np.random.Generator) -> Curves:
    """One draw of plausible parameters, domains alike: shares around .45, .25, .2, .1."""
    key = jax.random.key(int(rng.integers(2**31)))
    theta = {}
    for i, (name, q) in enumerate(law.parameters.items()):
        if name == "shares":
            center = np.array([0.45, 0.25, 0.2, 0.1])[: len(law.term_names)]
            draw = rng.dirichlet(60 * center / center.sum())
            theta[name] = np.tile(draw, (1, len(DOMAINS), 1))
            continue
        one = np.asarray(q.prior.sample(jax.random.fold_in(key, i)), float)
        middle = np.median(np.asarray(q.prior.sample(key, (999,)), float), 0)
        # Half of the prior's spread: worlds that people would meet.
        value = 0.5 * one + 0.5 * middle
        theta[name] = value * np.exp(0.05 * rng.standard_normal((1, len(DOMAINS))))
    return Curves((law,), (theta,), (AT,))


def pilot(truth: Curves, rng: np.random.Generator) -> pd.DataFrame:
    """42 to 84 rows: three or four sizes, two or three D, D′/D of 0, .03, .15 and .6."""
    sizes = np.geomspace(1e6, 1.6e7, int(rng.integers(3, 5)))
    tokens = np.geomspace(3e7, 4e8, int(rng.integers(2, 4)))
    rows = []
    for i, n in enumerate(sizes):
        for d in tokens:
            for ratio in (0.0, 0.03, 0.15, 0.6):
                log_loss = np.asarray(truth.log_loss(Run(n, d, d * ratio)))[0]
                for k, domain in enumerate(DOMAINS):
                    rows.append({
                        "run_id": f"{i}-{d:.0f}-{ratio}-{domain if ratio else ''}",
                        "lineage": f"{i}-{d:.0f}", "params": n, "pretrain_tokens": d,
                        "specialize_tokens": d * ratio, "branch": domain if ratio else "",
                        "domain": domain, "sweep": "pilot",
                        "loss": np.exp(log_loss[k] + NOISE * rng.standard_normal()),
                    })  # fmt: skip
    return pd.DataFrame(rows)


def taken(fitted: Ensemble) -> Ensemble:
    """Previews as if they had passed: with few runs and pooled domains their k-hat does not."""
    worth = {s.law: s.weight for s in fitted.standings}
    members = [
        replace(m, weight=worth[m.law.name], diagnostics=replace(m.diagnostics, failures=()))
        for m in fitted.members
    ]
    return replace(fitted, members=tuple(members))


def alone(fitted: Ensemble) -> Ensemble:
    """The one law that leaving out lineages favours."""
    elpd = {s.law: s.elpd for s in fitted.standings if getattr(s, "elpd", None) is not None}
    members = [m for m in fitted.members if m.weight > 0]
    best = max(members, key=lambda m: elpd.get(m.law.name, -np.inf))
    return replace(fitted, members=(replace(best, weight=1.0),))


def chinchilla_split(single: Ensemble, flops: float, bounds: Bounds) -> Run:
    """Single-stage Chinchilla, then a tenth of its tokens in the branches."""
    run = plan(single, flops, kind="mean", arrangements=["generalist"]).chosen.run
    n, d = float(run.params[0]), float(run.pretrain_tokens[0])
    ratio = np.clip(0.1 / 0.9 / len(DOMAINS), *bounds.split_ratio)
    d = d / (1 + len(DOMAINS) * ratio)
    low, high = bounds.tokens_per_param
    total = n * d * (1 + len(DOMAINS) * ratio)
    per = np.clip(d / n, low, high)
    n = np.sqrt(total / (per * (1 + len(DOMAINS) * ratio)))
    return Run(n, n * per, n * per * ratio)


def world(law: Any, seed: int, method: Method = "nuts") -> list[dict[str, Any]]:
    """Realised regrets of every method at every budget."""
    rng = np.random.default_rng([seed, 3])
    with double():
        truth = truth_of(law, rng)
        table = pilot(truth, rng)
    runs = Runs.from_table(table)
    began = time.perf_counter()
    ours = fit(runs, list(FITTED), method, seed)
    ours = taken(ours) if method == "laplace" else ours
    took = time.perf_counter() - began
    point = fit(runs, ["additive"], "huber", seed)
    flat = Runs.from_table(table[table["specialize_tokens"] == 0])
    single = fit(flat, ["chinchilla"], "huber", seed)
    bounds = bounds_of(ours, STRETCH)
    largest = float((6 * table["params"] * (
        table["pretrain_tokens"] + table["specialize_tokens"])).max())  # fmt: skip
    even = np.full(len(DOMAINS), 1 / len(DOMAINS))
    found = []
    for times in BUDGETS:
        flops = times * largest
        designs = {"chinchilla + 10 %": chinchilla_split(single, flops, bounds)}
        for name, fitted, kind in (
            ("bayeslaw", ours, "calibrated"),
            ("Huber point", point, "mean"),
            ("best law by LOO", alone(ours) if ours.passed else point, "mean"),
        ):
            use = fitted.accept(True)
            designs[name] = plan(use, flops, kind=kind, arrangements=["trunk"]).chosen.run
        with double():
            asked = Question(
                Outlook(truth), flops, even, MEAN, bounds, DOMAINS
            )  # fmt: skip
            best = optimise(asked, "trunk").run
            losses = {
                n: float(np.exp(np.asarray(truth.log_loss(Run(*run[:3])))[0]).mean())
                for n, run in {**designs, "oracle": best}.items()
            }
        found += [
            {"truth": law.name, "seed": seed, "budget": times, "method": n,
             "regret": loss - losses["oracle"], "passed": ours.passed, "fit_seconds": took}
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
    print(regrets.agg(["mean", worst, "count"]).round(4).to_string())
    at = table[table["budget"] == 100.0]
    print(at.pivot_table("regret", "truth", "method", "mean").round(4).to_string())


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--worlds", type=int, default=200)
    options.add_argument("--first", type=int, default=0)
    options.add_argument("--method", default="nuts", choices=METHODS[:2])
    options.add_argument("--out", default="")
    asked = options.parse_args()
    rows: list[dict[str, Any]] = []
    for seed in range(asked.first, asked.first + asked.worlds):
        began = time.perf_counter()
        rows += world(TRUTHS[seed % len(TRUTHS)], seed, asked.method)
        print(f"world {seed} ({TRUTHS[seed % len(TRUTHS)].name}): "
              f"{time.perf_counter() - began:.0f} s", flush=True)  # fmt: skip
        if asked.out:
            Path(asked.out).write_text(json.dumps(rows))
    said(rows)


if __name__ == "__main__":
    main()
