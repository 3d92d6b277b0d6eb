"""Risks against NumPy."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from bayeslaw.errors import PlanError
from bayeslaw.infer.precision import double
from bayeslaw.plan import Risk, parse_risk

DRAWS = np.random.default_rng(0).gamma(2.0, size=101)
ALL = ["mean", "quantile:0.9", "quantile:0.05", "cvar:0.1", "cvar:0.333", "entropic:3"]


@pytest.fixture(autouse=True)
def in_double():
    with double():
        yield


def worst(draws, share):
    """Mean of the worst share: every draw carries 1/n of probability, the last one in part."""
    left, total = share, 0.0
    for value in sorted(draws, reverse=True):
        taken = min(left, 1 / len(draws))
        total, left = total + taken * value, left - taken
    return total / share


def test_mean_and_quantile_are_numpys():
    assert float(Risk("mean")(DRAWS)) == pytest.approx(DRAWS.mean(), rel=1e-14)
    for q in (0.01, 0.37, 0.5, 0.9, 0.999):
        assert float(Risk("quantile", q)(DRAWS)) == pytest.approx(np.quantile(DRAWS, q), rel=1e-14)


@pytest.mark.parametrize("share", [0.004, 1 / 101, 0.05, 0.1, 0.333, 0.5, 0.999])
def test_cvar_is_the_mean_of_the_worst_share_with_a_draw_in_part(share):
    assert float(Risk("cvar", share)(DRAWS)) == pytest.approx(worst(DRAWS, share), rel=1e-12)


def test_cvar_goes_from_the_worst_draw_to_the_mean():
    assert float(Risk("cvar", 1e-9)(DRAWS)) == pytest.approx(DRAWS.max(), rel=1e-12)
    assert float(Risk("cvar", 1 - 1e-9)(DRAWS)) == pytest.approx(DRAWS.mean(), rel=1e-8)


def test_a_higher_level_is_a_higher_quantile_and_a_larger_share_a_lower_cvar():
    levels = np.linspace(0.01, 0.99, 60)
    assert (np.diff([float(Risk("quantile", q)(DRAWS)) for q in levels]) >= 0).all()
    assert (np.diff([float(Risk("cvar", a)(DRAWS)) for a in levels]) <= 0).all()


def test_cvar_is_no_less_than_the_quantile_where_its_tail_begins():
    for a in (0.05, 0.2, 0.7):
        assert Risk("cvar", a)(DRAWS) >= Risk("quantile", 1 - a)(DRAWS)


@pytest.mark.parametrize("risk", ALL)
def test_the_gradient_is_finite_and_sums_to_one_also_among_equal_draws(risk):
    for draws in (DRAWS, np.ones(50)):
        slope = np.asarray(jax.grad(parse_risk(risk))(draws))
        assert (slope >= 0).all()
        assert slope.sum() == pytest.approx(1.0, rel=1e-12)


def test_mean_and_spread_are_numpys_and_equal_draws_have_a_gradient():
    assert float(Risk("mean+sd", 2.0)(DRAWS)) == pytest.approx(DRAWS.mean() + 2 * DRAWS.std())
    slope = np.asarray(jax.grad(Risk("mean+sd", 2.0))(np.ones(50)))
    np.testing.assert_allclose(slope, 1 / 50)


def test_the_entropic_risk_is_its_closed_form_and_goes_from_the_mean_to_the_worst():
    # Of a normal, mean + theta var / 2.
    draws = np.random.default_rng(1).normal(2.0, 0.1, 200_000)
    assert float(Risk("entropic", 5.0)(draws)) == pytest.approx(2.0 + 5 * 0.01 / 2, abs=1e-3)
    assert float(Risk("entropic", 1e-8)(DRAWS)) == pytest.approx(DRAWS.mean(), rel=1e-6)
    assert float(Risk("entropic", 1e4)(DRAWS)) == pytest.approx(DRAWS.max(), abs=1e-3)


def test_the_probability_of_a_target_has_a_slope_where_it_is_nought():
    risk = Risk("reach", 2.0)
    assert float(risk(DRAWS)) == pytest.approx((DRAWS > 2.0).mean())
    (smooth,) = risk.descents
    for draws in (DRAWS, DRAWS + 50):
        slope = np.asarray(jax.grad(smooth)(draws))
        assert np.isfinite(slope).all()
        assert slope.sum() > 0


def test_what_stands_in_for_a_quantile_is_near_it_and_the_quantile_comes_last():
    smooth, last = Risk("quantile", 0.9).descents
    assert last == Risk("quantile", 0.9)
    assert Risk("quantile", 0.9).descents[0] == smooth  # else it would be compiled again and again
    draws = np.random.default_rng(2).normal(size=4000)
    assert float(smooth(draws)) == pytest.approx(float(last(draws)), abs=0.05)
    assert [r.descents for r in (Risk("mean"), Risk("cvar", 0.1))] == [
        (Risk("mean"),), (Risk("cvar", 0.1),)
    ]  # fmt: skip


def test_a_risk_may_be_a_function_of_draws(tmp_path):
    ours = parse_risk(lambda draws: draws.max())
    assert float(ours(DRAWS)) == DRAWS.max()
    file = tmp_path / "risks.py"
    file.write_text("def half(draws):\n    return draws.mean() / 2\n\nwhole = 3\n")
    assert float(parse_risk(f"{file}:half")(DRAWS)) == pytest.approx(DRAWS.mean() / 2)
    assert str(parse_risk(f"{file}:half")) == f"{file}:half"
    with pytest.raises(PlanError, match="is not a function of draws"):
        parse_risk(f"{file}:whole")
    with pytest.raises(PlanError, match="not one number of an array of draws"):
        parse_risk(lambda draws: draws)


@pytest.mark.parametrize("risk", ALL)
def test_a_risk_is_read_back_from_how_it_is_written(risk):
    assert str(parse_risk(risk)) == risk
    assert parse_risk(parse_risk(risk)) == parse_risk(risk)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("entropy", "'entropy' is not one of mean, quantile:LEVEL, cvar:LEVEL"),
        ("", "'' is not one of mean"),
        ("mean:0.5", "'mean' takes no level"),
        ("cvar", "needs a level between 0 and 1, as cvar:0.1"),
        ("entropic:0", "needs a level above 0, as entropic:20"),
        ("mean+sd:-1", "needs a level above 0, as mean\\+sd:1"),
        ("reach:inf", "needs a level above 0, as reach:1.10"),
        ("none.py:risk", "no file 'none.py'"),
        ("cvar:0", "needs a level between 0 and 1"),
        ("quantile:1", "needs a level between 0 and 1"),
        ("quantile:nan", "needs a level between 0 and 1"),
        ("quantile:high", "needs a level between 0 and 1"),
        ("cvar:-0.1", "needs a level between 0 and 1"),
    ],
)
def test_a_risk_that_cannot_be_is_one_clear_error(text, said):
    with pytest.raises(PlanError, match=said):
        parse_risk(text)
