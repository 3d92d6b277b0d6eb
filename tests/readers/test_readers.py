"""Readers: every one on a file of the tool's own shape, and on everybody else's."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bayeslaw import RunsError, import_runs, read_runs
from bayeslaw.readers import READERS, Peek, guess_reader
from tests.readers.logs import CASES, LM_EVAL, TRAINER, Case, dump, lines

NAMED = pytest.mark.parametrize("case", CASES.values(), ids=list(CASES))


def imported(case: Case, folder, **how):
    return import_runs(case.write(folder), **{"set": case.set, "map": case.map, **how})


def refused(*paths, **how) -> str:
    with pytest.raises(RunsError) as caught:
        import_runs(*paths, **how)
    return str(caught.value)


def tried(*paths, **how):
    """What came of it, or what was said; anything but a `RunsError` is an error of the test."""
    try:
        return import_runs(*paths, **how), ""
    except RunsError as error:
        return None, str(error)


def put(folder, name, text):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text) if isinstance(text, bytes) else path.write_text(text)
    return path


# --- every reader


def test_every_reader_has_a_file_of_its_shape():
    assert {case.reader for case in CASES.values()} == set(READERS)


@NAMED
def test_the_reader_is_guessed_from_the_shape_and_said(case, tmp_path):
    (source,) = imported(case, tmp_path).sources
    assert (source.reader, source.guessed) == (case.reader, True)
    assert not imported(case, tmp_path, reader=case.reader).sources[0].guessed


@NAMED
def test_a_log_holds_these_rows(case, tmp_path):
    found = imported(case, tmp_path)
    table = found.runs.table
    columns = ["run_id", "domain", "pretrain_tokens", "loss"]
    expected = pd.DataFrame(case.rows, columns=columns)
    expected, rows = (t.sort_values(columns, ignore_index=True) for t in (expected, table[columns]))
    pd.testing.assert_frame_equal(rows, expected, check_dtype=False, rtol=1e-12)
    assert set(table["lineage"]) == set(table["run_id"])
    assert found.runs.counts["read"] - len(table) == case.failed
    assert set(found.runs.units.values()) == {case.unit}


@NAMED
def test_what_is_written_is_a_table_that_fit_takes(case, tmp_path):
    runs = imported(case, tmp_path, sweep="mine").runs
    again = read_runs(runs.write(tmp_path / "mine.csv"))
    assert again.digest == runs.digest
    assert set(again.table["sweep"]) == {"mine"}


@NAMED
def test_all_that_a_log_does_not_hold_is_said_at_once_with_how_to_give_it(case, tmp_path):
    path = case.write(tmp_path)
    if not case.missing:
        assert import_runs(path, map=case.map).runs.counts["kept"] == len(case.rows)
        return
    said = refused(path, map=case.map)
    assert f"{len(case.missing)} fault" in said
    for column in case.missing:
        (line,) = [line for line in said.splitlines() if f"column '{column}'" in line]
        assert "--set" in line
        assert f"--map {column}=" in line


@NAMED
def test_losses_before_the_end_of_a_run_are_warned_of_and_left_out_on_request(case, tmp_path):
    early = [w for w in imported(case, tmp_path).warnings if "before the end of their run" in w]
    assert len(early) == bool(case.early)
    if early:
        assert early[0].startswith(f"{case.early} of {len(case.rows)} losses")
    final = imported(case, tmp_path, last=True)
    assert len(final.runs) == len(case.rows) - case.early
    assert not any("before the end" in w for w in final.warnings)
    by = final.runs.table.groupby(["run_id", "domain"])["pretrain_tokens"]
    assert by.count().eq(1).all()


@NAMED
@pytest.mark.parametrize("reader", READERS)
def test_a_file_of_another_tool_is_refused_in_words(case, reader, tmp_path):
    path = case.write(tmp_path)
    found, said = tried(path, reader=reader, set=case.set, map=case.map)
    assert found or str(path) in said


@NAMED
@pytest.mark.parametrize("share", [0.0, 0.3, 0.97])
def test_a_file_that_was_cut_off_is_refused_in_words_or_read(case, share, tmp_path):
    path = case.write(tmp_path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    found, said = tried(path, set=case.set, map=case.map)
    assert str(path) in said or len(found.runs) <= len(case.rows) + case.failed


@pytest.mark.parametrize("reader", READERS)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_no_bytes_make_a_traceback(reader, data, tmp_path_factory):
    case = data.draw(st.sampled_from([c for c in CASES.values() if c.reader == reader]))
    path = case.write(tmp_path_factory.getbasetemp() / "fuzz" / reader)
    whole = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(whole)))
        to = data.draw(st.integers(at, min(len(whole), at + 20)))
        bits = data.draw(st.one_of(st.binary(max_size=8), st.sampled_from(JUNK)))
        whole[at:to] = bits
    path.write_bytes(bytes(whole))
    found, said = tried(path, reader=data.draw(st.sampled_from([reader, None])), set=case.set)
    assert bool(found) != bool(said)


JUNK = [
    b"null",
    b"[]",
    b"{}",
    b"-1",
    b"1e999",
    b"NaN",
    b'"x"',
    b",,",
    b"\n",
    b"{" * 9,
    b"true",
    b"9" * 400,
]


# --- faults of values: entry or line or row, our column, their name


def test_faults_name_the_place_in_the_file_their_column_and_the_value(tmp_path):
    state = copy.deepcopy(TRAINER)
    state["log_history"][1]["eval_loss"] = "four"
    state["log_history"][2]["eval_loss"] = -1.0
    path = put(tmp_path, "a/trainer_state.json", dump(state))
    said = refused(path, set={"params": "1M", "tokens_per_step": "1M"})
    assert "2 faults" in said
    assert "entry 2, column 'loss (from eval_loss)' is 'four': text where a number" in said
    assert "entry 3, column 'loss (from eval_loss)' is '-1.0': must be more than 0" in said


def test_faults_of_all_files_come_at_once_and_what_they_share_once(tmp_path):
    paths = [put(tmp_path, f"{n}/trainer_state.json", dump(TRAINER)) for n in "abc"]
    broken = put(tmp_path, "d.json", '{"log_history": [')
    said = refused(*paths, broken, "nowhere.json")
    assert said.count("column 'params'") == 1
    assert f"{paths[0]} and 2 more" in said
    assert f"{broken}: 1 fault" in said
    assert "nowhere.json" in said


def test_lines_that_are_no_json_are_all_named(tmp_path):
    path = put(tmp_path, "a.jsonl", '{"step": 1, "val_loss": 3}\nhello\n{"step": 2, "val_lo')
    assert "no JSON object: 2, 3" in refused(path, reader="json_lines")


def test_a_loss_of_training_is_not_taken_for_a_held_out_one(tmp_path):
    path = put(tmp_path, "a.jsonl", lines({"step": 1, "tokens": 9, "train/loss": 3.0}))
    said = refused(path, set={"params": "1M"})
    assert "no held-out loss" in said
    assert "train/loss" in said
    mapped = import_runs(path, set={"params": "1M"}, map={"loss": "train/loss"}).runs
    assert mapped.table["loss"].tolist() == [3.0]


def test_two_losses_of_one_domain_must_be_chosen_from(tmp_path):
    path = put(tmp_path, "a.jsonl", lines({"tokens": 9, "val_loss": 3.0, "eval/loss": 4.0}))
    assert "val_loss and eval/loss could each be" in refused(path, set={"params": "1M"})
    chosen = import_runs(path, set={"params": "1M"}, map={"loss": "eval/loss"}).runs
    assert chosen.table["loss"].tolist() == [4.0]


def test_parameters_with_embeddings_are_named_and_not_taken(tmp_path):
    path = put(tmp_path, "results.json", dump(LM_EVAL))
    said = refused(path, set={"pretrain_tokens": "1B"})
    assert "'model_num_parameters' (124M) may count embeddings" in said


def test_a_unit_that_contradicts_the_file_is_refused(tmp_path):
    case = CASES["lm_eval"]
    assert "losses are in bits/byte" in refused(
        case.write(tmp_path), set=case.set, unit="nats/token"
    )


def test_accuracies_are_no_losses(tmp_path):
    found = {**LM_EVAL, "results": {"arc": {"acc,none": 0.4}, "lambada": {"perplexity,none": 9.0}}}
    said = refused(put(tmp_path, "results.json", dump(found)))
    assert "none of its 2 tasks has bits_per_byte" in said


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"set": {"parms": "1M"}}, "is it 'params'?"),
        ({"set": {"params": "many"}}, "'many' is not a number"),
        ({"set": {"loss": "2"}}, "losses are measured"),
        ({"map": {"los": "x"}}, "is it 'loss'?"),
        ({"map": {"loss": "eval_los"}}, "is it 'eval_loss'?"),
        ({"map": {"params": "x"}, "set": {"params": "1M"}}, "give it once"),
        ({"unit": "nats"}, "'nats' is not one of nats/token"),
        ({"reader": "wandb"}, "Readers: wandb_history, wandb_table"),
    ],
)
def test_what_is_wrongly_asked_for_is_said(how, said, tmp_path):
    path = put(tmp_path, "trainer_state.json", dump(TRAINER))
    assert said in refused(path, **how)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("events.out.tfevents.17.host", b"\x18\0\0\0", "event file is binary"),
        ("a.csv", b"params,tokens,loss\n1,2,3\n", "bayeslaw fit FILE"),
        ("a.bin", b"\0\1\2", "no reader knows this shape"),
        ("empty.json", b"", "no reader knows this shape"),
    ],
)
def test_a_file_of_no_known_shape_is_refused_with_what_to_do(name, content, said, tmp_path):
    assert said in refused(put(tmp_path, name, content))


# --- what becomes of steps, stages, checkpoints


def test_checkpoints_that_hold_the_same_history_are_one_run(tmp_path):
    first = copy.deepcopy(TRAINER)
    first["log_history"] = first["log_history"][:2]
    paths = [put(tmp_path, f"small/checkpoint-{n}/trainer_state.json", dump(s))
             for n, s in ((500, first), (1000, TRAINER))]  # fmt: skip
    found = import_runs(*paths, set={"params": "1M", "tokens_per_step": "1M"})
    assert found.runs.table["pretrain_tokens"].tolist() == [5e8, 1e9]
    assert found.runs.counts["read"] == 2


def test_the_last_loss_of_a_run_is_that_of_all_its_files(tmp_path):
    first = copy.deepcopy(TRAINER)
    first["log_history"] = first["log_history"][:2]
    paths = [put(tmp_path, f"small/checkpoint-{n}/trainer_state.json", dump(s))
             for n, s in ((500, first), (1000, TRAINER))]  # fmt: skip
    found = import_runs(*paths, set={"params": "1M", "tokens_per_step": "1M"}, last=True)
    assert found.runs.table["pretrain_tokens"].tolist() == [1e9]


def test_runs_of_one_name_in_a_table_of_runs_are_several(tmp_path):
    head = "Name,State,eval/loss,params,pretrain_tokens\n"
    rows = "".join(f"small,finished,{loss},1M,10B\n" for loss in (3.1, 3.2, 3.3))
    path = put(tmp_path, "table.csv", head + rows + "small-2,finished,3.0,1M,10B\n")
    table = import_runs(path).runs.table
    assert table["loss"].tolist() == [3.1, 3.2, 3.3, 3.0]
    assert table["run_id"].tolist()[0] == "small"


def test_a_param_with_the_name_of_the_metric_is_no_loss(tmp_path):
    path = put(tmp_path, "mlruns/1/0a/metrics/val_loss", "1718000000000 3.5 500\n")
    put(tmp_path, "mlruns/1/0a/params/val_loss", "9.9")
    given = {"params": "1M", "tokens_per_step": "1M"}
    assert import_runs(path, set=given).runs.table["loss"].tolist() == [3.5]


def test_a_loss_with_a_decimal_comma_is_refused(tmp_path):
    path = put(tmp_path, "runs.csv", 'params,pretrain_tokens,loss\n1M,10B,"3,214"\n')
    with pytest.raises(RunsError, match="3,214"):
        read_runs(path)


def test_separators_within_a_text_end_no_line(tmp_path):
    record = {"step": 500, "eval_loss": 3.5, "note": "a\u2028b\u0085c"}
    path = put(tmp_path, "log.jsonl", json.dumps(record, ensure_ascii=False) + "\r\n")
    given = {"params": "1M", "tokens_per_step": "1M"}
    assert import_runs(path, set=given).runs.table["loss"].tolist() == [3.5]


def test_a_run_short_of_its_schedule_is_warned_of(tmp_path):
    state = {**TRAINER, "max_steps": 3000}
    path = put(tmp_path, "small/trainer_state.json", dump(state))
    found = import_runs(path, set={"params": "1M", "tokens_per_step": "1M"}, last=True)
    assert found.warnings == (
        "not evaluated at the end of their schedule: small (step 1000 of 3000)",
    )


def test_a_second_stage_counts_its_own_tokens(tmp_path):
    path = put(tmp_path, "small-code/trainer_state.json", dump(TRAINER))
    given = {"params": "1M", "tokens_per_step": "1M", "pretrain_tokens": "10B", "branch": "code",
             "domain": "code", "lineage": "small"}  # fmt: skip
    table = import_runs(path, set=given).runs.table
    assert table["pretrain_tokens"].tolist() == [1e10, 1e10]
    assert table["specialize_tokens"].tolist() == [5e8, 1e9]
    assert set(table["branch"]) == {"code"}
    assert set(table["lineage"]) == {"small"}


def test_steps_are_the_trainers_own_not_the_calls_of_log(tmp_path):
    head = "_step,_timestamp,eval/loss,train/global_step\n"
    path = put(tmp_path, "small.csv", head + "3,1.7e9,,100\n9,1.7e9,4.0,500\n")
    given = {"params": "1M", "tokens_per_step": "1M"}
    found = import_runs(path, set=given)
    assert found.runs.table["pretrain_tokens"].tolist() == [5e8]
    assert not found.notes
    path.write_text("_step,_timestamp,eval/loss\n9,1.7e9,4.0\n")
    found = import_runs(path, set=given)
    assert found.runs.table["pretrain_tokens"].tolist() == [9e6]
    assert "calls of log" in found.notes[0]


def test_a_stage_of_given_tokens_is_that_of_the_last_evaluation(tmp_path):
    path = put(tmp_path, "a/trainer_state.json", dump(TRAINER))
    given = {"params": "1M", "pretrain_tokens": "10B", "specialize_tokens": "1B", "branch": "code"}
    table = import_runs(path, set={**given, "domain": "code"}).runs.table
    assert table[["specialize_tokens", "loss"]].to_numpy().tolist() == [[1e9, 3.5]]


def test_a_table_without_a_finished_run_is_refused(tmp_path):
    head = CASES["wandb_table"].content.splitlines()[0]
    dead = CASES["wandb_table"].content.splitlines()[-1]
    path = put(tmp_path, "a.csv", f"{head}\n{dead}\n")
    map = {"pretrain_tokens": "throughput/total_tokens"}
    assert "every run in it failed" in refused(path, set={"params": "1M"}, map=map)


def test_given_tokens_are_those_of_the_last_evaluation(tmp_path):
    path = put(tmp_path, "small/trainer_state.json", dump(TRAINER))
    found = import_runs(path, set={"params": "1M", "pretrain_tokens": "10B"})
    assert found.runs.table["loss"].tolist() == [3.5]
    assert any("1 losses before the last" in note for note in found.notes)


def test_a_loss_that_is_nan_is_a_run_that_diverged(tmp_path):
    text = '{"tokens": 5, "val_loss": 3.0}\n{"tokens": 9, "val_loss": NaN}\n'
    found = import_runs(put(tmp_path, "a.jsonl", text), set={"params": "1M"})
    assert found.runs.counts == {"read": 2, "kept": 1, "diverged": 1, "failed": 0}


def test_a_loss_measured_again_at_a_step_is_the_later_one(tmp_path):
    text = lines(*({"step": 1, "tokens": 5, "val_loss": v} for v in (3.0, 3.5)))
    found = import_runs(put(tmp_path, "a.jsonl", text), set={"params": "1M"})
    assert found.runs.table["loss"].tolist() == [3.5]
    assert any("measured again" in note for note in found.notes)


def test_losses_from_before_training_are_left_out(tmp_path):
    text = lines({"tokens": 0, "val_loss": 11.0}, {"tokens": 5, "val_loss": 3.0})
    found = import_runs(put(tmp_path, "a.jsonl", text), set={"params": "1M"})
    assert found.runs.table["loss"].tolist() == [3.0]
    assert any("before training" in note for note in found.notes)


def test_losses_of_domains_may_be_mapped_one_by_one(tmp_path):
    path = put(tmp_path, "a.jsonl", lines({"tokens": 9, "bpb": 1.0, "code": {"bpb": 0.5}}))
    map = {"loss/prose": "bpb", "loss/code": "code/bpb"}
    runs = import_runs(path, map=map, set={"params": "1M"}, unit="bits/byte").runs
    found = dict(zip(runs.table["domain"], runs.table["loss"], strict=True))
    assert found == pytest.approx({"prose": np.log(2), "code": np.log(2) / 2})


def test_a_table_says_what_differs_between_runs(tmp_path):
    paths = [put(tmp_path, f"{n}/trainer_state.json", dump(TRAINER)) for n in ("small", "big")]
    about = put(tmp_path, "about.csv", "run_id,params,tokens_per_step\nsmall,1M,512k\nbig,9M,1M\n")
    table = import_runs(*paths, about=about, last=True).runs.table.set_index("run_id")
    assert table["params"].to_dict() == {"small": 1e6, "big": 9e6}
    assert table["pretrain_tokens"].to_dict() == {"small": 512e6, "big": 1e9}


def test_faults_of_that_table_come_at_once(tmp_path):
    path = put(tmp_path, "small/trainer_state.json", dump(TRAINER))
    about = put(tmp_path, "about.csv", "run_id,parms,seed\nx,1M,1\nx,2M,1\n")
    said = refused(path, about=about, set={"seed": "1"})
    assert "is it 'params'?" in said
    assert "give it once" in said
    assert "twice in the table" in said
    about.write_text("run_id,params\nbig,1M\n")
    said = refused(path, about=about, set={"tokens_per_step": "1M"})
    assert "column 'run_id' is 'small': has no row in --about" in said


# --- third parties


PLUG = """
from bayeslaw.readers import ROW, Log, Reader
import pandas as pd

class Ours(Reader):
    name = "ours"
    about = "lines of NAME LOSS"
    def recognises(self, peek):
        return peek.text.startswith("OURS")
    def read(self, path):
        cells = [line.split() for line in path.read_text().splitlines()[1:]]
        table = pd.DataFrame(cells, columns=["run_id", "loss"])
        return Log(table.assign(**{ROW: range(len(table))}), ("run_id", "loss"))
"""


@pytest.fixture
def plugged(tmp_path, monkeypatch):
    """A distribution with a reader, as pip would leave it."""
    place = tmp_path / "site"
    put(place, "bayeslaw_ours.py", PLUG)
    put(place, "bayeslaw_ours-1.0.dist-info/METADATA", "Name: bayeslaw-ours\nVersion: 1.0\n")
    entries = "[bayeslaw.readers]\nours = bayeslaw_ours:Ours\nbad = bayeslaw_ours:PLUG\n"
    put(place, "bayeslaw_ours-1.0.dist-info/entry_points.txt", entries)
    monkeypatch.syspath_prepend(place)
    return put(tmp_path, "a.ours", "OURS\nsmall 3.5\n")


def test_a_reader_of_third_parties_is_found_by_name_and_by_shape(plugged):
    given = {"params": "1M", "pretrain_tokens": "1B"}
    for reader in ("ours", None):
        found = import_runs(plugged, reader=reader, set=given)
        assert found.sources[0].reader == "ours"
        assert found.runs.table["loss"].tolist() == [3.5]


def test_a_reader_of_third_parties_that_is_none_is_named(plugged):
    assert "'bad' (bayeslaw_ours:PLUG) of a plug-in does not load" in refused(plugged, reader="bad")


def test_a_parquet_history_without_columns_of_ours_says_what_it_has(tmp_path):
    path = tmp_path / "h.parquet"
    pd.DataFrame({"_step": [1], "reward": [2.0]}).to_parquet(path)
    assert guess_reader(Peek(path)).name == "wandb_history"
    assert "it has _step, reward" in refused(path, map={"loss": "nll"})
    assert json.dumps(["_step", "reward"])[1:-1].replace('"', "") in refused(path)


def test_the_reader_in_the_documents_reads(tmp_path):
    text = (Path(__file__).parents[2] / "docs" / "readers.md").read_text()
    (program,) = re.findall(r"```python\n(.*?)```", text, re.S)
    names: dict[str, object] = {}
    exec(compile(program, "docs/readers.md", "exec"), names)
    path = put(tmp_path, "a.txt", "PAIRS\nsmall 1e9 3.5\nbig 1e9 x\n")
    said = refused(path, reader=names["Pairs"](), set={"params": "1M"})
    assert "line 3, column 'loss' is 'x'" in said
    path.write_text("PAIRS\nsmall 1e9 3.5\n")
    table = import_runs(path, reader=names["Pairs"](), set={"params": "1M"}).runs.table
    assert table[["pretrain_tokens", "loss"]].to_numpy().tolist() == [[1e9, 3.5]]


def test_the_documents_name_every_reader():
    text = (Path(__file__).parents[2] / "docs" / "readers.md").read_text()
    assert set(re.findall(r"^\| `(\w+)`", text, re.M)) == set(READERS)
