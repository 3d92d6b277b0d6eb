"""Diagnostic plots of a posterior: one function each, listed in `PLOTS`.

Every function takes a `Posterior` and gives an arviz-plots `PlotCollection`; with the backend
"none" it holds data instead of a drawing. The docstring's first line becomes the caption.
"""

from __future__ import annotations

import math
import re
import textwrap
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import arviz_plots as azp
import numpy as np
import xarray as xr
from arviz_stats import rhat

from bayeslaw.infer.ensemble import Ensemble
from bayeslaw.infer.posterior import Posterior, symbols
from bayeslaw.whole import whole

BACKEND = "matplotlib"
TRACED, RANKED = 4, 8  # chains that a panel can show; R-hat looks at all of them
PANELS = 12  # quantities shown one to a panel: those whose chains agree least
COLUMNS = 4
FEWEST = 20  # effective draws, for LOO weights
PANEL = (2.6, 1.9)  # inches
DPI = 110


def trace(m: Posterior, backend: str = BACKEND) -> Any:
    """Traces of 4 chains, of the quantities with the largest R-hat: all should wander about one
    level."""
    shown = _chains(_worst(m), TRACED)
    return azp.plot_trace(
        shown,
        backend=backend,
        visuals={"trace": {"width": 0.6, "alpha": 0.8}, "xlabel": False},
        **_grid(shown),
    )


def rank(m: Posterior, backend: str = BACKEND) -> Any:
    """Ranks of 8 chains, of the quantities with the largest R-hat: inside the grey band when chains
    agree."""
    shown = _chains(_thinned(m, _worst(m)), RANKED)
    return azp.plot_rank(shown, backend=backend, ci_prob=0.99, **_grid(shown))


def energy(m: Posterior, backend: str = BACKEND) -> Any:
    """BFMI right of the dashed line, and two energies that are alike: the tails are reached."""
    return azp.plot_energy(m.tree, backend=backend, figure_kwargs=_figure(10, 3.2))


def forest(m: Posterior, backend: str = BACKEND) -> Any:
    """Medians with 50 % and 90 % intervals of the law's parameters."""
    every = _quantities(m, "posterior")
    shown = every[[n for n in every.data_vars if not str(n).endswith("%")]]
    rows = sum(v.sizes.get("domain", 1) for v in shown.data_vars.values())
    return azp.plot_forest(
        _tree(posterior=shown),
        combined=True,
        point_estimate="median",
        ci_probs=(0.5, 0.9),
        ci_kind="eti",
        backend=backend,
        figure_kwargs=_figure(8, 1.2 + 0.24 * rows),
    )


def predictive(m: Posterior, backend: str = BACKEND) -> Any:
    """Measured log losses (black) among 50 tables that the model would have produced (blue)."""
    return azp.plot_ppc_dist(m.tree, backend=backend, num_samples=50, figure_kwargs=_figure(7, 3.6))


def prior_predictive(m: Posterior, backend: str = BACKEND) -> Any:
    """Measured log losses (black) among 50 tables that the priors would have produced (blue), noise
    left out: the priors should reach the black line, and little that no training run does."""
    return azp.plot_ppc_dist(
        m.tree,
        group="prior_predictive",
        visuals={"observed_dist": {}},
        backend=backend,
        num_samples=50,
        figure_kwargs=_figure(7, 3.6),
    )


def prior_posterior(m: Posterior, backend: str = BACKEND) -> Any:
    """What the runs have taught: prior (95 % of it) against posterior, one line a domain."""
    prior, posterior = _quantities(m, "prior"), _quantities(m, "posterior")
    shown = _tree(prior=_inner(prior), posterior=posterior)
    return azp.plot_prior_posterior(
        shown,
        backend=backend,
        cols=["__variable__"],
        aes={"color": ["group"], "overlay": ["domain"]},
        **_grid(shown),
    )


def loo_pit(m: Posterior, backend: str = BACKEND) -> Any:
    """Where each measured run falls in its own forecast without it: inside the grey band when
    intervals hold."""
    return azp.plot_loo_pit(
        _paired(m), ci_prob=0.94, backend=backend, figure_kwargs=_figure(7, 3.6)
    )


Plot = Callable[..., Any]
PLOTS: dict[str, Plot] = {
    "trace": trace,
    "rank": rank,
    "energy": energy,
    "forest": forest,
    "predictive": predictive,
    "prior-predictive": prior_predictive,
    "prior-posterior": prior_posterior,
    "loo-pit": loo_pit,
}
_NOISE = ("sigma", "lineage_spread")


def plots_of(m: Posterior) -> dict[str, Plot]:
    """The plots that speak about a member: none for a point fit, those of chains only for chains,
    and LOO-PIT only where enough draws count to be weighed."""
    silent: set[str] = set()
    if m.method != "nuts":
        silent |= {"trace", "rank", "energy"}
    if not m.diagnostics.ess_bulk >= FEWEST:
        silent.add("loo-pit")
    return {} if m.method == "huber" else {n: p for n, p in PLOTS.items() if n not in silent}


def draw_all(
    fitted: Ensemble, folder: str | Path, progress: Callable[[str, float], None] | None = None
) -> list[Path]:
    """Write every plot of every member as <law>-<plot>.png, and return the files.

    progress: called with what is drawn next and the share that is done.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    jobs = [(m, name, plot) for m in fitted.members for name, plot in plots_of(m).items()]
    written = []
    for i, (member, name, plot) in enumerate(jobs):
        if progress:
            progress(f"{member.law.name} {name}", i / len(jobs))
        written.append(_draw(member, plot, folder / f"{_slug(member.law.name)}-{name}.png"))
    return written


def draw_comparison(fitted: Ensemble, file: str | Path) -> Path:
    """Weights of the laws, and how far each is behind the best, with their uncertainty."""
    import matplotlib.pyplot as plt

    stand = sorted(fitted.standings, key=lambda s: s.weight)
    names, y = [s.law for s in stand], np.arange(len(stand))
    height = 1.6 + 0.3 * len(stand)
    figure, (left, right) = plt.subplots(1, 2, sharey=True, figsize=(8, height))
    left.barh(y, [s.weight for s in stand], xerr=[s.weight_sd for s in stand], color="C0")
    left.set(yticks=y, yticklabels=names, xlabel="weight ± sd", xlim=(0, 1))
    behind = [-s.behind for s in stand]
    right.errorbar(behind, y, xerr=[2 * s.behind_se for s in stand], fmt="o", color="C0")
    right.axvline(0, color="0.6", lw=0.8)
    right.set_xlabel("log density of a left-out run,\nbelow the best law's (± 2 se)")
    figure.tight_layout()
    try:
        with whole(Path(file)) as beside:
            figure.savefig(beside, dpi=DPI, format="png")
    finally:
        plt.close(figure)
    return Path(file)


def caption(m: Posterior, plot: Plot) -> str:
    """The law and the first sentence of the plot's docstring."""
    about = " ".join((plot.__doc__ or "").split())
    return f"{m.law.name}. {about}"


def _draw(m: Posterior, plot: Plot, file: Path) -> Path:
    import matplotlib.pyplot as plt

    with warnings.catch_warnings():
        # A posterior that failed has flat densities and heavy weights: the gate has said so.
        warnings.simplefilter("ignore", UserWarning)
        warnings.simplefilter("ignore", RuntimeWarning)
        collection = plot(m)
        figure = collection.viz["figure"].item()
        try:
            width = int(11 * figure.get_size_inches()[0])
            figure.suptitle("\n".join(textwrap.wrap(caption(m, plot), width)), fontsize=10)
            with whole(file) as beside:
                figure.savefig(beside, dpi=DPI)
        finally:
            plt.close(figure)
    return file


def _slug(name: str) -> str:
    """A law's name as part of a file's: coupled(additive) -> coupled-additive."""
    return re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-")


def _label(known: dict[str, str], name: str) -> str:
    # A slash would be a path in a DataTree; the division slash looks the same.
    return known.get(name, name).replace("/", "∕")


def _quantities(m: Posterior, group: str) -> xr.Dataset:
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


def _worst(m: Posterior) -> xr.Dataset:
    """The quantities with the largest R-hat, each domain's for itself, in the law's order."""
    flat: dict[str, xr.DataArray] = {}
    for name, array in _quantities(m, "posterior").data_vars.items():
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


def _thinned(m: Posterior, data: xr.Dataset) -> xr.Dataset:
    """Draws so far apart that they are nearly independent, as the band of ranks supposes."""
    total = data.sizes["chain"] * data.sizes["draw"]
    apart = math.ceil(total / max(m.diagnostics.ess_bulk, 1.0))
    return data.isel(draw=slice(None, None, max(1, min(apart, data.sizes["draw"] // 20))))


def _chains(data: xr.Dataset, count: int) -> xr.DataTree:
    """`count` chains, evenly chosen."""
    total = data.sizes["chain"]
    chosen = np.unique(np.linspace(0, total - 1, min(count, total)).astype(int))
    return _tree(posterior=data.isel(chain=chosen))


def _inner(prior: xr.Dataset) -> xr.Dataset:
    """The prior's draws without the outermost 5 %: long tails hide everything else."""
    kept = int(0.95 * prior.sizes["draw"])
    out = {}
    for name, array in prior.data_vars.items():
        ordered = array.transpose(..., "draw").copy(data=np.sort(array.transpose(..., "draw"), -1))
        first = 0 if (ordered > 0).all() else (prior.sizes["draw"] - kept) // 2
        out[name] = ordered.isel(draw=slice(first, first + kept))
    return xr.Dataset(out)


def _tree(**groups: xr.Dataset) -> xr.DataTree:
    return xr.DataTree.from_dict(dict(groups))


def _figure(width: float, height: float) -> dict[str, Any]:
    return {"figsize": (width, height), "layout": "constrained"}


def draw_frontier(said: Mapping[str, Any], path: Path) -> Path:
    """The loss of the best plan at every budget, with its interval, and what else the budget buys.

    said: `Frontier.to_json`.
    """
    import matplotlib.pyplot as plt

    points = said["points"]
    budgets = [p["budget"] for p in points]
    figure, axes = plt.subplots(**_figure(6.4, 4.2))
    low, high = zip(*(p["loss"]["interval"] for p in points), strict=True)
    axes.fill_between(budgets, low, high, alpha=0.25, linewidth=0)
    percent = f"{100 * said['prob']:g} % ({said['kind']})"
    mean = [p["loss"]["mean"] for p in points]
    axes.plot(budgets, mean, marker="o", label=f"plan, {percent}")
    names = list(dict.fromkeys(b["name"] for p in points for b in p["baselines"]))
    for name in names:
        each = [
            (p["budget"], b["loss"]["mean"])
            for p in points
            for b in p["baselines"]
            if b["name"] == name
        ]
        axes.plot(*zip(*each, strict=True), linewidth=1, linestyle="--", label=name)
    axes.set(xscale="log", xlabel="budget, FLOPs", ylabel="weighted loss, nats/token")
    return _saved(figure, axes, path)


def draw_pareto(said: Mapping[str, Any], path: Path) -> Path:
    """The designs of a front, one objective against the other, by arrangement.

    said: `Front.to_json`.
    """
    import matplotlib.pyplot as plt

    first, second = said["between"]
    figure, axes = plt.subplots(**_figure(5.4, 4.2))
    every = [p["values"] for p in said["points"]]
    axes.plot([v[first] for v in every], [v[second] for v in every], color="0.7", linewidth=1)
    for name in dict.fromkeys(p["arrangement"] for p in said["points"]):
        each = [p["values"] for p in said["points"] if p["arrangement"] == name]
        x, y = ([v[key] for v in each] for key in (first, second))
        axes.plot(x, y, marker="o", linestyle="", label=name)
    axes.set(xlabel=f"{first}, nats/token", ylabel=f"{second}, nats/token")
    # The ends of a front may differ in the fifth digit: whole numbers, few enough to stand apart.
    axes.ticklabel_format(useOffset=False)
    axes.locator_params(nbins=4)
    return _saved(figure, axes, path)


def _saved(figure: Any, axes: Any, path: Path) -> Path:
    """A figure of one panel, with its legend, atomically written."""
    import matplotlib.pyplot as plt

    axes.legend(frameon=False, fontsize="small")
    axes.grid(alpha=0.3)
    with whole(path) as beside:
        figure.savefig(beside, dpi=DPI, format="png")
    plt.close(figure)
    return path


def _grid(shown: xr.DataTree) -> dict[str, Any]:
    """A panel for every variable, in rows of `COLUMNS`."""
    count = len(shown["posterior"].data_vars)
    columns, rows = min(COLUMNS, count), math.ceil(count / COLUMNS)
    size = _figure(max(2, columns) * PANEL[0], rows * PANEL[1] + 0.8)
    return {"col_wrap": COLUMNS, "figure_kwargs": size}


def _paired(m: Posterior) -> xr.DataTree:
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
