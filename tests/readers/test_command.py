"""`bayeslaw import` and `bayeslaw schema`."""

from __future__ import annotations

import json

import pytest

from bayeslaw import read_runs
from bayeslaw.cli import DONE, USER_ERROR
from bayeslaw.readers.template import describe, write_template
from bayeslaw.runs import COLUMNS, NAMES
from tests.readers.logs import CASES, TRAINER, dump

GIVEN = ("--set", "params=85M", "--set", "tokens_per_step=1M")


@pytest.fixture
def log(tmp_path):
    return CASES["trainer_state"].write(tmp_path)


def test_import_writes_a_table_and_says_the_guess_what_was_taken_and_the_warning_first(
    say, log, tmp_path
):
    out = tmp_path / "runs" / "mine.csv"
    code, said, err = say("import", log, "--out", out, *GIVEN)
    assert (code, err) == (DONE, "")
    assert said.startswith("1 of 2 losses were measured before the end of their run")
    for part in ("trainer_state, by its shape", "loss from eval_loss", "step x tokens_per_step"):
        assert part in " ".join(said.split())
    assert said.endswith(f"2 rows read, 2 kept\ndomains: all (nats/token)\n\nwrote {out}\n")
    assert set(read_runs(out).table["sweep"]) == {"mine"}


def test_import_takes_every_option(say, tmp_path):
    state = dump(TRAINER).replace("eval_loss", "eval_bits")
    (tmp_path / "a.json").write_text(state)
    (tmp_path / "about.csv").write_text("run_id,params\na,85M\n")
    out = tmp_path / "b.csv"
    code, *_ = say(
        "import", tmp_path / "*.json", "--reader", "trainer_state", "--map", "loss=eval_bits",
        "--set", "pretrain_tokens=1B", "--set", "seed=3", "--about", tmp_path / "about.csv",
        "--unit", "bits/byte", "--last", "--out", out,
    )  # fmt: skip
    assert code == DONE
    runs = read_runs(out)
    assert runs.units == {"all": "nats/byte"}
    row = runs.table.iloc[0]
    assert (len(runs), row["seed"], row["params"], row["pretrain_tokens"]) == (1, 3, 85e6, 1e9)


def test_import_json_is_one_object(say, log, tmp_path):
    code, said, _ = say("import", log, "--out", tmp_path / "a.csv", *GIVEN, "--json")
    answer = json.loads(said)
    assert code == DONE
    assert set(answer) == {"schema", "out", "files", "counts", "domains", "warnings", "notes"}
    assert answer["files"][0]["reader"] == "trainer_state"
    assert answer["files"][0]["guessed"]


def test_import_writes_nothing_when_something_is_missing(say, log, tmp_path):
    code, said, err = say("import", log, "--out", tmp_path / "a.csv")
    assert (code, said) == (USER_ERROR, "")
    assert "--set params=124M" in err
    assert "--set tokens_per_step=512k" in err
    assert not (tmp_path / "a.csv").exists()


def test_schema_has_every_column_within_the_terminal(say):
    code, said, _ = say("schema")
    assert code == DONE
    assert [line.split()[0] for line in said.splitlines()[1 : len(NAMES) + 1]] == list(NAMES)
    assert max(map(len, said.splitlines())) <= 80


def test_schema_json_is_the_table_that_the_reader_checks_by(say):
    columns = json.loads(say("schema", "--json")[1])["columns"]
    assert columns == describe()
    assert [c["name"] for c in columns] == [*NAMES, "unit"]
    assert {c["name"] for c in columns if c["required"]} == {c.name for c in COLUMNS if c.required}


def test_what_is_said_of_absent_columns_is_what_reading_fills_in(tmp_path):
    (tmp_path / "a.csv").write_text("params,pretrain_tokens,loss\n1e6,1e9,3\n")
    row = read_runs(tmp_path / "a.csv").table.iloc[0]
    said = {c["name"]: c["default"] for c in describe() if not c["required"]}
    for name in ("seed", "specialize_tokens", "domain", "status"):
        assert said[name] == (f"{row[name]:g}" if isinstance(row[name], float) else row[name])
    for name in ("loss_se", "replay", "distill", "experts"):
        assert said[name] == "not known"
        assert row[name] != row[name]
    assert said["unique_tokens"] == "unlimited"
    assert row["unique_tokens"] == float("inf")
    assert row["flops"] == 6 * 1e6 * 1e9


def test_the_template_is_a_table_of_runs_that_is_never_written_over(say, tmp_path):
    path = tmp_path / "new" / "template.csv"
    assert say("schema", "--template", path)[0] == DONE
    header = path.read_text().splitlines()[0].split(",")
    assert header == [*NAMES, "unit"]
    runs = read_runs(path)
    assert len(runs.on_branch()) == len(runs) == 3
    path.write_text("mine")
    code, _, err = say("schema", "--template", path)
    assert code == USER_ERROR
    assert "is there already" in err
    assert path.read_text() == "mine"


def test_write_template_gives_its_path(tmp_path):
    assert write_template(tmp_path / "t.csv") == tmp_path / "t.csv"
