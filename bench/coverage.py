"""How often 95 % intervals of the best loss and size hold, on simulated sweeps with a known truth.

Truth: the Chinchilla law as refitted by Besiroglu et al. 2024, noise 1 %, its optimum at 5.76e23
FLOPs. Priors of both exponents are centred one sd above the truth. A last row has 5 % of its runs
raised by 5 to 15 %.

    python bench/coverage.py [SIMULATIONS]
"""

from __future__ import annotations

import math
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpyro.distributions as dist
import pandas as pd

from bayeslaw import Runs
from bayeslaw.calibrate import QUICK
from bayeslaw.infer.precision import double
from bayeslaw.infer.priors import with_priors
from bayeslaw.infer.refit import Table
from bayeslaw.infer.sample import compiled, modes, sample
from bayeslaw.laws import find_law

COMPUTE = 5.76e23
TRUTH = {"E": 1.8172, "A": 482.01, "B": 2085.43, "alpha": 0.3478, "beta": 0.3658}
OFF = 1.0  # prior sd between the truth and the priors' centres
CASES = ((24, False), (60, False), (245, False), (60, True))
NAMES = ("a_size", "b_data")


def sweep(rows: int, outliers: bool, rng: np.random.Generator) -> pd.DataFrame:
    n = np.exp(rng.uniform(np.log(5e7), np.log(1.6e10), rows))
    d = np.exp(rng.uniform(np.log(5e9), np.log(5e11), rows))
    t = TRUTH
    loss = t["E"] + t["A"] * n ** -t["alpha"] + t["B"] * d ** -t["beta"]
    loss = loss * np.exp(0.01 * rng.standard_normal(rows))
    if outliers:
        raised = rng.permutation(rows) < round(0.05 * rows)
        loss = np.where(raised, loss * (1 + rng.uniform(0.05, 0.15, rows)), loss)
    return pd.DataFrame({"params": n, "pretrain_tokens": d, "loss": loss})


def optimum(q: dict) -> np.ndarray:
    """L* and log N* at `COMPUTE`, by the closed form."""
    a, b = q["alpha"], q["beta"]
    n = (a * q["A"] / (b * q["B"])) ** (1 / (a + b)) * (COMPUTE / 6) ** (b / (a + b))
    loss = q["E"] + q["A"] * n**-a + q["B"] * (COMPUTE / 6 / n) ** -b
    return np.stack([loss, np.log(n)])


def one(task: tuple) -> tuple[np.ndarray, bool]:
    """Draws of L* and log N*, (2, draw), and whether the gate was passed."""
    law, rows, outliers, seed = task
    runs = Runs.from_table(sweep(rows, outliers, np.random.default_rng([rows, outliers, seed])))
    with double():
        table = Table.of(runs, law)
        found = modes(table.spec, table.rows, seed, QUICK)
        draws = sample(table.spec, table.rows, found, seed, QUICK)
        z = draws.z.reshape(-1, draws.z.shape[-1])
        z = z[np.linspace(0, len(z) - 1, 800).astype(int)]
        said = compiled(table.spec, QUICK).describe(z, table.rows, draws.centring).values
        at = table.rows.at._replace(loss=float(table.rows.at.loss[0]))
        parameters = {n: np.asarray(said[n]) for n in law.parameters}
        parameters["shares"] = parameters["shares"].T
        q = law.published(at, type("Draws", (), parameters))
    return optimum({n: np.asarray(v) for n, v in q.items()}), draws.diagnostics.passed


def main(simulations: int) -> None:
    plain = find_law("chinchilla")
    centers = {"a_size": TRUTH["alpha"], "b_data": TRUTH["beta"]}
    priors = {
        name: dist.LogNormal(
            math.log(centers[name]) + OFF * float(plain.parameters[name].prior.scale),
            float(plain.parameters[name].prior.scale),
        )
        for name in NAMES
    }
    (law,) = with_priors([plain], priors)
    truth = optimum(TRUTH)
    print(f"{simulations} simulated sweeps each; Monte Carlo sd of a coverage of 95 %: "
          f"{100 * math.sqrt(0.05 * 0.95 / simulations):.1f} points")  # fmt: skip
    print("runs  outliers  passed   L*: covered  width    RMSE    ln N*: covered  width   RMSE")
    for rows, outliers in CASES:
        tasks = [(law, rows, outliers, seed) for seed in range(simulations)]
        found = [one(tasks[0])]  # compiles
        with ThreadPoolExecutor(2) as pool:
            found += list(pool.map(one, tasks[1:]))
        draws = np.stack([d for d, _ in found])  # (simulation, 2, draw)
        low, high = np.quantile(draws, [0.025, 0.975], axis=-1)
        inside = ((low < truth) & (truth < high)).mean(0)
        width = (high - low).mean(0)
        error = np.sqrt(((np.median(draws, -1) - truth) ** 2).mean(0))
        passed = np.mean([p for _, p in found])
        print(
            f"{rows:4d}  {'5 %' if outliers else '-':8s}  {passed:6.3f}   "
            f"{inside[0]:11.3f}  {width[0]:.4f}  {error[0]:.4f}   "
            f"{inside[1]:14.3f}  {width[1]:.3f}  {error[1]:.3f}",
            flush=True,
        )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
