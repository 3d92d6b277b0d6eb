"""Priors by the user: read, checked, and used."""

from __future__ import annotations

import numpy as np
import numpyro.distributions as dist
import pytest

from bayeslaw import FitError, Runs, find_law, fit
from bayeslaw.infer.priors import read_priors, with_priors
from tests.conftest import simulated


def read(tmp_path, text):
    (tmp_path / "p.toml").write_text(text)
    return read_priors(tmp_path / "p.toml")


def test_families_have_the_moments_that_were_asked_for(tmp_path):
    found = read(
        tmp_path,
        "a_size = { lognormal = [0.3, 0.2] }\nd_transfer = { normal = [0, 0.1] }\n"
        "g_transfer = { beta = [3, 1] }\nshares = { dirichlet = [5, 1, 1] }\n",
    )
    assert float(np.log(found["a_size"].icdf(0.5))) == pytest.approx(np.log(0.3), abs=1e-6)
    assert (float(found["d_transfer"].mean), float(found["g_transfer"].mean)) == (0.0, 0.75)
    np.testing.assert_allclose(found["shares"].mean, [5 / 7, 1 / 7, 1 / 7], rtol=1e-6)


def test_every_fault_of_a_file_is_named_at_once(tmp_path):
    text = "a = { cauchy = [0, 1] }\nb = 3\nc = { normal = [0, -1] }\nd = { beta = [1, 2, 3] }\n"
    with pytest.raises(FitError) as error:
        read(tmp_path, text)
    said = str(error.value)
    assert "4 faults" in said
    assert all(f"\n  {name}: " in said for name in "abcd")


@pytest.mark.parametrize("text", ["a = = 1", "\x00"])
def test_a_file_that_is_no_toml_is_one_clear_error(tmp_path, text):
    with pytest.raises(FitError, match="not readable as TOML"):
        read(tmp_path, text)


def test_a_missing_file_is_one_clear_error(tmp_path):
    with pytest.raises(FitError, match="no such file"):
        read_priors(tmp_path / "none.toml")


@pytest.mark.parametrize(
    ("priors", "said"),
    [
        ({"gone": dist.Normal(0, 1)}, "no law has a parameter gone"),
        ({"a_size": dist.Normal(0, 1)}, "a_size: the prior's support is"),
        ({"shares": dist.Dirichlet(np.ones(5))}, "shares: needs 3 numbers"),
        ({"p_couple": dist.Beta(1, 1)}, "p_couple: the prior's support is"),
    ],
)
def test_a_prior_that_does_not_fit_is_refused(priors, said):
    with pytest.raises(FitError, match=said):
        with_priors([find_law("coupled")], priors)


@pytest.mark.parametrize("name", ["chinchilla", "coupled", "repeated(chinchilla)"])
def test_a_law_with_other_priors_is_another_law_and_the_old_one_stays(name):
    law = find_law(name)
    (other,) = with_priors([law], {"a_size": dist.LogNormal(0.0, 0.1)})
    assert other != law
    assert other.name == law.name
    assert law.parameters["a_size"].prior is not other.parameters["a_size"].prior
    assert with_priors([law], {}) == (law,)


def test_a_narrow_prior_holds_the_posterior():
    runs = Runs.from_table(simulated(40))
    priors = {"a_size": dist.LogNormal(np.log(0.5), 1e-3)}
    (m,) = fit(runs, ["chinchilla"], priors=priors).members
    np.testing.assert_allclose(m.theta["a_size"].mean(), 0.5, rtol=2e-3)
