"""Programs: kept between processes, found only by what they were made from."""

from __future__ import annotations

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest

from bayeslaw import Param, Runs, fit
from bayeslaw.infer import sample
from bayeslaw.infer.model import Spec, density
from bayeslaw.infer.precision import double
from bayeslaw.infer.program import Program
from bayeslaw.laws import SumLaw, exponent, find_law
from bayeslaw.laws.chinchilla import Chinchilla
from tests.conftest import simulated

X = np.arange(3.0)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("BAYESLAW_CACHE", str(tmp_path))
    return tmp_path / "programs"


class Counted:
    """Twice its argument, and how often that was traced."""

    def __init__(self):
        self.traced = 0

    def __call__(self, x):
        self.traced += 1
        return 2 * x


def called(about="two", x=X, prepare=False):
    fn = Counted()
    program = Program(fn, about)
    if prepare:
        program.prepare(x)
    assert np.asarray(program(x)).tolist() == (2 * x).tolist()
    assert np.asarray(program(x)).tolist() == (2 * x).tolist()
    return fn.traced


@pytest.mark.parametrize("prepare", [False, True])
def test_what_one_process_traced_the_next_does_not(folder, prepare):
    assert called(prepare=prepare) == 1
    assert called(prepare=prepare) == 0


def test_another_computation_or_shape_or_type_is_another_program(folder):
    called()
    assert called("three") == 1
    assert called(x=np.arange(4.0)) == 1
    assert called(x=np.arange(3, dtype=np.float32)) == 1
    assert len(list(folder.iterdir())) == 4


def test_rubbish_in_the_cache_is_made_again(folder):
    called()
    (file,) = folder.iterdir()
    whole = file.read_bytes()
    for rubbish in (b"", b"rubbish", whole[: len(whole) // 2]):
        file.write_bytes(rubbish)
        assert called() == 1
    assert called() == 0


def test_a_cache_that_cannot_be_written_costs_time_only(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("BAYESLAW_CACHE", str(tmp_path / "file"))
    assert called() == 1


def test_what_cannot_be_kept_runs_all_the_same(folder):
    def back(x):
        return jax.pure_callback(
            lambda x: 2 * np.asarray(x), jax.ShapeDtypeStruct(x.shape, x.dtype), x
        )

    assert np.asarray(Program(back, "back")(jnp.ones(2))).tolist() == [2, 2]
    assert not folder.exists()


def test_a_mistake_in_the_function_is_met_as_it_is(folder):
    with pytest.raises(ZeroDivisionError):
        Program(lambda x: x / (1 // 0), "mistake")(X)


class Wider(Chinchilla):
    a_size = Param(dist.LogNormal(-1.0, 0.6), of="size", symbol="α")


class Steeper(Chinchilla):
    def terms(self, x, at, p):
        said = super().terms(x, at, p)
        return {**said, "data": 1.5 * said["data"]}


class Renamed(SumLaw):
    """The same density, but its coordinates are called otherwise."""

    name, formula, source = Chinchilla.name, Chinchilla.formula, Chinchilla.source
    inputs = Chinchilla.inputs
    a_other = Param(exponent(), of="size", symbol="α")
    b_data = Param(exponent(), of="data", symbol="β")

    def terms(self, x, at, p):
        return Chinchilla().terms(x, at, SimpleNamespace(a_size=p.a_other, b_data=p.b_data))


@pytest.mark.parametrize(
    "other",
    [
        Spec(Chinchilla(), "normal", 1, 0),
        Spec(Chinchilla(), "student", 2, 0),
        Spec(Chinchilla(), "student", 1, 3),
        Spec(Chinchilla(), "student", 1, 0, (("a_size", 0.35),)),
        Spec(Wider(), "student", 1, 0),
        Spec(Steeper(), "student", 1, 0),
        Spec(Renamed(), "student", 1, 0),
        Spec(find_law("coupled"), "student", 1, 0),
    ],
    ids=["likelihood", "domains", "lineages", "fixed", "prior", "formula", "names", "wrapped"],
)
def test_densities_that_differ_have_different_fingerprints(other):
    with double():
        plain = density(Spec(Chinchilla(), "student", 1, 0)).fingerprint()
        assert density(Spec(Chinchilla(), "student", 1, 0)).fingerprint() == plain
        assert density(other).fingerprint() != plain


@pytest.mark.slow
def test_a_fit_from_kept_programs_has_the_same_draws(folder, monkeypatch):
    runs = Runs.from_table(simulated(40))
    draws = []
    for _ in range(2):
        sample.programs.cache_clear()
        density.cache_clear()
        draws.append(fit(runs, ["chinchilla"]).members[0].theta["a_size"])
        monkeypatch.setattr("bayeslaw.infer.program._traced", None)  # from here on: found or fail
    assert np.array_equal(*draws)
