"""Cells: how many, from which checkpoint, and that their names follow from what decides them."""

from __future__ import annotations

import pytest

from bayeslaw.sweep import RECIPES, SweepSpec, cells
from bayeslaw.sweep.design import checkpoints, cooldown_start, whole

DOMAINS = ("a", "b")


def spec(**fields) -> SweepSpec:
    base = {
        "name": "s", "recipe": "tiny", "widths": [16, 32], "pretrain_tokens": ["32k", "64k"],
        "specialize_tokens": ["2k", "8k"],
    }  # fmt: skip
    return SweepSpec(**(base | fields))


def test_every_trunk_is_cooled_at_each_d_and_branched_to_each_domain_at_each_length():
    plan = cells(spec(), "digest", DOMAINS)
    assert len(plan) == 2
    for trunk, children in plan.items():
        assert [c.stage for c in children].count("cooldown") == 2
        assert [c.stage for c in children].count("branch") == 2 * 2 * 2
        assert {c.parent for c in children} == {trunk.key}
        assert {c.width for c in children} == {trunk.width}


def test_keys_are_unique_and_stable():
    plan = cells(spec(), "digest", DOMAINS)
    keys = [c.key for trunk, children in plan.items() for c in (trunk, *children)]
    assert len(set(keys)) == len(keys)
    again = cells(spec(), "digest", DOMAINS)
    assert keys == [c.key for trunk, children in again.items() for c in (trunk, *children)]


@pytest.mark.parametrize(
    "change", [{"recipe": "bytes-wsd"}, {"seeds": [1]}, {"heldout_tokens": "4k"}]
)
def test_a_setting_that_decides_the_result_decides_the_key(change):
    def keys(s):
        return {c.key for children in cells(s, "digest", DOMAINS).values() for c in children}

    assert not keys(spec()) & keys(spec(**change))
    assert not keys(spec()) & {
        c.key for children in cells(spec(), "other", DOMAINS).values() for c in children
    }


def test_tokens_are_whole_steps():
    s, step = spec(), RECIPES["tiny"].tokens_per_step
    assert whole(s, 1) == step
    assert all(stop % step == 0 for stop in checkpoints(s))
    for d in s.pretrain_tokens:
        assert {whole(s, d), cooldown_start(s, whole(s, d))} <= set(checkpoints(s))
        assert cooldown_start(s, d) == pytest.approx(0.8 * d, abs=step)


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=list(RECIPES))
def test_recipes_are_sane(recipe):
    assert recipe.tokens_per_step == recipe.batch * recipe.context
    assert 0 < recipe.cooldown < 1
    assert 0 < recipe.rate_at(64) <= recipe.rate_at(16)
    for width in (16, 24, 32, 48, 64):
        assert width % recipe.heads(width) == 0
    assert recipe.fields()["name"] == recipe.name
