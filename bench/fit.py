"""How fast a fit is, as ratios within one run: machines differ, ratios less.

The yardstick is the same model written straightforwardly: E + A/N^α + B/D^β with weak priors on
its published parameters, NumPyro's NUTS at its defaults, 4 chains of 1000 + 1000 one after another.
Warm is a second fit in one process. Cold is a new process with imports and an empty compilation
cache, second cold the same with the cache filled: medians of several pairs.

    python bench/fit.py [RUNS.csv]      without a file: 240 simulated rows
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve()
PUBLIC = HERE.parents[2] / "shared" / "data" / "chinchilla.csv"
REPEATS = 5  # warm fits
PAIRS = 5  # of a first and a second cold process


def simulate(path: Path, rows: int = 240) -> None:
    import numpy as np

    rng = np.random.default_rng(0)
    n = np.exp(rng.uniform(np.log(5e7), np.log(1.6e10), rows))
    d = np.exp(rng.uniform(np.log(1e9), np.log(5e11), rows))
    loss = (1.8172 + 482.01 * n**-0.3478 + 2085.43 * d**-0.3658) * np.exp(
        0.01 * rng.standard_t(4, rows)
    )
    lines = ["params,pretrain_tokens,loss"]
    lines += [f"{a!r},{b!r},{c!r}" for a, b, c in zip(*(x.tolist() for x in (n, d, loss)))]  # noqa: B905
    path.write_text("\n".join(lines) + "\n")


def straightforward(file: str) -> dict[str, float]:
    began = time.perf_counter()
    import jax
    import jax.numpy as jnp
    import numpy as np
    import numpyro
    import numpyro.distributions as dist
    import pandas as pd
    from numpyro.infer import MCMC, NUTS

    numpyro.enable_x64()
    table = pd.read_csv(file)
    if "epoch_kept" in table:
        table = table[table["epoch_kept"] == 1]
    n, d, y = (jnp.asarray(table[c].to_numpy()) for c in ("params", "pretrain_tokens", "loss"))

    def model() -> None:
        floor = numpyro.sample("E", dist.LogNormal(jnp.log(1.8), 0.5))
        a = numpyro.sample("A", dist.LogNormal(jnp.log(400.0), 1.5))
        b = numpyro.sample("B", dist.LogNormal(jnp.log(1000.0), 1.5))
        alpha = numpyro.sample("alpha", dist.LogNormal(jnp.log(0.35), 0.4))
        beta = numpyro.sample("beta", dist.LogNormal(jnp.log(0.35), 0.4))
        sigma = numpyro.sample("sigma", dist.HalfNormal(0.05))
        loss = floor + a * n**-alpha + b * d**-beta
        numpyro.sample("y", dist.StudentT(4.0, jnp.log(loss), sigma), obs=jnp.log(y))

    mcmc = MCMC(NUTS(model), num_warmup=1000, num_samples=1000, num_chains=4, progress_bar=False,
                chain_method="sequential")  # fmt: skip
    mcmc.run(jax.random.key(0))
    draws = np.stack(list(mcmc.get_samples(group_by_chain=True).values()))
    cold = time.perf_counter() - began
    import arviz_stats.base

    ess = arviz_stats.base.array_stats.ess(draws, chain_axis=-2, draw_axis=-1, method="bulk")
    began = time.perf_counter()
    mcmc.run(jax.random.key(1))
    jax.block_until_ready(mcmc.get_samples())
    return {"cold": cold, "warm": time.perf_counter() - began, "ess": float(np.min(ess))}


def ours(file: str) -> dict[str, float]:
    began = time.perf_counter()
    from bayeslaw import fit, read_runs

    runs = read_runs(file)
    fit(runs, ["chinchilla"], seed=0)
    cold = time.perf_counter() - began
    warm = []
    for seed in range(1, REPEATS + 1):
        began = time.perf_counter()
        fitted = fit(runs, ["chinchilla"], seed=seed)
        warm.append(time.perf_counter() - began)
    d = fitted.members[0].diagnostics
    assert d.passed, d.failures
    return {"cold": cold, "warm": sorted(warm)[REPEATS // 2], "ess": min(d.ess_bulk, d.ess_tail),
            "gradients": d.gradients}  # fmt: skip


def kept(file: Path, folder: Path) -> Path:
    """The rows that the published fit kept, where a table says which."""
    import pandas as pd

    table = pd.read_csv(file)
    if "epoch_kept" in table:
        table = table[table["epoch_kept"] == 1]
    out = folder / "runs.csv"
    table[["params", "pretrain_tokens", "loss"]].to_csv(out, index=False)
    return out


def child(what: str, file: Path, cache: Path) -> dict[str, float]:
    """One measurement in a new process; its wall time is that of the whole process."""
    env = {**os.environ, "BAYESLAW_CACHE": str(cache)}
    command = [sys.executable, str(HERE), "--child", what, str(file)]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    if sys.argv[1:2] == ["--child"]:
        what = {"ours": ours, "straightforward": straightforward}[sys.argv[2]]
        print(json.dumps(what(sys.argv[3])))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if len(sys.argv) > 1 or PUBLIC.is_file():
            file = kept(Path(sys.argv[1]) if len(sys.argv) > 1 else PUBLIC, folder)
        else:
            file = folder / "runs.csv"
            simulate(file)
        pairs = [
            [child("ours", file, folder / f"cache{i}") for _ in range(2)] for i in range(PAIRS)
        ]
        plain = child("straightforward", file, folder / "none")
    first, second = (
        {name: statistics.median(p[i][name] for p in pairs) for name in pairs[0][i]} for i in (0, 1)
    )
    ratio = (second["ess"] / second["warm"]) / (plain["ess"] / plain["warm"])
    print(f"{'':32}{'straightforward':>16}{'bayeslaw':>12}{'ratio':>10}{'promised':>12}")
    for label, a, b, shown, promise in (
        ("effective draws", plain["ess"], second["ess"], second["ess"] / plain["ess"], ""),
        ("warm fit, s", plain["warm"], second["warm"], plain["warm"] / second["warm"], ""),
        ("effective draws per s, warm", plain["ess"] / plain["warm"],
         second["ess"] / second["warm"], ratio, ">= 400"),
        ("cold process, s", plain["cold"], first["cold"], first["cold"] / plain["cold"], "<= .125"),
        ("second cold process / first, s", first["cold"], second["cold"],
         second["cold"] / first["cold"], "<= .5"),
    ):  # fmt: skip
        print(f"{label:32}{a:16.2f}{b:12.2f}{shown:10.3f}{promise:>12}")
    per = second["warm"] / second["gradients"] * 1e6
    print(f"\n{second['gradients']:.0f} gradients of all rows in the warm fit: {per:.1f} µs each")


if __name__ == "__main__":
    main()
