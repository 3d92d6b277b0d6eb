"""Quantities: the draws of a posterior under the field's own symbols, as ArviZ plots take them."""

from __future__ import annotations

import math

import numpy as np
import xarray as xr
from arviz_stats import rhat

from bayeslaw.infer.posterior import Posterior, symbols

PANELS = 12  # quantities shown one to a panel: those whose chains agree least
_NOISE = ("sigma", "lineage_spread")


def _label(known: dict[str, str], name: str) -> str:
    # A slash would be a path in a DataTree; the division slash looks the same.
    return known.get(name, name).replace("/", "∕")


def quantities(m: Posterior, group: str) -> xr.Dataset:
    """Symbol -> draws (chain, draw[, domain]) of the law's parameters and the noise; a vector gives
    one variable for each of its entries. Hyperparameters are left to the file."""
    data, known = m.tree[group].to_dataset(), symbols(m.law)
    out: dict[str, xr.DataArray] = {}
    for name in (*m.law.parameters, *_NOISE):
        if name not in data:
            continue
        array = data[name]
        label = _label(known, name)
        if name in _NOISE:
            label, array = f"{label}, %", 100 * array
        inner = [d for d in array.dims if d not in ("chain", "draw", "domain")]
        if not inner:
            out[label] = array
            continue
        entries = array.stack(entry=inner)
        for key in entries["entry"].to_numpy():
            said = ", ".join(map(str, key))
            out[f"{label} {said}"] = entries.sel(entry=key).drop_vars(["entry", *inner])
    return xr.Dataset(out)


def worst(m: Posterior) -> xr.Dataset:
    """The quantities with the largest R-hat, each domain's for itself, in the law's order."""
    flat: dict[str, xr.DataArray] = {}
    for name, array in quantities(m, "posterior").data_vars.items():
        if "domain" not in array.dims or array.sizes["domain"] == 1:
            flat[str(name)] = (
                array.squeeze("domain", drop=True) if "domain" in array.dims else array
            )
            continue
        for domain in array["domain"].to_numpy():
            flat[f"{name}, {domain}"] = array.sel(domain=domain, drop=True)
    data = xr.Dataset(flat)
    disagreement = {n: float(v) for n, v in rhat(data).data_vars.items()}
    chosen = set(sorted(flat, key=lambda n: -disagreement[n])[:PANELS])
    return data[[n for n in flat if n in chosen]]


def thinned(m: Posterior, data: xr.Dataset) -> xr.Dataset:
    """Draws so far apart that they are nearly independent, as the band of ranks supposes."""
    total = data.sizes["chain"] * data.sizes["draw"]
    apart = math.ceil(total / max(m.diagnostics.ess_bulk, 1.0))
    return data.isel(draw=slice(None, None, max(1, min(apart, data.sizes["draw"] // 20))))


def chains(data: xr.Dataset, count: int) -> xr.DataTree:
    """`count` chains, evenly chosen."""
    total = data.sizes["chain"]
    chosen = np.unique(np.linspace(0, total - 1, min(count, total)).astype(int))
    return tree(posterior=data.isel(chain=chosen))


def inner(prior: xr.Dataset) -> xr.Dataset:
    """The prior's draws without the outermost 5 %: long tails hide everything else."""
    kept = int(0.95 * prior.sizes["draw"])
    out = {}
    for name, array in prior.data_vars.items():
        ordered = array.transpose(..., "draw").copy(data=np.sort(array.transpose(..., "draw"), -1))
        first = 0 if (ordered > 0).all() else (prior.sizes["draw"] - kept) // 2
        out[name] = ordered.isel(draw=slice(first, first + kept))
    return xr.Dataset(out)


def tree(**groups: xr.Dataset) -> xr.DataTree:
    return xr.DataTree.from_dict(dict(groups))


def paired(m: Posterior) -> xr.DataTree:
    """The draws that the predictive draws were made from, so that the two can be weighted alike."""
    tree = m.tree.copy()
    count = tree["posterior_predictive"].sizes["draw"]
    for group in ("posterior", "log_likelihood"):
        data = tree[group].to_dataset()
        flat = data.stack(sample=("chain", "draw")).reset_index("sample", drop=True)
        some = np.linspace(0, flat.sizes["sample"] - 1, count).astype(int)
        picked = flat.isel(sample=some).rename(sample="draw").expand_dims(chain=[0])
        picked = picked.transpose("chain", "draw", ...).assign_coords(draw=range(count))
        tree[group] = xr.DataTree(picked)
    return tree
