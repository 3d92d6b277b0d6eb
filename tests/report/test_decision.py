"""The decision in plain words."""

from __future__ import annotations

import pytest

from bayeslaw.report import decision
from bayeslaw.report.planned import planned
from tests.report.made import HOSTILE, said


def of(**changed):
    return planned(said(**changed), "plan.json")


EACH = dict.fromkeys(HOSTILE, 1e7)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({}, "Train one trunk of 20M parameters on 500M tokens of the general mixture. Then split "
             "it: 2 branches, each trained on 150M to 180M more tokens of its own domain."),
        ({"arrangement": "independent", "params": dict(zip(HOSTILE, (1e7, 2e7), strict=True)),
          "pretrain_tokens": EACH}, "Train 2 models of their own, one for each domain: 10M to 20M"),
        ({"arrangement": "generalist", "specialize_tokens": dict.fromkeys(HOSTILE, 0.0)},
         "Train one model of 20M parameters on 500M tokens of the general mixture, and do not "
         "split it."),
        ({"arrangement": "joint"}, "then on 150M to 180M tokens of all domains together. Do not "),
        ({"arrangement": "scratch"}, "Train 2 models of 20M parameters from the start"),
    ],
)  # fmt: skip
def test_what_to_train_is_said_of_every_arrangement(changed, words):
    assert words in decision.what(of(**changed))


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"at_bound": ["tokens_per_param low"]}, "the smallest tokens per parameter (D/N)"),
        ({"at_bound": ["split_ratio high (code)"]}, "largest length of the second stage (D′/D) "
                                                    "for code"),
        ({"extrapolation": {"params": 1.0, "compute": 36.0}}, "compute 36 times. The intervals"),
        ({"kind": "mean"}, "they do not allow for laws being wrong"),
        ({"budget": {"flops": 1e17, "spent": 0.4}}, "Spends 40 % of the budget: further from"),
        ({"budget": {"flops": 1e17, "spent": 0.4, "exhausted": True}}, "bounds and data allow no"),
        ({"cost": {"error": 0.3}}, "follow the law of their cost to 30 % only"),
        ({"certificate": {"faults": ["a start is better"]}}, "checks failed: a start is better"),
        ({"passed": False}, "made with a fit that failed its checks"),
    ],
)  # fmt: skip
def test_what_speaks_against_a_plan_is_said(changed, words):
    assert words in " ".join(decision.against(of(**changed)))


def test_bounds_and_extrapolation_come_first():
    lines = decision.against(of(budget={"flops": 1e17, "spent": 0.4}))
    assert [line.split()[0] for line in lines] == ["At", "Extrapolates", "Spends"]


def test_nothing_speaks_against_a_plan_within_its_sweep():
    inside = {"at_bound": [], "extrapolation": {"params": 1.0}}
    assert decision.against(of(**inside, budget={"flops": 1e17, "spent": 1.0})) == []


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({}, "Of the 3 ways to train that the runs can speak about this one is the best with "
             "probability 0.93. A split beats one generalist model of the same cost with "
             "probability more than 0.99."),
        ({"p_best_of": {"trunk": 1.0}}, "the only way to train that the runs can speak about"),
    ],
)  # fmt: skip
def test_confidence_is_said_in_probabilities(changed, words):
    assert words in decision.confidence(of(**changed))


def test_a_target_and_hardware_are_part_of_the_price():
    hardware = {"device": "h100", "gpu_hours": 12.5, "days": 0.52, "count": 1, "money": 30.0}
    targets = {"losses": {HOSTILE[0]: 1.8}, "p_reached": 0.91}
    words = decision.price(of(hardware=hardware, targets=targets))
    assert "the least that reaches a loss of 1.8 on" in words
    assert "with probability 0.91" in words
    assert "12.5 hours of h100, or 0.52 days on 1, for 30 of money" in words
