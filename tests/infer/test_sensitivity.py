"""Power-scaling sensitivity: what is level moves nothing, what decides does."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bayeslaw.infer.sensitivity import THRESHOLD, sensitivity
from tests.fitted import single, split

PRIOR, LIKELIHOOD = 0, 1


def with_level(group):
    """The good fit, had the densities of `group` been next to the same at every draw."""
    (m,) = single().members
    tree = m.tree.copy()
    tree[group] = type(tree)(tree[group].to_dataset() * 1e-3)
    return replace(m, tree=tree)


@pytest.mark.parametrize(("group", "side"), [("log_prior", PRIOR), ("log_likelihood", LIKELIHOOD)])
def test_a_density_that_is_level_moves_nothing(group, side):
    found = sensitivity(with_level(group))
    assert all(both[side] < 1e-3 for both in found.values())
    assert all(both[1 - side] > 0 for both in found.values())


def test_sixty_clean_runs_say_more_than_the_priors():
    found = sensitivity(single().members[0])
    assert {"E", "A", "B", "alpha", "beta"} <= set(found)
    assert all(both[LIKELIHOOD] > max(both[PRIOR], THRESHOLD) for both in found.values())


def test_a_point_fit_has_no_draws_to_weigh():
    assert sensitivity(split().members[0]) == {}
