"""Data that comes to an end: caps, and repetition at the laws' price."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bayeslaw.cli.planned import plan as lines
from bayeslaw.errors import PlanError
from bayeslaw.plan import plan
from tests.plan import drawn

FREE = {"stretch": float("inf"), "kind": "mean"}
FITTED = drawn.ensemble("additive", 2)
FLOPS = 1e20


def repeating(law, of, domains=1, count=50, r=(5.0, 15.0)):
    """Draws of a law with repetition, and the draws of r, (draw, domain)."""
    theta = drawn.draws(law, domains, count)
    r = np.linspace(*r, count)[:, None] * np.ones(domains)
    return {**theta, "r_repeat": r}, drawn.of(f"repeated({law}, of={of})", {**theta, "r_repeat": r})


def worth(tokens, unique, r):
    """Muennighoff et al. 2023, equation 5."""
    return np.where(
        tokens > unique, unique + unique * r * (1 - np.exp(-(tokens / unique - 1) / r)), tokens
    )


@pytest.mark.parametrize("epochs", [1, 4])
def test_a_cap_that_binds_leaves_the_rest_of_the_budget_to_the_size(epochs):
    theta = drawn.draws("chinchilla", 1)
    answer = plan(
        drawn.of("chinchilla", theta), FLOPS, unique={"general": "2B"}, epochs=epochs, **FREE
    )
    run = answer.chosen.run
    assert run.pretrain_tokens[0] == pytest.approx(epochs * 2e9, rel=1e-9)
    assert run.params[0] == pytest.approx(FLOPS / 6 / (epochs * 2e9), rel=1e-9)
    assert answer.chosen.at_limit == (f"{epochs} epochs of 2B general",)
    assert answer.to_json()["data"]["epochs"] == {"general": pytest.approx(epochs)}


def test_where_no_law_prices_repetition_four_epochs_are_the_end():
    said = plan(FITTED, FLOPS, unique={"general": "1B", "d1": 2e8}).to_json()
    assert said["pretrain_tokens"] == pytest.approx(4e9)
    assert said["specialize_tokens"]["d1"] == pytest.approx(8e8)
    assert said["data"]["limits"] == {"pretrain_tokens": 4, "specialize_tokens": 4}
    assert said["data"]["priced"] == []


@pytest.mark.parametrize("law", ["additive", "repeated(additive, of=specialize_tokens)"])
@pytest.mark.parametrize("risk", ["mean", "cvar:0.1"])
def test_data_beyond_the_optimum_change_nothing(law, risk):
    fitted = FITTED if law == "additive" else repeating("additive", "specialize_tokens", 2)[1]
    free = plan(fitted, FLOPS, risk=risk, draws=50)
    enough = {"general": "1T", "d0": "1T", "d1": "1T"}
    held = plan(fitted, FLOPS, risk=risk, draws=50, unique=enough)
    assert held.chosen.risk == pytest.approx(free.chosen.risk, abs=1e-6)
    assert held.chosen.at_limit == ()


def test_beside_what_the_data_allow_stands_what_more_would():
    unique = {"general": "1B", "d0": "100M"}
    answer = plan(FITTED, FLOPS, unique=unique, pins={"specialize_tokens.d1": "1B"})
    free = plan(FITTED, FLOPS, pins={"specialize_tokens.d1": "1B"})
    assert answer.uncapped.risk == pytest.approx(free.chosen.risk, abs=1e-12)
    assert answer.uncapped.run.pretrain_tokens == pytest.approx(free.chosen.run.pretrain_tokens)
    assert answer.chosen.risk > free.chosen.risk
    said = answer.to_json()
    assert said["uncapped"]["risk_value"] == answer.uncapped.risk
    assert any("without an end of data: trunk" in line for line in lines(said))
    assert max(map(len, lines(said))) <= 80
    assert free.uncapped is None


def test_repeated_tokens_are_bought_at_the_laws_price():
    theta, fitted = repeating("chinchilla", "pretrain_tokens")
    unique = 1e9
    answer = plan(fitted, FLOPS, unique={"general": unique}, draws=50, **FREE)
    d = np.exp(np.linspace(np.log(1e9), np.log(1e12), 20001))[:, None, None]
    n = FLOPS / 6 / d
    floor, size, data = np.moveaxis(theta["shares"], -1, 0)
    loss = theta["level"] * 3.0 * (
        floor + size * (n / 1e8) ** -theta["a_size"]
        + data * (worth(d, unique, theta["r_repeat"]) / 1e10) ** -theta["b_data"]
    )  # fmt: skip
    risks = loss.mean((1, 2))
    assert answer.chosen.risk == pytest.approx(risks.min(), abs=1e-8)
    assert answer.chosen.run.pretrain_tokens[0] == pytest.approx(d[risks.argmin(), 0, 0], rel=1e-3)
    assert answer.asked.data.priced == ("pretrain_tokens",)
    assert answer.to_json()["data"]["epochs"]["general"] > 4  # more than is free
    # An epoch limit that is asked for holds all the same.
    held = plan(fitted, FLOPS, unique={"general": unique}, epochs=2, draws=50, **FREE)
    assert held.chosen.run.pretrain_tokens[0] == pytest.approx(2e9)


def test_a_trunk_repeats_a_small_domain_for_as_long_as_it_pays():
    theta, fitted = repeating("additive", "specialize_tokens", 2)
    n, d, unique = 4e8, 2e10, np.array([1e8, 1e13])
    answer = plan(
        fitted, FLOPS, unique={"d0": unique[0]}, pins={"params": n, "pretrain_tokens": d},
        arrangements=["trunk"], draws=50, **FREE,
    )  # fmt: skip
    left = FLOPS / 6 / n - d
    first = np.exp(np.linspace(np.log(1e8), np.log(left * 0.999), 4001))[:, None, None]
    split = np.concatenate([first, left - first], -1)
    floor, size, data, branch = np.moveaxis(theta["shares"], -1, 0)
    trunk = size * (n / 1e8) ** -theta["a_size"] + data * (d / 1e10) ** -theta["b_data"]
    fresh = worth(split, unique, theta["r_repeat"]) / 1e9
    scale = (fresh + theta["s_branch"]) / (1 + theta["s_branch"])
    loss = theta["level"] * 3.0 * (floor + trunk + branch * scale ** -theta["c_branch"])
    risks = loss.mean((1, 2))
    assert answer.chosen.risk == pytest.approx(risks.min(), abs=1e-7)
    assert answer.chosen.run.specialize_tokens[0] == pytest.approx(
        first[risks.argmin(), 0, 0], rel=5e-3
    )


def test_only_where_every_law_prices_repetition_is_there_no_cap():
    _, one = repeating("additive", "specialize_tokens", 2)
    both = replace(FITTED, members=(*FITTED.members, *one.members))
    assert plan(one, FLOPS, unique={"d0": 1e8}, draws=50).asked.data.priced == (
        "specialize_tokens",
    )
    answer = plan(both, FLOPS, unique={"d0": 1e8}, draws=50)
    assert answer.asked.data.priced == ()
    assert answer.chosen.run.specialize_tokens[0] <= 4e8 * (1 + 1e-9)


@pytest.mark.parametrize(
    ("wishes", "said"),
    [
        ({"unique": {"law": 1}}, "unique tokens of 'law': there is general, d0, d1"),
        ({"unique": {"d0": "few"}}, "unique tokens of d0: 'few' is not a number"),
        ({"unique": {"d0": 0}}, "unique tokens of d0: 0; it must be more than 0"),
        ({"unique": {"d0": 1e9}, "epochs": 0}, "epochs must be positive and finite, got 0"),
        ({"epochs": 2}, "epochs are of unique tokens: say how many"),
        (
            {"unique": {"d0": "1M"}, "pins": {"specialize_tokens.d0": "1B"}},
            "specialize_tokens.d0=1B and 4 epochs of 1M d0 contradict each other",
        ),
    ],
)
def test_data_that_cannot_be_are_refused(wishes, said):
    with pytest.raises(PlanError, match=said):
        plan(FITTED, FLOPS, **wishes)
