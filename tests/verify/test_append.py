"""Rows that are appended: once, whole, and readable by the next fit."""

from __future__ import annotations

import pandas as pd
import pytest

from bayeslaw import find_law
from bayeslaw.errors import RunsError
from bayeslaw.infer.fit import usable
from bayeslaw.runs import Runs, read_runs
from bayeslaw.verify import arms_of
from bayeslaw.verify.append import append
from tests.conftest import two_stage
from tests.verify.planned import plan_file, rows_of, table


@pytest.fixture
def mine(tmp_path):
    path = tmp_path / "mine.csv"
    two_stage().to_csv(path, index=False)
    return path


def test_appended_twice_is_appended_once(tmp_path, mine):
    before = read_runs(mine)
    new = Runs.from_table(table(plan_file(tmp_path)))
    assert append(new, mine) == len(new)
    after = mine.read_bytes()
    assert append(new, mine) == 0
    assert mine.read_bytes() == after
    both = read_runs(mine)
    assert len(both) == len(before) + len(new)
    assert both.table.iloc[: len(before)].equals(before.table)
    added = both.table.iloc[len(before) :].reset_index(drop=True)
    assert added["loss"].tolist() == new.table["loss"].tolist()
    assert set(both.table["sweep"]) == {"simulated"}
    assert not list(tmp_path.glob(".mine*"))


def test_rows_without_a_name_get_one_that_is_the_same_the_next_time(tmp_path):
    bare = ["params", "pretrain_tokens", "specialize_tokens", "domain", "loss"]
    path = tmp_path / "bare.csv"
    two_stage()[bare].to_csv(path, index=False)
    rows = rows_of(arms_of(plan_file(tmp_path))[0])
    new = Runs.from_table(pd.DataFrame(rows)[[*bare, "seed"]], name="measured")
    assert append(new, path) == 2
    assert append(new, path) == 0
    text = path.read_text().splitlines()
    assert text[1].startswith(two_stage()[bare].to_csv(index=False).splitlines()[1])
    assert set(read_runs(path).table["sweep"]) == {"bare"}


def test_the_next_fit_sees_the_plain_rows_that_were_appended(tmp_path, mine):
    new = table(plan_file(tmp_path))
    law = find_law("additive")
    (before,) = usable(read_runs(mine), [law])
    append(Runs.from_table(new), mine)
    (after,) = usable(read_runs(mine), [law])
    plain = new["recipe"].isin(["", "plain"])  # joint and scratch are other recipes
    assert 0 < plain.sum() < len(new)
    assert len(after) == len(before) + plain.sum()


@pytest.mark.parametrize(
    ("change", "part"),
    [
        (lambda t: t.assign(sweep=["a", *["b"] * (len(t) - 1)]), "holds a, b; name the file of"),
        (lambda t: t.assign(unit="bits/byte"), "'d0' is in nats/byte there, in nats/token in"),
        (lambda t: t.rename(columns={"loss": "loss_d0"}), "write one loss a row"),
    ],
)
def test_a_file_that_cannot_take_the_rows_is_left_as_it_is(tmp_path, mine, change, part):
    data = change(two_stage())
    if "loss_d0" in data:
        data = data[data["domain"] == "d0"].drop(columns="domain")
    data.to_csv(mine, index=False)
    before = mine.read_bytes()
    with pytest.raises(RunsError, match=part):
        append(Runs.from_table(table(plan_file(tmp_path))), mine)
    assert mine.read_bytes() == before


def test_another_loss_for_the_same_run_is_a_fault(tmp_path, mine):
    data = table(plan_file(tmp_path), seeds=1)
    append(Runs.from_table(data), mine)
    before = mine.read_bytes()
    with pytest.raises(RunsError, match=r"row 3 .*column 'loss'.* has 2 for the same run"):
        append(Runs.from_table(data.assign(loss=[2.0, 2.0, 2.1, *[2.0] * (len(data) - 3)])), mine)
    assert mine.read_bytes() == before


def test_only_csv_that_is_there_takes_rows(tmp_path):
    new = Runs.from_table(table(plan_file(tmp_path)))
    with pytest.raises(RunsError, match="no such file"):
        append(new, tmp_path / "none.csv")
    with pytest.raises(RunsError, match=r"name a \.csv"):
        append(new, tmp_path / "runs.parquet")
