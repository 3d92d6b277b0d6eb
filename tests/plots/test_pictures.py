"""Pictures: what is drawn is what was computed, read back as data; every backend draws it."""

from __future__ import annotations

import sys
from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np
import pytest

from bayeslaw import plots
from bayeslaw.errors import BayeslawError, FitError
from bayeslaw.plots.isoloss import ellipse
from bayeslaw.plots.path import best_paths
from tests.fitted import single, split
from tests.plots import made
from tests.plots.made import CASES


def draw(case, backend="none", **how):
    return getattr(plots, case.split()[0])(*CASES[case](), backend=backend, **how)


def of(panels, function, label=None):
    """What was drawn by a function, under a name of the legend."""
    every = [a for panel in panels for a in panel if a["function"] == function]
    return every if label is None else [a for a in every if a.get("label") == label]


def test_every_function_is_among_the_cases():
    assert set(plots.GALLERY) == {case.split()[0] for case in CASES}
    assert set(plots.GALLERY) <= set(plots.__all__)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("width", [350, 900])
def test_words_stand_within_the_figure_and_apart(case, width):
    figure = draw(case, "matplotlib", width=width)
    assert not plt.get_fignums()
    figure.canvas.draw()
    assert figure.get_size_inches()[0] * 100 == pytest.approx(width)
    room = figure.bbox.padded(2)
    for panel in figure.axes:
        words = [*panel.get_xticklabels(), *panel.get_yticklabels(), panel.title]
        words += [panel.xaxis.label, panel.yaxis.label]
        shown = [w for w in words if w.get_text() and w.get_visible()]
        for word in shown:
            box = word.get_window_extent()
            assert room.x0 <= box.x0, word
            assert box.x1 <= room.x1, word
            assert word.get_fontsize() >= 8
        for labels in (panel.get_xticklabels(), panel.get_yticklabels()):
            boxes = [w.get_window_extent().padded(-1) for w in labels if w.get_text()]
            for first, second in pairwise(boxes):
                assert not first.overlaps(second)


@pytest.mark.parametrize("case", CASES)
def test_plotly_draws_the_same_panels(case):
    go = pytest.importorskip("plotly.graph_objects")
    figure = draw(case, "plotly")
    assert isinstance(figure, go.Figure)
    wanted = [tuple(a["x"]) for a in of(draw(case), "scatter")]
    drawn = [tuple(np.asarray(t.x, float)) for t in figure.data if t.mode == "markers"]
    assert sorted(drawn) == sorted(wanted)


@pytest.mark.parametrize("case", CASES)
def test_a_title_or_a_legend_names_the_kind_of_every_band(case):
    panels = draw(case)
    bands = of(panels, "fill_between_y")
    title = of(panels, "suptitle")[0]["string"]
    kinds = ("(mean)", "(run)", "(calibrated)")
    for band in bands:
        said = band.get("label", "") + title
        assert any(kind in said for kind in kinds)


def test_a_backend_that_is_absent_is_named_with_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "arviz_plots.backend.plotly", None)
    with pytest.raises(BayeslawError, match=r"pip install 'bayeslaw\[plotly\]'"):
        draw("backtest", "plotly")


def test_an_unknown_backend_is_refused():
    with pytest.raises(BayeslawError, match="'gnuplot' is not one of matplotlib, plotly, none"):
        draw("backtest", "gnuplot")


@pytest.mark.parametrize("kind", ["mean", "run", "calibrated"])
def test_the_edges_of_the_fan_are_quantiles_of_the_draws(kind):
    fitted = made.fitted()
    panels = plots.forecast_fan(fitted, domain="d1", kind=kind, draws=300, seed=3, backend="none")
    for prob in (0.5, 0.9):
        (band,) = of(panels, "fill_between_y", f"{100 * prob:g} % ({kind})")
        path = best_paths(fitted, band["x"])[1]
        np.testing.assert_allclose(
            6 * path.params * (path.pretrain_tokens + path.specialize_tokens), band["x"]
        )
        losses = fitted.losses(path, kind, 300, 3)[:, :, 1]
        low, high = np.quantile(losses, [(1 - prob) / 2, (1 + prob) / 2], axis=0)
        np.testing.assert_allclose(band["y_bottom"], low)
        np.testing.assert_allclose(band["y_top"], high)


def test_the_fan_has_the_runs_of_its_domain_and_the_end_of_the_sweep():
    panels = plots.forecast_fan(made.fitted(), made.runs(), backend="none")
    for panel, first in zip(panels, (3.2, 3.3), strict=True):
        (points,) = of([panel], "scatter", "measured runs")
        np.testing.assert_allclose(points["y"], first - np.array([0, 0.4, 0.8]))
        np.testing.assert_allclose(
            points["x"], 6 * np.array([1e7 * 2.2e9, 1e8 * 1.1e10, 1e9 * 5.5e10])
        )
        (end,) = of([panel], "vline", "the sweep ends")
        assert end["x"] == made.fitted().ranges["flops"][1]


def test_a_fit_draws_its_own_runs():
    member = single().members[0]
    (points,) = of(plots.forecast_fan(single(), kind="mean", draws=50, backend="none"), "scatter")
    loss = np.exp(np.asarray(member.tree["observed_data"]["log_loss"]))
    np.testing.assert_allclose(points["y"], loss)


def test_no_design_within_the_sweeps_ratios_is_better_than_the_path():
    fitted, flops = made.fitted(), np.geomspace(1e18, 1e21, 3)
    path = best_paths(fitted, flops, draws=100)[0]
    loss = fitted.losses(path, "mean", 100)[:, :, 0].mean(0)
    rng = np.random.default_rng(0)
    ratios = np.exp(rng.uniform(np.log([5, 0.01]), np.log([200, 1.0]), (300, 2)))
    for c, least in zip(flops, loss, strict=True):
        n = np.sqrt(c / (6 * ratios[:, 0] * (1 + ratios[:, 1])))
        designs = type(path)(n, ratios[:, 0] * n, ratios.prod(1) * n)
        assert fitted.losses(designs, "mean", 100)[:, :, 0].mean(0).min() > least - 1e-3


def test_the_optimum_of_a_profile_is_where_the_draws_have_theirs():
    fitted, c, ratio = made.fitted(), 1e20, 0.1  # the middle of 0.01 and 1
    panels = plots.isoflop_profiles(fitted, ["1e20"], domain="d0", draws=100, backend="none")
    (band,) = of(panels, "fill_between_y")
    d = c / (6 * band["x"] * (1 + ratio))
    theta = fitted.members[0].theta
    from tests.plan.drawn import additive_loss

    each = np.stack([
        additive_loss(theta, np.full(2, n), np.full(2, t), np.full(2, t * ratio))[:, 0]
        for n, t in zip(band["x"], d, strict=True)
    ], 1)  # fmt: skip
    np.testing.assert_allclose(band["y_top"], np.quantile(each, 0.95, axis=0), rtol=1e-6)
    own = band["x"][each.argmin(1)]
    (bar,) = of(panels, "line", "optimum, 90 % (mean)")
    np.testing.assert_allclose(bar["x"][:2], np.quantile(own, [0.05, 0.95]))


def test_the_plan_stands_at_its_size_and_tokens():
    panels = draw("isoloss_map")
    run = made.planned().chosen.run
    (point,) = of(panels, "scatter", "the plan")
    assert (point["x"][0], point["y"][0]) == (run.params[0], run.pretrain_tokens[0])


def test_the_credible_region_holds_its_share_of_the_draws_optima():
    rng = np.random.default_rng(0)
    n, d = np.exp(rng.multivariate_normal([18, 22], [[0.5, 0.3], [0.3, 0.4]], 1000)).T
    edge = np.log(ellipse(n, d, 0.8))
    from matplotlib.path import Path

    inside = Path(edge.T).contains_points(np.log(np.stack([n, d], 1)))
    assert inside.mean() == pytest.approx(0.8, abs=0.01)


def test_a_contour_runs_where_the_expected_loss_is_what_it_says():
    fitted = made.fitted()
    panels = plots.isoloss_map(fitted, domain="d0", draws=100, backend="none")
    names = [t["string"] for t in of(panels, "text")]
    lines = of(panels, "line")
    assert len(lines) == len(names) >= 3
    for line, name in zip(lines, names, strict=True):
        n, d = line["x"][len(line["x"]) // 2], line["y"][len(line["y"]) // 2]
        from bayeslaw.laws import Run

        loss = fitted.losses(Run(n, d, 0.1 * d), "mean", 100)[:, 0, 0].mean()
        assert loss == pytest.approx(float(name), rel=2e-3)


def test_a_frontier_shows_its_means_and_what_goes_into_branches():
    loss, share, _ = draw("split_frontier")
    (mean,) = of([loss], "line", "plan, mean")
    np.testing.assert_allclose(mean["y"], [p.chosen.totals.mean() for p in made.frontier().points])
    np.testing.assert_allclose(of([share], "line")[0]["y"], 100 * 0.2 / 1.2)


def test_a_forest_has_the_quantiles_of_every_domain_and_of_the_weighted_loss():
    panels, p = draw("domain_forest"), made.planned()
    (line,) = of(panels, "line", "plan, 90 % (calibrated)")
    every = np.concatenate([p.chosen.losses, p.chosen.totals[:, None]], 1)
    ends = line["x"].reshape(-1, 3)[:, :2]
    np.testing.assert_allclose(ends.T, np.quantile(every, [0.05, 0.95], axis=0))
    assert next(a for a in panels[0] if a["function"] == "yticks")["labels"] == [
        "d0", "d1", "weighted",
    ]  # fmt: skip


def test_residuals_are_what_the_predictive_median_misses():
    member = single().members[0]
    panels = plots.residuals(member, "pretrain_tokens", backend="none")
    (points,) = of(panels, "scatter")
    tree = member.tree
    middle = np.median(np.asarray(tree["posterior_predictive"]["log_loss"], float)[0], axis=0)
    missed = np.asarray(tree["observed_data"]["log_loss"], float) - middle
    np.testing.assert_allclose(points["y"], 100 * missed, atol=1e-9)
    np.testing.assert_allclose(points["x"], np.asarray(tree["constant_data"]["pretrain_tokens"]))


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: plots.residuals(single(), "width"), "'width' is not one of params"),
        (lambda: plots.forecast_fan(single(), domain="law"), "'law' is not one of the fit's: all"),
        (lambda: plots.isoflop_profiles(single(), kind="run"), "'run' is not one of mean"),
        (lambda: plots.residuals(split()), "huber fit of .* has no predictive draws"),
    ],
)
def test_what_cannot_be_drawn_is_refused(call, said):
    with pytest.raises((BayeslawError, FitError), match=said):
        call()


def test_coverage_is_averaged_over_the_runs_that_were_left_out():
    held, score = draw("backtest")
    (points,) = of([held], "scatter", "calibrated intervals")
    np.testing.assert_allclose(points["y"], [40, 70, 100 * (0.5 * 10 + 0.8 * 20) / 30, 90])
    np.testing.assert_allclose(of([score], "scatter", "huber intervals")[0]["y"], 0.04)


def test_weights_stand_beside_their_laws():
    (left, _), stand = draw("stacking_weights"), made.STANDINGS[::-1]
    np.testing.assert_allclose(of([left], "scatter")[0]["x"], [s.weight for s in stand])
    ticks = next(a for a in left if a["function"] == "yticks")
    assert ticks["labels"] == [s.law for s in stand]


def test_regret_falls_from_the_share_of_draws_that_have_any():
    p = made.planned()
    lines = of(draw("regret_curve"), "line")
    assert lines[0]["label"].startswith(f"plan ({p.chosen.name})")
    regret = p.regrets(p.chosen)
    assert regret.mean() == pytest.approx(p.regret(p.chosen), abs=1e-9)
    assert (regret > -1e-9).all()
    at = lines[0]["x"][20]
    assert lines[0]["y"][20] == pytest.approx(100 * (regret > at).mean())


def test_what_others_lose_is_the_difference_draw_by_draw():
    lines = of(draw("regret_curve of a frontier"), "scatter", "generalist")
    wanted = [float((p.others[0].totals - p.chosen.totals).mean()) for p in made.frontier().points]
    np.testing.assert_allclose(lines[0]["y"], wanted)


def test_runs_are_shown_with_their_worth_and_what_it_repays():
    left, right = draw("evsi")
    np.testing.assert_allclose(of([left], "scatter", "EVSI")[0]["x"], [0.004, 0.002])
    np.testing.assert_allclose(of([right], "scatter")[0]["x"], [2.0, 4.0])
    labels = next(a for a in left if a["function"] == "yticks")["labels"]
    assert labels == ["1. N 400M, D 8B\n+ 800M d0", "2. N 200M, D 4B"]
