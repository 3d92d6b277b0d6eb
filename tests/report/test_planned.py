"""plan.json as a report reads it: every fault told, none by a traceback."""

from __future__ import annotations

import json

import pytest

from bayeslaw import PlanError
from bayeslaw.report.planned import read_planned
from tests.report.made import HOSTILE, said, written

MISSING = [n for n in said() if n not in (
    "cost", "hardware", "targets", "draws", "seed", "stretch", "arrangements", "schema", "command",
    "certificate", "weights", "budget", "baselines", "arrangement", "params", "pretrain_tokens",
    "specialize_tokens")]  # fmt: skip


def test_a_plan_is_read(tmp_path):
    p = read_planned(written(tmp_path / "plan.json"))
    assert p.size("params", HOSTILE[0]) == 2e7
    assert p.stages == (5e8, 3.3e8)
    assert p.source is None


@pytest.mark.parametrize("name", MISSING)
def test_what_is_missing_is_named(tmp_path, name):
    plan = said()
    del plan[name]
    path = tmp_path / "plan.json"
    path.write_text(json.dumps(plan))
    with pytest.raises(PlanError, match=f"{name}: is missing; plan again"):
        read_planned(path)


@pytest.mark.parametrize(
    ("changed", "part"),
    [
        ({"p_best": 1.2}, "p_best: "),
        ({"loss": {"mean": float("nan"), "interval": [1, 2]}}, "loss, mean: "),
        ({"loss": {"mean": 1.0, "interval": [1]}}, "loss, interval"),
        ({"domains": {"other": {"mean": 1.0, "interval": [1, 2]}}}, "domains: its domains are not"),
        ({"own_optima": 3}, "own_optima: "),
        ({"at_bound": "low"}, "at_bound: "),
        ({"weights": {}}, "weights"),
        ({"schema": 9}, "not a plan of schema 1"),
    ],
)
def test_what_cannot_be_is_named(tmp_path, changed, part):
    with pytest.raises(PlanError, match=part):
        read_planned(written(tmp_path / "plan.json", **changed))


def test_all_faults_are_told_at_once(tmp_path):
    with pytest.raises(PlanError) as told:
        read_planned(written(tmp_path / "plan.json", p_best=2, evpi="much", limits=None))
    assert str(told.value).count("\n") == 3


@pytest.mark.parametrize("text", ["", "[]", "{", "null", '{"schema": 1}'])
def test_other_files_are_refused(tmp_path, text):
    path = tmp_path / "plan.json"
    path.write_text(text)
    with pytest.raises(PlanError, match=r"plan\.json"):
        read_planned(path)
