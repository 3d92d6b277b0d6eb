"""Every recipe of the second stage does what its name says: its text, its loss, its rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from bayeslaw.corpus import Domain, synthetic
from bayeslaw.errors import SweepError
from bayeslaw.runs import read_runs
from bayeslaw.sweep import KINDS, RECIPES, SecondStage
from bayeslaw.train.data import Windows, general, special
from bayeslaw.train.loop import alone, cross_entropy, start
from bayeslaw.train.second import Distilled, objective_of, text_of
from bayeslaw.train.study import run_sweep
from tests.train.little import Here

TINY = RECIPES["tiny"]
SIZE = (TINY.context, TINY.batch, 0)
TOKENS = 40 * TINY.tokens_per_step
ROOT = Path(__file__).resolve().parents[2]


def constant(name: str, value: int) -> Domain:
    """A domain of one token in each part, so that a window tells where it is from."""
    parts = [np.full(33 * 2000, value + i, np.uint8) for i in range(3)]
    return Domain(name, *parts)


DOMAINS = (constant("a", 10), constant("b", 20), constant("c", 30))


def seen(windows: Windows, steps: int = 40) -> np.ndarray:
    """The token that each window is made of, in order."""
    return np.concatenate([windows.step(i)[0][:, 0].numpy() for i in range(steps)])


def text(read: int = 0, branch: str = "b", **fields: Any) -> Windows:
    return text_of(SecondStage(**fields), branch, DOMAINS, TINY, 0, read, TOKENS)


def test_plain_and_scratch_read_the_domain_alone():
    for recipe in ("plain", "scratch"):
        assert set(seen(text(recipe=recipe))) == {21}


@pytest.mark.parametrize("weights", [{}, {"a": 3.0, "b": 1.0}, {"a": 1.0, "b": 1.0, "c": 5.0}])
def test_joint_reads_every_domain_by_its_weight_in_every_prefix(weights):
    order = seen(text(branch="joint", recipe="joint", weights=weights))
    wanted = weights or dict.fromkeys("abc", 1.0)
    for name, token in (("a", 11), ("b", 21), ("c", 31)):
        share = wanted.get(name, 0.0) / sum(wanted.values())
        ahead = np.cumsum(order == token) - share * np.arange(1, len(order) + 1)
        assert np.abs(ahead).max() <= 1


@pytest.mark.parametrize("share", [0.01, 0.25, 0.5])
def test_replay_mixes_in_its_share_of_general_text(share):
    order = seen(text(recipe="replay", replay=share))
    assert set(order) <= {21, 10, 20, 30}
    ahead = np.cumsum(order != 21) - share * np.arange(1, len(order) + 1)
    assert np.abs(ahead).max() <= 1


def test_replayed_text_is_what_the_trunk_did_not_read():
    domains = synthetic(size=60_000).domains
    second = SecondStage(recipe="replay", replay=0.5)
    read = 30 * TINY.tokens_per_step
    windows = text_of(second, "alpha", domains, TINY, 0, read, TOKENS // 4)
    trunk = general(domains, *SIZE)
    before = {bytes(trunk.step(i)[0].numpy()[j]) for i in range(30) for j in range(TINY.batch)}
    own = special(domains[0], *SIZE)
    mine = {bytes(own.step(i)[0].numpy()[j]) for i in range(10) for j in range(TINY.batch)}
    now = {bytes(w) for i in range(10) for w in windows.step(i)[0].numpy()}
    assert len(now) == 10 * TINY.batch
    assert not now & before
    assert len(now & mine) == len(now) // 2


def test_importance_draws_the_general_text_that_is_like_the_target():
    domains = synthetic(("alpha", "beta", "gamma"), size=120_000).domains
    second = SecondStage(recipe="importance", clusters=6, target_bytes=8000)
    windows = text_of(second, "beta", domains, TINY, 0, 0, TOKENS)
    own = {bytes(r) for r in windows.rows[1]}
    drawn = [bytes(windows.rows[t][r]) for t, r in windows.order]
    assert len(drawn) == TOKENS // TINY.context
    assert np.mean([d in own for d in drawn]) > 0.8  # a third without weights


def test_distillation_is_nothing_at_the_split_and_holds_on_afterwards():
    torch.manual_seed(0)
    model = start(TINY, 16, 0).model
    torch.nn.init.normal_(model.unembedding.weight, std=0.3)
    ids = torch.randint(0, 256, (2, 33))
    inputs, targets = ids[:, :-1], ids[:, 1:]
    plain = cross_entropy(model, inputs, targets, 0.0)
    held = Distilled(model, 2.0, anneal=True)
    torch.testing.assert_close(held(model, inputs, targets, 0.0), plain)
    with torch.no_grad():
        model.unembedding.weight.mul_(1.5)
    before = held.before(inputs).log_softmax(-1)
    kl = torch.nn.functional.kl_div(
        model(inputs).log_softmax(-1).flatten(0, 1), before.flatten(0, 1),
        log_target=True, reduction="batchmean",
    )  # fmt: skip
    assert kl > 0.01
    plain = cross_entropy(model, inputs, targets, 0.0)
    for share in (0.0, 0.25, 1.0):
        expected = plain + 2.0 * (1 - share) * kl
        torch.testing.assert_close(held(model, inputs, targets, share), expected)
    steady = Distilled(held.before, 2.0, anneal=False)
    torch.testing.assert_close(steady(model, inputs, targets, 1.0), plain + 2.0 * kl)
    assert objective_of(SecondStage(), model) is cross_entropy


def test_a_model_from_fresh_weights_warms_up_stays_and_cools_down():
    rate, peak = alone(TINY, 16, 100), TINY.rate_at(16)
    rates = [rate(i) for i in range(100)]
    assert rates[:10] == sorted(rates[:10])
    assert rates[10:80] == [peak] * 70
    assert rates[80:] == sorted(rates[80:], reverse=True)
    assert 0 < rates[-1] < 0.02 * peak


def test_unknown_weights_are_refused():
    with pytest.raises(SweepError, match="weights name no domain of the sweep: z"):
        text(branch="joint", recipe="joint", weights={"z": 1.0})


@pytest.fixture(scope="module")
def table(tmp_path_factory) -> pd.DataFrame:
    """A sweep with a run of every recipe."""
    out = tmp_path_factory.mktemp("recipes")

    run_sweep(ROOT / "examples/recipes/sweep.toml", out, executor=Here())
    read_runs(out / "runs.csv")
    return pd.read_csv(out / "runs.csv", keep_default_na=False)


def test_every_recipe_has_its_rows_and_its_properties(table):
    second = table[table["specialize_tokens"] > 0]
    assert set(second["recipe"]) == set(KINDS)
    first = table[table["specialize_tokens"] == 0]
    assert set(first["recipe"]) == {""}
    by = dict(list(second.groupby("recipe")))
    assert set(by["replay"]["replay"]) == {"0.25"}
    assert set(by["distill"]["distill"]) == {"1"}
    assert set(by["joint"]["branch"]) == {"joint"}
    assert set(by["scratch"]["pretrain_tokens"]) == {0}
    assert not set(by["scratch"]["lineage"]) & set(first["lineage"])
    assert set(by["plain"]["lineage"]) == set(first["lineage"])
    assert set(by["plain"]["experts"]) == {"2"}
    assert set(by["joint"]["experts"]) == {""}
    each = TINY.shape(16).flops_per_token
    d, split = first["pretrain_tokens"].iloc[0], by["plain"]["specialize_tokens"].iloc[0]
    for name, tokens in (("plain", d + split), ("distill", d + split * 4 / 3), ("scratch", split)):
        assert by[name]["flops"].to_numpy(float) == pytest.approx(each * tokens, rel=1e-5)


def test_the_recipes_differ_as_they_should(table):
    """At equal tokens: on its own domain a branch beats the joint model, which beats fresh weights;
    replay and distillation forget less of the other domain than plain does."""
    loss = {
        (r.recipe, r.branch, r.domain): float(r.loss)
        for r in table[table["specialize_tokens"] > 0].itertuples()
    }
    for own, other in (("alpha", "beta"), ("beta", "alpha")):
        assert loss["plain", own, own] < loss["joint", "joint", own] < loss["scratch", own, own]
        assert loss["replay", own, other] < loss["plain", own, other]
        assert loss["distill", own, other] < loss["plain", own, other]
        assert loss["importance", own, own] < loss["joint", "joint", own]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"recipe": "none"}, "no such recipe of a second stage; choose one of plain, joint"),
        ({"recipe": "replay"}, "needs replay, more than 0"),
        ({"recipe": "distill"}, "needs distill, more than 0"),
        ({"recipe": "scratch", "distill": 1.0}, "leave out replay and distill"),
        ({"replay": 0.25}, "'plain' is on the domain alone: leave out replay and distill"),
        ({"recipe": "replay", "replay": 0.1, "anneal": True}, "anneal is of distill"),
        ({"recipe": "replay", "replay": 0.1, "teacher": "cooled"}, "teacher is of distill"),
        ({"recipe": "distill", "distill": 1.0, "teacher": "me"}, "teacher is 'split' or 'cooled'"),
        ({"weights": {"a": 1.0}}, "only 'joint' mixes the domains"),
    ],
)
def test_a_recipe_without_its_meaning_is_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        SecondStage(**fields)
