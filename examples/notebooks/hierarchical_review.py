# ---
# jupyter:
#   jupytext:
#     formats: py:percent
# ---

# %% [markdown]
# # A review of the hierarchy, with ArviZ
#
# Parameters of a law are partially pooled over domains. Before a plan is trusted: did the chains
# agree, what have the runs taught, how alike are the domains, and what is left unexplained?
# `bayeslaw.az` is ArviZ, the right one on either Python.

# %%
import os

import numpy as np

from bayeslaw import az, fit, plots, read_runs

QUICK = bool(os.environ.get("BAYESLAW_QUICK"))  # what the tests set: one law's approximate draws
METHOD = "laplace" if QUICK else "nuts"

fitted = fit(read_runs("runs/quickstart.csv"), laws=["additive"], method=METHOD)
posterior = fitted.members[0]
posterior

# %% [markdown]
# ## Did the chains agree?
#
# `tree` is an xarray DataTree with ArviZ's groups. A fit that fails its own gate says so:
# `posterior.passed`.

# %%
summary = az.summary(
    posterior.tree, var_names=list(posterior.law.parameters), ci_prob=0.9, ci_kind="eti"
)
summary

# %%
if METHOD == "nuts":
    plots.PLOTS["trace"](posterior)

# %% [markdown]
# ## How alike are the domains?
#
# Domains that pool strongly have nearly one exponent; a domain on its own would show here.

# %%
draws = posterior.to_dataframe()
exponent = draws[[c for c in draws if c.startswith("a_size")]]
exponent.quantile([0.05, 0.5, 0.95]).T

# %%
plots.PLOTS["forest"](posterior)

# %% [markdown]
# ## What have the runs taught?

# %%
plots.PLOTS["prior-posterior"](posterior)

# %% [markdown]
# ## What is left unexplained?
#
# Residuals against every input: a trend in one is a law that is wrong there.

# %%
plots.residuals(posterior)

# %%
missed = np.log(read_runs("runs/quickstart.csv").on_branch().table["loss"])
spread = float(np.std(missed)), float(np.median(posterior.sigma))
print(f"spread of the log losses {spread[0]:.3f}, noise around the law {spread[1]:.4f}")
