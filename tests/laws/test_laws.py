"""Promises that every law keeps, and the published numbers of some."""

from __future__ import annotations

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest

from bayeslaw.errors import FitError
from bayeslaw.infer.precision import double
from bayeslaw.laws import LAWS, Anchor, Param, Run, SumLaw, exponent, find_law

WRAPPED = ("repeated(chinchilla)", "repeated(coupled(additive))", "coupled(farseer)")
EVERY = [*LAWS.values(), *map(find_law, WRAPPED)]
AT = Anchor(1e8, 1e10, 1e9, 3.0)
NAMES = [law.name for law in EVERY]
# Law -> inputs that it need not fall in. Where the data exponent depends on the size, or large
# models overfit, larger is not always better; forgetting grows with the branch.
FREE = {
    "farseer": {"params"},
    "coupled(farseer)": {"params"},
    "bounded": {"params"},
    "transfer": {"params"},
    "coupled(transfer)": {"params"},
    "interaction": {"pretrain_tokens"},
    "coupled(interaction)": {"pretrain_tokens"},
    "discount": {"params", "pretrain_tokens"},
    "coupled(discount)": {"params", "pretrain_tokens"},
    "mixture": {"pretrain_tokens", "specialize_tokens"},
    "coupled(mixture)": {"pretrain_tokens", "specialize_tokens"},
    "replay": {"replay"},
}


def run(law, n=3e8, d=2e10, split=5e8, unique=6e9, unique_split=1e8, replay=0.1):
    """A run with values for what the law takes."""
    return Run(
        n, d, split if law.two_stage else 0.0, unique, unique_split,
        replay if "replay" in law.inputs else 0.0,
    )  # fmt: skip


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
    one = jax.jit(jax.vmap(lambda x, p: law.log_loss(x, AT, SimpleNamespace(**p)), (0, None)))
    for seed in range(5):
        rng = np.random.default_rng(seed)
        n, d, split = np.exp(rng.uniform(-7, 7, (3, 50)))
        x = run(law, 1e8 * n, 1e10 * d, 1e9 * split, 3e9, 1e9, rng.uniform(0, 1, 50))
        x = Run(*(jnp.broadcast_to(f, 50) for f in x))
        assert np.isfinite(one(x, vars(draw(law, seed)))).all()


@pytest.mark.parametrize("law", EVERY, ids=NAMES)
def test_more_of_anything_never_hurts(law):
    if law.name == "forgetting":
        pytest.skip("there a longer branch forgets more; see its own test")
    for seed in range(5):
        slopes = slopes_of(law, run(law, 2e8, 3e10, 2e9, 5e9, 4e8), draw(law, seed))
        for name in set(law.inputs) - FREE.get(law.name, set()):
            assert slopes[name] <= 1e-15, name


def slopes_of(law, x, p):
    x = Run(*map(jnp.asarray, x))
    return jax.grad(law.log_loss)(x, AT, p)._asdict()


def test_forgetting_grows_with_the_branch_and_shrinks_with_replay_and_size():
    law = find_law("forgetting")
    for seed in range(5):
        slopes = slopes_of(law, run(law), draw(law, seed))
        assert slopes["specialize_tokens"] > 0
        assert all(slopes[name] < 0 for name in ("params", "pretrain_tokens", "replay"))


@pytest.mark.parametrize("law", EVERY, ids=NAMES)
def test_gradient_agrees_with_finite_differences(law):
    p, x = vars(draw(law, 1)), run(law)
    flat, unravel = jax.flatten_util.ravel_pytree(p)
    f = jax.jit(lambda v: law.log_loss(x, AT, SimpleNamespace(**unravel(v))))
    step = 1e-6
    slopes = [(f(flat + step * e) - f(flat - step * e)) / (2 * step) for e in np.eye(len(flat))]
    np.testing.assert_allclose(jax.grad(f)(flat), slopes, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("law", EVERY, ids=NAMES)
def test_a_batch_is_a_loop(law):
    p = draw(law, 2)
    n = np.array([1e7, 1e8, 3e9])
    batch = Run(*np.broadcast_arrays(*run(law, n, 20 * n, n, 5 * n, n)))
    one_by_one = [law.log_loss(Run(*(f[i] for f in batch)), AT, p) for i in range(3)]
    together = jax.vmap(lambda x: law.log_loss(x, AT, p))(Run(*map(jnp.asarray, batch)))
    np.testing.assert_allclose(together, one_by_one, rtol=1e-12)


@pytest.mark.parametrize("law", EVERY, ids=NAMES)
def test_single_precision_agrees_with_double(law):
    p, x = vars(draw(law, 3)), run(law)
    exact = law.log_loss(x, AT, SimpleNamespace(**p))
    single = {n: jnp.asarray(v, jnp.float32) for n, v in p.items()}
    x, at = (type(a)(*(jnp.asarray(f, jnp.float32) for f in a)) for a in (x, AT))
    close = law.log_loss(x, at, SimpleNamespace(**single))
    assert close.dtype == jnp.float32
    np.testing.assert_allclose(close, exact, atol=2e-4)


@pytest.mark.parametrize("law", [w for w in EVERY if isinstance(w, SumLaw)], ids=lambda w: w.name)
def test_terms_sum_to_the_loss_and_are_shares_at_the_anchor(law):
    p = draw(law, 3)
    x = run(law, AT.params, AT.pretrain_tokens, AT.specialize_tokens, replay=0.0)
    terms = {n: np.exp(t) for n, t in law.log_terms(x, AT, p).items()}
    np.testing.assert_allclose(sum(terms.values()), np.exp(law.log_loss(x, AT, p)), rtol=1e-12)
    np.testing.assert_allclose(sum(terms.values()), p.level * AT.loss, rtol=1e-12)
    np.testing.assert_allclose(list(terms.values()), p.level * AT.loss * p.shares, rtol=1e-9)


MAY_NOT_SPLIT = [w for w in EVERY if "specialize_tokens" in w.may_be_zero]


@pytest.mark.parametrize("law", MAY_NOT_SPLIT, ids=lambda w: w.name)
def test_two_stage_laws_are_finite_without_a_second_stage(law):
    for seed in range(5):
        p = draw(law, seed)
        at_zero = law.log_loss(Run(1e8, 1e10, 0.0), AT, p)
        np.testing.assert_allclose(law.log_loss(Run(1e8, 1e10, 1.0), AT, p), at_zero, atol=0.01)
        slopes = jax.grad(lambda q: law.log_loss(Run(1e8, 1e10, 0.0), AT, SimpleNamespace(**q)))
        assert all(np.isfinite(g).all() for g in slopes(vars(p)).values())


WITHOUT_PRETRAINING = [w for w in EVERY if "pretrain_tokens" in w.may_be_zero]


@pytest.mark.parametrize("law", WITHOUT_PRETRAINING, ids=lambda w: w.name)
def test_a_law_that_says_so_is_finite_and_smooth_without_pretraining(law):
    p = draw(law)
    value, slope = jax.value_and_grad(lambda d: law.log_loss(Run(1e8, d, 1e9), AT, p))(0.0)
    assert np.isfinite(value)
    assert np.isfinite(slope)


JOINED = [w for w in LAWS if f"coupled({w})" in LAWS] + ["chinchilla", "farseer", "forgetting"]


@pytest.mark.parametrize("name", JOINED)
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


def mixed(q, d, split):
    h = split / (d + split)
    return 1 / (q["C0"] * (1 - h) ** q["gamma0"] + q["C1"] * h ** q["gamma1"])


def saturating(q, n, d, unique):
    h = q["h0"] + q["a"] * n ** -q["alpha"] + q["b"] * d ** -q["beta"]
    h += q["c"] * n ** q["gamma"] * unique ** -q["delta"]
    return q["E"] + (q["L_max"] - q["E"]) * h / (1 + h)


# Law -> the published formula, of its published parameters q: N, D, D′, U, replay.
FORMULAS = {
    "chinchilla": lambda q, n, d, split, u, r: (
        q["E"] + q["A"] * n ** -q["alpha"] + q["B"] * d ** -q["beta"]
    ),
    "coupled": lambda q, n, d, split, u, r: (
        q["E"] + ((q["A"] * n ** -q["alpha"]) ** q["p"] + (q["B"] * d ** -q["beta"]) ** q["p"])
        ** (1 / q["p"])
    ),
    "farseer": lambda q, n, d, split, u, r: (
        np.exp(q["s"] * n ** q["q"] + q["S"])
        + np.exp(q["B"] * n ** q["b"] + q["Q"]) * d ** -np.exp(q["A"] * n ** q["a"] + q["G"])
    ),
    "bounded": lambda q, n, d, split, u, r: saturating(q, n, d, u),
    "additive": lambda q, n, d, split, u, r: (
        q["E"] + q["A"] * n ** -q["a"] + q["B"] * d ** -q["b"]
        + q["C"] * (split + q["S"]) ** -q["c"]
    ),
    "transfer": lambda q, n, d, split, u, r: (
        q["E"] + q["A"] * n ** -q["a"]
        + q["B"] * (split + q["kappa"] * d ** q["g"] * n ** q["d"]) ** -q["b"]
    ),
    "gap": lambda q, n, d, split, u, r: (
        q["E"] + q["A"] * n ** -q["a"] + q["B"] * (d + q["eta"] * split) ** -q["b"]
        + q["G"] * (1 + split / q["S"]) ** -q["c"]
    ),
    "interaction": lambda q, n, d, split, u, r: (
        q["E"] + q["A"] * n ** -q["a"]
        + q["B"] * d ** -q["b1"]
        * (1 + split / q["S"]) ** (-q["b2"] * (d / AT.pretrain_tokens) ** -q["b3"])
    ),
    "multiplicative": lambda q, n, d, split, u, r: (
        q["E"] + q["A"] / (n ** q["a"] * (split + q["kappa"] * d ** q["g"]) ** q["b"])
    ),
    "discount": lambda q, n, d, split, u, r: (
        (q["E"] + q["A"] * n ** -q["a"] + q["B"] * d ** -q["b"])
        * (1 + split / q["S"])
        ** -(q["c"] * (n / AT.params) ** q["c_N"] * (d / AT.pretrain_tokens) ** q["c_D"])
    ),
    "mixture": lambda q, n, d, split, u, r: (
        q["E"] + mixed(q, d, split) + q["A"] * n ** -q["a"] + q["B"] * (d + split) ** -q["b"]
    ),
    "forgetting": lambda q, n, d, split, u, r: (
        q["E"] + q["A"] * n ** -q["alpha"] + q["B"] * d ** -q["beta"]
        + q["F"] * split ** q["phi"] * ((1 + q["R"] * r) * n) ** -q["psi"]
    ),
    "replay": lambda q, n, d, split, u, r: (
        q["E"] + q["A"] * n ** -q["alpha"]
        + q["B"] * (1 - r) ** q["eta"] * split ** -q["beta"]
        + q["C"] * (1 - r + q["epsilon"]) ** -q["gamma"]
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FORMULAS)
def test_published_parametrisation_gives_the_same_loss(name):
    law, p = find_law(name), draw(find_law(name), 5)
    q = {n: float(v) for n, v in law.published(AT, p).items()}
    x = run(law, 3e8, 7e9, 2e9, 4e9, replay=0.2)
    loss = FORMULAS[name](q, 3e8, 7e9, x.specialize_tokens, 4e9, x.replay)
    np.testing.assert_allclose(np.exp(law.log_loss(x, AT, p)), loss, rtol=1e-9)


def test_farseer_with_its_published_constants():
    # Li et al. 2025, table of the fitted law, in bits/char: N 1e9, D 2e10.
    q = {"s": -0.0625, "q": 0.13, "S": 0.1285, "B": 230.7, "b": -0.173, "Q": -1.544,
         "A": -1.666, "a": 0.0459, "G": 3.133}  # fmt: skip
    law, n0, d0 = find_law("farseer"), AT.params, AT.pretrain_tokens
    first = np.exp(q["s"] * n0 ** q["q"] + q["S"])
    e0 = np.exp(q["A"] * n0 ** q["a"] + q["G"])
    second = np.exp(q["B"] * n0 ** q["b"] + q["Q"]) * d0**-e0
    k = -q["A"] * q["a"] * n0 ** q["a"]
    p = SimpleNamespace(
        level=(first + second) / AT.loss,
        shares=np.array([first, second]) / (first + second),
        f_size=-q["s"] * q["q"] * n0 ** q["q"],
        q_size=q["q"],
        b_data=e0,
        k_data=k,
        a_data=q["a"],
        m_data=q["B"] * q["b"] * n0 ** q["b"] + e0 * k * np.log(d0),
        b_size=-q["b"],
    )
    for n, d in ((1e9, 2e10), (2e7, 5e11)):
        expected = FORMULAS["farseer"](q, n, d, 0, 0, 0)
        np.testing.assert_allclose(np.exp(law.log_loss(Run(n, d), AT, p)), expected, rtol=1e-10)
    for name, value in law.published(AT, p).items():
        np.testing.assert_allclose(value, q[name], rtol=1e-9, err_msg=name)
    # The priors know these constants: none is further than two sd out.
    assert all(abs(z) < 2 for name, z in prior_z(law, p).items() if name != "level")


def prior_z(law, p):
    """Parameter -> how many prior sd a value is from the prior's centre, where that is normal."""
    found = {}
    for name, q in law.parameters.items():
        value = getattr(p, name)
        if isinstance(q.prior, dist.LogNormal):
            found[name] = (np.log(value) - q.prior.loc) / q.prior.scale
        elif isinstance(q.prior, dist.Normal):
            found[name] = (value - q.prior.loc) / q.prior.scale
    return found


def test_interaction_without_decay_splits_at_a_constant_share():
    # b₃ = 0, S → 0: the best branch is b₂ / (b₁ + b₂) of the tokens, whatever their number.
    law, p = find_law("interaction"), draw(find_law("interaction"))
    p.b_data, p.b_branch, p.b_decay, p.s_branch = 0.3, 0.1, 1e-9, 1e-9
    for total in (1e10, 1e13):
        share = np.linspace(0.01, 0.99, 981)
        loss = [law.log_loss(Run(1e9, (1 - h) * total, h * total), AT, p) for h in share]
        np.testing.assert_allclose(share[np.argmin(loss)], 0.25, atol=2e-3)


def test_repeated_discounts_surplus_params_by_the_published_formula():
    # Muennighoff et al. 2023 with α = β: N_opt(u) = (A/B)^(1/α) u.
    law, plain = find_law("repeated"), find_law("chinchilla")
    published = {"A": 521.0, "B": 1488.0, "E": 1.87, "alpha": 0.3527, "beta": 0.3527}
    at = AT._replace(loss=np.array([AT.loss]))
    theta = law.from_published(at, published)
    p = SimpleNamespace(
        **{**theta, "level": theta["level"][0], "r_repeat": 15.39, "r_params": 5.31}
    )
    n, d, u = 3e9, 4e10, 2e9
    enough = (521 / 1488) ** (1 / 0.3527) * u
    assert enough < n
    size = enough + enough * 5.31 * (1 - np.exp(-(n / enough - 1) / 5.31))
    tokens = u + u * 15.39 * (1 - np.exp(-(d / u - 1) / 15.39))
    expected = 1.87 + 521 * size**-0.3527 + 1488 * tokens**-0.3527
    seen = np.exp(law.log_loss(Run(n, d, unique_tokens=u), AT, p))
    np.testing.assert_allclose(seen, expected, rtol=1e-10)
    np.testing.assert_allclose(np.exp(plain.log_loss(Run(size, tokens), AT, p)), seen, rtol=1e-10)


@pytest.mark.parametrize(
    "name", ["repeated", "repeated(coupled(chinchilla), of=pretrain_tokens+params)"]
)
def test_the_optimal_size_is_where_size_and_data_pull_alike(name):
    law = find_law(name).law
    p = draw(law, 7)
    n = law.optimal_params(3e9, AT, p)
    slopes = slopes_of(law, Run(n, 3e9), p)
    np.testing.assert_allclose(slopes["params"] * n, slopes["pretrain_tokens"] * 3e9, rtol=1e-9)


def test_accuracy_falls_from_its_ceiling_to_chance():
    from bayeslaw.laws.accuracy import Accuracy

    law = Accuracy()
    p = draw(law)
    loss = np.linspace(0.1, 12, 200)
    value = np.asarray(law.value(loss, 0.25, p))
    assert (np.diff(value) <= 0).all()
    np.testing.assert_allclose(law.value(1e3, 0.25, p), 0.25, atol=1e-6)
    np.testing.assert_allclose(law.value(-1e3, 0.25, p), 1 - p.e_ceiling, atol=1e-6)
    np.testing.assert_allclose(law.value(p.m_middle, 0.25, p), (0.25 + 1 - p.e_ceiling) / 2)


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
        x = run(law, 1e9, 1e11, 1e9, 5e10)
        losses.append(float(np.exp(law.log_loss(x, AT, draw(law, seed)))))
    assert 0.3 * AT.loss < np.median(losses) < 1.2 * AT.loss
    assert 0.05 * AT.loss < min(losses)
    assert max(losses) < 20 * AT.loss


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
        ("gone.py:Law", "no file 'gone.py'"),
        ("coupled(nothing)", "there is no law 'nothing'"),
        ("repeated(chinchilla, of=params)", "cannot make the law"),
    ],
)
def test_an_unknown_law_is_one_clear_error(name, said):
    with pytest.raises(FitError, match=said.replace("(", r"\(")):
        find_law(name)
