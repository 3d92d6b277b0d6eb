"""Warnings: each has a fit that gives it, and one that does not."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np
import pandas as pd
import pytest

from bayeslaw import Ensemble, Runs, fit
from bayeslaw.infer.warn import cautions, far
from tests.conftest import simulated, two_stage
from tests.fitted import single, split


def codes(fitted):
    return {c.code for c in cautions(fitted)}


@lru_cache
def made(what):
    table = two_stage(1) if what == "stages" else simulated(40, seed=2)
    if what == "design":
        table["pretrain_tokens"] = 20 * table["params"]
    if what == "levels":
        table["params"] = np.repeat([1e8, 1e9], 20)
    if what == "short":
        table.loc[:9, "pretrain_tokens"] = table.loc[:9, "params"]
    if what == "stages":
        trunks = table[table["specialize_tokens"] == 0]
        branches = trunks.assign(
            specialize_tokens=0.1 * trunks["pretrain_tokens"], branch="d0",
            loss=trunks["loss"] * 0.9, run_id=trunks["run_id"] + "b",
        )  # fmt: skip
        table = pd.concat([trunks, branches])
    return fit(Runs.from_table(table), ["additive" if what == "stages" else "chinchilla"], "huber")


@pytest.mark.parametrize(
    ("what", "code"),
    [
        ("design", "collinear_design"),
        ("levels", "few_levels"),
        ("short", "short_runs"),
        ("stages", "collinear_stages"),
    ],
)
def test_a_poor_sweep_is_told_and_a_good_one_is_not(what, code):
    assert code in codes(made(what))
    good = split() if what == "stages" else single()
    assert code not in codes(good)


def changed(**groups):
    """The good fit, had its draws been others."""
    (m,) = single().members
    tree = m.tree.copy()
    for group, variables in groups.items():
        held = tree[group].to_dataset()
        for name, make in variables.items():
            held[name] = (held[name].dims, make(held[name].to_numpy()))
        tree[group] = type(tree)(held)
    return Ensemble((replace(m, tree=tree),), single().standings, single().discrepancy)


def spread_out(values):
    rng = np.random.default_rng(0)
    return np.exp(np.log(0.35) + 0.4 * rng.standard_normal(values.shape))


def anywhere(values):
    rng = np.random.default_rng(0)
    return rng.dirichlet(np.ones(values.shape[-1]), values.shape[:-1])


def one_heavy(values):
    rng = np.random.default_rng(0)
    heavy = values.copy()
    heavy[..., 3] = -np.exp(1.2 * rng.standard_normal(values.shape[:-1]))
    return heavy


@pytest.mark.parametrize(
    ("code", "groups"),
    [
        ("weak_exponent", {"posterior": {"a_size": spread_out}}),
        ("weak_floor", {"posterior": {"shares": anywhere}}),
        ("prior_conflict", {"posterior": {"a_size": lambda v: v * 4}}),
        ("influential_runs", {"log_likelihood": {"log_loss": one_heavy}}),
    ],
)
def test_draws_that_mean_trouble_are_told_and_good_ones_are_not(code, groups):
    assert code in codes(changed(**groups))
    assert code not in codes(single())


def test_modes_that_disagree_are_told():
    (m,) = single().members
    two = replace(m, diagnostics=replace(m.diagnostics, modes=(0.7, 0.3)))
    assert "modes_disagree" in codes(Ensemble((two,)))
    assert "modes_disagree" not in codes(single())


@pytest.mark.slow
def test_noise_that_differs_between_domains_is_told():
    table = two_stage(2, noise=0.002)
    rng = np.random.default_rng(0)
    noisy = table["domain"] == "d1"
    table.loc[noisy, "loss"] *= np.exp(0.05 * rng.standard_normal(noisy.sum()))
    fitted = fit(Runs.from_table(table), ["additive"], "laplace")
    (found,) = [c for c in cautions(fitted) if c.code == "noise_differs"]
    assert found.numbers["noisiest"] == "d1"
    assert found.numbers["ratio"] > 3
    even = fit(Runs.from_table(two_stage(2, noise=0.005)), ["additive"], "laplace")
    assert "noise_differs" not in codes(even)


def test_designs_far_beyond_the_sweep_are_told():
    assert [c.code for c in far({"params": 30.0, "compute": 2.0})] == ["far"]
