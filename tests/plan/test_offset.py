"""Other ways to train: what runs of them say beside the laws, and what a plan makes of it."""

from __future__ import annotations

import json
from dataclasses import replace

import jax
import numpy as np
import pandas as pd
import pytest

from bayeslaw import Runs, fit
from bayeslaw.cli.planned import plan as lines
from bayeslaw.errors import PlanError
from bayeslaw.infer.contrast import Contrast, contrasts_of
from bayeslaw.infer.ensemble import read_posterior
from bayeslaw.infer.precision import double
from bayeslaw.laws import Run
from bayeslaw.plan import offset, plan
from bayeslaw.plan.offset import levels_of, offset_of
from bayeslaw.plan.outlook import Outlook
from bayeslaw.verify.prediction import Predictor
from tests.conftest import two_stage
from tests.plan import drawn

NOISE = 0.01  # σ of the drawn ensembles
GRID = [(n, d, r) for n in (3e7, 3e8) for d in (3e9, 3e10) for r in (0.03, 0.3)]


def contrast(fitted, way, effect, truth=100, twins=False, trunk=0.0, seed=0, level=np.nan):
    """Runs of a way, its effect on log loss a function of (domain, log ratio), by one draw of the
    laws as their truth."""
    rng, domains = np.random.default_rng(seed), len(fitted.domains)
    n, d, r = np.array(GRID).T
    n, d, r = (np.repeat(v, domains) for v in (n, d, r))
    lineage = np.repeat(np.arange(len(GRID)) // 2, domains)
    k = np.tile(np.arange(domains), len(GRID))
    split, ratio, reference = r * d, np.log(r), Run(n, d, r * d)
    if way == "scratch":
        d, split, ratio, reference = 0 * d, d, np.log(d / 1e10), Run(n, d, 0 * d)
    with double():
        logs = [
            np.asarray(Outlook.of(fitted, "mean", 200).log_loss(Run(*one)))[truth, j]
            for *one, j in zip(*reference[:3], k, strict=True)
        ]
    common = trunk * rng.standard_normal(len(GRID))[lineage]
    usual, own = NOISE * rng.standard_normal((2, len(n)))
    twin = logs + common + usual if twins else np.full(len(n), np.nan)
    log_loss = logs + common + effect(k, ratio) + own
    zero = np.zeros(len(n))
    return Contrast(way, n, d, split, zero + level, k, lineage, log_loss, zero, twin)


def learnt(fitted, found):
    outlook = Outlook.of(fitted, "mean", 200)
    with double():
        return offset_of(fitted, found, outlook.log_loss, 200)


def sure(law="additive", domains=2, count=200):
    """All draws are of one curve."""
    theta = drawn.draws(law, domains, count)
    return drawn.of(law, {n: v[:1].repeat(count, 0) for n, v in theta.items()})


# --- what is learnt


@pytest.mark.parametrize("law", ["additive", "transfer"])
@pytest.mark.parametrize(("way", "twins"), [("joint", True), ("joint", False), ("scratch", False)])
def test_the_effect_that_runs_were_made_with_is_found(law, way, twins):
    fitted = sure(law)
    made = contrast(fitted, way, lambda k, r: 0.05 - 0.02 * k + 0.01 * r, twins=twins)
    found = learnt(fitted, made)
    centre = found.centre[0] - (np.log(1e10) if way == "scratch" else 0.0)
    at = np.array([0.05, 0.03]) + 0.01 * centre
    level, slope = np.asarray(found.level), found.slopes[:, 0]
    assert (np.abs(level.mean(0) - at) < 3 * level.std(0)).all()
    assert abs(slope.mean() - 0.01) < 3 * slope.std()
    assert (level.std(0) < 0.01).all()
    assert slope.std() < 0.005


def test_what_a_trunk_has_of_its_own_cancels_between_twins():
    fitted = sure()
    made = contrast(fitted, "joint", lambda k, r: 0.05 + 0 * r, twins=True, trunk=0.3)
    found = learnt(fitted, made)
    assert found.level.mean(0) == pytest.approx([0.05, 0.05], abs=0.012)
    lonely = learnt(fitted, replace(made, twin=np.full(len(made), np.nan)))
    assert lonely.level.std(0).min() > 3 * found.level.std(0).max()


def test_draws_are_those_of_the_posterior():
    fitted, counts = sure(count=4000), np.repeat([2.0, 4.0], len(GRID))
    made = contrast(fitted, "experts", lambda k, r: 0.02 + 0 * r, truth=0)
    made = replace(made, level=counts, lineage=np.arange(len(made)))
    outlook = Outlook.of(fitted, "mean", 4000)
    with double():
        found = levels_of(fitted, made, outlook.log_loss, 4000)
        run = zip(made.params, made.pretrain_tokens, made.specialize_tokens, strict=True)
        said = np.array([np.asarray(outlook.log_loss(Run(*x)))[0] for x in run])
    y = made.log_loss - said[np.arange(len(made)), made.domain]
    # Given s the two counts are normal and apart; s by quadrature.
    s = np.geomspace(0.05, 200, 4001)
    weight, moments = -offset.LIKE * np.log(s) - offset.LIKE / (2 * s**2), {}
    for k in (2, 4):
        its, n = y[counts == k], (counts == k).sum()
        var, prior = (s * NOISE) ** 2, offset.LEVEL**2
        alike = prior / (var + n * prior)
        weight = weight - ((n - 1) * np.log(var) + np.log(var + n * prior)) / 2
        weight -= ((its**2).sum() - alike * its.sum() ** 2) / (2 * var)
        moments[k] = alike * its.sum(), alike * var
    weight = np.exp(weight - weight.max())
    weight /= weight.sum()
    for k, (mean, var) in moments.items():
        draws = np.asarray(found[k].level)[:, 0]
        exact = weight @ mean
        sd = np.sqrt(weight @ (var + mean**2) - exact**2)
        assert draws.mean() == pytest.approx(exact, abs=0.2 * sd / np.sqrt(len(draws)) + 1e-4 * sd)
        assert draws.std() == pytest.approx(sd, rel=0.05)


def test_a_domain_without_runs_is_less_sure_and_so_is_a_size_far_away():
    fitted = sure()
    made = contrast(fitted, "joint", lambda k, r: 0.05 + 0 * r, twins=True)
    one = made.domain == 0
    only = Contrast("joint", *(v[one] for n, v in vars(made).items() if n != "way"))
    found = learnt(fitted, only)
    level = np.asarray(found.level)
    assert level[:, 1].std() > 5 * level[:, 0].std()
    assert level[:, 1].mean() == pytest.approx(0.05, abs=0.03)
    near, far = (
        np.asarray(found.of(Run(*np.full((3, 2), n) * [[1], [100], [10]])))[:, 0].std()
        for n in (1e8, 1e12)
    )
    assert far > 3 * near


def test_a_trend_is_not_carried_beyond_what_was_measured():
    found = learnt(sure(), contrast(sure(), "joint", lambda k, r: 0.1 * r, twins=True))

    def at(ratio, n=1e8):
        return np.asarray(found.of(Run(*(np.full(2, x) for x in (n, 1e10, 1e10 * ratio)))))[:, 0]

    inside = at(0.3 / 1.5) - at(0.03 * 1.5)
    assert inside.mean() == pytest.approx(0.1 * np.log(0.2 / 0.045), abs=0.02)
    further = at(0.3 * 4) - at(0.3)
    # The prior's mean is 0, and its sd grows with the distance.
    assert further.mean() == pytest.approx(0.0, abs=0.03)
    assert further.std() == pytest.approx(0.05 * np.log(4), rel=0.3)
    assert at(1e-9) == pytest.approx(at(0.03 / 4), abs=1e-6)  # and ends somewhere


# --- what a plan makes of it


@pytest.mark.parametrize(("effect", "best"), [(-0.1, "joint"), (0.1, "trunk")])
def test_a_joint_second_stage_wins_where_its_runs_are_better(effect, best):
    fitted = drawn.ensemble("additive", 2)
    made = contrast(fitted, "joint", lambda k, r: effect + 0 * r, twins=True)
    answer = plan(replace(fitted, contrasts=(made,)), 1e20, draws=100)
    assert answer.chosen.name == best
    assert answer.p_best > 0.9
    assert sum(map(answer.p_best_of, answer.by_arrangement)) == pytest.approx(1.0)
    assert {name for name, _ in answer.not_assessable} == {"scratch"}
    joint = answer.by_arrangement["joint"]
    assert joint.flops == pytest.approx(1e20, rel=1e-9)
    assert answer.information.evpi == pytest.approx(answer.regret(answer.chosen), abs=1e-9)


def test_with_one_domain_and_no_effect_joint_is_the_trunk():
    fitted = drawn.ensemble("additive", 1, split_ratio=(0.03, 0.3))  # where runs were
    made = contrast(fitted, "joint", lambda k, r: 0 * r, twins=True)
    none = replace(made, log_loss=made.twin)
    fitted = replace(fitted, contrasts=(none,))
    answer = plan(fitted, 1e20, draws=200, kind="mean", stretch=1.0)
    both = answer.by_arrangement
    assert both["joint"].risk == pytest.approx(both["trunk"].risk, abs=2e-3)
    # Further out it is less sure, and an expected loss is the higher for it.
    both = plan(replace(fitted), 1e20, draws=200, kind="mean").by_arrangement
    assert 0 < both["joint"].risk - both["trunk"].risk < 0.01


@pytest.mark.parametrize("risk", ["mean", "cvar:0.2"])
def test_scratch_at_its_best_is_the_best_of_a_grid(risk):
    fitted = drawn.ensemble("additive", 1)
    made = contrast(fitted, "scratch", lambda k, r: -0.05 + 0.01 * r)
    fitted = replace(fitted, contrasts=(made,))
    answer = plan(fitted, 1e20, risk=risk, draws=200, kind="mean", arrangements=["scratch"])
    n = np.geomspace(1e7, 1e10, 2001)
    tokens = 1e20 / 6 / n
    low, high = fitted.ranges["tokens_per_param"]
    inside = (tokens / n >= low / 4) & (tokens / n <= high * 4)
    n, tokens = n[inside], tokens[inside]
    column = n[:, None]
    law = drawn.additive_loss(drawn.draws("additive", 1), column, tokens[:, None], 0 * column)
    found = learnt(fitted, made)
    with double():
        by = np.asarray(jax.vmap(lambda m, s: found.of(Run(m, 0.0, s)))(n, tokens))[..., 0]
    draws = law[..., 0] * np.exp(by)
    worst = np.sort(draws, axis=1)[:, ::-1][:, :40]
    risks = draws.mean(1) if risk == "mean" else worst.mean(1)
    assert answer.chosen.risk == pytest.approx(risks.min(), abs=1e-5)
    assert answer.chosen.run.pretrain_tokens[0] == 0
    said = answer.to_json()
    assert json.loads(json.dumps(said, allow_nan=False)) == said
    assert lines(said)[0].startswith("scratch, 1e20 FLOPs")


def test_no_draw_of_another_way_is_better_than_its_own_optimum():
    fitted = drawn.ensemble("additive", 2)
    ways = tuple(contrast(fitted, w, lambda k, r: 0.02 * r) for w in ("joint", "scratch"))
    answer = plan(replace(fitted, contrasts=ways), 1e20, draws=200)
    for name in ("joint", "scratch"):
        own = answer.hindsight.among([name])
        assert (own.best <= answer.by_arrangement[name].totals + 1e-9).all()


def test_without_runs_of_a_way_it_is_not_assessable_and_refused_with_the_reason():
    fitted = drawn.ensemble("additive", 2)
    with pytest.raises(PlanError, match="joint: no runs of recipe joint"):
        plan(fitted, 1e20, arrangements=["joint"])
    with pytest.raises(PlanError, match="scratch: no runs with pretrain_tokens = 0"):
        plan(fitted, 1e20, arrangements=["scratch"])


# --- how many branches


def levelled(fitted, way, effects):
    """A fit with runs of several levels of a way, each of its own effect."""
    every = [
        contrast(fitted, way, lambda k, r, e=e: e + 0 * r, truth=0, level=level, seed=i,
                 twins=way in ("replay", "distill"))
        for i, (level, e) in enumerate(effects.items())
    ]  # fmt: skip
    columns = zip(*(list(vars(c).values())[1:] for c in every), strict=True)
    return replace(fitted, contrasts=(Contrast(way, *map(np.concatenate, columns)),))


def counted(fitted, effects):
    return levelled(fitted, "experts", effects)


def test_counts_of_branches_are_compared_at_their_cost():
    fitted = counted(sure(), {2: 0.0, 8: -0.15})
    said = plan(fitted, 1e20, draws=200, kind="mean").to_json()["experts"]
    assert said["not_assessable"] is None
    few, many = said["counts"]
    assert (few["experts"], many["experts"]) == (2, 8)
    assert many["p_best"] > 0.95
    for c in (few, many):
        tokens = c["pretrain_tokens"] + c["experts"] / 2 * sum(c["specialize_tokens"].values())
        assert 6 * c["params"] * tokens == pytest.approx(1e20, rel=1e-9)
        assert c["served_params"] == c["experts"] * c["params"]
    # Where more branches gain nothing, their tokens are lost.
    alike = plan(counted(sure(), {2: 0.0, 8: 0.0}), 1e20, draws=200, kind="mean").to_json()
    few, many = alike["experts"]["counts"]
    assert many["loss"]["mean"] > few["loss"]["mean"]
    assert any(line.split()[:1] == ["branches"] for line in lines(alike))


def test_as_many_branches_as_domains_without_an_effect_are_the_trunk():
    fitted = sure()
    answer = plan(counted(fitted, {2: 0.0, 4: 0.0}), 1e20, draws=200, kind="mean")
    two = answer.experts.each[0]
    assert two.totals.mean() == pytest.approx(
        answer.by_arrangement["trunk"].totals.mean(), abs=0.02
    )


def test_one_count_is_no_comparison():
    said = plan(drawn.ensemble("additive", 2), 1e20, draws=200).to_json()["experts"]
    assert said == {"not_assessable": "no two counts of experts were measured", "counts": []}


# --- how much replay


def forgetting(domains=2, count=200):
    """A fit of branches on other domains, R about 2500."""
    ones = np.ones((count, domains))
    theta = {
        "level": ones, "a_size": 0.35 * ones, "b_data": 0.3 * ones, "f_branch": 0.4 * ones,
        "f_size": 0.3 * ones, "r_replay": 2500 * ones,
        "shares": np.broadcast_to([0.5, 0.2, 0.2, 0.1], (count, domains, 4)),
    }  # fmt: skip
    return drawn.of("forgetting", theta)


def replayed(fitted, effects):
    return levelled(fitted, "replay", effects)


def test_shares_of_replay_are_compared_with_what_they_keep_from_being_forgotten():
    fitted = replayed(sure(), {0.1: 0.02, 0.25: 0.06})
    answer = plan(fitted, 1e20, draws=200, kind="mean", forgetting=forgetting())
    said = answer.to_json()["replay"]
    assert [s["replay"] for s in said["shares"]] == [0.0, 0.1, 0.25]
    none, tenth, quarter = said["shares"]
    assert none["loss"]["mean"] == pytest.approx(answer.by_arrangement["trunk"].risk, abs=1e-8)
    assert none["p_best"] > 0.9
    for share, effect in ((tenth, 0.02), (quarter, 0.06)):
        ratio = np.log(share["loss"]["mean"] / none["loss"]["mean"])
        assert ratio == pytest.approx(effect, abs=0.01)
    # F D′^φ ((1 + R p) N)^-ψ, the designs being the same: a pooled effect moves no optimum.
    kept = tenth["forgetting"]["mean"] / none["forgetting"]["mean"]
    assert kept == pytest.approx(251**-0.3, rel=1e-3)
    assert none["forgetting"]["mean"] > tenth["forgetting"]["mean"] > quarter["forgetting"]["mean"]
    assert any(line.endswith("forgets") for line in lines(answer.to_json()))


def test_weights_of_distillation_are_compared_at_their_cost():
    fitted = levelled(sure(), "distill", {0.25: -0.1, 2.0: 0.05})
    answer = plan(fitted, 1e20, draws=200, kind="mean")
    said = answer.to_json()["distill"]
    assert [w["distill"] for w in said["weights"]] == [0.0, 0.25, 2.0]
    none, light, heavy = said["weights"]
    assert none["loss"]["mean"] == pytest.approx(answer.by_arrangement["trunk"].risk, abs=1e-8)
    assert light["p_best"] > 0.9
    assert none["loss"]["mean"] < heavy["loss"]["mean"]
    for w, work in ((none, 1), (light, 4 / 3), (heavy, 4 / 3)):
        spent = 6 * w["params"] * (
            w["pretrain_tokens"] + work * sum(w["specialize_tokens"].values())
        )  # fmt: skip
        assert spent == pytest.approx(1e20)
    assert any(line.startswith("distill λ") for line in lines(answer.to_json()))


def test_laws_that_know_replay_say_what_a_share_costs():
    ones = np.ones((50, 1))
    theta = {
        "level": ones, "a_size": 0.35 * ones, "b_data": 0.3 * ones, "h_share": 0.3 * ones,
        "c_share": 0.4 * ones, "e_share": 0.1 * ones,
        "shares": np.broadcast_to([0.5, 0.2, 0.2, 0.1], (50, 1, 4)),
    }  # fmt: skip
    fitted = replayed(drawn.of("replay", theta), {0.25: 0.0})
    answer = plan(fitted, 1e20, draws=50, kind="mean")
    none, quarter = answer.replay.each
    n, split = (quarter.run.params[0], quarter.run.specialize_tokens[0])
    loss = 3.0 * (
        0.5 + 0.2 * (n / 1e8) ** -0.35 + 0.2 * 0.75**0.3 * (split / 1e9) ** -0.3
        + 0.1 * (0.85 / 1.1) ** -0.4
    )  # fmt: skip
    assert quarter.totals == pytest.approx(np.full(50, loss), rel=1e-6)
    # `verify` asks the laws too, and counts the share once.
    said = Predictor(fitted, 50).losses(quarter.run, ["replay 0.25"], "mean")
    assert said == pytest.approx(loss, rel=1e-6)
    assert dict(answer.not_assessable)["generalist"] == "not finite without a second stage: replay"
    assert none.value == 0.0


def test_a_fit_that_cannot_say_what_is_forgotten_is_refused():
    fitted = drawn.ensemble("additive", 2)
    with pytest.raises(PlanError, match="on their own domain; fit `forgetting`"):
        plan(fitted, 1e20, forgetting=fitted)
    with pytest.raises(PlanError, match="no domain d1"):
        plan(fitted, 1e20, forgetting=forgetting(1))


# --- from a table of runs


def other_ways() -> pd.DataFrame:
    plain = two_stage(2)
    split = plain[plain["specialize_tokens"] > 0]
    plain["recipe"] = np.where(plain["specialize_tokens"] > 0, "plain", "")
    plain["experts"] = np.where(plain["specialize_tokens"] > 0, 2.0, np.nan)
    name = split["run_id"].str.rsplit("-", n=1).str[0]
    joint = split.assign(recipe="joint", branch="joint", loss=split["loss"] * 1.02,
                         run_id=name + "-joint")  # fmt: skip
    held = joint.assign(distill=1.0, run_id=name + "-joint-distill")
    fresh = split[split["specialize_tokens"] > 1e7].assign(
        recipe="scratch", pretrain_tokens=0.0, run_id=lambda t: "fresh-" + t["run_id"],
        lineage=lambda t: t["run_id"],
    )  # fmt: skip
    return pd.concat([plain, joint, held, fresh], ignore_index=True)


@pytest.mark.slow
def test_a_fit_keeps_the_runs_of_other_ways_and_their_twins(tmp_path):
    table = other_ways()
    runs = Runs.from_table(table)
    fitted = fit(runs, ["additive"], method="huber")
    plain = fit(Runs.from_table(table[table["recipe"].isin(["", "plain"])]), ["additive"],
                method="huber")  # fmt: skip
    assert fitted.members[0].theta["a_size"] == pytest.approx(plain.members[0].theta["a_size"])
    joint, scratch = fitted.contrasts
    assert (joint.way, scratch.way) == ("joint", "scratch")  # one count of experts is none
    assert len(joint) == (table["recipe"] == "joint").sum() / 2
    assert joint.log_loss - joint.twin == pytest.approx(np.full(len(joint), np.log(1.02)))
    assert np.isnan(scratch.twin).all()
    again = read_posterior(fitted.save(tmp_path / "p.nc"))
    for before, after in zip(fitted.contrasts, again.contrasts, strict=True):
        for name, values in vars(before).items():
            np.testing.assert_array_equal(values, getattr(after, name))
    assert plain.contrasts == ()


def test_two_counts_of_experts_are_kept():
    table = two_stage(2)
    split = table["specialize_tokens"] > 0
    table["experts"] = np.where(split, np.where(table["params"] > 2e6, 2.0, 8.0), np.nan)
    (found,) = contrasts_of(Runs.from_table(table), ("d0", "d1"))
    assert found.way == "experts"
    assert len(found) == split.sum()
    assert set(found.level) == {2.0, 8.0}
