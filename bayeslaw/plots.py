"""Diagnostic plots of a posterior, one line each in `PLOTS`."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import arviz_plots as azp
import numpy as np
import xarray as xr
from arviz_base.labels import MapLabeller

from bayeslaw.infer.ensemble import Ensemble
from bayeslaw.infer.posterior import Posterior, symbols

CHAINS = 4  # that a trace can show; the others look the same or R-hat says so
BACKEND = "matplotlib"


def trace(m: Posterior, backend: str = BACKEND) -> Any:
    """Traces of a few chains: do they wander about the same level?"""
    return azp.plot_trace(_few(m), var_names=_names(m), labeller=_labels(m), backend=backend)


def rank(m: Posterior, backend: str = BACKEND) -> Any:
    """Ranks of the draws of each chain among all: flat when chains agree."""
    return azp.plot_rank(_few(m, 8), var_names=_names(m), labeller=_labels(m), backend=backend,
                         ci_prob=0.99)  # fmt: skip


def energy(m: Posterior, backend: str = BACKEND) -> Any:
    """Energy and its change from draw to draw: alike when the tails are reached."""
    return azp.plot_energy(m.tree, backend=backend)


def forest(m: Posterior, backend: str = BACKEND) -> Any:
    """Means and 90 % intervals of the parameters, domain by domain."""
    return azp.plot_forest(_few(m, None), var_names=_names(m), labeller=_labels(m), combined=True,
                           ci_probs=(0.5, 0.9), ci_kind="eti", backend=backend)  # fmt: skip


def predictive(m: Posterior, backend: str = BACKEND) -> Any:
    """Measured log losses among those that the model would have produced."""
    return azp.plot_ppc_dist(m.tree, backend=backend, num_samples=50)


def prior_posterior(m: Posterior, backend: str = BACKEND) -> Any:
    """What the runs have taught: prior against posterior."""
    return azp.plot_prior_posterior(_few(m, None), var_names=_names(m), labeller=_labels(m),
                                    backend=backend)  # fmt: skip


def loo_pit(m: Posterior, backend: str = BACKEND) -> Any:
    """Probability integral transform of each run, left out: uniform when intervals hold."""
    return azp.plot_loo_pit(_paired(m), ci_prob=0.94, backend=backend)


PLOTS: dict[str, Callable[..., Any]] = {
    "trace": trace,
    "rank": rank,
    "energy": energy,
    "forest": forest,
    "predictive": predictive,
    "prior-posterior": prior_posterior,
    "loo-pit": loo_pit,
}


def draw_all(
    fitted: Ensemble, folder: Path, progress: Callable[..., None] | None = None
) -> list[Path]:
    """Write every plot of every sampled member as <law>-<plot>.png, and return the files."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for member in fitted.members:
        if member.method == "huber":
            continue  # a point has no draws to look at
        for name, draw in PLOTS.items():
            if progress:
                progress(f"{member.law.name} {name}")
            file = folder / f"{_slug(member.law.name)}-{name}.png"
            collection = draw(member)
            collection.savefig(file, dpi=110)
            _close(collection)
            written.append(file)
    return written


def _slug(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-")


def _names(m: Posterior) -> list[str]:
    """The law's parameters and the noise; hyperparameters are left to the file."""
    present = m.tree["posterior"].data_vars
    return [n for n in (*m.law.parameters, "sigma", "lineage_spread") if n in present]


def _labels(m: Posterior) -> MapLabeller:
    return MapLabeller(var_name_map=symbols(m.law))


def _few(m: Posterior, chains: int | None = CHAINS) -> xr.DataTree:
    """The tree with `chains` evenly chosen chains (None: all)."""
    tree = m.tree.copy()
    total = tree["posterior"].sizes["chain"]
    if chains is None or total <= chains:
        return tree
    chosen = np.linspace(0, total - 1, chains).astype(int)
    for group in ("posterior", "sample_stats"):
        tree[group] = xr.DataTree(tree[group].to_dataset().isel(chain=chosen))
    return tree


def _paired(m: Posterior) -> xr.DataTree:
    """The draws that the predictive draws were made from, so that the two can be weighted alike."""
    tree = m.tree.copy()
    count = tree["posterior_predictive"].sizes["draw"]
    for group in ("posterior", "log_likelihood"):
        data = tree[group].to_dataset()
        flat = data.stack(sample=("chain", "draw")).reset_index("sample", drop=True)
        some = np.linspace(0, flat.sizes["sample"] - 1, count).astype(int)
        picked = flat.isel(sample=some).rename(sample="draw").expand_dims(chain=[0])
        tree[group] = xr.DataTree(picked.transpose("chain", "draw", ...).assign_coords(draw=range(count)))
    return tree


def _close(collection: Any) -> None:
    import matplotlib.pyplot as plt

    figure = collection.viz["figure"].item()
    if hasattr(figure, "savefig"):
        plt.close(figure)
