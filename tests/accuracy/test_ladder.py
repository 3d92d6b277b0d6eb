"""The map from loss to accuracy: recovered, carried, kept and refused."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from bayeslaw.accuracy import Scores, fit_accuracy, read_ladder, read_scores
from bayeslaw.accuracy.ladder import BENT, bent
from bayeslaw.cli.judged import ladder as lines
from bayeslaw.errors import FitError, RunsError
from tests.accuracy import made

AT = np.array([1.2, 1.5, 1.8, 2.1])


@pytest.fixture(scope="module")
def fitted():
    return fit_accuracy(made.scores())


def test_the_truth_is_inside_and_draws_are_narrow_where_there_are_rows(fitted):
    assert fitted.passed, fitted.failures
    for task in made.TRUTH:
        draws = fitted.accuracies(task, np.tile(AT, (4800, 1)))
        low, high = np.quantile(draws, [0.001, 0.999], axis=0)
        truth = made.curve(AT, task)
        assert ((low <= truth) & (truth <= high)).all()
        width = high - low
        assert (width[1:] < 0.05).all()
        assert width[0] > width[1]  # below the losses that were fitted nothing is as sure
    assert fitted.noise.mean() == pytest.approx(0.7, abs=0.15)


@pytest.mark.sbc
def test_intervals_cover_the_truth_as_often_as_they_say():
    """90 % intervals of the curve, at losses below those fitted too, over simulated tables."""
    inside = []
    for seed in range(30):
        ladder = fit_accuracy(made.scores(10, seed=seed, items=500, low=1.5))
        assert ladder.passed
        for task in made.TRUTH:
            draws = ladder.accuracies(task, np.tile(AT, (4800, 1)))
            low, high = np.quantile(draws, [0.05, 0.95], axis=0)
            truth = made.curve(AT, task)
            inside.append((low <= truth) & (truth <= high))
    share = np.mean(inside)
    assert share > 0.9 - 3 * np.sqrt(0.09 / len(inside))  # losses of one fit are no further trials


def test_a_single_task_needs_no_pool():
    t = made.scores().table
    ladder = fit_accuracy(Scores.from_table(t[t["task"] == "hard"]))
    assert ladder.passed, ladder.failures
    found = ladder.accuracies("hard", np.full(4000, 1.8))
    assert found.mean() == pytest.approx(made.curve(1.8, "hard"), abs=0.02)


def test_a_known_map_gives_the_formula():
    known = made.ladder()
    losses = np.linspace(1.0, 2.5, 200)
    for task in known.tasks:
        assert known.accuracies(task, losses) == pytest.approx(made.curve(losses, task), abs=1e-5)
    noisy = known.accuracies("easy", np.full(20_000, 1.8), noisy=True)
    mean = made.curve(1.8, "easy")
    assert noisy.mean() == pytest.approx(mean, abs=1e-3)
    assert noisy.std() == pytest.approx(0.7 * np.sqrt(mean * (1 - mean) / 500), rel=0.05)
    with pytest.raises(FitError, match="unknown task 'x'; there is easy, hard"):
        known.number("x")


def test_a_ladder_comes_back_from_its_file_and_arviz_reads_it(tmp_path):
    known = made.ladder(spread=0.1)
    known.save(tmp_path / "a.nc")
    again = read_ladder(tmp_path / "a.nc")
    for name in known.theta:
        assert np.array_equal(again.theta[name], known.theta[name])
    for name in ("tasks", "domains", "failures"):
        assert getattr(again, name) == getattr(known, name)
    assert np.array_equal(again.losses, known.losses)
    import xarray as xr

    tree = xr.open_datatree(tmp_path / "a.nc", engine="h5netcdf").load()
    assert tree["posterior"]["k_steep"].dims == ("chain", "draw", "task")
    (tmp_path / "b.nc").write_bytes(b"no")
    with pytest.raises(FitError, match="no map from loss to accuracy"):
        read_ladder(tmp_path / "b.nc")
    with pytest.raises(FitError, match="no such file"):
        read_ladder(tmp_path / "c.nc")


def test_one_that_failed_is_refused_unless_it_is_accepted():
    failed = replace(made.ladder(), failures=("R-hat 1.300 > 1.01",))
    with pytest.raises(FitError, match=r"did not pass its checks \(R-hat 1.300 > 1.01\)"):
        failed.accept()
    assert failed.accept(True) is failed


# --- the table


def good() -> pd.DataFrame:
    return made.scores(5).table


def test_rows_of_systems_and_rows_without_a_loss_are_left_out_and_counted(tmp_path):
    t = good()
    t.loc[0, "router"] = "text"
    t.loc[1, "loss"] = np.nan
    found = Scores.from_table(t)
    assert (len(found), found.left_out) == (13, 2)
    t.rename(columns={"accuracy": "per_byte"}).to_csv(tmp_path / "t.csv", index=False)
    again = read_scores(tmp_path / "t.csv", {"accuracy": "per_byte"})
    assert again.table["accuracy"].tolist() == pytest.approx(found.table["accuracy"].tolist())


def test_branches_on_other_domains_are_left_out_and_counted():
    """At the same loss they answer more: forgetting costs the loss more than the answers."""
    t = good().assign(branch="", specialize_tokens=0.0)
    t.loc[0, ["branch", "specialize_tokens"]] = "d9", 1e6
    t.loc[1, ["branch", "specialize_tokens"]] = t.loc[1, "domain"], 1e6
    found = Scores.from_table(t)
    assert (len(found), found.left_out) == (14, 1)


def test_beyond_its_losses_a_curve_may_bend_and_within_them_not():
    ladder = made.ladder(draws=2000)
    inside, beyond = np.full(2000, 1.6), np.full(2000, 1.2)
    assert np.ptp(bent(inside, 1.4, 2.3, ladder.bends(2000)[:, 0])) == 0
    far = bent(beyond, 1.4, 2.3, ladder.bends(2000)[:, 0])
    assert np.median(far) == pytest.approx(1.2, abs=0.01)
    assert np.log((1.4 - far) / 0.2).std() == pytest.approx(BENT, rel=0.1)
    # `mean` is of the curve itself.
    assert np.ptp(ladder.accuracies("easy", beyond)) == pytest.approx(0)
    spread = [ladder.accuracies("easy", at, noisy=True).std() for at in (inside, beyond)]
    assert spread[1] > 1.3 * spread[0]


def test_all_faults_of_a_table_are_told_at_once():
    t = good()
    t.loc[2, "accuracy"], t.loc[3, "items"], t.loc[4, "chance"] = 1.2, 0, 0.5
    with pytest.raises(RunsError) as raised:
        Scores.from_table(t)
    for part in ("row 3 (line 4), column 'accuracy' is 1.2", "row 4", "'easy' has several"):
        assert part in str(raised.value)
    with pytest.raises(RunsError, match="`bayeslaw evaluate --out` writes it"):
        Scores.from_table(t.drop(columns="loss"))
    t["loss"] = np.nan
    with pytest.raises(RunsError, match="no model has one"):
        Scores.from_table(t)
    with pytest.raises(FitError, match=r"fewer than 4 rows of easy \(3\), hard \(3\), odd \(3\)"):
        fit_accuracy(made.scores(3))


def test_the_command_fits_a_table(say, tmp_path):
    made.scores().table.to_csv(tmp_path / "tasks.csv", index=False)
    out = tmp_path / "accuracy.nc"
    code, said, _ = say("fit", tmp_path / "tasks.csv", "--law", "accuracy", "--out", out, "--json")
    answer = json.loads(said)
    assert (code, answer["schema"], answer["passed"], answer["rows"]) == (0, 1, True, 72)
    assert [t["task"] for t in answer["tasks"]] == ["easy", "hard", "odd"]
    assert read_ladder(out).tasks == ("easy", "hard", "odd")
    assert max(map(len, lines(answer))) <= 80
    code, _, err = say("fit", "t.csv", "--law", "accuracy", "--fix", "a=1", "--out", out)
    assert (code, "--fix would change nothing" in err) == (1, True)
    code, _, err = say("fit", "a.csv", "b.csv", "--law", "accuracy", "--out", out)
    assert (code, "takes one table" in err) == (1, True)
