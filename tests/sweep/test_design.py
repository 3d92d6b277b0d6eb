"""Cells: how many, from which checkpoint, and that their names follow from what decides them."""

from __future__ import annotations

import pytest

from bayeslaw.sweep import RECIPES, SweepSpec, cells
from bayeslaw.sweep.cells import starts_at, stops

DOMAINS = ("a", "b")


def spec(**fields) -> SweepSpec:
    base = {
        "name": "s", "recipe": "tiny", "widths": [16, 32], "pretrain_tokens": ["32k", "64k"],
        "specialize_tokens": ["2k", "8k"],
    }  # fmt: skip
    return SweepSpec(**(base | fields))


def test_every_trunk_is_cooled_at_each_d_and_branched_to_each_domain_at_each_length():
    plan = cells(spec(), "digest", DOMAINS)
    assert len(plan.trunks) == 2
    for trunk in plan.trunks:
        children = plan.of(trunk)
        assert [c.stage for c in children].count("cooldown") == 2
        assert [c.stage for c in children].count("branch") == 2 * 2 * 2
        assert {c.parent for c in children} == {trunk.key}
        assert {c.width for c in children} == {trunk.width}


def test_keys_are_unique_and_stable():
    plan = cells(spec(), "digest", DOMAINS)
    keys = [c.key for c in plan]
    assert len(set(keys)) == len(keys)
    again = cells(spec(), "digest", DOMAINS)
    assert keys == [c.key for c in again]


@pytest.mark.parametrize(
    "change", [{"recipe": "bytes-wsd"}, {"seeds": [1]}, {"heldout_tokens": "4k"}]
)
def test_a_setting_that_decides_the_result_decides_the_key(change):
    def keys(s):
        return {c.key for c in cells(s, "digest", DOMAINS).models}

    assert not keys(spec()) & keys(spec(**change))
    assert not keys(spec()) & {c.key for c in cells(spec(), "other", DOMAINS).models}


def test_a_longer_trunk_is_the_same_trunk():
    short = cells(spec(pretrain_tokens=["32k"]), "digest", DOMAINS)
    long = cells(spec(), "digest", DOMAINS)
    assert [t.key for t in short.trunks] == [t.key for t in long.trunks]
    assert {m.key for m in short.models} < {m.key for m in long.models}


def test_tokens_are_whole_steps():
    s, step = spec(), RECIPES["tiny"].tokens_per_step
    assert s.whole(1) == step
    plan = cells(s, "digest", DOMAINS)
    kept = stops(s, plan.of(plan.trunks[0]))
    assert all(stop % step == 0 for stop in kept)
    for m in plan.models:
        assert m.pretrain_tokens % step == m.specialize_tokens % step == 0
        assert starts_at(s, m) in kept
        if m.stage == "cooldown":
            assert starts_at(s, m) == pytest.approx(0.8 * m.pretrain_tokens, abs=step)


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=list(RECIPES))
def test_recipes_are_sane(recipe):
    assert recipe.tokens_per_step == recipe.batch * recipe.context
    assert 0 < recipe.cooldown < 1
    assert 0 < recipe.rate_at(64) <= recipe.rate_at(16)
    for width in (16, 24, 32, 48, 64):
        assert width % recipe.heads(width) == 0
    assert recipe.fields()["name"] == recipe.name
