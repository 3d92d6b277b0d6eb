"""Promises that every law keeps, and the published numbers of some."""

from __future__ import annotations

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bayeslaw.errors import FitError
from bayeslaw.infer.precision import double
from bayeslaw.laws import LAWS, Anchor, Param, Run, SumLaw, exponent, find_law

EVERY = [*LAWS.values(), find_law("repeated(chinchilla)"), find_law("repeated(coupled(additive))")]
AT = Anchor(1e8, 1e10, 1e9, 3.0)
NAMES = [law.name for law in EVERY]


def draw(law, seed=0):
    keys = jax.random.split(jax.random.key(seed), len(law.parameters))
    values = {n: q.prior.sample(k) for k, (n, q) in zip(keys, law.parameters.items(), strict=True)}
    return SimpleNamespace(**values)


@pytest.fixture(autouse=True)
def in_double():
    with double():
        yield


@pytest.mark.parametrize("law", EVERY, ids=NAMES)
def test_finite_and_positive_over_six_decades(law):
    for seed in range(5):
        p = draw(law, seed)
        for n, d, split in np.exp(np.random.default_rng(seed).uniform(-7, 7, (20, 3))):
            x = Run(1e8 * n, 1e10 * d, 1e9 * split if law.two_stage else 0.0, 3e9, 1e9)
            assert np.isfinite(law.log_loss(x, AT, p))


@pytest.mark.parametrize("law", EVERY, ids=NAMES)
def test_more_of_anything_never_hurts(law):
    # Pretraining may be worth less to a larger model (d < 0 in `transfer`): hold that at zero.
    for seed in range(5):
        p = draw(law, seed)
        if hasattr(p, "d_transfer"):
            p.d_transfer = jnp.zeros(())
        x = Run(*(jnp.asarray(v) for v in (2e8, 3e10, 2e9 if law.two_stage else 0.0, 5e9, 4e8)))
        slopes = jax.grad(law.log_loss)(x, AT, p)
        for name in law.inputs:
            assert getattr(slopes, name) <= 1e-15, name


@pytest.mark.parametrize("law", EVERY, ids=NAMES)
def test_gradient_agrees_with_finite_differences(law):
    p = vars(draw(law, 1))
    x = Run(3e8, 2e10, 5e8 if law.two_stage else 0.0, 6e9, 1e8)
    flat, unravel = jax.flatten_util.ravel_pytree(p)

    def f(v):
        return law.log_loss(x, AT, SimpleNamespace(**unravel(v)))

    step = 1e-6
    slopes = [(f(flat + step * e) - f(flat - step * e)) / (2 * step) for e in np.eye(len(flat))]
    np.testing.assert_allclose(jax.grad(f)(flat), slopes, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("law", EVERY, ids=NAMES)
def test_a_batch_is_a_loop(law):
    p = draw(law, 2)
    n = np.array([1e7, 1e8, 3e9])
    batch = Run(n, 20 * n, n if law.two_stage else 0 * n, 5 * n, n)
    one_by_one = [law.log_loss(Run(*(f[i] for f in batch)), AT, p) for i in range(3)]
    together = jax.vmap(lambda x: law.log_loss(x, AT, p))(Run(*map(jnp.asarray, batch)))
    np.testing.assert_allclose(together, one_by_one, rtol=1e-12)


@pytest.mark.parametrize("law", [w for w in EVERY if isinstance(w, SumLaw)], ids=lambda w: w.name)
def test_terms_sum_to_the_loss_and_are_shares_at_the_anchor(law):
    p = draw(law, 3)
    x = Run(AT.params, AT.pretrain_tokens, AT.specialize_tokens if law.two_stage else 0.0)
    terms = {n: np.exp(t) for n, t in law.log_terms(x, AT, p).items()}
    np.testing.assert_allclose(sum(terms.values()), np.exp(law.log_loss(x, AT, p)), rtol=1e-12)
    np.testing.assert_allclose(sum(terms.values()), p.level * AT.loss, rtol=1e-12)
    np.testing.assert_allclose(list(terms.values()), p.level * AT.loss * p.shares, rtol=1e-9)


@pytest.mark.parametrize("law", [w for w in EVERY if w.two_stage], ids=lambda w: w.name)
def test_two_stage_laws_are_finite_without_a_second_stage(law):
    for seed in range(5):
        assert np.isfinite(law.log_loss(Run(1e8, 1e10, 0.0), AT, draw(law, seed)))


@pytest.mark.parametrize("name", ["transfer", "coupled(transfer)"])
def test_transfer_is_finite_and_smooth_without_pretraining(name):
    law, p = find_law(name), draw(find_law(name))
    value, slope = jax.value_and_grad(lambda d: law.log_loss(Run(1e8, d, 1e9), AT, p))(0.0)
    assert np.isfinite(value)
    assert np.isfinite(slope)


@pytest.mark.parametrize("name", ["chinchilla", "additive", "transfer"])
def test_coupled_with_p_one_is_the_plain_law(name):
    plain = find_law(name)
    p = draw(plain, 4)
    coupled = SimpleNamespace(**vars(p), p_couple=jnp.ones(()))
    x = Run(3e8, 7e9, 2e9 if plain.two_stage else 0.0)
    np.testing.assert_allclose(
        find_law(f"coupled({name})").log_loss(x, AT, coupled), plain.log_loss(x, AT, p), rtol=1e-12
    )


def test_coupled_with_large_p_is_a_bottleneck():
    law, p = find_law("coupled"), draw(find_law("coupled"))
    p.p_couple, p.shares = jnp.asarray(400.0), jnp.array([0.4, 0.3, 0.3])
    x = Run(3e8, 7e9)
    size, data = (0.6 * np.exp(t) for n, t in law.terms(x, AT, p).items() if n != "floor")
    expected = p.level * AT.loss * (0.4 + max(size, data))
    np.testing.assert_allclose(np.exp(law.log_loss(x, AT, p)), expected, rtol=1e-2)


@pytest.mark.parametrize("name", ["chinchilla", "coupled", "additive", "transfer"])
def test_published_parametrisation_gives_the_same_loss(name):
    law, p = find_law(name), draw(find_law(name), 5)
    q = {n: float(v) for n, v in law.published(AT, p).items()}
    n, d, split = 3e8, 7e9, 2e9 if law.two_stage else 0.0
    if name in ("chinchilla", "coupled"):
        a, b = q["A"] * n ** -q["alpha"], q["B"] * d ** -q["beta"]
        power = q.get("p", 1.0)
        loss = q["E"] + (a**power + b**power) ** (1 / power)
    elif name == "additive":
        loss = q["E"] + q["A"] * n ** -q["a"] + q["B"] * d ** -q["b"]
        loss += q["C"] * (split + q["S"]) ** -q["c"]
    else:
        worth = q["kappa"] * d ** q["g"] * n ** q["d"]
        loss = q["E"] + q["A"] * n ** -q["a"] + q["B"] * (split + worth) ** -q["b"]
    np.testing.assert_allclose(np.exp(law.log_loss(Run(n, d, split), AT, p)), loss, rtol=1e-10)


def test_repeated_is_the_plain_law_without_repeats_and_its_published_formula_with():
    law, plain = find_law("repeated(chinchilla)"), find_law("chinchilla")
    p = draw(law)
    p.r_repeat = jnp.asarray(15.39)
    fresh = Run(1e8, 4e9, unique_tokens=4e9)
    assert law.log_loss(fresh, AT, p) == plain.log_loss(fresh, AT, p)
    # Muennighoff et al. 2023: D' = U + U R* (1 - e^(-R/R*)), R = epochs - 1.
    worth = 1e9 + 1e9 * 15.39 * (1 - np.exp(-3 / 15.39))
    seen = law.log_loss(Run(1e8, 4e9, unique_tokens=1e9), AT, p)
    np.testing.assert_allclose(seen, plain.log_loss(Run(1e8, worth), AT, p), rtol=1e-12)


def test_repeated_without_a_second_stage_is_finite():
    law = find_law("repeated(additive, of=specialize_tokens)")
    x = Run(1e8, 4e9, 0.0, unique_specialize_tokens=1e8)
    assert np.isfinite(law.log_loss(x, AT, draw(law)))


@pytest.mark.parametrize("flops", [1e18, 1e21, 6e23])
def test_chinchilla_closed_form_is_where_the_slope_vanishes(flops):
    law, p = find_law("chinchilla"), draw(find_law("chinchilla"), 6)
    best = law.closed_form(flops, AT, p)
    np.testing.assert_allclose(6 * best.params * best.pretrain_tokens, flops, rtol=1e-12)

    def along(log_n):
        n = jnp.exp(log_n)
        return law.log_loss(Run(n, flops / (6 * n)), AT, p)

    assert abs(jax.grad(along)(jnp.log(best.params))) < 1e-9


@pytest.mark.parametrize("law", EVERY, ids=NAMES)
def test_prior_predictive_stays_in_a_sane_range(law):
    losses = []
    for seed in range(40):
        x = Run(1e9, 1e11, 1e9 if law.two_stage else 0.0)
        losses.append(float(np.exp(law.log_loss(x, AT, draw(law, seed)))))
    assert 0.3 * AT.loss < np.median(losses) < 1.2 * AT.loss


@pytest.mark.parametrize("law", LAWS.values(), ids=list(LAWS))
def test_a_law_is_found_again_by_its_name(law):
    assert find_law(law.name) is law
    assert law.formula
    assert law.source


def test_a_body_that_disagrees_with_its_declaration_is_refused():
    with pytest.raises(TypeError, match=r"'pretrain_tokens' is declared but not used.*'spare'"):

        class Wrong(SumLaw):
            name = "wrong"
            inputs = ("params", "pretrain_tokens")
            a_size = Param(exponent())
            spare = Param(exponent())

            def terms(self, x, at, p):
                return {"floor": 0.0, "size": -p.a_size * jnp.log(x.params / at.params)}


def test_a_law_from_a_file_works_like_ours(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(
        "import jax.numpy as jnp\n"
        "from bayeslaw import Param, SumLaw\n"
        "from bayeslaw.laws import exponent\n"
        "class Mine(SumLaw):\n"
        "    name = 'mine'\n"
        "    inputs = ('params',)\n"
        "    a_size = Param(exponent(), of='size')\n"
        "    def terms(self, x, at, p):\n"
        "        return {'floor': 0.0, 'size': -p.a_size * jnp.log(x.params / at.params)}\n"
    )
    law = find_law(f"{file}:Mine")
    assert law.term_names == ("floor", "size")
    assert np.isfinite(law.log_loss(Run(1e9, 1e9), AT, draw(law)))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nothing", "there is no law 'nothing'. Laws: chinchilla"),
        ("gone.py:Law", "no law file 'gone.py'"),
        ("coupled(nothing)", "there is no law 'nothing'"),
        ("repeated(chinchilla, of=params)", "cannot make the law"),
    ],
)
def test_an_unknown_law_is_one_clear_error(name, said):
    with pytest.raises(FitError, match=said.replace("(", r"\(")):
        find_law(name)
