# ---
# jupyter:
#   jupytext:
#     formats: py:percent
# ---

# %% [markdown]
# # A closed loop
#
# Fit, plan, ask what to run next, run it, fit again. Here a formula stands for the training runs,
# so that the truth is known and the loop can be judged: the plan's regret against the best that
# the truth allows.

# %%
import os

import numpy as np
import pandas as pd

from bayeslaw import Runs, fit, plan, plots, suggest

QUICK = bool(os.environ.get("BAYESLAW_QUICK"))  # what the tests set: approximate draws, and few
METHOD, DRAWS = ("laplace", 100) if QUICK else ("nuts", 1000)
BUDGET, SPEND, ROUNDS, NOISE = 1e18, 2e15, 1 if QUICK else 2, 0.005
DOMAINS = {"code": 1.0, "prose": 1.3}
rng = np.random.default_rng(0)


# %%
def truth(n, d, split, floor):
    """The loss that a training run would have, but for its noise."""
    branch = ((split + 1e6) / 1e7) ** -0.3
    return floor + 0.6 * (n / 4e6) ** -0.3 + 0.4 * (d / 1e8) ** -0.35 + 0.3 * branch


def train(designs, step):
    """Rows of the runs that were asked for: (N, D, D′, branch); without a branch all domains. A
    design may be asked for again: a repeat has a name of its own."""
    rows = []
    for n, d, split, branch in designs:
        for domain in [branch] if branch else DOMAINS:
            loss = truth(n, d, split, DOMAINS[domain]) * np.exp(NOISE * rng.standard_normal())
            rows.append(
                {
                    "params": n, "pretrain_tokens": d, "specialize_tokens": split,
                    "branch": branch, "domain": domain, "loss": loss, "lineage": f"{n:g}-{d:g}",
                    "run_id": f"{step}-{n:g}-{d:g}-{split:g}-{branch}", "sweep": "loop",
                }
            )  # fmt: skip
    return pd.DataFrame(rows)


# %% [markdown]
# ## The pilot sweep

# %%
pilot = [
    (n, d, d * share, branch if share else "")
    for n in (1e6, 4e6, 1.6e7)
    for d in (4e7, 1.6e8)
    for share in (0.0, 0.05, 0.3)
    for branch in (DOMAINS if share else [""])
]
rows = train(pilot, 0)

# %% [markdown]
# ## The loop
#
# `suggest` looks for runs whose outcome would improve the decision most, for what they cost. It
# ends when no run is shown to be worth its FLOPs.

# %%
regrets = []
for step in range(ROUNDS + 1):
    # Approximate draws may fail the gate: they are taken all the same, in tests only.
    fitted = fit(Runs.from_table(rows), laws=["additive"], method=METHOD).accept(QUICK)
    answer = plan(fitted, BUDGET, arrangements=["trunk"], draws=DRAWS, accept=QUICK)
    run = answer.chosen.run
    reached = np.mean([
        truth(n, d, s, floor)
        for n, d, s, floor in zip(*run[:3], DOMAINS.values(), strict=True)
    ])  # fmt: skip
    ratios = np.exp(rng.uniform(np.log([5, 0.02]), np.log([500, 2.0]), (4000, 2)))
    n = np.sqrt(BUDGET / (6 * ratios[:, 0] * (1 + 2 * ratios[:, 1])))
    d = ratios[:, 0] * n
    best = np.mean(
        [truth(n, d, ratios[:, 1] * d, floor) for floor in DOMAINS.values()], axis=0
    ).min()
    regrets.append(reached - best)
    print(f"{len(rows)} rows: loss {reached:.4f}, the best there is {best:.4f}")
    if step == ROUNDS:
        break
    following = suggest(fitted, BUDGET, SPEND, runs=2, draws=DRAWS, accept=QUICK)
    if not following.runs:
        print("no run is worth its FLOPs")
        break
    asked = [
        (s.run.params, s.run.pretrain_tokens, s.run.specialize_tokens, s.run.branch)
        for s in following.runs
    ]
    rows = pd.concat([rows, train(asked, step + 1)], ignore_index=True)

# %%
following = suggest(fitted, BUDGET, SPEND, runs=2, draws=DRAWS, accept=QUICK)
plots.evsi(following)

# %% [markdown]
# The plan is never better than the truth allows, and close to it.

# %%
assert -1e-3 < regrets[-1] < 0.05, regrets
