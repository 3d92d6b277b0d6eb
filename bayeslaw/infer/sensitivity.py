"""Power-scaling sensitivity: how a posterior moves when its prior counts a little more or less."""

from __future__ import annotations

import numpy as np
import xarray as xr

from bayeslaw.infer.posterior import Posterior

THRESHOLD = 0.05  # above which a quantity is sensitive


def sensitivity(m: Posterior) -> dict[str, tuple[float, float]]:
    """Published parameter -> sensitivity to (priors, likelihood), the largest over domains.

    How fast the posterior moves (cumulative Jensen-Shannon distance) with the log of the power that
    all priors, or the likelihood, are raised to; from importance weights of the draws (Kallioinen
    et al. 2024, doi:10.1007/s11222-023-10366-5, through ArviZ). In a hierarchy the priors are those
    of the means and of the pooling sds. Empty for a point fit.
    """
    if "log_prior" not in m.tree:
        return {}
    from arviz_stats import psense  # seconds to import

    prior = m.tree["log_prior"].to_dataset()
    top = [n for n in prior.data_vars if not str(n).endswith("_offset")]
    chain, draw = (prior.sizes[d] for d in ("chain", "draw"))
    published = m.published()
    values = {
        str(n): (("chain", "draw", "domain"), v.to_numpy().reshape(chain, draw, -1))
        for n, v in published.items()
        if v.to_numpy().std() > 1e-12 * np.abs(v.to_numpy()).max()
    }
    groups = {
        "posterior": xr.Dataset(values),
        "log_prior": prior[top].drop_vars(("chain", "draw"), errors="ignore"),
        "log_likelihood": m.tree["log_likelihood"]
        .to_dataset()
        .drop_vars(("chain", "draw"), errors="ignore"),
    }
    tree = xr.DataTree.from_dict(groups)
    with np.errstate(all="ignore"):  # weights that are all alike have no tail to fit
        by = [psense(tree, group=group) for group in ("prior", "likelihood")]
    return {name: (float(by[0][name].max()), float(by[1][name].max())) for name in values}
