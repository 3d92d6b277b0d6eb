"""Fronts: nothing on them is dominated, their ends are plans, and brute force finds no better."""

from __future__ import annotations

import json

import numpy as np
import pytest

from bayeslaw.cli.planned import pareto as lines
from bayeslaw.errors import PlanError
from bayeslaw.plan import pareto, plan
from bayeslaw.plan.pareto import trace, undominated
from tests.plan import drawn

FITTED = drawn.ensemble("additive", 2)
BETWEEN = [("mean", "cvar:0.1"), ("domain:d0", "domain:d1"), ("domain:d0", "quantile:0.9")]


@pytest.fixture(scope="module", params=BETWEEN, ids="/".join)
def front(request):
    return pareto(FITTED, 1e21, request.param, 7, draws=200)


def values(front):
    return np.array([p.values for p in front.points])


def test_no_point_dominates_another(front):
    found = values(front)
    assert len(found) >= 3
    assert (np.diff(found[:, 0]) > 0).all()
    assert (np.diff(found[:, 1]) < 0).all()


def test_the_ends_are_the_plans_of_one_aim_alone(front):
    found = values(front)
    for aim, least in zip(front.between, (found[0, 0], found[-1, 1]), strict=True):
        if aim.startswith("domain:"):
            only = {d: float(d == aim.removeprefix("domain:")) for d in FITTED.domains}
            alone = plan(FITTED, 1e21, only, draws=200)
        else:
            alone = plan(FITTED, 1e21, risk=aim, draws=200)
        assert least == pytest.approx(alone.chosen.risk, abs=2e-6)


def test_every_point_keeps_the_budget_and_is_the_best_for_its_weighing(front):
    found = values(front)
    for p in front.points:
        assert p.candidate.flops <= 1e21 * (1 + 1e-9)
        weighed = found @ [1 - p.share, p.share]
        its = p.values[0] * (1 - p.share) + p.values[1] * p.share
        assert its <= weighed.min() + 5e-5  # a quantile of 200 draws has kinks


def test_the_file_says_every_design_with_both_values(front):
    said = front.to_json()
    assert json.loads(json.dumps(said, allow_nan=False)) == said
    for p in said["points"]:
        assert set(p["values"]) == set(front.between)
        for d, k in zip(front.domains, p["domains"].values(), strict=True):
            name = f"domain:{d}"
            if name in p["values"]:
                assert k["mean"] == pytest.approx(p["values"][name], rel=1e-9)
    assert len(lines(said)) == 2 + len(said["points"])


@pytest.mark.parametrize("second", ["cvar:0.2", "entropic:30"])
def test_brute_force_over_one_size_finds_the_same_front(second):
    # Steep draws and flat ones: the mean and its tail want other sizes.
    rng, count = np.random.default_rng(0), 200
    theta = drawn.draws("chinchilla", 1, count)
    theta["a_size"] = 0.1 + 0.5 * rng.random((count, 1))
    fitted = drawn.of("chinchilla", theta)
    how = {"kind": "mean", "draws": count, "stretch": float("inf")}
    found = pareto(fitted, 1e22, ("mean", second), 9, **how)
    n = np.geomspace(1e7, 1e12, 20_001)[:, None]
    floor, size, data = (s[:, 0] for s in np.moveaxis(theta["shares"], -1, 0))
    losses = theta["level"][:, 0] * 3.0 * (
        floor + size * (n / 1e8) ** -theta["a_size"][:, 0]
        + data * (1e22 / 6 / n / 1e10) ** -theta["b_data"][:, 0]
    )  # fmt: skip
    if second.startswith("cvar"):
        risk = np.sort(losses, 1)[:, ::-1][:, : count // 5].mean(1)
    else:
        risk = np.log(np.exp(30 * losses).mean(1)) / 30
    brute = np.stack([losses.mean(1), risk], 1)
    brute = brute[undominated_line(brute)]
    assert len(found.points) >= 5
    for p in found.points:
        # No size dominates it by more than rounding, and some size has its values.
        assert not (brute < np.array(p.values) - 1e-6).all(1).any()
        assert np.abs(brute - p.values).max(1).min() < 2e-4
        both = brute @ [1 - p.share, p.share]
        assert p.values[0] * (1 - p.share) + p.values[1] * p.share <= both.min() + 1e-6
    ends = values(found)
    assert ends[0, 0] == pytest.approx(brute[:, 0].min(), abs=1e-6)
    assert ends[-1, 1] == pytest.approx(brute[:, 1].min(), abs=1e-6)


def undominated_line(points):
    """As `undominated`, of very many points: sorted by the first value, the second must fall."""
    order = np.lexsort((points[:, 1], points[:, 0]))
    least = np.minimum.accumulate(points[order, 1])
    return order[np.concatenate([[True], points[order][1:, 1] < least[:-1]])]


def test_designs_at_random_do_not_dominate_a_front_of_domains():
    found = pareto(FITTED, 1e21, ("domain:d0", "domain:d1"), 7, draws=200, kind="mean")
    rng = np.random.default_rng(0)
    ratio = np.exp(rng.uniform(np.log(5 / 4), np.log(800), 4000))
    split = np.exp(rng.uniform(np.log(0.01 / 4), np.log(4), (4000, 2)))
    n = np.sqrt(1e21 / 6 / (ratio * (1 + split.sum(1))))
    d = n * ratio
    theta = drawn.draws("additive", 2)
    both = np.ones((1, 2))
    loss = drawn.additive_loss(theta, n[:, None] * both, d[:, None] * both, d[:, None] * split)
    means = loss.mean(1)
    for p in found.points:
        assert not (means < np.array(p.values) - 1e-7).all(1).any()


def test_a_front_with_a_known_shape_is_traced():
    # x² against (1 - x)²: the best of a weighing is x = share.
    def solve(share):
        return share, (share**2, (1 - share) ** 2)

    found = trace(solve, 9)
    assert [p.found for p in found] == sorted(p.found for p in found)
    assert len(found) == 9
    assert [found[0].values, found[-1].values] == [(0.0, 1.0), (1.0, 0.0)]
    for p in found:
        assert np.sqrt(p.values[0]) + np.sqrt(p.values[1]) == pytest.approx(1.0)
    # As evenly as halving does it: no gap is twice another.
    gaps = np.diff([p.found for p in found])
    assert gaps.max() <= 2 * gaps.min() + 1e-9


def test_points_that_others_dominate_are_left_out():
    points = np.array([[0, 3], [1, 1], [3, 0], [2, 2], [1, 1], [3, 1]], float)
    assert undominated(points).tolist() == [True, True, True, False, False, False]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"between": ("mean", "mean")}, "two different aims, got mean twice"),
        ({"between": ("mean", "domain:law")}, "unknown domain 'law'; the fit has d0, d1"),
        ({"between": ("mean", "reach:1.1")}, "'reach:1.1' is a step"),
        ({"between": ("mean", "dice")}, "'dice' is not one of"),
        ({"points": 1}, "at least 2 points"),
        (
            {"flops": -1, "points": 0, "between": ("dice", "domain:law")},
            "2 points.*'dice'.*unknown domain.*flops must",
        ),
    ],
)
def test_what_has_no_front_is_refused_with_all_its_faults(wrong, said):
    with pytest.raises(PlanError, match=said):
        pareto(FITTED, **{"flops": 1e20, "between": ("mean", "cvar:0.1"), **wrong})
