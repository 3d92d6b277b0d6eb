"""The outlook against the ensemble that it is of."""

from __future__ import annotations

from dataclasses import replace

import jax
import numpy as np
import pytest

from bayeslaw import Run
from bayeslaw.errors import PlanError
from bayeslaw.infer.precision import double
from bayeslaw.plan.outlook import Outlook
from tests.plan import drawn

FITTED = drawn.ensemble("additive", 2, 150)
DESIGNS = [
    Run(1e8, 1e10, 1e9),  # inside
    Run(1e11, 1e13, 1e12),  # beyond, in all
    Run(1e6, 1e8, 0.0),  # before, and not split
    Run(1e8, 1e10, np.array([1e12, 0.0])),  # one branch beyond
]


@pytest.fixture(autouse=True)
def in_double():
    with double():
        yield


@pytest.mark.parametrize("run", DESIGNS)
def test_it_is_the_curves_and_the_discrepancys_own_functions_less_their_mean(run):
    outlook = Outlook.of(FITTED, draws=150, seed=3)
    full = Run(*np.broadcast_arrays(*[np.atleast_1d(f) for f in (*run[:3], np.zeros(2))][:3]))
    delta = FITTED.discrepancy.sample(full, 2, 150, 3)
    own = np.stack([delta[:, min(k, delta.shape[1] - 1), k] for k in range(2)], 1)
    curves = np.asarray(Outlook.of(FITTED, "mean", 150).log_loss(run))
    expected = curves + own - own.mean(0)
    np.testing.assert_allclose(outlook.log_loss(run), expected, atol=1e-12)


def test_chance_tilts_no_law_and_no_reweighted_one():
    one, other = (drawn.ensemble(law, 2).members[0] for law in ("additive", "transfer"))
    outlook = Outlook.of(replace(FITTED, members=(one, other)), draws=100)
    counts = [len(theta["level"]) for theta in outlook.curves.thetas]
    rows = np.split(np.arange(sum(counts)), np.cumsum(counts)[:-1])
    assert len(rows) == 2
    for own in rows:
        np.testing.assert_allclose(outlook.beyond.slopes[own].mean(0), 0.0, atol=1e-15)
    weight = np.random.default_rng(0).dirichlet(np.ones(len(rows[1])))
    centred = outlook.centred(rows[1], weight).beyond.slopes
    np.testing.assert_allclose(np.tensordot(weight, centred[rows[1]], 1), 0.0, atol=1e-15)
    np.testing.assert_array_equal(centred[rows[0]], outlook.beyond.slopes[rows[0]])


def test_inside_the_sweep_it_is_the_curves():
    for run, same in zip(DESIGNS, (True, False, False, False), strict=True):
        both = [np.asarray(Outlook.of(FITTED, kind, 150).log_loss(run)) for kind in
                ("mean", "calibrated")]  # fmt: skip
        assert np.allclose(*both) == same


@pytest.mark.parametrize("kind", ["mean", "calibrated"])
def test_designs_of_each_draws_own_are_the_same_function(kind):
    outlook = Outlook.of(FITTED, kind, 150)
    for run in DESIGNS:
        np.testing.assert_allclose(
            outlook.log_loss_each(run), outlook.log_loss(run), rtol=1e-12, atol=1e-12
        )


def test_thinning_keeps_whole_draws():
    outlook = Outlook.of(FITTED, draws=150)
    few, rows = outlook.thinned(20), outlook.thinned_rows(20)
    assert 20 <= few.draws <= 40
    run = DESIGNS[1]
    np.testing.assert_allclose(few.log_loss(run), np.asarray(outlook.log_loss(run))[rows])


@pytest.mark.parametrize("run", DESIGNS)
def test_its_gradient_is_finite_also_where_nothing_is_branched(run):
    outlook = Outlook.of(FITTED, draws=150)
    full = np.stack([np.broadcast_to(f, (2,)).astype(float) for f in run[:3]])
    slope = jax.grad(lambda by: outlook.log_loss(Run(*(full * jax.numpy.exp(by)))).sum())
    assert np.isfinite(np.asarray(slope(np.zeros((3, 2))))).all()


def test_a_fit_without_a_discrepancy_has_its_curves_only():
    bare = replace(FITTED, discrepancy=None)
    with pytest.raises(PlanError, match="plan with kind 'mean'"):
        Outlook.of(bare)
    assert Outlook.of(bare, "mean").beyond is None
    with pytest.raises(PlanError, match="kind 'run' is not one of mean, calibrated"):
        Outlook.of(FITTED, "run")
