"""An Ensemble: one or more posteriors, weighted, that answer as one."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import h5netcdf
import jax
import numpy as np
import pandas as pd
import xarray as xr

from bayeslaw.card import card
from bayeslaw.cost import CostLaw
from bayeslaw.errors import FitError
from bayeslaw.infer.contrast import Contrast
from bayeslaw.infer.curves import Curves
from bayeslaw.infer.discrepancy import Discrepancy
from bayeslaw.infer.posterior import Posterior
from bayeslaw.infer.precision import double
from bayeslaw.infer.stack import Standing
from bayeslaw.laws import Run
from bayeslaw.whole import whole

Kind = Literal["mean", "run", "calibrated"]
KINDS: tuple[Kind, ...] = ("mean", "run", "calibrated")


@dataclass(frozen=True, eq=False)
class Ensemble:
    """What `fit` returns. Members that failed the gate have weight 0 and stay, to be named.

    standings: how every law that was looked at predicted the larger runs from the smaller; those
        that came to nothing were not sampled, and are no members.
    discrepancy: what the laws may get wrong beyond the sweep.
    contrasts: runs of other ways to train, which no law was fitted to. cost: of training, as
        the runs' own FLOPs say; None where that is not known. embeddings: whether N
        counts them. seed: of the fit. command: the command line that made it; empty where it was
        made in Python.
    """

    members: tuple[Posterior, ...]
    standings: tuple[Standing, ...] = ()
    discrepancy: Discrepancy | None = None
    contrasts: tuple[Contrast, ...] = ()
    cost: CostLaw | None = None
    embeddings: bool = False
    seed: int | None = None
    command: tuple[str, ...] = ()

    @property
    def domains(self) -> tuple[str, ...]:
        return self.members[0].domains

    def contrast(self, way: str) -> Contrast | None:
        """The runs of another way to train; None where there are none."""
        return next((c for c in self.contrasts if c.way == way), None)

    @property
    def passed(self) -> bool:
        """True when at least one member passed the gate."""
        return any(m.passed for m in self.members)

    @property
    def heaviest(self) -> Posterior:
        """The member of most weight."""
        return max(self.members, key=lambda m: m.weight)

    @property
    def counted(self) -> tuple[Posterior, ...]:
        """The members that have weight."""
        return tuple(m for m in self.members if m.weight > 0)

    @property
    def ranges(self) -> dict[str, tuple[float, float]]:
        """The smallest and largest training value of each input."""
        return dict(self.members[0].ranges)

    @property
    def two_stage(self) -> bool:
        return any(m.law.two_stage for m in self.members)

    def weights(self) -> dict[str, float]:
        """Law -> weight, summing to 1. Members that failed have 0, unless all failed."""
        total = sum(m.weight for m in self.members)
        return {m.law.name: m.weight / total for m in self.members}

    def accept(self, accept: bool = False) -> Ensemble:
        """Self, when it may be used; else `FitError`, unless `accept` (then equal weights)."""
        if self.passed:
            return self
        if not accept:
            reasons = "; ".join(
                f"{m.law.name}: {', '.join(m.diagnostics.failures)}" for m in self.members
            )
            raise FitError(
                f"no law passed the convergence gate ({reasons}). "
                "Use --accept (accept=True) to go on all the same"
            )
        return replace(self, members=tuple(replace(m, weight=1.0) for m in self.members))

    def allotment(self, draws: int) -> tuple[int, ...]:
        """How many of `draws` joint draws each member gives, by largest remainders."""
        weights = np.array([m.weight for m in self.members])
        if not weights.sum() > 0:
            raise FitError("no law passed the convergence gate; see `accept`")
        exact = draws * weights / weights.sum()
        counts = np.floor(exact).astype(int)
        counts[np.argsort(-(exact - counts), kind="stable")[: draws - counts.sum()]] += 1
        return tuple(int(c) for c in counts)

    def curves(self, draws: int = 1000) -> Curves:
        """`draws` joint draws of the law, spread evenly over chains and members by weight."""
        picked = [
            (m.law, {n: v[rows] for n, v in m.theta.items()}, m.anchor)
            for m, rows in self._picked(draws)
        ]
        laws, thetas, ats = zip(*picked, strict=True)
        return Curves(laws, thetas, ats)

    def _picked(self, draws: int) -> list[tuple[Posterior, np.ndarray]]:
        """Members with weight, and the rows of their draws that stand for them."""
        return [
            (m, _spread(len(m.sigma), count))
            for m, count in zip(self.members, self.allotment(draws), strict=True)
            if count
        ]

    def noise_sds(self, draws: int) -> tuple[np.ndarray, np.ndarray]:
        """Of the draws of `curves`: σ, (draw, domain), and the sd of what the runs of one trunk
        share, (draw,), 0 where every run stands alone."""
        own, shared = [], []
        for member, rows in self._picked(draws):
            own.append(member.sigma[rows])
            trunk = member.lineage_sd
            shared.append(np.zeros(len(rows)) if trunk is None else trunk[rows])
        return np.concatenate(own), np.concatenate(shared)

    def losses(
        self, designs: Run, kind: Kind = "mean", draws: int = 4000, seed: int = 0
    ) -> np.ndarray:
        """Joint draws of the loss, shape (draw, design, domain), nats/token.

        designs: fields are scalars or arrays over designs. Every domain is forecast on the model
        branched to it. kind `mean`: uncertainty of parameters and laws. `run`: a new training run,
        with its lineage's effect and its noise. `calibrated`: the same with the discrepancy, which
        grows with the distance beyond the sweep. Same seed, same draws.

        Raises `FitError` when no member may be used.
        """
        if kind not in KINDS:
            raise FitError(f"kind '{kind}' is not one of {', '.join(KINDS)}")
        run = Run(*np.broadcast_arrays(*[np.atleast_1d(np.asarray(f, float)) for f in designs]))
        with double():
            log_loss = np.array(_over_designs(self.curves(draws), run))
        if kind != "mean":
            log_loss += self._noise(log_loss.shape, draws, seed)
        if kind == "calibrated":
            if self.discrepancy is None:
                raise FitError("this fit knows no discrepancy; use kind 'run', or fit again")
            log_loss += self.discrepancy.sample(run, len(self.domains), draws, seed)
        return np.exp(log_loss)

    def _noise(self, shape: tuple[int, ...], draws: int, seed: int) -> np.ndarray:
        rng = np.random.default_rng(seed)
        parts = []
        for member, rows in self._picked(draws):
            size = (len(rows), *shape[1:])
            noise = member.sigma[rows][:, None, :] * member.noise(rng, size)
            if member.lineage_sd is not None:
                sd = member.lineage_sd[rows][:, None, None]
                noise = noise + sd * rng.standard_normal((*size[:2], 1))
            parts.append(noise)
        return np.concatenate(parts)

    def beyond(self, run: Run) -> dict[str, np.ndarray]:
        """By which factor designs leave the sweep, for N, D, D′ and 6 N (D + D′); 1 inside it.

        Fields of `run` and of the answer have one shape. What the sweep never had is left out.
        """
        n, d, split = (np.asarray(field, float) for field in run[:3])
        values = {
            "params": n,
            "pretrain_tokens": d,
            "specialize_tokens": split,
            "compute": 6 * n * (d + split),
        }
        factors = {}
        for name, value in values.items():
            low, high = self.ranges.get("flops" if name == "compute" else name, (0.0, 0.0))
            if high > 0:
                below = np.divide(low, value, out=np.ones_like(value), where=value > 0)
                factors[name] = np.maximum(1.0, np.maximum(value / high, below))
        return factors

    def to_dataframe(self) -> pd.DataFrame:
        """A row for every law: its weight, whether it passed the gate, and what the gate saw."""
        weights = self.weights()
        return pd.DataFrame(
            [
                {
                    "law": m.law.name, "weight": weights[m.law.name], "passed": m.passed,
                    "method": m.method, "r_hat": m.diagnostics.r_hat,
                    "ess_bulk": m.diagnostics.ess_bulk, "ess_tail": m.diagnostics.ess_tail,
                    "divergences": m.diagnostics.divergences,
                    "failures": "; ".join(m.diagnostics.failures),
                }
                for m in self.members
            ]
        )  # fmt: skip

    def _repr_html_(self) -> str:
        count = len(self.members)
        facts = [f"domains: {', '.join(self.domains)}"]
        failed = () if self.passed else ("no law passed the convergence gate",)
        rows: list[Any] = self.to_dataframe().drop(columns="failures").to_dict("records")
        many = "1 law" if count == 1 else f"{count} laws"
        return card(f"Ensemble of {many}", facts, rows, failed)

    @property
    def tree(self) -> xr.DataTree:
        """What `save` writes, for ArviZ: the groups of the highest-weight member at the top, those
        of every member under /laws/<name>."""
        first = self.heaviest
        tree = _labelled(first)
        for member in self.members:
            tree[f"laws/{member.law.name}"] = _labelled(member)
        tree.attrs["bayeslaw_ensemble"] = json.dumps(
            {
                "standings": [asdict(s) for s in self.standings],
                "discrepancy": self.discrepancy and self.discrepancy.to_json(),
                "contrasts": [c.to_json() for c in self.contrasts],
                "cost": self.cost and asdict(self.cost),
                "embeddings": self.embeddings,
                "seed": self.seed,
                "command": self.command,
            }
        )
        return tree

    def save(self, path: str | Path) -> Path:
        """Write netCDF, atomically. The top level is the highest-weight member, so that plain
        ArviZ opens the file; all members lie under /laws/<name>."""
        path = Path(path)
        with whole(path) as beside:
            self.tree.to_netcdf(beside, engine="h5netcdf")
        return path


def _labelled(member: Posterior) -> xr.DataTree:
    tree = member.tree.copy()
    tree.attrs = {**tree.attrs, **member.attributes()}
    return tree


def read_posterior(path: str | Path) -> Ensemble:
    """The Ensemble that `Ensemble.save` wrote. Raises `FitError` when the file is not one."""
    path = Path(path)
    if not path.is_file():
        raise FitError(f"{path}: no such file; `bayeslaw fit RUNS... --out {path}` writes it")
    try:
        with h5netcdf.File(path, "r") as file:
            ours = "laws" in file.groups
            about = json.loads(file.attrs.get("bayeslaw_ensemble", "{}"))
        # The top level repeats one of the laws, for ArviZ alone.
        laws = xr.open_datatree(path, engine="h5netcdf", group="laws").load() if ours else None
    except Exception as error:
        raise FitError(f"{path}: not a posterior file ({type(error).__name__}: {error})") from error
    if laws is None:
        raise FitError(f"{path}: a netCDF file, but not one that `bayeslaw fit` wrote")
    discrepancy = about.get("discrepancy")
    return Ensemble(
        tuple(Posterior.from_tree(t) for t in laws.children.values()),
        tuple(Standing(**s) for s in about.get("standings", ())),
        discrepancy and Discrepancy.from_json(discrepancy),
        tuple(Contrast.from_json(c) for c in about.get("contrasts", ())),
        CostLaw(**about["cost"]) if about.get("cost") else None,
        about.get("embeddings", False),
        about.get("seed"),
        tuple(about.get("command", ())),
    )


def _spread(available: int, count: int) -> np.ndarray:
    """`count` row numbers spread evenly over `available` (repeated when there are too few)."""
    return (np.arange(count) * (available / count)).astype(int) if count else np.arange(0)


@lru_cache(maxsize=1)
def _compiled() -> Any:
    over = jax.vmap(lambda curves, run: curves.log_loss(run), in_axes=(None, 0), out_axes=1)
    return jax.jit(over)


def _over_designs(curves: Curves, run: Run) -> Any:
    return _compiled()(curves, run)
