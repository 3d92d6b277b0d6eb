"""Costs against arithmetic by hand, on floats and on arrays of either kind."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

from bayeslaw import cost
from bayeslaw.errors import PlanError


@pytest.mark.parametrize("array", [np.array, jnp.array])
def test_every_arrangement_costs_six_flops_a_weight_and_token(array):
    split, sizes, tokens = array([1.0, 2.0, 3.0]), array([1.0, 2.0, 4.0]), array([10.0, 20.0, 5.0])
    assert cost.trunk_flops(2.0, 10.0, split) == 6 * 2 * 16
    assert cost.independent_flops(sizes, tokens, split) == 6 * (11 + 2 * 22 + 4 * 8)
    assert cost.generalist_flops(2.0, 10.0) == 6 * 20
    assert cost.joint_flops(2.0, 10.0, 3.0) == 6 * 26
    assert cost.scratch_flops(sizes, tokens) == 6 * (10 + 40 + 20)
    assert cost.stage_flops(7e9, 1e12) == 4.2e22
    assert cost.serving_flops(7e9, 1e12) == 1.4e22


def test_a_trunk_without_branches_is_a_generalist_and_one_domain_is_one_model():
    assert cost.trunk_flops(3.0, 5.0, np.zeros(4)) == cost.generalist_flops(3.0, 5.0)
    one = np.array([2.0])
    assert cost.trunk_flops(3.0, 5.0, one) == cost.joint_flops(3.0, 5.0, 2.0)
    assert cost.independent_flops(np.array([3.0]), np.array([5.0]), one) == cost.joint_flops(
        3, 5, 2
    )


def test_domains_are_the_last_axis():
    split = np.arange(6.0).reshape(2, 3)
    assert cost.trunk_flops(np.ones(2), np.ones(2), split).tolist() == [6 * 4, 6 * 13]


@pytest.mark.parametrize(("said", "flops"), [("1e22", 1e22), ("3T", 3e12), (5, 5.0)])
def test_a_budget_is_read_as_people_write_it(said, flops):
    assert cost.Budget.of(said).flops == flops


@pytest.mark.parametrize("said", ["much", "0", "-1e20", "inf", float("nan"), ""])
def test_a_budget_that_cannot_be_is_refused(said):
    with pytest.raises(PlanError, match="flops"):
        cost.Budget.of(said)
