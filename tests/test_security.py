"""Files of strangers do nothing but be read: no code in them, no way out of the folder, no formula
in what a spreadsheet opens."""

from __future__ import annotations

import ast
import csv
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bayeslaw import BayeslawError, RunsError, import_runs, read_runs
from bayeslaw.cell import guarded, inert, printable, unguarded
from bayeslaw.corpus.split import names_of
from bayeslaw.runs import Runs
from bayeslaw.sweep import read_sweep
from bayeslaw.sweep.listed import listed
from bayeslaw.verify.append import append

PACKAGE = Path(__file__).resolve().parents[1] / "bayeslaw"

# --- no code in files

RUNS_CODE = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"}
BUILTINS = {"eval", "exec", "compile", "__import__"}
# file, call -> why it may
ALLOWED = {
    ("train/team.py", "broadcast_object_list"): "between the processes of one run, no file",
}


def dangers(path: Path):
    """Calls and imports that run what a file holds."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (n.name for n in node.names if n.name.split(".")[0] in RUNS_CODE)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in RUNS_CODE:
            yield node.module
        elif isinstance(node, ast.Call):
            of = ast.unparse(node.func)
            said = {k.arg: ast.unparse(k.value) for k in node.keywords}
            name = of.split(".")[-1]
            if (
                of in BUILTINS
                or (of.endswith("torch.load") and said.get("weights_only") != "True")
                or (of in ("np.load", "numpy.load") and said.get("allow_pickle") != "False")
                or (of.startswith("yaml.") and name in ("load", "load_all", "unsafe_load"))
                or name in ("read_pickle", "to_pickle", "system", "broadcast_object_list",
                            "all_gather_object", "gather_object")
                or said.get("shell") == "True"
                or said.get("autoescape") == "False"
            ):  # fmt: skip
                yield name


def test_nothing_in_a_file_is_run():
    found = {
        (str(path.relative_to(PACKAGE)), name)
        for path in PACKAGE.rglob("*.py")
        for name in dangers(path)
    }
    assert found == set(ALLOWED)


@pytest.mark.parametrize(
    "line",
    ["import pickle", "from pickle import load", "torch.load(f)", "np.load(f)", "eval(x)",
     "np.load(f, allow_pickle=True)", "yaml.load(f)", "exec(x)", "run(x, shell=True)"],
)  # fmt: skip
def test_what_runs_a_file_would_be_found(line, tmp_path):
    (tmp_path / "a.py").write_text(line)
    assert list(dangers(tmp_path / "a.py"))


# --- no formulas in a CSV

FORMULAS = ["=cmd()", "+1+1", "-2+3", "@SUM(A1)", "'=1", "''@x", '=HYPERLINK("http://x")']


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.sampled_from(FORMULAS), st.text(max_size=8)))
def test_a_name_is_written_as_text_and_read_as_it_was(name):
    cell = guarded(name)
    assert not cell.startswith(("=", "+", "-", "@", "\t", "\r"))
    assert unguarded(cell) == name


def cells(path: Path) -> list[str]:
    with path.open(newline="", encoding="utf-8") as file:
        return [cell for row in csv.reader(file) for cell in row]


def computed(path: Path) -> list[str]:
    """Cells that a spreadsheet would compute."""

    def number(cell: str) -> bool:
        try:
            float(cell)
        except ValueError:
            return False
        return True

    return [c for c in cells(path) if c[:1] in tuple("=+-@\t\r") and c and not number(c)]


@pytest.mark.parametrize("name", FORMULAS)
def test_no_text_column_of_a_table_carries_a_formula(name, tmp_path):
    rows = [{"params": 1e6, "pretrain_tokens": 1e8, "specialize_tokens": 1e6, "loss": 2.0,
             "run_id": name, "sweep": name, "lineage": name, "branch": guarded(name),
             "domain": name, "recipe": name}]  # fmt: skip
    path = tmp_path / "rows.csv"
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    runs = read_runs(path)
    out = runs.write(tmp_path / "out.csv")
    assert computed(out) == []
    again = read_runs(out)
    assert again.digest == runs.digest
    assert again.table["run_id"].tolist() == runs.table["run_id"].tolist()
    assert again.domains == runs.domains


def test_a_log_with_a_formula_for_a_name_is_imported_as_text(tmp_path):
    log = tmp_path / "a.jsonl"
    log.write_text(json.dumps({"step": 1, "tokens": 5, "val_loss": 3.0, "run_id": "=cmd()"}) + "\n")
    runs = import_runs(log, set={"params": "1M", "domain": "@code"}).runs
    assert runs.table["run_id"].tolist() == ["=cmd()"]
    out = runs.write(tmp_path / "runs.csv")
    assert "'=cmd()" in cells(out)
    assert computed(out) == []
    assert read_runs(out).domains == ("@code",)


def test_rows_added_to_a_table_leave_none_that_is_computed(tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text("run_id,params,pretrain_tokens,loss,note\n=1+1,1e6,+1e8,2.0,@x\n")
    new = Runs.from_table(read_runs(path).table.assign(run_id="-b", sweep="mine"))
    assert computed(path) == ["=1+1", "@x"]
    assert append(new, path) == 1
    assert computed(path) == []
    assert read_runs(path).table["run_id"].tolist() == ["=1+1", "-b"]
    assert "+1e8" in cells(path)  # a number stays as it was


def test_what_the_trainer_writes_of_names_is_text():
    torch = pytest.importorskip("torch")
    from bayeslaw.train.table import _csv

    assert torch
    assert _csv(("a", "b"), [["=1+1", 2.0]]) == "a,b\n'=1+1,2.0\n"


def test_a_guarded_branch_is_that_domain_in_a_list_of_runs(tmp_path):
    path = tmp_path / "list.csv"
    path.write_text("params,pretrain_tokens,specialize_tokens,branch\n6k,1M,32k,'=code\n")
    assert listed(path, ("=code",))[0].branch == "=code"


def test_numbers_of_a_file_are_not_guarded():
    assert [inert(c) for c in ("-3", "+1e9", "-inf", "7B", "")] == ["-3", "+1e9", "-inf", "7B", ""]


# --- names that a terminal or a file would not bear


@pytest.mark.parametrize("name", ["a\x1b[2Jb", "a\nb", "a\rb", "a\x00b"[:1] + "\x7f", "a\u2028b"])
def test_a_name_with_control_characters_is_refused(name):
    assert not printable(name)
    table = {"params": [1e6], "pretrain_tokens": [1e8], "loss": [2.0], "run_id": [name]}
    import pandas as pd

    with pytest.raises(RunsError, match="a control character in a name; rename it") as caught:
        Runs.from_table(pd.DataFrame(table))
    assert printable(str(caught.value).replace("\n", ""))


# --- no way out of the folder


@pytest.mark.parametrize("name", ["../x", "/x", "a/b", "..", ".hidden", "a\\b", "x\n"])
def test_a_sweeps_name_is_no_path(name, tmp_path):
    path = tmp_path / "sweep.toml"
    path.write_text(f'name = {json.dumps(name)}\nwidths = [16]\npretrain_tokens = ["2M"]\n')
    with pytest.raises(BayeslawError, match="name: "):
        read_sweep(path)


@pytest.mark.parametrize("name", ["../x", "/x", "a/b", "..", "a\\b", "", "x\n"])
def test_a_clusters_name_is_no_path(name, tmp_path):
    (tmp_path / "clusters.json").write_text(json.dumps({"clusters": [{"name": name}]}))
    with pytest.raises(BayeslawError, match="no files"):
        names_of(tmp_path / "router.npz")


def test_a_domains_name_is_no_part_of_a_cells_folder(tmp_path):
    from bayeslaw.sweep import cells as jobs

    path = tmp_path / "sweep.toml"
    path.write_text(
        'name = "a"\nwidths = [16]\npretrain_tokens = ["1.6M"]\nspecialize_tokens = ["160k"]\n'
    )
    made = jobs(read_sweep(path), "digest", ("../../x", "/etc"))
    assert {c.branch for c in made.models} >= {"../../x", "/etc"}
    assert all(c.key.replace("-", "").isalnum() for c in made)


def test_plots_of_hostile_laws_and_domains_stay_in_their_folder():
    from bayeslaw.plots.diagnostics import _slug

    assert _slug("../../x(../y)") == "x-y"
