# ---
# jupyter:
#   jupytext:
#     formats: py:percent
# ---

# %% [markdown]
# # A first plan
#
# From a table of measured runs to a decision: how large a model, how many tokens, when to split
# it. Open this file as a notebook with jupytext, or run it.

# %%
import os

from bayeslaw import fit, forecast, plan, plots, read_runs

QUICK = bool(os.environ.get("BAYESLAW_QUICK"))  # what the tests set: approximate draws, and few
METHOD, DRAWS = ("laplace", 100) if QUICK else ("nuts", 1000)

# %% [markdown]
# ## The runs
#
# A row is one model measured on one domain. A table is checked when it is read; what is wrong is
# listed at once.

# %%
runs = read_runs("runs/quickstart.csv")
runs

# %% [markdown]
# ## The fit
#
# Two laws are fitted and weighed by how well each predicts the larger runs from the smaller.
# `laws=None` takes all that the table allows.

# %%
# Approximate draws may fail the gate: they are taken all the same, in tests only.
fitted = fit(runs, laws=["additive", "transfer"], method=METHOD).accept(QUICK)
fitted

# %% [markdown]
# ## What they predict
#
# The bands widen beyond the sweep: `calibrated` intervals know what laws have got wrong that far
# out.

# %%
plots.forecast_fan(fitted, domain="code")

# %%
design = {"params": "400k", "pretrain_tokens": "20M", "specialize_tokens": "4M"}
forecast(fitted, design, kind="calibrated", prob=0.9, accept=QUICK)

# %% [markdown]
# ## The plan
#
# The budget is about 70 times the largest run. Its first lines say what limits the answer.

# %%
answer = plan(fitted, flops=1e14, weights={"code": 2}, draws=DRAWS, accept=QUICK)
answer

# %%
plots.domain_forest(answer)

# %%
plots.isoloss_map(fitted, answer)

# %% [markdown]
# Every number is at hand as a table, too.

# %%
table = answer.to_dataframe()
table.groupby("design")[["total_mean", "risk"]].first().sort_values("risk")
