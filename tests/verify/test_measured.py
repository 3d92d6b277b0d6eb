"""Which measured row is of which arm, and what cannot be told."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from bayeslaw.errors import RunsError
from bayeslaw.runs import Runs
from bayeslaw.verify import arms_of
from bayeslaw.verify.measured import measured, read_measured
from tests.verify.planned import plan_file, rows_of, table


def matched(rows, arms, tolerance=0.25, named=True):
    data = pd.DataFrame(rows)
    runs = Runs.from_table(data)
    return measured(runs, arms, tolerance, data["arm"].tolist() if named else None)


@pytest.mark.parametrize("named", [True, False])
def test_every_row_at_an_arms_design_is_of_that_arm(tmp_path, named):
    plan = plan_file(tmp_path)
    data = table(plan)
    found = matched(data, arms_of(plan), named=named)
    assert len(found.rows) == len(data)
    assert not found.left
    assert not found.missing
    for row in found.rows:
        there = data.iloc[row.row]
        assert (row.arm, row.seed, row.domain) == (there["arm"], there["seed"], there["domain"])
        assert row.away == 0


def test_a_row_is_of_the_nearest_arm_within_the_tolerance_else_it_is_listed(tmp_path):
    arms = arms_of(plan_file(tmp_path))
    near, far = rows_of(arms[0])
    near["params"] *= np.exp(0.2)
    far["pretrain_tokens"] *= np.exp(0.3)
    found = matched([near, far], arms, named=False)
    assert [(r.arm, r.domain) for r in found.rows] == [("plan", "d0")]
    assert found.rows[0].away == pytest.approx(0.2)
    assert [u.row for u in found.left] == [2]
    assert "nearest is arm 'plan', a factor 1.35 away" in found.left[0].reason
    assert ("plan", 0, "d1") in found.missing
    wider = matched([near, far], arms, tolerance=0.4, named=False)
    assert len(wider.rows) == 2


def test_a_named_arm_needs_no_tolerance(tmp_path):
    arms = arms_of(plan_file(tmp_path))
    rows = [{**r, "params": r["params"] * 3} for r in rows_of(arms[0])]
    assert len(matched(rows, arms).rows) == 2


def test_how_the_second_stage_was_done_tells_arms_of_one_size_apart(tmp_path):
    arms = {a.name: a for a in arms_of(plan_file(tmp_path))}
    twin = {**rows_of(arms["joint"])[0], "branch": "d0", "recipe": "plain"}
    found = matched([*rows_of(arms["joint"]), {**twin, "run_id": "x"}], list(arms.values()),
                    named=False)  # fmt: skip
    assert {r.arm for r in found.rows} == {"joint"}
    assert len(found.left) == 1


def test_rows_of_a_branch_on_other_domains_are_counted_and_not_used(tmp_path):
    arms = arms_of(plan_file(tmp_path))
    one, two = rows_of(arms[0])
    found = matched([one, {**two, "branch": "d0", "run_id": one["run_id"]}], arms, named=False)
    assert (len(found.rows), found.off) == (1, 1)


def test_arms_of_one_design_share_its_rows(tmp_path):
    plan = plan_file(tmp_path)
    same = {"name": "mine", "arrangement": "trunk", "params": 4e6, "pretrain_tokens": 1e8,
            "specialize_tokens": {"d0": 1e7, "d1": 3e7}}  # fmt: skip
    arms = arms_of(plan_file(tmp_path, baselines=[same]))
    found = matched(rows_of(arms_of(plan)[0]), arms, named=False)
    assert [r.arm for r in found.rows] == ["plan", "plan", "mine", "mine"]


def test_of_two_rows_of_an_arm_the_nearer_stands(tmp_path):
    arms = arms_of(plan_file(tmp_path))
    row = rows_of(arms[0])[0]
    other = {**row, "params": row["params"] * 1.1, "run_id": "other"}
    for rows in ([row, other], [other, row]):
        found = matched(rows, arms, named=False)
        assert [r.away for r in found.rows] == [0]
        assert "a nearer row stands" in found.left[0].reason


def test_all_that_cannot_be_matched_is_told_at_once(tmp_path):
    arms = arms_of(plan_file(tmp_path))
    one, two = rows_of(arms[0])
    rows = [one, {**one, "run_id": "again"}, {**two, "arm": "plain"},
            {**two, "domain": "d9", "branch": "d9", "run_id": "y"}]  # fmt: skip
    with pytest.raises(RunsError) as raised:
        matched(rows, arms)
    for part in ("3 faults", "row 2", "measured twice, see row 1; give `seed`",
                 "row 3 (line 4), column 'arm' is 'plain': the arms are plan, independent",
                 "column 'domain' is 'd9': the plan is for d0, d1"):  # fmt: skip
        assert part in str(raised.value)


def test_a_table_without_any_arm_is_refused_with_the_nearest(tmp_path):
    arms = arms_of(plan_file(tmp_path))
    rows = [{**r, "params": 1e3, "arm": ""} for r in rows_of(arms[0])]
    with pytest.raises(RunsError, match=r"no row is of an arm.*nearest is arm .*raise --tolerance"):
        matched(rows, arms)


def test_the_arm_of_a_row_is_read_also_where_rows_are_wide_or_diverged(tmp_path):
    arms = arms_of(plan_file(tmp_path))
    generalist = arms[2]
    wide = pd.DataFrame([
        {"arm": "plan", "params": 1, "pretrain_tokens": 1, "loss_d0": "", "loss_d1": "", "seed": 0},
        {"arm": "generalist", "params": "5M", "pretrain_tokens": "112M", "loss_d0": 2, "loss_d1": 3,
         "seed": 1},
    ])  # fmt: skip
    wide.to_csv(tmp_path / "wide.csv", index=False)
    runs, named = read_measured(tmp_path / "wide.csv")
    assert named == ["generalist", "generalist"]
    assert {r.arm for r in measured(runs, arms, 0.25, named).rows} == {generalist.name}
    long = pd.DataFrame(rows_of(arms[0]))
    long.loc[0, "status"] = "diverged"
    long.fillna("ok").to_csv(tmp_path / "long.csv", index=False)
    runs, named = read_measured(tmp_path / "long.csv")
    assert (len(runs), named) == (1, ["plan"])
    long.drop(columns=["arm", "status"]).to_csv(tmp_path / "none.csv", index=False)
    assert read_measured(tmp_path / "none.csv")[1] == ["", ""]
