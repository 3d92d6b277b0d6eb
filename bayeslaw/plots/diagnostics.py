"""Diagnostic plots of a posterior: one function each, listed in `PLOTS`.

Every function takes a `Posterior` and gives an arviz-plots `PlotCollection`; with the backend
"none" it holds data instead of a drawing. The docstring's first line becomes the caption.
"""

from __future__ import annotations

import math
import re
import textwrap
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import arviz_plots as azp
import xarray as xr

from bayeslaw.infer.ensemble import Ensemble
from bayeslaw.infer.posterior import Posterior
from bayeslaw.plots.quantities import chains, inner, paired, quantities, thinned, tree, worst
from bayeslaw.whole import whole

BACKEND = "matplotlib"
TRACED, RANKED = 4, 8  # chains that a panel can show; R-hat looks at all of them
COLUMNS = 4
FEWEST = 20  # effective draws, for LOO weights
PANEL = (2.6, 1.9)  # inches
DPI = 110


def trace(m: Posterior, backend: str = BACKEND) -> Any:
    """Traces of 4 chains, of the quantities with the largest R-hat: all should wander about one
    level."""
    shown = chains(worst(m), TRACED)
    return azp.plot_trace(
        shown,
        backend=backend,
        visuals={"trace": {"width": 0.6, "alpha": 0.8}, "xlabel": False},
        **_grid(shown),
    )


def rank(m: Posterior, backend: str = BACKEND) -> Any:
    """Ranks of 8 chains, of the quantities with the largest R-hat: inside the grey band when chains
    agree."""
    shown = chains(thinned(m, worst(m)), RANKED)
    return azp.plot_rank(shown, backend=backend, ci_prob=0.99, **_grid(shown))


def energy(m: Posterior, backend: str = BACKEND) -> Any:
    """BFMI right of the dashed line, and two energies that are alike: the tails are reached."""
    return azp.plot_energy(m.tree, backend=backend, figure_kwargs=_figure(10, 3.2))


def forest(m: Posterior, backend: str = BACKEND) -> Any:
    """Medians with 50 % and 90 % intervals of the law's parameters."""
    every = quantities(m, "posterior")
    shown = every[[n for n in every.data_vars if not str(n).endswith("%")]]
    rows = sum(v.sizes.get("domain", 1) for v in shown.data_vars.values())
    return azp.plot_forest(
        tree(posterior=shown),
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
    prior, posterior = quantities(m, "prior"), quantities(m, "posterior")
    shown = tree(prior=inner(prior), posterior=posterior)
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
    return azp.plot_loo_pit(paired(m), ci_prob=0.94, backend=backend, figure_kwargs=_figure(7, 3.6))


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


def _figure(width: float, height: float) -> dict[str, Any]:
    return {"figsize": (width, height), "layout": "constrained"}


def _grid(shown: xr.DataTree) -> dict[str, Any]:
    """A panel for every variable, in rows of `COLUMNS`."""
    count = len(shown["posterior"].data_vars)
    columns, rows = min(COLUMNS, count), math.ceil(count / COLUMNS)
    size = _figure(max(2, columns) * PANEL[0], rows * PANEL[1] + 0.8)
    return {"col_wrap": COLUMNS, "figure_kwargs": size}
