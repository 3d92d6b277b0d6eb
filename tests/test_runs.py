"""Reading tables of runs: what is filled in, what is refused, and how all of it is said."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bayeslaw import Runs
from bayeslaw import read_runs as read
from bayeslaw.errors import RunsError
from bayeslaw.infer.fit import fit
from bayeslaw.runs import COLUMNS, NAMES, schema
from tests.conftest import simulated, two_stage

HEAD = "run_id,params,pretrain_tokens,loss,domain\n"
SCHEMA = schema()


def read_runs(*paths, **how):
    """The reader, whose every table in this file is held to the schema."""
    runs = read(*paths, **how)
    SCHEMA.validate(runs.table)
    return runs


@pytest.fixture
def write(tmp_path):
    def to(name, text):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return to


def refused(*paths, **how):
    with pytest.raises(RunsError) as caught:
        read_runs(*paths, **how)
    return str(caught.value)


# --- what is read


def test_numbers_are_read_as_people_write_them(write):
    path = write("a.csv", HEAD + "r,7B,2.5T,2.1,x\ns, 350M ,1e9,2.2,x\n")
    table = read_runs(path).table
    assert table["params"].tolist() == [7e9, 350e6]
    assert table["pretrain_tokens"].tolist() == [2.5e12, 1e9]


def test_every_column_is_there_in_order_whatever_the_file_has(write):
    table = read_runs(write("a.csv", "loss,params,pretrain_tokens\n2,1e6,1e9\n")).table
    assert tuple(table.columns) == NAMES == tuple(c.name for c in COLUMNS)


def test_what_is_missing_is_filled_as_documented(write):
    text = "params,pretrain_tokens,specialize_tokens,loss,domain\n1e6,1e9,0,2,x\n1e6,1e9,1e7,2,y\n"
    first, second = read_runs(write("pilot.csv", text)).table.to_dict("records")
    assert (first["branch"], second["branch"]) == ("", "y")
    assert (first["sweep"], first["status"], first["run_id"]) == ("pilot", "ok", "row1")
    assert second["lineage"] == second["run_id"] == "row2"
    assert second["flops"] == pytest.approx(6e6 * 1.01e9)
    assert first["unique_tokens"] == np.inf
    alone = read_runs(write("b.csv", "params,pretrain_tokens,loss\n1e6,1e9,2\n")).table
    assert alone["domain"].tolist() == ["all"]


def test_several_files_and_globs_are_one_table(write, tmp_path):
    write("a.csv", HEAD + "r,1e6,1e9,2,x\n")
    write("b.csv", HEAD + "r,1e6,1e9,2,x\n")
    runs = read_runs(tmp_path / "*.csv", tmp_path / "a.csv")
    assert runs.table["sweep"].tolist() == ["a", "b"]
    assert len(runs.sources) == 2


def test_parquet_is_read_like_csv(write, tmp_path):
    pytest.importorskip("pyarrow")
    csv = write("a.csv", HEAD + "r,1e6,1e9,2,x\n")
    pd.read_csv(csv).to_parquet(tmp_path / "a.parquet")
    pd.testing.assert_frame_equal(read_runs(tmp_path / "a.parquet").table, read_runs(csv).table)


@pytest.mark.parametrize("mark", ["loss/", "loss_"])
def test_wide_losses_become_one_row_for_each_domain(write, mark):
    head = f"run_id,params,pretrain_tokens,{mark}code,{mark}prose,loss_se{mark[-1]}code\n"
    table = read_runs(write("a.csv", head + "r,1e6,1e9,2.0,3.0,.01\ns,1e6,2e9,1.9,,.02\n")).table
    said = {(r.run_id, r.domain): (r.loss, r.loss_se) for r in table.itertuples()}
    assert set(said) == {("r", "code"), ("r", "prose"), ("s", "code")}
    assert said["s", "code"] == (1.9, 0.02)
    assert np.isnan(said["r", "prose"][1])


def test_columns_are_mapped_and_those_without_a_meaning_are_named(write):
    path = write("a.csv", "N,D,val_loss,gpu\n7B,1T,2.1,h\n")
    runs = read_runs(path, map={"params": "N", "pretrain_tokens": "D", "loss": "val_loss"})
    assert runs.table["loss"].tolist() == [2.1]
    assert runs.ignored == ("gpu",)
    assert "columns without a meaning here: gpu" in runs.summary()


@pytest.mark.parametrize(
    ("unit", "scale", "per"),
    [
        ("nats/token", 1, "token"),
        ("bits/token", np.log(2), "token"),
        ("nats/byte", 1, "byte"),
        ("bits/byte", np.log(2), "byte"),
    ],
)
def test_losses_become_nats_of_the_same_kind(write, unit, scale, per):
    text = "params,pretrain_tokens,loss,loss_se\n1e6,1e9,2,.01\n"
    runs = read_runs(write("a.csv", text), unit=unit)
    assert runs.table["loss"].tolist() == [pytest.approx(2 * scale, rel=1e-15)]
    assert runs.table["loss_se"].tolist() == [pytest.approx(0.01 * scale, rel=1e-15)]
    assert runs.units == {"all": f"nats/{per}"}
    column = write("b.csv", f"params,pretrain_tokens,loss,unit\n1e6,1e9,2,{unit}\n")
    assert read_runs(column).table["loss"].tolist() == runs.table["loss"].tolist()


def test_diverged_and_failed_runs_are_kept_out_and_counted(write):
    head = "params,pretrain_tokens,loss,status\n"
    rows = "1e6,1e9,2,ok\n1e6,2e9,nan,diverged\n1e6,3e9,,failed\n1e6,4e9,inf,diverged\n1e6,5e9,2,\n"
    runs = read_runs(write("a.csv", head + rows))
    assert dict(runs.counts) == {"read": 5, "kept": 2, "diverged": 2, "failed": 1}
    assert runs.summary()[0] == (
        "5 rows read, 2 kept; kept out by their status: 2 diverged, 1 failed"
    )


def test_rows_on_and_off_their_branch_are_told_apart(write):
    head = "run_id,params,pretrain_tokens,specialize_tokens,branch,domain,loss\n"
    rows = "a,1e6,1e9,0,,x,2\na,1e6,1e9,0,,y,2\nb,1e6,1e9,1e7,x,x,2\nb,1e6,1e9,1e7,x,y,2\n"
    runs = read_runs(write("a.csv", head + rows))
    assert (len(runs.on_branch()), len(runs.off_branch())) == (3, 1)
    assert runs.off_branch().table["domain"].tolist() == ["y"]
    assert runs.summary()[1] == (
        "3 rows before the split or on their own branch (fitted), 1 off their branch (not fitted)"
    )


def test_second_stages_of_other_recipes_are_told_apart_and_counted(write):
    head = "run_id,params,pretrain_tokens,specialize_tokens,branch,domain,loss,recipe\n"
    rows = (
        "a,1e6,1e9,0,,x,2,\nb,1e6,1e9,1e7,x,x,2,\nc,1e6,1e9,1e7,x,x,2,replay\n"
        "d,1e6,0,1e7,x,x,2,scratch\ne,1e6,1e9,1e7,joint,x,2,joint\n"
    )
    runs = read_runs(write("a.csv", head + rows))
    assert runs.recipes == ("plain", "joint", "replay", "scratch")
    assert runs.on_branch().table["run_id"].tolist() == ["a", "b"]
    assert not len(runs.off_branch())
    assert "3 rows of other recipes (not fitted): joint, replay, scratch" in runs.summary()


def test_what_is_written_is_read_back(write, tmp_path):
    head = "run_id,params,pretrain_tokens,specialize_tokens,branch,domain,loss,unit\n"
    rows = "a,1e6,1e9,0,,x,2.5,bits/byte\nb,1e6,1e9,1e7,x,x,2.25,bits/byte\n"
    runs = read_runs(write("a.csv", head + rows))
    again = read_runs(runs.write(tmp_path / "new" / "b.csv"))
    pd.testing.assert_frame_equal(again.table, runs.table)
    assert (again.units, again.digest) == (runs.units, runs.digest)


@settings(max_examples=20, deadline=None)
@given(
    st.lists(
        st.tuples(st.floats(1, 1e13), st.floats(1, 1e15), st.floats(1e-3, 30)), min_size=1,
        max_size=8,
    )
)  # fmt: skip
def test_a_round_trip_keeps_every_digit(tmp_path_factory, rows):
    table = pd.DataFrame(rows, columns=["params", "pretrain_tokens", "loss"])
    runs = Runs.from_table(table, name="here")
    again = read_runs(runs.write(tmp_path_factory.mktemp("trip") / "here.csv"))
    pd.testing.assert_frame_equal(again.table, runs.table, check_exact=True)


def test_the_digest_knows_the_rows_but_not_their_order(write):
    runs = read_runs(write("a.csv", HEAD + "r,1e6,1e9,2,x\ns,1e6,2e9,1.9,x\n"))
    assert runs.take([1, 0]).digest == runs.digest
    assert runs.take([0]).digest != runs.digest


def test_a_byte_order_mark_and_windows_line_ends_do_no_harm(write):
    text = "\ufeff" + (HEAD + "r,1e6,1e9,2,x\n").replace("\n", "\r\n")
    assert len(read_runs(write("a.csv", text))) == 1


def test_a_large_table_is_checked_row_by_row(tmp_path):
    table = pd.DataFrame({"params": np.full(100_000, 1e6), "pretrain_tokens": 1e9, "loss": 2.5})
    table.to_csv(tmp_path / "a.csv", index=False)
    assert len(read_runs(tmp_path / "a.csv")) == 100_000
    table.loc[99_999, "loss"] = -1.0
    table.to_csv(tmp_path / "a.csv", index=False)
    assert "row 100000 (line 100001), column 'loss' is '-1.0'" in refused(tmp_path / "a.csv")


# --- what is refused


def test_every_fault_of_every_file_is_in_one_error(write, tmp_path):
    write(
        "a.csv",
        HEAD + "r,7B,1T,2.1,x\nr,7B,1T,2.1,x\nt,seven,1T,2.1,x\nu,-5,1T,2,x\nv,1e6,inf,2,x\n"
        "w,1e6,1e9,nan,x\nx,1e6,1e9,-1,x\ny,,1e9,2,x\nz,1e6,1e9,,x\n",
    )
    write("b.csv", "params,loss\n1,2\n")
    write("c.csv", "")
    write("d.csv", b"\x00\x01\x02")
    write("e.csv", "params,pretrain_tokens,loss\n")
    said = refused(tmp_path / "*.csv", tmp_path / "none.csv")
    for line in (
        "a.csv: 8 faults",
        "row 2 (line 3), column 'run_id' is 'r': measured twice",
        "row 3 (line 4), column 'params' is 'seven': text where a number belongs; write 7e9",
        "row 4 (line 5), column 'params' is '-5': must be more than 0",
        "row 5 (line 6), column 'pretrain_tokens' is 'inf': infinite; mark",
        "row 6 (line 7), column 'loss' is 'nan': no number; fill it in, or mark the run's status",
        "row 7 (line 8), column 'loss' is '-1': must be more than 0",
        "row 8 (line 9), column 'params' is '': no number; fill it in",
        "row 9 (line 10), column 'loss' is '': no number; fill it in",
        "b.csv: 1 fault",
        "column 'pretrain_tokens': missing; name it with --map pretrain_tokens=THEIRS",
        "c.csv: 1 fault",
        "the file is empty; it needs a header and rows",
        "d.csv: 1 fault",
        "a binary file; give CSV or parquet",
        "e.csv: 1 fault",
        "a header but no rows",
        "no such file; check the path",
    ):
        assert line in said
    assert len(said.splitlines()) == 6 + 13


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        ("1e6,-1,0,2,,x,,", "column 'pretrain_tokens' is '-1': must be at least 0"),
        ("1e6,0,0,2,,x,,", "column 'pretrain_tokens' is 0.0: no tokens in either stage"),
        ("1e6,1,-1,2,,x,,", "column 'specialize_tokens' is '-1': must be at least 0"),
        ("1e6,1,0,0,,x,,", "column 'loss' is '0': must be more than 0"),
        ("1e6,1,0,-inf,,x,,", "column 'loss' is '-inf': infinite"),
        ("1e6,1,0,2,-.1,x,,", "column 'loss_se' is '-.1': must be at least 0"),
        ("1e6,1,0,2,,x,lost,", "column 'status' is 'lost': use one of ok, diverged, failed"),
        ("1e6,1,0,2,,x,,x", "column 'branch' is 'x': a branch with specialize_tokens 0"),
        ("0x10,1,0,2,,x,,", "column 'params' is '0x10': text where a number belongs"),
        ('"1,5B",1,0,2,,x,,', "column 'params' is '1,5B': text where a number belongs"),
    ],
)
def test_a_cell_that_cannot_be_is_named_with_its_remedy(write, row, fault):
    head = "params,pretrain_tokens,specialize_tokens,loss,loss_se,domain,status,branch\n"
    said = refused(write("a.csv", head + "1e6,1e9,0,2,,x,,\n" + row + "\n"))
    assert f"row 2 (line 3), {fault}" in said


def test_a_missing_column_is_guessed_from_what_is_there(write):
    said = refused(write("a.csv", "param,pretrain_tokens,loss\n1e6,1e9,2\n"))
    assert "column 'params': missing; is it 'param'? then --map params=param" in said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"params\xff,loss\n1,2\n", "not UTF-8 (byte 6); save it as UTF-8"),
        (b"a,b\n1,2,3\n", "every line needs as many cells as the header"),
        (b"params,params\n1,2\n", "columns named twice: params; rename one of each"),
        (b"x" * 1_000_001, "a line is longer than 1000000 bytes; this is not a table of runs"),
        (b"a,b\n" + b"1" * 1_000_001 + b",2\n", "a line is longer than 1000000 bytes"),
    ],
)
def test_a_file_that_is_no_table_is_refused(write, text, said):
    assert said in refused(write("a.csv", text))


def test_a_line_of_two_gigabytes_is_refused_without_reading_it_whole(tmp_path):
    path = tmp_path / "a.csv"
    with path.open("wb") as file:
        file.write(b"x" * 1_100_000)
        file.seek(2_000_000_000)
        file.write(b"x")
    tracemalloc.start()
    assert "a line is longer than 1000000 bytes" in refused(path)
    assert tracemalloc.get_traced_memory()[1] < 10_000_000
    tracemalloc.stop()


def test_a_folder_a_pattern_without_files_and_nothing_at_all_are_refused(tmp_path):
    assert f"is a folder; give its files: {tmp_path}/*.csv" in refused(tmp_path)
    assert "no file matches" in refused(tmp_path / "*.csv")
    assert "no files given; try runs/*.csv" in refused()


def test_units_are_declared_and_never_mixed_within_a_domain(write):
    head = "params,pretrain_tokens,loss,domain,unit\n"
    mixed = write("a.csv", head + "1e6,1e9,2,x,nats/token\n1e6,2e9,2,x,bits/byte\n")
    assert "two units within domain 'x'; convert one, or rename it" in refused(mixed)
    wrong = write("b.csv", head + "1e6,1e9,2,x,furlongs\n")
    assert "column 'unit' is 'furlongs': use one of nats/token" in refused(wrong)
    assert "unit 'furlongs' is not one of nats/token" in refused(wrong, unit="furlongs")


def test_a_mapping_to_a_column_that_is_not_there_is_a_fault(write):
    path = write("a.csv", "params,pretrain_tokens,val\n1e6,1e9,2\n")
    said = refused(path, map={"loss": "val_loss"})
    assert "column 'val_loss': not in the file, so it cannot be 'loss'" in said


def test_a_sweep_that_only_diverged_is_refused(write):
    text = "params,pretrain_tokens,loss,status\n1e6,1e9,nan,diverged\n"
    assert "no rows left, all 1 are diverged or failed" in refused(write("a.csv", text))


def test_rows_that_a_law_cannot_speak_about_are_all_named_before_anything_is_fitted(write):
    head = "params,pretrain_tokens,specialize_tokens,loss,domain,status\n"
    rows = "1e7,1e9,1e6,2,x,ok\n1e7,2e9,1e6,2,x,diverged\n2e7,0,1e6,2,x,ok\n4e7,0,2e6,2,x,ok\n"
    runs = read_runs(write("a.csv", head + rows))
    with pytest.raises(RunsError) as caught:
        fit(runs, ["transfer", "additive", "coupled(additive)"])
    lines = str(caught.value).splitlines()
    assert lines[0].endswith("a.csv: 2 faults")
    for line, row in zip(lines[1:], (3, 4), strict=True):
        assert line == (
            f"  row {row} (line {row + 1}), column 'pretrain_tokens' is 0.0: not finite there: "
            "additive, coupled(additive); choose another --law, or leave the row out"
        )


def test_one_of_several_sweeps_is_picked_by_name_or_named_among_what_there_is():
    table = pd.concat([simulated(4).assign(sweep="a"), simulated(6).assign(sweep="b")])
    runs = Runs.from_table(table)
    assert runs.sweeps == ("a", "b")
    assert len(runs.of_sweep("b")) == 6
    with pytest.raises(RunsError, match="column 'sweep' is 'c': there is a, b"):
        runs.of_sweep("c")


# --- how N is counted

COUNTED = "params,total_params,pretrain_tokens,loss\n"


def test_all_weights_stand_for_n_where_embeddings_are_counted(write):
    path = write("a.csv", COUNTED + "1e6,3e6,1e9,2\n1e7,1.4e7,1e9,1.9\n")
    assert read_runs(path).table["params"].tolist() == [1e6, 1e7]
    runs = read_runs(path, embeddings=True)
    assert runs.table["params"].tolist() == [3e6, 1.4e7]
    assert runs.table["flops"].tolist() == [1.8e16, 8.4e16]
    assert "N counts the embeddings" in runs.summary()
    assert runs.counted == ()


def test_rows_that_count_otherwise_are_told(write):
    path = write("a.csv", COUNTED + "1e6,3e6,1e9,2\n1.4e7,1.4e7,1e9,1.9\n")
    (said,) = read_runs(path).counted
    assert "embeddings in 1 rows" in said
    assert "not in 1" in said
    assert read_runs(path, embeddings=True).counted == ()


def test_flops_of_one_size_in_two_ways_are_told(write):
    head = "params,pretrain_tokens,loss,flops\n"
    alike = read_runs(write("a.csv", head + "1e6,1e9,2,8e15\n1e6,2e9,1.9,1.61e16\n"))
    assert alike.counted == ()
    apart = read_runs(write("b.csv", head + "1e6,1e9,2,8e15\n1e6,2e9,1.9,1.2e16\n"))
    assert "from 6 N to 8 N FLOPs a token" in apart.counted[0]
    assert apart.counted[0] in apart.summary()


@pytest.mark.parametrize(
    ("rows", "embeddings", "said"),
    [
        ("1e6,9e5,1e9,2\n", False, "row 1.*total_params.*fewer weights than params, 1e.06"),
        ("1e6,,1e9,2\n1e6,2e6,1e9,2\n", True, "row 1.*total_params.*missing, and --embeddings"),
        ("1e6,,1e9,2\n", True, "column 'total_params': missing"),
    ],
)
def test_weights_that_do_not_add_up_are_refused(write, rows, embeddings, said):
    with pytest.raises(RunsError, match=said):
        read_runs(write("a.csv", COUNTED + rows), embeddings=embeddings)


def test_runs_of_more_compute_are_held_out_by_their_flops_or_six_nd():
    table = two_stage(domains=1)
    runs = Runs.from_table(table)
    spent = 6 * table["params"] * (table["pretrain_tokens"] + table["specialize_tokens"])
    kept = runs.up_to(1e15)
    assert 0 < len(kept) == (spent <= 1e15).sum() < len(runs)
    counted = Runs.from_table(table.assign(flops=3 * spent))
    assert len(counted.up_to(3e15)) == len(kept)
    with pytest.raises(RunsError, match=r"flops.*the smallest took 2\.4e\+14"):
        runs.up_to(1.0)
