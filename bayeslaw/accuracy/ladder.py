"""The ladder: a posterior of the map from loss to accuracy, of several tasks (two steps: designs to
losses by the laws, losses to accuracies by this)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import xarray as xr

from bayeslaw.accuracy.density import CHAINS, LAW, Rows, sampled
from bayeslaw.accuracy.table import Scores
from bayeslaw.errors import FitError
from bayeslaw.infer.diagnose import MAX_R_HAT, MIN_ESS, convergence
from bayeslaw.infer.precision import double
from bayeslaw.whole import whole

SCHEMA = 1
LEAST = 4  # rows of a task: fewer say nothing of a curve
BENT = 0.5  # sd of the log of how far a nat goes beyond the losses that a curve was fitted to


@dataclass(frozen=True, eq=False)
class Ladder:
    """theta: parameter of the law `accuracy` -> (draw, task). noise: (draw,), times the binomial
    error. domains, chance, items: of each task. losses: least and largest loss that each was fitted
    to. failures: why it is not to be relied on; empty when it is."""

    tasks: tuple[str, ...]
    domains: tuple[str, ...]
    chance: np.ndarray
    items: np.ndarray
    losses: np.ndarray
    theta: Mapping[str, np.ndarray]
    noise: np.ndarray
    failures: tuple[str, ...]
    about: Mapping[str, Any]

    @property
    def passed(self) -> bool:
        return not self.failures

    def accept(self, accept: bool = False) -> Ladder:
        """Self, when it may be used; else `FitError`, unless `accept`."""
        if self.passed or accept:
            return self
        raise FitError(
            f"the map to accuracy did not pass its checks ({'; '.join(self.failures)}). "
            "Use --accept (accept=True) to go on all the same"
        )

    def number(self, task: str) -> int:
        """Raises `FitError` for a task that it was not fitted to."""
        if task not in self.tasks:
            raise FitError(f"unknown task '{task}'; there is {', '.join(self.tasks)}")
        return self.tasks.index(task)

    @cached_property
    def draws(self) -> int:
        return len(self.noise)

    def rows(self, draws: int, seed: int = 0) -> np.ndarray:
        """As many rows of its draws, in an order of chance: the laws' draws know nothing of it."""
        rng = np.random.default_rng([seed, 29])
        times = -(-draws // self.draws)
        return np.concatenate([rng.permutation(self.draws) for _ in range(times)])[:draws]

    def bends(self, draws: int, seed: int = 0) -> np.ndarray:
        """(draw, task): what a nat beyond the losses that a task's curve was fitted to counts for,
        log-normal around 1: out there its shape is an assumption."""
        rng = np.random.default_rng([seed, 37])
        return np.exp(BENT * rng.standard_normal((draws, len(self.tasks))))

    def accuracies(
        self, task: str, losses: np.ndarray, noisy: bool = False, seed: int = 0
    ) -> np.ndarray:
        """Draws of accuracy from draws of loss (draw, …), the same shape. noisy: as measured on the
        task's items, within 0 and 1, by a curve that may bend beyond its losses (`bends`); else the
        curve."""
        t, rows = self.number(task), self.rows(len(losses), seed)
        shape = (-1, *[1] * (losses.ndim - 1))
        if noisy:
            low, high = self.losses[t]
            bends = self.bends(len(losses), seed)[:, t]
            losses = bent(losses, low, high, bends.reshape(shape))
        p = SimpleNamespace(**{n: v[rows, t].reshape(shape) for n, v in self.theta.items()})
        mean = np.asarray(LAW.value(losses, self.chance[t], p))
        if not noisy:
            return mean
        rng = np.random.default_rng([seed, 31])
        sd = self.noise[rows].reshape(shape) * np.sqrt(mean * (1 - mean) / self.items[t])
        return np.clip(mean + sd * rng.standard_normal(mean.shape), 0.0, 1.0)

    def save(self, path: str | Path) -> Path:
        """Write netCDF, atomically; plain ArviZ opens it."""

        def over(values: np.ndarray, *dims: str) -> tuple[tuple[str, ...], np.ndarray]:
            chains = self.about["chains"]
            return ("chain", "draw", *dims), values.reshape(chains, -1, *values.shape[1:])

        data = {n: over(v, "task") for n, v in self.theta.items()} | {"noise": over(self.noise)}
        posterior = xr.Dataset(data, coords={"task": list(self.tasks)})
        said = {
            "schema": SCHEMA, "tasks": self.tasks, "domains": self.domains,
            "chance": self.chance.tolist(), "items": self.items.tolist(),
            "losses": self.losses.tolist(), "failures": self.failures, "about": dict(self.about),
        }  # fmt: skip
        tree = xr.DataTree.from_dict({"posterior": posterior})
        tree.attrs = {"bayeslaw_ladder": json.dumps(said)}
        with whole(path) as beside:
            tree.to_netcdf(beside, engine="h5netcdf")
        return Path(path)


def bent(losses: Any, low: Any, high: Any, factor: Any) -> Any:
    """Losses with their distance beyond [low, high] times a factor; of numpy or jax."""
    inside = losses.clip(low, high)
    return inside + (losses - inside) * factor


def read_ladder(path: str | Path) -> Ladder:
    """What `Ladder.save` wrote. Raises `FitError` when the file is none."""
    path = Path(path)
    remedy = f"`bayeslaw fit tasks.csv --law accuracy --out {path}` writes it"
    if not path.is_file():
        raise FitError(f"{path}: no such file; {remedy}")
    try:
        tree = xr.open_datatree(path, engine="h5netcdf").load()
        said = json.loads(tree.attrs["bayeslaw_ladder"])
    except Exception as error:
        raise FitError(f"{path}: no map from loss to accuracy; {remedy}") from error
    found = {str(n): v.to_numpy() for n, v in tree["posterior"].to_dataset().data_vars.items()}
    flat = {n: v.reshape(-1, *v.shape[2:]) for n, v in found.items()}
    return Ladder(
        tuple(said["tasks"]), tuple(said["domains"]), np.array(said["chance"]),
        np.array(said["items"]), np.array(said["losses"]),
        {n: flat[n] for n in LAW.parameters}, flat["noise"], tuple(said["failures"]), said["about"],
    )  # fmt: skip


def fit_accuracy(scores: Scores, seed: int = 0) -> Ladder:
    """The posterior of accuracy = c + (1 - c - ε) sigmoid(k (m - L)), partially pooled over tasks.

        accuracy ~ Normal(curve, √((s b)² + (slope · loss_se)²)),   s ~ LogNormal(log .7, .5)

    b: the binomial error. Hamiltonian Monte Carlo, behind the gate of `fit`: R-hat, ESS,
    divergences. Raises `FitError` for a task of fewer than `LEAST` rows.
    """
    t, tasks = scores.table, scores.tasks
    counts = t["task"].value_counts()
    if few := [f"{n} ({counts[n]})" for n in tasks if counts[n] < LEAST]:
        raise FitError(f"fewer than {LEAST} rows of {', '.join(few)}: evaluate more models")
    member = np.array([tasks.index(n) for n in t["task"]])
    first = [int(np.flatnonzero(member == i)[0]) for i in range(len(tasks))]
    chance, items = (t[c].to_numpy(float)[first] for c in ("chance", "items"))
    accuracy, count = t["accuracy"].to_numpy(float), t["items"].to_numpy(float)
    smooth = (accuracy * count + 1) / (count + 2)
    loss = t["loss"].to_numpy(float)
    rows = Rows(
        member, loss, t["loss_se"].fillna(0.0).to_numpy(float),
        np.sqrt(smooth * (1 - smooth) / count), accuracy, chance,
        np.array([loss[member == i].mean() for i in range(len(tasks))]),
    )  # fmt: skip
    with double():
        drawn = sampled(rows, seed, lambda z: not _gate(z, 0)[0])
    failures, checks = _gate(drawn.z, drawn.diverging)
    losses = [[f(loss[member == i]) for f in (np.min, np.max)] for i in range(len(tasks))]
    about = {
        "chains": CHAINS, "rows": len(t), "left_out": scores.left_out, "digest": scores.digest,
        "seed": seed, "formula": LAW.formula, "source": LAW.source, **checks,
    }  # fmt: skip
    domains = tuple(t["domain"].iloc[first])
    return Ladder(
        tasks,
        domains,
        chance,
        items,
        np.array(losses, float),
        drawn.theta,
        drawn.noise,
        failures,
        about,
    )


def _gate(z: np.ndarray, diverging: int) -> tuple[tuple[str, ...], dict[str, float]]:
    """What fails, and the numbers, of draws (chain, draw, coordinate)."""
    r_hat, ess, tail = convergence(z)
    failures = []
    if not r_hat <= MAX_R_HAT:
        failures.append(f"R-hat {r_hat:.3f} > {MAX_R_HAT}")
    if not min(ess, tail) >= MIN_ESS:
        failures.append(f"ESS {min(ess, tail):.0f} < {MIN_ESS:.0f}")
    if diverging:
        failures.append(f"{diverging} divergent transitions")
    said = {"r_hat": r_hat, "ess_bulk": ess, "ess_tail": tail, "divergences": diverging}
    return tuple(failures), said


def summary(ladder: Ladder) -> list[dict[str, Any]]:
    """Each task: its parameters' means and 90 % intervals, and the range of losses fitted."""
    found = []
    for i, task in enumerate(ladder.tasks):
        values = {}
        for n, v in ladder.theta.items():
            low, high = np.quantile(v[:, i], [0.05, 0.95])
            mean, sd = float(v[:, i].mean()), float(v[:, i].std())
            values[n] = {"mean": mean, "sd": sd, "interval": [float(low), float(high)]}
        found.append({
            "task": task, "domain": ladder.domains[i], "chance": float(ladder.chance[i]),
            "losses": ladder.losses[i].tolist(), "parameters": values,
        })  # fmt: skip
    return found
