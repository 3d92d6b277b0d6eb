"""Diagnostic plots: what they hold, tested as data; that they become files, once."""

from __future__ import annotations

from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pytest

from bayeslaw import Ensemble
from bayeslaw.plots import PANELS, PLOTS, caption, draw_all, plots_of
from tests.fitted import single, split

WANTED = {
    "trace", "rank", "energy", "forest",
    "predictive", "prior-predictive", "prior-posterior", "loo-pit",
}  # fmt: skip


@pytest.fixture
def member():
    return single().members[0]


def test_the_table_has_every_promised_plot():
    assert set(PLOTS) == WANTED


@pytest.mark.parametrize("name", PLOTS)
def test_a_plot_is_data_without_a_drawing_library(member, name):
    plt.close("all")
    collection = PLOTS[name](member, backend="none")
    assert collection.viz.children
    assert not plt.get_fignums()


def shown(collection):
    return set(collection.viz["plot"].data_vars)


def test_parameters_are_shown_by_their_symbols(member):
    panels = shown(PLOTS["prior-posterior"](member, backend="none"))
    assert {"α", "β", "σ, %", "level"} <= panels
    assert not {"a_size", "b_data"} & panels


def test_the_prior_predictive_has_the_measured_losses_among_it(member):
    drawn = PLOTS["prior-predictive"](member, backend="none").viz
    assert {"predictive_dist", "observed_dist"} <= set(drawn.children)


def test_the_forest_leaves_the_noise_out(member):
    drawn = PLOTS["forest"](member, backend="none").viz["point_estimate"].data_vars
    assert "α" in drawn
    assert "σ, %" not in drawn


@pytest.mark.parametrize("name", ["trace", "rank"])
def test_no_more_panels_than_can_be_read_and_the_worst_among_them(member, name):
    many = _with_one_bad_chain(_over_domains(member, 6), "a_size", domain=4)
    panels = shown(PLOTS[name](many, backend="none"))
    assert len(panels) == PANELS
    assert "α, d4" in panels


def _over_domains(member, count):
    tree = member.tree.copy()
    names = [f"d{k}" for k in range(count)]
    for group in ("posterior", "prior"):
        data = tree[group].to_dataset().isel(domain=np.zeros(count, int))
        tree[group] = type(tree)(data.assign_coords(domain=names))
    return replace(member, domains=tuple(names), tree=tree)


def _with_one_bad_chain(member, name, domain):
    tree = member.tree.copy()
    data = tree["posterior"].to_dataset().copy(deep=True)
    data[name][{"chain": 0, "domain": domain}] += 1.0
    tree["posterior"] = type(tree)(data)
    return replace(member, tree=tree)


def test_a_point_has_no_plots_and_independent_draws_have_no_chains(member):
    assert plots_of(split().members[0]) == {}
    assert set(plots_of(replace(member, method="laplace"))) == WANTED - {"trace", "rank", "energy"}


def test_draws_that_are_one_point_have_no_loo(member):
    poor = replace(member, diagnostics=replace(member.diagnostics, ess_bulk=1.0))
    assert set(plots_of(poor)) == WANTED - {"loo-pit"}


@pytest.mark.parametrize("name", PLOTS)
def test_a_caption_names_the_law_and_says_how_to_read_the_plot(member, name):
    said = caption(member, PLOTS[name])
    assert said.startswith("chinchilla. ")
    assert said.endswith(".")


def test_files_are_written_whole_and_nothing_is_left_open(member, tmp_path):
    odd = replace(member, law=_renamed(member.law, "coupled(chinchilla)"))
    steps = []
    plt.close("all")
    files = draw_all(Ensemble((odd,)), tmp_path / "new" / "plots", lambda *s: steps.append(s))
    assert [f.name for f in files] == [f"coupled-chinchilla-{n}.png" for n in PLOTS]
    assert sorted(f.name for f in files) == sorted(f.name for f in files[0].parent.iterdir())
    assert all(f.read_bytes().startswith(b"\x89PNG") for f in files)
    assert not plt.get_fignums()
    assert steps[0] == ("coupled(chinchilla) trace", 0.0)


def _renamed(law, name):
    return type("Renamed", (type(law),), {"name": name})()
