"""The sampler: known answers, covered truth, and refusal where it did not converge."""

from __future__ import annotations

from dataclasses import replace

import arviz_stats
import jax
import numpy as np
import pandas as pd
import pytest
import xarray as xr

from bayeslaw import Ensemble, FitError, Run, Runs, RunsError, fit, forecast, read_posterior
from bayeslaw.infer.fit import Settings
from tests.conftest import chinchilla_loss, simulated, two_stage
from tests.fitted import single

# Too short to converge from anywhere.
HASTY = Settings(starts=4, chains=4, block=5, draws=1, longest=1, attempts=1, nuts_warmup=5,
                 nuts_draws=5, nuts_chains=2)  # fmt: skip


def summary(fitted: Ensemble) -> tuple[np.ndarray, np.ndarray]:
    draws = np.stack([np.asarray(v).ravel() for v in fitted.members[0].published().values()])
    return draws.mean(1), draws.std(1)


def test_same_seed_same_draws():
    runs = Runs.from_table(simulated(40))
    one, two, other = (
        fit(runs, ["chinchilla"], seed=s).members[0].tree["posterior"] for s in (3, 3, 4)
    )
    assert one.equals(two)
    assert not one.equals(other)


@pytest.mark.slow
def test_short_chains_agree_with_long_nuts():
    runs = Runs.from_table(simulated(60))
    mean, sd = summary(single())
    # No short run is allowed: NumPyro's NUTS in the same coordinates is all that is left.
    reference = fit(runs, ["chinchilla"], settings=replace(Settings(), attempts=0))
    assert reference.members[0].diagnostics.gradients > 0
    other, other_sd = summary(reference)
    assert (mean - other) / other_sd == pytest.approx(np.zeros(5), abs=0.1)
    assert sd / other_sd == pytest.approx(np.ones(5), abs=0.1)


def test_the_laplace_preview_agrees_with_the_sampler():
    runs = Runs.from_table(simulated(60))
    preview = fit(runs, ["chinchilla"], method="laplace")
    d = preview.members[0].diagnostics
    assert d.passed
    assert d.k_hat < 0.7
    mean, sd = summary(single())
    other, _ = summary(preview)
    assert (mean - other) / sd == pytest.approx(np.zeros(5), abs=0.25)


@pytest.mark.long
def test_simulated_truth_is_covered_as_often_as_stated():
    # 60 sweeps × 5 designs, far beyond them: short chains would give narrow intervals.
    n, d = np.array([1e9, 7e10, 1e8, 5e11, 3e10]), np.array([2e10, 1.4e12, 1e12, 1e11, 6e9])
    truth = chinchilla_loss(n, d)
    ranks = []
    for seed in range(60):
        runs = Runs.from_table(simulated(60, 0.01, seed))
        fitted = fit(runs, ["chinchilla"], likelihood="normal", seed=seed)
        assert fitted.passed, fitted.members[0].diagnostics.failures
        ranks.append((fitted.losses(Run(n, d), draws=2000)[..., 0] < truth).mean(0))
    ranks = np.array(ranks)
    for nominal in (0.5, 0.8, 0.9):
        inside = np.abs(ranks - 0.5) < nominal / 2
        # Designs of one sweep move together: count sweeps, with 3 binomial sd of room.
        room = 3 * np.sqrt(nominal * (1 - nominal) / 60)
        assert inside.mean() == pytest.approx(nominal, abs=room), nominal


@pytest.mark.long
def test_two_stage_truth_is_covered():
    table = two_stage(3, 0.005)
    fitted = fit(Runs.from_table(table), ["additive"])
    assert fitted.passed, fitted.members[0].diagnostics.failures
    designs = [
        {"params": 1.6e7, "pretrain_tokens": 3.6e8, "specialize_tokens": s} for s in (1e7, 1e8)
    ]
    for row in forecast(fitted, designs, kind="mean", prob=0.99).rows:
        truth = (
            1.0 + 0.1 * int(row.domain[1:]) + 0.6 * 4.0**-0.3 + 0.4 * 3.6**-0.35
            + 0.3 * ((row.specialize_tokens + 1e6) / 1e7) ** -0.3
        )  # fmt: skip
        assert row.lo < truth < row.hi, row


@pytest.mark.slow
def test_draws_that_did_not_converge_are_refused():
    fitted = fit(Runs.from_table(simulated(20)), ["chinchilla"], settings=HASTY)
    assert not fitted.passed
    assert fitted.members[0].weight == 0
    assert fitted.members[0].diagnostics.failures
    with pytest.raises(FitError, match="no law passed the convergence gate"):
        fitted.accept()
    assert fitted.accept(True).weights()


def test_a_fit_leaves_jax_as_it_was():
    before = jax.config.jax_enable_x64, jax.config.jax_compilation_cache_dir
    single().losses(Run(1e9, 2e10))
    assert (jax.config.jax_enable_x64, jax.config.jax_compilation_cache_dir) == before
    assert jax.numpy.ones(1).dtype == np.float32


@pytest.mark.slow
def test_saved_and_read_it_answers_the_same(tmp_path):
    fitted = fit(Runs.from_table(two_stage()), ["additive", "transfer"], method="huber")
    for whole in (fitted, single()):
        again = read_posterior(whole.save(tmp_path / "p.nc"))
        assert [m.law.name for m in again.members] == [m.law.name for m in whole.members]
        assert again.domains == whole.domains
        assert again.weights() == whole.weights()
        design = {"params": 3e9, "pretrain_tokens": 6e10}
        assert forecast(again, design).rows == forecast(whole, design).rows
        for a, b in zip(again.members, whole.members, strict=True):
            assert a.passed == b.passed
            assert a.runs_digest == b.runs_digest
            assert a.ranges == b.ranges


def test_plain_arviz_opens_the_file(tmp_path):
    tree = xr.open_datatree(single().save(tmp_path / "p.nc"), engine="h5netcdf")
    groups = {"posterior", "sample_stats", "log_likelihood", "log_prior", "prior",
              "posterior_predictive", "observed_data"}  # fmt: skip
    assert groups <= set(tree.children)
    table = arviz_stats.summary(tree, var_names=["a_size", "b_data", "sigma"])
    assert len(table) == 3
    assert list(tree["posterior"].coords["shares_term"].values) == ["floor", "size", "data"]
    assert float(arviz_stats.loo(tree).elpd) > 0


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"method": "vi"}, "nuts, laplace, huber"),
        ({"likelihood": "cauchy"}, "student, normal"),
        ({"laws": "none"}, "no law 'none'"),
        ({"laws": "additive", "fixed": {"b_speed": 1.0}}, "has no parameter b_speed"),
    ],
)
def test_what_cannot_be_fitted_is_refused_with_the_remedy(arguments, says):
    with pytest.raises(FitError, match=says):
        fit(Runs.from_table(two_stage()), **arguments)


def test_a_law_without_the_second_stage_is_refused_rows_that_have_one():
    with pytest.raises(RunsError, match=r"specialize_tokens.*not an input of chinchilla; choose"):
        fit(Runs.from_table(two_stage()), laws=["chinchilla"])


def test_several_sweeps_in_one_call_are_refused():
    both = pd.concat([two_stage(), two_stage().assign(sweep="other")], ignore_index=True)
    with pytest.raises(FitError, match="Fit one at a time"):
        fit(Runs.from_table(both))
