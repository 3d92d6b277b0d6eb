"""Stacking: the weights, the rolling origins, and what a sweep says of its laws."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

from bayeslaw import FitError, Runs, find_law, fit
from bayeslaw.infer.allowed import allowed, left_out, spoken_of
from bayeslaw.infer.assess import LEAST, kept, mixed
from bayeslaw.infer.compare import comparison
from bayeslaw.infer.density import log_density, mixture
from bayeslaw.infer.favour import TRUST, centre, evenly, expected_density, favours, shortfall
from bayeslaw.infer.fit import usable
from bayeslaw.infer.refit import Predicted
from bayeslaw.infer.stack import Standing, origins_of, untested, weigh
from bayeslaw.runs import compute_of, lineages_of
from tests.conftest import simulated, two_stage
from tests.fitted import single


def test_a_law_that_is_better_everywhere_gets_all():
    density = np.stack([np.zeros(50), np.full(50, -3.0)])
    weight, sd = weigh(density, np.arange(50))
    assert weight[0] > 0.98
    assert sd[0] < 0.05


def test_weights_are_those_of_the_mixture_that_made_the_runs():
    rng = np.random.default_rng(0)
    truth = rng.random(4000) < 0.3
    y = np.where(truth, 0.0, 3.0) + rng.standard_normal(4000)
    density = np.stack([norm(0, 1).logpdf(y), norm(3, 1).logpdf(y)])
    weight, sd = weigh(density, np.arange(4000))
    np.testing.assert_allclose(weight, [0.3, 0.7], atol=4 * sd.max())
    assert sd.max() < 0.03


def test_few_lineages_leave_the_laws_nearly_alike():
    density = np.stack([np.zeros(6), np.full(6, -0.8), np.full(6, -9.0)])
    weight, _ = weigh(density, np.arange(6) // 2)
    assert 0.4 < weight[1] < weight[0] < 0.6
    assert weight[2] == 0  # surely and by far worse
    many, _ = weigh(np.repeat(density, 200, axis=1), np.arange(1200))
    assert many[0] > 0.95


def test_of_a_family_the_best_alone_has_weight():
    density = np.stack([np.full(9, -0.2), np.zeros(9), np.full(9, -0.1)])
    weight, sd = weigh(density, np.arange(9), ["a", "a", "b"])
    assert weight[0] == sd[0] == 0
    assert weight[1] > weight[2] > 0.3


def test_laws_of_which_nothing_is_known_are_alike_and_the_freest_stands_for_its_family():
    laws = [find_law(n) for n in ("chinchilla", "coupled", "farseer")]
    assert [s.weight for s in untested(laws)] == [0.0, 0.5, 0.5]


def test_few_lineages_leave_the_weights_uncertain():
    rng = np.random.default_rng(1)  # rows of a lineage agree
    density = np.repeat(rng.standard_normal((2, 3)), 20, axis=1)
    assert weigh(density, np.arange(60) // 20)[1][0] > weigh(density, np.arange(60))[1][0]


def test_one_law_has_all_the_weight():
    np.testing.assert_array_equal(weigh(np.zeros((1, 5)), np.arange(5))[0], [1.0])


def test_log_density_is_that_of_the_likelihood():
    p = Predicted(np.zeros((1, 3)), np.zeros((1, 3)), np.full((1, 3), 0.5))
    y = np.array([-1.0, 0.0, 2.0])
    np.testing.assert_allclose(log_density(p, y, "normal")[0], norm(0, 0.5).logpdf(y))


# --- what the smaller runs speak for


def test_laws_that_all_runs_speak_for_are_favoured_where_they_held_further_out():
    inside = np.stack([np.full(40, 1.0), np.full(40, 0.5), np.full(40, -1.0)])
    trusted = favours(inside, 0.0)
    assert trusted[0] > 0.98
    assert trusted.sum() == pytest.approx(1.0)
    # exp(-10): the larger runs were nothing like what that law said.
    np.testing.assert_allclose(favours(inside, 10 * TRUST), np.full(3, 1 / 3), atol=1e-3)
    assert trusted[0] > favours(inside, TRUST)[0] > favours(inside, 2 * TRUST)[0] > 0.4


def test_what_speaks_for_a_law_speaks_for_its_family():
    inside = np.stack([np.full(40, 0.5), np.full(40, 1.0), np.full(40, -1.0)])
    of_family = favours(inside, 0.0, ["a", "a", "b"])
    assert of_family[0] == of_family[1] > 0.98
    # Without trust families are alike, whatever their number of laws.
    np.testing.assert_allclose(favours(inside, np.inf, ["a", "a", "b"]), 0.5, atol=1e-3)


def test_few_lineages_favour_none_surely():
    rng = np.random.default_rng(0)
    few = favours(rng.standard_normal((3, 4)), 0.0)
    assert few.max() < 0.75


def test_a_law_that_is_right_falls_short_of_nothing_and_one_that_is_sure_and_wrong_does():
    rng = np.random.default_rng(0)
    spread = 0.02 * rng.standard_normal((400, 1)) + np.zeros((1, 60))
    said = Predicted(spread, spread, np.full((400, 60), 0.01))
    groups = np.arange(60) // 3
    expected = expected_density(said, "normal")
    # Normal around 0 with both variances: the entropy, -log σ - (1 + log 2π) / 2
    sd = np.hypot(0.02, 0.01)
    assert expected.mean() == pytest.approx(-np.log(sd) - 0.5 * (1 + np.log(2 * np.pi)), abs=0.1)
    short = []
    for seed in range(20):
        y = 0.02 * np.random.default_rng(seed).standard_normal() + 0.01 * rng.standard_normal(60)
        short.append(shortfall(expected, mixture(log_density(said, y, "normal")), groups))
    assert -20 < np.median(short) < 10
    wrong = mixture(log_density(said, np.full(60, 0.2), "normal"))
    assert shortfall(expected, wrong, groups) > 100


def test_of_many_lineages_some_are_looked_at_evenly():
    groups = np.repeat(np.arange(1000), 3)
    kept = evenly(groups, 256)
    assert len(np.unique(groups[kept])) == 250
    assert np.ptp(groups[kept]) > 990
    assert evenly(np.arange(10)).all()


def wave(seed, lineages, runs, bent=0.0):
    """Two laws' predictions of lineages, the first right; and log losses, bent in the larger
    half."""
    rng = np.random.default_rng(seed)
    count = lineages * runs
    y = 0.01 * rng.standard_normal(count) + bent * (np.arange(count) >= count // 2)
    draws = 0.002 * rng.standard_normal((400, 1)) + np.zeros((1, count))
    scale = np.full((400, count), 0.01)
    tilt = 0.02 * np.where(np.arange(count) % 2, 1, -1)
    laws = [[Predicted(m, m, scale)] for m in (draws, draws + tilt)]
    train = np.arange(count) < count // 2
    return y, np.arange(count) // runs, laws, [train], [~train], "normal"


def test_what_is_favoured_is_the_law_of_the_smaller_runs_where_it_held_for_the_larger():
    assert centre(*wave(0, 40, 1))[0] > 0.95
    np.testing.assert_allclose(centre(*wave(0, 40, 1, bent=0.1)), 0.5, atol=0.01)


def test_lineages_that_cannot_be_left_out_favour_none():
    """Few of many runs, each of which decides the fit: k-hat says so."""
    rng = np.random.default_rng(0)
    y, lineage, laws, *rest = wave(0, 4, 30)
    wide = 0.1 * rng.standard_normal((400, 1)) + 0 * laws[0][0].run
    laws = [[Predicted(wide, wide, laws[0][0].scale)], laws[1]]
    np.testing.assert_allclose(centre(y, lineage, laws, *rest), 0.5, atol=1e-3)


def test_origins_leave_out_whole_lineages_the_largest():
    runs = Runs.from_table(two_stage())
    origins = origins_of(runs)
    assert [m.sum() for m in origins] == [48]
    lineage = lineages_of(runs)
    for train in origins:
        assert not set(lineage[train]) & set(lineage[~train])
        assert compute_of(runs)[~train].max() == compute_of(runs).max()


def test_too_few_lineages_make_no_origin():
    assert origins_of(Runs.from_table(simulated(4))) == []


def test_laws_of_little_weight_are_not_sampled_and_the_best_always_is():
    stand = [Standing("a", 0.01), Standing("b", 0.6), Standing("c", 0.39)]
    assert [s.law for s in kept(stand)] == ["b", "c"]
    assert sum(s.weight for s in kept(stand)) == pytest.approx(1.0)
    many = [Standing(str(i), LEAST / 2) for i in range(40)]
    assert len(kept(many)) == 1


def test_a_mixture_has_every_laws_draws_by_weight():
    parts = [np.zeros((100, 2)), np.ones((100, 2))]
    assert mixed(parts, [Standing("a", 0.25), Standing("b", 0.75)]).mean() == 0.75


@pytest.mark.slow
def test_the_law_that_made_the_runs_is_found():
    # A strong bottleneck: the plain sum bends the other way.
    rng = np.random.default_rng(0)
    n, d = np.exp(rng.uniform(np.log([5e7, 1e9]), np.log([5e9, 3e11]), (120, 2))).T
    size, data = 480 * n**-0.35, 2100 * d**-0.37
    table = simulated(120).assign(params=n, pretrain_tokens=d)
    table["loss"] = (1.8 + (size**6 + data**6) ** (1 / 6)) * np.exp(
        0.003 * rng.standard_normal(120)
    )
    fitted = fit(Runs.from_table(table), ["chinchilla", "coupled"])
    assert fitted.weights()["coupled"] > 0.9
    (plain,) = [s for s in fitted.standings if s.law == "chinchilla"]
    assert plain.behind > 2 * plain.behind_se > 0


@pytest.mark.slow
def test_where_no_law_made_the_runs_the_stack_is_as_good_as_its_best_law():
    # A floor that depends on the size, which neither law has.
    table = simulated(100, noise=0.003, seed=1)
    table["loss"] *= 1 + 0.03 * np.sin(np.log(table["params"]))
    runs = Runs.from_table(table)
    fitted = fit(runs, ["chinchilla", "coupled"])
    assert sum(fitted.weights().values()) == pytest.approx(1.0)
    assert fitted.discrepancy.unit > 0
    said = {e["law"]: e for e in comparison(fitted)}
    assert all(np.isfinite(e["elpd"]) and e["elpd_se"] > 0 for e in said.values())


def test_comparison_names_every_law_that_was_looked_at():
    (entry,) = comparison(single())
    assert entry["law"] == "chinchilla"
    assert entry["sampled"]
    assert entry["passed"]
    assert entry["loo_k_hat"] < 0.7
    # 60 runs of 1 % noise: the log density of each is near that of a Student-t of that scale.
    assert 60 * 2.5 < entry["elpd"] < 60 * 4


SINGLE, TWO = Runs.from_table(simulated(12)), Runs.from_table(two_stage())


def test_a_table_allows_the_laws_whose_inputs_it_has():
    assert {law.name for law in allowed(SINGLE)} == {"chinchilla", "coupled", "farseer"}
    assert all(law.two_stage for law in allowed(TWO))
    assert {"additive", "gap", "mixture"} <= {law.name for law in allowed(TWO)}


@pytest.mark.parametrize(
    ("runs", "law", "why"),
    [
        (SINGLE, "additive", "specialize_tokens is never more than 0"),
        (TWO, "chinchilla", "specialize_tokens is not among its inputs"),
        (SINGLE, "repeated", "no run repeats its tokens"),
        (SINGLE, "bounded", "no run repeats its tokens"),
        (TWO, "replay", "replay is never more than 0"),
        (TWO, "forgetting", "no row is of a branch on another domain"),
    ],
)
def test_a_law_that_is_left_out_has_a_reason(runs, law, why):
    assert why in left_out(runs)[law]


def test_a_law_whose_columns_are_there_is_taken():
    repeats = Runs.from_table(simulated(12).assign(unique_tokens=1e9))
    assert {"repeated", "bounded"} <= {law.name for law in allowed(repeats)}
    one_base = two_stage().assign(pretrain_tokens=1e8, replay=0.2)
    one_base["run_id"] = [str(i) for i in range(len(one_base))]
    assert "replay" in {law.name for law in allowed(Runs.from_table(one_base))}


def test_each_law_sees_the_rows_that_it_speaks_of():
    table = two_stage()
    foreign = table[table["branch"] == "d0"].assign(domain="d1", loss=9.0)
    runs = Runs.from_table(pd.concat([table, foreign]))
    own = spoken_of(runs, find_law("additive")).table
    other = spoken_of(runs, find_law("forgetting")).table
    assert (own["loss"] < 9).all()
    assert set(other.loc[other["specialize_tokens"] > 0, "loss"]) == {9.0}
    assert (spoken_of(runs, find_law("replay")).table["specialize_tokens"] > 0).all()


def test_laws_see_plain_second_stages_and_laws_of_replay_those_with_replay():
    table = two_stage()
    other = table[table["specialize_tokens"] > 0].assign(recipe="replay", replay=0.2)
    other["run_id"] += "r"
    both = pd.concat([table.assign(recipe="plain"), other])
    runs = Runs.from_table(both)
    assert len(spoken_of(runs, find_law("additive"))) == len(table)
    assert len(spoken_of(runs, find_law("replay"))) == 2 * len(other)
    with pytest.raises(FitError, match=r"2 recipes .*\(lora, replay\), none of them 'plain'"):
        usable(Runs.from_table(both.replace({"recipe": {"plain": "lora"}})), [find_law("additive")])
