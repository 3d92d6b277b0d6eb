"""Contestants: bayeslaw and other ways to fit E + A N^-α + B D^-β, each asked the same.

A contestant is a function of a table and far designs: it gives a prediction and a 95 % interval for
each, or no interval. It runs in an interpreter that has it, which need not be the one that has
bayeslaw: this file imports only NumPy at the top. `bench/table.py` calls it.

    python bench/peers.py NAME < questions.json > answers.json
"""

from __future__ import annotations

import json
import math
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

import numpy as np

Answer = tuple[np.ndarray, np.ndarray | None, np.ndarray | None]  # prediction, low, high
TAILS = (2.5, 50.0, 97.5)
STARTS, BOOTSTRAPS = 20, 100  # of the Huber fit
# What must be importable for a contestant.
NEEDS = {
    "bayeslaw": "bayeslaw",
    "NumPyro": "numpyro",
    "Huber": "scipy",
    "chinchilla": "chinchilla",
    "simple-scaling-laws": "simple_scaling_laws",
    "mixle": "mixle",
}


def curve(q: np.ndarray, n: np.ndarray, d: np.ndarray) -> np.ndarray:
    """q: E, log A, log B, α, β in the last axis; the loss of designs, (…, design)."""
    floor, a, b, alpha, beta = (q[..., i, None] for i in range(5))
    return floor + np.exp(a - alpha * np.log(n)) + np.exp(b - beta * np.log(d))


def within(draws: np.ndarray, noise: Any, run: bool, seed: int) -> Answer:
    """Draws of the curve (draw, design) as an answer; of a new run, with `noise` of its log."""
    if run:
        rng = np.random.default_rng(seed)
        noise = np.broadcast_to(np.asarray(noise, float).reshape(-1, 1), draws.shape)
        draws = draws * np.exp(noise * rng.standard_normal(draws.shape))
    low, middle, high = np.percentile(draws, TAILS, axis=0)
    return middle, low, high


def bayeslaw(table: dict, far: dict, run: bool, seed: int) -> Answer:
    """All domains together; calibrated intervals for a new run."""
    import pandas as pd

    from bayeslaw import Runs, fit, forecast

    fitted = fit(Runs.from_table(pd.DataFrame(table)), ["chinchilla"], seed=seed)
    rows = forecast(
        fitted, pd.DataFrame(far), kind="calibrated" if run else "mean", prob=0.95, accept=True
    ).rows
    return tuple(np.array([getattr(r, k) for r in rows]) for k in ("mean", "lo", "hi"))  # type: ignore[return-value]


def numpyro(n: Any, d: Any, y: Any, far: dict, run: bool, seed: int) -> Answer:
    """NUTS at its defaults on the published parameters, 4 x (500 + 500)."""
    import jax
    import jax.numpy as jnp
    import numpyro
    import numpyro.distributions as dist
    from numpyro.infer import MCMC, NUTS

    numpyro.enable_x64()

    def model() -> None:
        floor = numpyro.sample("E", dist.LogNormal(math.log(1.8), 0.5))
        a = numpyro.sample("a", dist.Normal(6.0, 1.5))
        b = numpyro.sample("b", dist.Normal(7.0, 1.5))
        alpha = numpyro.sample("alpha", dist.LogNormal(math.log(0.35), 0.4))
        beta = numpyro.sample("beta", dist.LogNormal(math.log(0.35), 0.4))
        sigma = numpyro.sample("sigma", dist.HalfNormal(0.05))
        loss = floor + jnp.exp(a - alpha * jnp.log(n)) + jnp.exp(b - beta * jnp.log(d))
        numpyro.sample("y", dist.StudentT(4.0, jnp.log(loss), sigma), obs=jnp.log(y))

    kernel = NUTS(model)
    mcmc = MCMC(kernel, num_warmup=500, num_samples=500, num_chains=4, progress_bar=False,
                chain_method="vectorized")  # fmt: skip
    mcmc.run(jax.random.key(seed))
    q = {k: np.asarray(v) for k, v in mcmc.get_samples().items()}
    draws = np.stack([q[k] for k in ("E", "a", "b", "alpha", "beta")], -1)
    return within(curve(draws, far["params"], far["pretrain_tokens"]), q["sigma"], run, seed)


def huber(n: Any, d: Any, y: Any, far: dict, run: bool, seed: int) -> Answer:
    """The usual: Huber loss (1e-3) of log losses by L-BFGS from several starts, then bootstraps."""
    from scipy.optimize import minimize

    rng = np.random.default_rng(seed)

    def fitted(rows: np.ndarray, start: np.ndarray) -> Any:
        log_n, log_d, log_y = np.log(n[rows]), np.log(d[rows]), np.log(y[rows])

        def objective(q: np.ndarray) -> tuple[float, np.ndarray]:
            e, a, b, alpha, beta = q
            parts = np.stack([np.full_like(log_n, e), a - alpha * log_n, b - beta * log_d])
            top = parts.max(0)
            total = np.exp(parts - top).sum(0)
            r = top + np.log(total) - log_y
            weight = np.exp(parts - top) / total
            size = np.abs(r)
            loss = np.where(size < 1e-3, r**2 / 2, 1e-3 * (size - 5e-4)).sum()
            g = np.clip(r, -1e-3, 1e-3)
            slope = np.array([g @ weight[0], g @ weight[1], g @ weight[2],
                              -(g * log_n) @ weight[1], -(g * log_d) @ weight[2]])  # fmt: skip
            return loss * 1e3, slope * 1e3

        return minimize(objective, start, jac=True, method="L-BFGS-B")

    every = np.arange(len(y))
    starts = np.stack([rng.uniform(-1, 1, STARTS), rng.uniform(2, 12, STARTS),
                       rng.uniform(2, 12, STARTS), rng.uniform(0.1, 0.9, STARTS),
                       rng.uniform(0.1, 0.9, STARTS)], -1)  # fmt: skip
    best = min((fitted(every, s) for s in starts), key=lambda r: r.fun).x
    again = [fitted(rng.integers(0, len(y), len(y)), best).x for _ in range(BOOTSTRAPS)]
    draws, point = (np.array(q)[..., :] for q in (again, [best]))
    for q in (draws, point):
        q[:, 0] = np.exp(q[:, 0])
    at = far["params"], far["pretrain_tokens"]
    left = np.log(y) - np.log(curve(point, n, d)[0])
    _, low, high = within(curve(draws, *at), left.std(), run, seed)
    return curve(point, *at)[0], low, high


def chinchilla(n: Any, d: Any, y: Any, far: dict, run: bool, seed: int) -> Answer:
    """chinchilla (PyPI): its log-Huber loss and 243 starts; a point."""
    import os

    os.environ["MPLBACKEND"] = "agg"
    from chinchilla import Chinchilla
    from chinchilla._metrics import log_huber

    grid = {"e": [-1, 0, 1], "a": [2, 6, 10], "b": [2, 6, 10], "alpha": [0.2, 0.5, 0.8],
            "beta": [0.2, 0.5, 0.8]}  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        cc = Chinchilla(folder, param_grid=grid, log_level=50,
                        loss_fn=lambda t, p: log_huber(t, p, delta=1e-3))  # fmt: skip
        for row in zip(n, d, y, strict=True):
            cc.append(N=float(row[0]), D=float(row[1]), loss=float(row[2]))
        cc.fit(parallel=True)
        q = cc.params
    found = np.array([q["E"], np.log(q["A"]), np.log(q["B"]), q["alpha"], q["beta"]])
    return curve(found, far["params"], far["pretrain_tokens"]), None, None


def simple(n: Any, d: Any, y: Any, far: dict, run: bool, seed: int) -> Answer:
    """simple-scaling-laws (PyPI): separable power law, 1000 draws of its bootstrap."""
    import polars as pl
    from simple_scaling_laws import fit

    table = pl.DataFrame({
        "training_run_id": [f"r{i}" for i in range(len(y))], "model_size__n": n,
        "dataset_size__n": d, "test_loss__ce": y,
    })  # fmt: skip
    model = fit(table, law="separable-power", n_draws=1000, seed=seed)
    points = pl.DataFrame(
        {"model_size__n": far["params"], "dataset_size__n": far["pretrain_tokens"]}
    )
    said = model.predict(
        points, kind="new-run" if run else "mean", quantiles=[t / 100 for t in TAILS]
    )
    names = [c for c in said.columns if c.startswith("test_loss__ce__")]
    by = {c.rsplit("__", 1)[1]: said[c].to_numpy() for c in names}
    return by.get("median", by.get("q500", by.get("q50"))), by["q025"], by["q975"]


def mixle(n: Any, d: Any, y: Any, far: dict, run: bool, seed: int) -> Answer:
    """mixle (PyPI): its random-walk MCMC at the defaults; of the curve."""
    from mixle.ppl.scaling_laws import fit_scaling_law

    found = fit_scaling_law([tuple(map(float, r)) for r in zip(n, d, y, strict=True)], seed=seed)
    at = zip(far["params"], far["pretrain_tokens"], strict=True)
    draws = np.stack([np.asarray(found.predict_samples(*map(float, x))) for x in at], -1)
    sigma = np.asarray(found.samples("sigma")) / np.median(y)
    return within(draws, sigma, run, seed)


ALONE: dict[str, Callable[..., Answer]] = {
    "NumPyro": numpyro, "Huber": huber, "chinchilla": chinchilla, "simple-scaling-laws": simple,
    "mixle": mixle,
}  # fmt: skip


def answered(name: str, question: dict[str, Any]) -> dict[str, Any]:
    """One question: all domains at once, or one after the other by those who know none."""
    table, far, run, seed = (question[k] for k in ("table", "far", "run", "seed"))
    began = time.perf_counter()
    if name == "bayeslaw":
        answer = bayeslaw(table, far, run, seed)
    else:
        parts = []
        domains = np.array(table["domain"])
        for domain in dict.fromkeys(far["domain"]):
            rows = domains == domain
            n, d, y = (
                np.array(table[c], float)[rows] for c in ("params", "pretrain_tokens", "loss")
            )
            asked = np.array(far["domain"]) == domain
            there = {c: np.array(far[c], float)[asked] for c in ("params", "pretrain_tokens")}
            parts.append((asked, ALONE[name](n, d, y, there, run, seed)))
        joined: list[Any] = []
        for i in range(3):
            if parts[0][1][i] is None:
                joined.append(None)
                continue
            whole = np.empty(len(far["domain"]))
            for asked, part in parts:
                whole[asked] = part[i]
            joined.append(whole)
        answer = tuple(joined)  # type: ignore[assignment]
    seconds = time.perf_counter() - began
    said = [None if v is None else np.asarray(v, float).tolist() for v in answer]
    return {"seconds": seconds, "prediction": said[0], "low": said[1], "high": said[2]}


def main() -> None:
    name = sys.argv[1]
    answers = []
    for question in json.load(sys.stdin):
        try:
            answers.append(answered(name, question))
        except Exception as error:  # a contestant that fails is a row of the table
            answers.append({"failed": f"{type(error).__name__}: {error}"[:200]})
    print("\n" + json.dumps(answers))


if __name__ == "__main__":
    main()
