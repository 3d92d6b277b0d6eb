"""Every law finds its own simulated runs again, and is read back from a file as it was."""

from __future__ import annotations

from types import SimpleNamespace

import jax
import numpy as np
import pandas as pd
import pytest

from bayeslaw import Runs, fit, read_posterior
from bayeslaw.infer.precision import double
from bayeslaw.laws import LAWS, Anchor, Run, find_law

NOISE = 0.004
EVERY = [*LAWS.values(), *map(find_law, ("repeated(additive)", "coupled(farseer)"))]


def simulated_by(law, rows=96, seed=3) -> tuple[pd.DataFrame, np.ndarray]:
    """Runs of a draw from the law's prior, and their log losses before noise."""
    rng = np.random.default_rng(seed)
    n, d, split, unique, few = (
        np.exp(rng.uniform(np.log(lo), np.log(hi), rows))
        for lo, hi in ((3e7, 3e9), (1e9, 1e11), (3e7, 3e9), (1e9, 1e11), (3e7, 3e9))
    )
    if not law.two_stage:
        split = np.zeros(rows)
    elif "specialize_tokens" in law.may_be_zero:
        split[rng.random(rows) < 0.25] = 0.0
    replay = rng.uniform(0.0, 0.6, rows) * (split > 0) if "replay" in law.inputs else np.zeros(rows)
    with double():
        keys = jax.random.split(jax.random.key(seed), len(law.parameters))
        theta = {
            n: np.asarray(q.prior.sample(k))
            for k, (n, q) in zip(keys, law.parameters.items(), strict=True)
        }
        at = Anchor(3e8, 1e10, 3e8, 3.0)
        x = Run(n, d, split, unique, few, replay)
        log_loss = np.asarray(jax.vmap(lambda x: law.log_loss(x, at, SimpleNamespace(**theta)))(x))
    own = "d0" if law.rows == "own branch" else "d1"
    table = pd.DataFrame({
        "params": n, "pretrain_tokens": d, "specialize_tokens": split, "unique_tokens": unique,
        "unique_specialize_tokens": few, "replay": replay, "domain": "d0",
        "branch": np.where(split > 0, own, ""),
        "loss": np.exp(log_loss + NOISE * rng.standard_normal(rows)),
    })  # fmt: skip
    return table, log_loss


# Those made of another law are fitted as it is: `make test-long`.
MARKED = [pytest.param(w, marks=pytest.mark.long if "(" in w.name else ()) for w in EVERY]


@pytest.mark.slow
@pytest.mark.parametrize("law", MARKED, ids=lambda law: law.name)
def test_a_law_recovers_its_own_runs_and_is_read_back_the_same(law, tmp_path):
    table, truth = simulated_by(law)
    fitted = fit(Runs.from_table(table), [law], method="laplace").accept(True)
    x = Run(*[table[c].to_numpy() for c in Run._fields])
    losses = fitted.losses(x, draws=400)[:, :, 0]
    missed = np.log(np.median(losses, 0)) - truth
    # Six to twelve parameters of 96 runs: what is left of the noise is about a third of it.
    assert np.sqrt((missed**2).mean()) < NOISE * 0.6
    back = read_posterior(fitted.save(tmp_path / "one.nc"))
    assert back.members[0].law == law
    np.testing.assert_array_equal(back.losses(x, draws=400)[:, :, 0], losses)
