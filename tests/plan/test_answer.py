"""What the answer contains beside the plan: hindsight, region, information, price, terms, laws."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from bayeslaw.cli.planned import cautions
from bayeslaw.cli.planned import plan as lines
from bayeslaw.infer.precision import double
from bayeslaw.laws import Run, find_law
from bayeslaw.plan import plan
from bayeslaw.plan.certificate import certify
from bayeslaw.plan.plan import _as_optimum
from bayeslaw.plan.risk import RISKS
from bayeslaw.plan.stakes import totals, totals_each
from tests.plan import drawn

FREE = {"stretch": float("inf"), "kind": "mean"}
FITTED = drawn.ensemble("additive", 2)


def chinchilla(count=200):
    theta = drawn.draws("chinchilla", 1, count)
    return theta, drawn.of("chinchilla", theta)


@pytest.fixture(scope="module")
def answer():
    return plan(FITTED, 1e20, draws=200)


def test_each_draws_own_optimum_is_its_closed_form():
    theta, fitted = chinchilla()
    seen = plan(fitted, 1e21, draws=200, **FREE).hindsight
    law = find_law("chinchilla")
    for i in range(0, 200, 7):
        p = SimpleNamespace(**{n: v[i, 0] for n, v in theta.items()})
        best = law.closed_form(1e21, drawn.AT, p)
        assert seen.designs.params[i, 0] == pytest.approx(best.params, rel=2e-3)
        with double():
            least = float(np.exp(law.log_loss(best, drawn.AT, p)))
        assert seen.best[i] == pytest.approx(least, abs=1e-7)


def test_no_candidate_is_better_for_a_draw_than_hindsight(answer):
    for c in answer.by_arrangement.values():
        own = answer.hindsight.among([c.arrangement])
        assert (own.best <= c.totals + 1e-9).all()
        assert (answer.hindsight.best <= own.best).all()


@pytest.mark.parametrize("domains", [1, 2])
def test_no_design_of_a_grid_is_better_for_a_draw_than_its_own_optimum(domains):
    # What laws get wrong is wide: some draws' losses rise with compute, some fall faster.
    wild = drawn.ensemble("additive", domains, 60)
    wild = replace(wild, discrepancy=replace(wild.discrepancy, center=0.5))
    answer = plan(wild, 1e23, draws=60)
    own = answer.hindsight.among(["generalist"])
    logs = np.linspace(np.log(1e17), np.log(1e23), 61)
    ratios = np.linspace(np.log(5 / 4), np.log(200 * 4), 41)
    cost, ratio = (a.ravel() for a in np.meshgrid(logs, ratios))
    n = np.exp((cost - np.log(6) - ratio) / 2)
    with double():
        fields = np.stack([n, n * np.exp(ratio), 0 * n], 1)[:, :, None] * np.ones(domains)
        grid = np.asarray(totals()(answer.asked.outlook, fields, answer.weights))  # (design, draw)
        its = np.asarray(
            totals_each()(answer.asked.outlook, np.stack(own.designs[:3]), answer.weights)
        )
    # No design of the grid is better, and what is told is the loss of a design within the budget.
    assert (own.best <= grid.min(0) + 1e-4).all()
    assert own.best == pytest.approx(its, abs=1e-12)
    spent = 6 * (own.designs.params * own.designs.pretrain_tokens)[:, 0]
    assert (spent <= 1e23 * (1 + 1e-9)).all()
    assert 0.1 < (spent < 0.9e23).mean() < 0.9


def test_information_is_worth_the_plans_expected_regret(answer):
    found = answer.information
    assert found.evpi == pytest.approx(answer.regret(answer.chosen), abs=1e-9)
    assert found.evpi > 0
    # A plan made without it, with the equivalent budget, does as well.
    richer = plan(FITTED, found.budget, draws=200)
    assert richer.chosen.risk == pytest.approx(answer.chosen.risk - found.evpi, abs=1e-5)


def test_certainty_makes_information_worthless():
    theta = {n: v[:1].repeat(50, 0) for n, v in drawn.draws("additive", 2).items()}
    sure = plan(drawn.of("additive", theta), 1e20, draws=50, kind="mean")
    assert sure.information.evpi == pytest.approx(0.0, abs=1e-7)
    assert sure.information.budget == pytest.approx(1e20, rel=1e-3)


@pytest.mark.parametrize("risk", [f"{n}:{k.example}".rstrip(":") for n, k in RISKS.items()])
def test_the_shadow_price_is_what_more_budget_takes_off_the_risk(risk):
    def least(flops):
        return plan(FITTED, flops, risk=risk, draws=200, kind="mean").chosen.risk

    price = plan(FITTED, 1e20, risk=risk, draws=200, kind="mean").shadow_price
    if RISKS[risk.split(":")[0]].unit != "nats":
        assert price is None
        return
    # One order statistic moves by jumps: its slope is that of a wide difference.
    wide, close = (0.5, 5e-2) if risk.startswith("quantile") else (0.02, 5e-3)
    slope = (least(1e20 / np.exp(wide)) - least(1e20 * np.exp(wide))) / (2 * wide)
    assert price == pytest.approx(slope, rel=close)


def test_what_is_not_in_nats_has_no_price_and_says_its_unit():
    for how in ({"risk": "reach:2.0"}, {"risk": lambda d: d.max() ** 2}, {"on": "regret"}):
        answer = plan(drawn.ensemble("chinchilla", 1, 40), 1e20, kind="mean", **how)
        said = answer.to_json()
        assert said["shadow_price"] is None
        assert not any("twice the budget" in line for line in lines(said))
        assert said["region"]["unit"] == answer.risk.unit


def test_the_region_of_one_model_is_that_of_a_grid():
    theta, fitted = chinchilla()
    answer = plan(fitted, 1e21, draws=200, epsilon=0.01, **FREE)
    n = answer.chosen.run.params[0] * np.exp(np.linspace(-3, 3, 4001))
    a, b = theta["a_size"], theta["b_data"]
    floor, size, data = np.moveaxis(theta["shares"], -1, 0)
    loss = theta["level"] * 3.0 * (
        floor + size * (n / 1e8) ** -a + data * (1e21 / 6 / n / 1e10) ** -b
    )  # fmt: skip
    inside = n[loss.mean(0) <= answer.chosen.risk + 0.01]
    assert answer.region.params[0] == pytest.approx([inside.min(), inside.max()], rel=3e-3)


def test_the_region_holds_the_plan_and_grows_with_epsilon(answer):
    wider = replace(answer, epsilon=0.05)
    for name in ("params", "pretrain_tokens", "specialize_tokens"):
        chosen = getattr(answer.chosen.run, name)
        small, large = getattr(answer.region, name), getattr(wider.region, name)
        assert (small[:, 0] < chosen[: len(small)]).all()
        assert (small[:, 1] > chosen[: len(small)]).all()
        assert (large[:, 0] <= small[:, 0]).all()
        assert (large[:, 1] >= small[:, 1]).all()


def test_the_terms_sum_to_the_loss(answer):
    terms = plan(FITTED, 1e20, draws=200, kind="mean")
    total = sum(t.nats for t in terms.limits)
    assert total == pytest.approx(terms.chosen.totals.mean(), rel=1e-10)
    assert sum(t.p_largest for t in terms.limits) == pytest.approx(1.0)
    assert [t.name for t in terms.limits][-1] == "floor"


def test_every_law_says_what_it_alone_would_have_chosen():
    one, other = (drawn.ensemble(law, 2).members[0] for law in ("additive", "transfer"))
    both = replace(FITTED, members=(one, replace(other, weight=0.5)))
    answer = plan(both, 1e20, draws=300, kind="mean")
    said = {a.law: a for a in answer.alone}
    assert {n: a.draws for n, a in said.items()} == {"additive": 200, "transfer": 100}
    assert said["additive"].weight == pytest.approx(2 / 3)
    assert all(a.regret >= -1e-9 for a in said.values())
    by_itself = plan(replace(FITTED, members=(one,)), 1e20, draws=200, kind="mean").chosen
    assert said["additive"].loss == pytest.approx(by_itself.risk, abs=1e-8)
    assert said["additive"].run.params == pytest.approx(by_itself.run.params, rel=1e-3)


def test_one_law_alone_is_the_plan(answer):
    assert answer.alone == []


def test_a_prior_that_counts_twice_moves_the_plan_as_its_draws_do():
    import xarray as xr

    member = FITTED.members[0]
    tree = member.tree.copy()
    # A log density that favours draws of a steep size term: with it twice, smaller models do.
    steep = 10 * np.log(np.asarray(member.theta["a_size"])).mean(1)[None]
    tree["log_prior"] = xr.DataTree(xr.Dataset({
        "a_size": (("chain", "draw"), steep),
        "a_size_offset": (("chain", "draw"), steep),
        "flat": (("chain", "draw"), 0 * steep),
        "mad": (("chain", "draw"), 1e4 * steep),
    }))  # fmt: skip
    fitted = replace(FITTED, members=(replace(member, tree=tree),))
    shifts = {(s.prior, s.power): s for s in plan(fitted, 1e20, draws=200).prior_shifts}
    assert {n for n, _ in shifts} == {"a_size", "flat", "mad"}
    assert shifts["flat", 2.0].params == pytest.approx(1.0, abs=1e-4)
    assert shifts["flat", 2.0].loss == pytest.approx(0.0, abs=1e-8)
    assert shifts["a_size", 2.0].loss * shifts["a_size", 0.5].loss < 0
    assert shifts["mad", 2.0].params is None
    assert shifts["mad", 2.0].effective < 20


def test_a_prior_on_what_changes_no_curve_does_not_move_the_plan():
    import xarray as xr

    # All draws are of one curve: only chance discrepancy could tell their weights apart.
    theta = {n: v[:1].repeat(200, 0) for n, v in drawn.draws("additive", 2).items()}
    same = drawn.of("additive", theta)
    some = np.random.default_rng(0).standard_normal((1, 200))
    tree = same.members[0].tree.copy()
    tree["log_prior"] = xr.DataTree(xr.Dataset({"level": (("chain", "draw"), some)}))
    fitted = replace(same, members=(replace(same.members[0], tree=tree),))
    for shift in plan(fitted, 1e22, draws=200).prior_shifts:
        assert shift.params == pytest.approx(1.0, abs=5e-3)
        assert shift.loss == pytest.approx(0.0, abs=2e-3)


def test_a_certificate_says_that_the_starts_agree_and_no_grid_is_better(answer):
    seen = answer.certificate
    assert seen.gradient < 1e-4
    assert seen.agree == seen.starts == 10  # the plan, and nine starts
    assert seen.start_gap == pytest.approx(0.0, abs=1e-6)
    assert seen.grid_gap > 0
    assert seen.faults == ()
    assert seen.convex is None


def test_a_certificate_shows_what_is_no_optimum(answer):
    worse = replace(_as_optimum(answer.chosen), point=answer.chosen.point + np.array([0, 0.5, 0]))
    space = answer.asked.space("trunk")
    point = space.spent(worse.point)
    worse = replace(worse, point=point, run=space.design(point))
    with double():
        seen = certify(answer.asked, worse)
    assert seen.gradient > 1e-3
    assert seen.agree == seen.starts - 1
    assert seen.start_gap < -1e-4
    assert "another start ended" in seen.faults[0]
    said = answer.to_json()
    said["certificate"]["faults"] = list(seen.faults)
    assert "not the optimum" in cautions(said)[0]


def test_a_risk_on_regret_is_of_what_each_draw_loses():
    for risk in ("cvar:0.1", "mean"):
        on = plan(FITTED, 1e20, risk=risk, on="regret", draws=200)
        off = plan(FITTED, 1e20, risk=risk, draws=200)
        regret = on.chosen.totals - on.asked.reference
        assert (regret > -1e-9).all()
        with double():
            other = float(on.asked.stakes.risk(on.risk, off.chosen.losses))
        assert on.chosen.risk <= other + 1e-9
    assert on.chosen.totals.mean() == pytest.approx(off.chosen.totals.mean(), abs=1e-8)


@pytest.mark.slow
def test_a_budget_is_a_ceiling_where_more_carries_more_risk():
    wild = replace(FITTED, discrepancy=replace(FITTED.discrepancy, center=1.0))
    answer = plan(wild, 1e24, risk="cvar:0.1", arrangements=["generalist"], draws=200)
    assert answer.chosen.flops < 1e23
    said = answer.to_json()
    assert said["budget"]["spent"] < 0.1
    assert said["shadow_price"] == 0.0
    for flops in (0.5, 2.0):
        other = plan(wild, answer.chosen.flops * flops, risk="cvar:0.1", draws=200,
                     arrangements=["generalist"])  # fmt: skip
        assert other.chosen.risk >= answer.chosen.risk - 2e-4  # it has kinks


def test_a_design_that_costs_more_is_scored_at_its_cost(answer):
    mine = {"large": Run(1e10, 1e12, 1e11)}
    said = plan(FITTED, 1e20, draws=200, designs=mine).to_json()["baselines"][-1]
    assert said["name"] == "large"
    assert said["flops"] > 1e20
