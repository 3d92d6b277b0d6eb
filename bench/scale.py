"""How a warm fit grows: with domains, with rows, with laws. Seconds, and ratios within one run.

Every table is simulated: two stages, runs on a grid of N, D and D′, noise .8 %. A first fit of each
shape compiles and is not counted.

    python bench/scale.py [domains] [rows] [laws] [backtest]
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from bayeslaw import Runs, backtest, fit
from bayeslaw.infer.allowed import allowed
from bayeslaw.infer.assess import assess
from bayeslaw.infer.fit import usable
from bayeslaw.infer.precision import double
from bayeslaw.infer.refit import Table


def two_stage(domains: int, sizes: int = 4, tokens: int = 2, seed: int = 0) -> pd.DataFrame:
    """`sizes` × `tokens` × 5 rows a domain, all of one trunk a size, of an additive law."""
    rng = np.random.default_rng(seed)
    grid = [
        (n, d, r)
        for n in np.geomspace(1e6, 1e8, sizes)
        for d in np.geomspace(5e7, 1e9, tokens)
        for r in (0.0, 0.01, 0.04, 0.15, 0.6)
    ]
    rows = []
    for k in range(domains):
        floor, size, data, gap = 1.2 + 0.1 * rng.random(), 30.0, 150.0, 5 + 5 * rng.random()
        for n, d, r in grid:
            loss = floor + size * n**-0.3 + data * d**-0.3 + gap * (r * d + 1e6) ** -0.2
            rows.append({
                "params": n, "pretrain_tokens": d, "specialize_tokens": r * d,
                "branch": f"d{k}" if r else "", "domain": f"d{k}",
                "run_id": f"{n:.0f}-{d:.0f}-{r}" + (f"-{k}" if r else ""), "lineage": f"{n:.0f}",
                "loss": loss * np.exp(0.008 * rng.standard_normal()),
            })  # fmt: skip
    return pd.DataFrame(rows)


def one_stage(rows: int, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    n = np.exp(rng.uniform(np.log(5e7), np.log(1.6e10), rows))
    d = np.exp(rng.uniform(np.log(5e9), np.log(5e11), rows))
    loss = (1.8172 + 482.01 * n**-0.3478 + 2085.43 * d**-0.3658) * np.exp(
        0.01 * rng.standard_normal(rows)
    )
    return pd.DataFrame({"params": n, "pretrain_tokens": d, "loss": loss})


def warm(make: Callable[[int], Any], times: int = 3) -> tuple[float, Any]:
    """Median seconds of `make(seed)` after a first one, and what the last gave."""
    make(0)
    seconds = []
    for seed in range(1, times + 1):
        began = time.perf_counter()
        made = make(seed)
        seconds.append(time.perf_counter() - began)
    return sorted(seconds)[times // 2], made


def said(fitted: Any) -> str:
    d = fitted.members[0].diagnostics
    passed = "passed" if d.passed else "; ".join(d.failures)
    return f"R-hat {d.r_hat:.3f}  ESS {min(d.ess_bulk, d.ess_tail):.0f}  {passed}"


def domains() -> None:
    print("additive, rows of 40 a domain (8 to 64 domains), and 8 domains of 5:")
    first = None
    for count, sizes, tokens in ((8, 4, 2), (16, 4, 2), (32, 4, 2), (64, 4, 2), (8, 1, 1)):
        runs = Runs.from_table(two_stage(count, sizes, tokens))
        seconds, fitted = warm(lambda seed, r=runs: fit(r, ["additive"], seed=seed), 1)
        first = first or seconds
        linear = first * count / 8
        print(f"{count:5d} x {len(runs) // count:3d} rows {seconds:8.2f} s  "
              f"{seconds / linear:6.2f} of linear  {said(fitted)}", flush=True)  # fmt: skip


def rows() -> None:
    print("chinchilla, one domain:")
    for count in (240, 2000, 32_000):
        runs = Runs.from_table(one_stage(count))
        seconds, fitted = warm(lambda seed, r=runs: fit(r, ["chinchilla"], seed=seed))
        print(f"{count:12d} rows {seconds:8.2f} s  {said(fitted)}", flush=True)


def laws() -> None:
    print("all laws of a table, stacked, against one of them:")
    tables = {
        "two-stage, 1 domain": two_stage(1, 8, 6),
        "two-stage, 4 domains": two_stage(4, 4, 3),
        "one stage": one_stage(240),
    }
    for name, table in tables.items():
        runs = Runs.from_table(table)
        chosen = allowed(runs)
        (used, *_) = usable(runs, chosen)
        with double():
            made = {law.name: Table.of(used, law) for law in chosen}
        one, _ = warm(lambda seed, r=runs, c=chosen: fit(r, [c[0]], seed=seed), 1)
        judged, _ = warm(lambda seed, m=made: assess(m, seed=seed), 1)
        every, fitted = warm(lambda seed, r=runs: fit(r, seed=seed), 1)
        print(f"{name:22} {len(runs)} rows: {chosen[0].name} {one:.2f} s, "
              f"{len(chosen)} laws judged {judged:.2f} s, {len(fitted.members)} sampled "
              f"{every:.2f} s, ratio {every / one:.1f} (promised <= 3)", flush=True)  # fmt: skip


def backtests() -> None:
    print("backtest at five cuts:")
    for name, table in (("one stage", one_stage(240)), ("two-stage", two_stage(2, 4, 3))):
        runs = Runs.from_table(table)
        seconds, _ = warm(lambda seed, r=runs: backtest(r, seed=seed), 1)
        print(f"{name:22} {len(runs)} rows {seconds:8.2f} s", flush=True)


PARTS = {"domains": domains, "rows": rows, "laws": laws, "backtest": backtests}

if __name__ == "__main__":
    for part in sys.argv[1:] or PARTS:
        PARTS[part]()
