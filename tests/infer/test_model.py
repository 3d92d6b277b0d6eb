"""The model: coordinates never change the posterior, and padding never counts."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpyro.handlers import seed, trace
from scipy import stats

from bayeslaw import Runs
from bayeslaw.infer.model import (
    SHEAR,
    Spec,
    anchor_of,
    density,
    non_centred,
    parameters,
    pooled_shapes,
    recentre,
    rows_of,
    sheared,
    spread_prior,
)
from bayeslaw.infer.precision import double
from bayeslaw.laws import find_law
from tests.conftest import simulated, two_stage


def posed(law: str, table, likelihood="student"):
    runs = Runs.from_table(table)
    rows, lineages, _ = rows_of(runs, anchor_of(runs))
    return Spec(find_law(law), likelihood, len(runs.domains), len(lineages)), rows


def some_points(spec, count=20, seed=0):
    return 0.3 * np.random.default_rng(seed).standard_normal((count, density(spec).size))


@pytest.mark.parametrize("law", ["additive", "transfer"])
@pytest.mark.slow
def test_another_centring_is_the_same_posterior(law):
    with double():
        spec, rows = posed(law, two_stage())
        d, plain = density(spec), non_centred(spec)
        z = some_points(spec)
        other, chosen = recentre(spec, z, plain)
        assert any((c > 0.05).any() for c in chosen.values())
        describe = jax.jit(d.describe)
        for x, y in zip(z[:3], other[:3], strict=True):
            one, two = describe(x, rows, plain), describe(y, rows, chosen)
            for name in spec.law.parameters:
                same = np.asarray(two.values[name])
                assert np.asarray(one.values[name]) == pytest.approx(same, rel=1e-9), name
            # The density changes by the Jacobian of the change of coordinates, and no more.
            move = jax.jacobian(lambda x: d.ravel(_moved(d.unravel(x, plain), chosen), chosen))
            change = np.linalg.slogdet(np.asarray(move(x)))[1]
            before, after = d.potential(x, rows, plain), d.potential(y, rows, chosen)
            assert float(after - before) == pytest.approx(change, abs=1e-6)


def _moved(values, chosen):
    """From no centring to the chosen one: ζ = c mean + spread^c offset."""
    moved = dict(values)
    for name, c in chosen.items():
        if name not in ("lineage", SHEAR):
            spread = jnp.exp(values[f"{name}_spread"])
            mean = values[f"{name}_mean"]
            moved[f"{name}_offset"] = c * mean + spread**c * values[f"{name}_offset"]
    return moved


def test_a_shear_is_the_same_posterior_and_takes_the_effects_out_of_the_rest():
    with double():
        spec, rows = posed("additive", two_stage())
        d, plain = density(spec), non_centred(spec)
        rng = np.random.default_rng(0)
        covariance = 0.01 * (np.eye(d.size) + 1)  # every two coordinates correlate at one half
        z = rng.multivariate_normal(np.zeros(d.size), covariance, 4000)
        other, chosen = sheared(spec, z, plain, covariance)
        describe, potential = jax.jit(d.describe), jax.jit(d.potential)
        for x, y in zip(z[:3], other[:3], strict=True):
            one, two = describe(x, rows, plain), describe(y, rows, chosen)
            assert np.asarray(one.loc) == pytest.approx(np.asarray(two.loc), rel=1e-9)
            before, after = potential(x, rows, plain), potential(y, rows, chosen)
            assert float(before) == pytest.approx(float(after), rel=1e-12)
            assert np.asarray(d.ravel(d.unravel(y, chosen), chosen)) == pytest.approx(y)
        of_lineages = d.sites == "lineage_offset"
        effects = np.exp(z[:, d.sites == "lineage_spread"]) * z[:, of_lineages]
        rest = ~(of_lineages | (d.sites == "lineage_spread"))

        def correlation(points):
            every = np.corrcoef(np.c_[points[:, rest], effects], rowvar=False)
            return np.abs(every[: rest.sum(), rest.sum() :]).max()

        assert correlation(z) > 0.4 > 5 * correlation(other)


def test_rows_and_padding_can_be_reordered():
    with double():
        table = two_stage()
        spec, rows = posed("additive", table)
        mixed = table.sample(frac=1, random_state=0)
        again, others = posed("additive", mixed)
        # Lineages are numbered in sorted order either way: the same points mean the same.
        z = some_points(spec, 3)
        c = non_centred(spec)
        one = [float(density(spec).potential(x, rows, c)) for x in z]
        two = [float(density(again).potential(x, others, c)) for x in z]
        assert one == pytest.approx(two, rel=1e-12)


def test_the_likelihood_is_the_one_that_is_promised():
    with double():
        table = simulated(20)
        table["loss_se"] = 0.01 * table["loss"]
        for name, family in (("student", stats.t(4)), ("normal", stats.norm)):
            spec, rows = posed("chinchilla", table, name)
            d, c = density(spec), non_centred(spec)
            said = d.describe(some_points(spec, 1)[0], rows, c)
            sigma = float(said.values["sigma"])
            scale = np.sqrt(sigma**2 + 0.01**2)
            kept = np.asarray(rows.kept)
            z = (np.asarray(rows.log_loss) - np.asarray(said.loc))[kept] / scale
            expected = family.logpdf(z) - np.log(scale)
            assert np.asarray(said.log_likelihood)[kept] == pytest.approx(expected, rel=1e-9)


def test_a_law_without_padding_effects_sees_only_its_rows():
    with double():
        spec, rows = posed("chinchilla", simulated(20))
        d, c = density(spec), non_centred(spec)
        z = some_points(spec, 1)[0]
        spoiled = rows._replace(log_loss=np.where(rows.kept, rows.log_loss, 99.0))
        assert float(d.potential(z, rows, c)) == float(d.potential(z, spoiled, c))


def test_the_anchor_is_where_every_term_is_its_share():
    runs = Runs.from_table(two_stage())
    at = anchor_of(runs)
    positive = runs.table["specialize_tokens"]
    positive = positive[positive > 0]
    assert at.specialize_tokens == pytest.approx(np.exp(np.log(positive).mean()))
    assert at.loss == pytest.approx(runs.table.groupby("domain")["loss"].median().to_numpy())


def test_single_domain_models_have_no_hierarchy():
    spec, _ = posed("chinchilla", simulated(20))
    assert pooled_shapes(spec) == {}


def test_every_trunk_with_several_rows_gets_an_effect():
    spec, rows = posed("additive", two_stage())
    assert spec.lineages == 3
    assert rows.lineage.sum() == rows.kept.sum() + (~rows.kept).sum()


def test_the_spread_prior_keeps_its_docstring():
    u = np.asarray(spread_prior(0.3).icdf(np.array([0.05, 0.5, 0.95])))
    assert u == pytest.approx([0.3 / 5.4, 0.15, 0.3 * 1.34], rel=0.02)


def test_fixed_parameters_are_not_sampled():
    spec, _ = posed("additive", two_stage())
    held = Spec(spec.law, "student", spec.domains, spec.lineages, (("s_branch", 0.1),))
    with double():
        sites = trace(seed(parameters, 0)).get_trace(held, non_centred(held))
    assert not any(n.startswith("s_branch") for n in sites)
