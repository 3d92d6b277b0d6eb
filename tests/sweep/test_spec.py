"""sweep.toml: one error for all its faults, each with its field and what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from bayeslaw.errors import SweepError
from bayeslaw.sweep import read_sweep

ROOT = Path(__file__).resolve().parents[2]
GOOD = 'name = "s"\nrecipe = "tiny"\nwidths = [16]\npretrain_tokens = ["32k"]\n'


def write(folder: Path, text: str) -> Path:
    path = folder / "sweep.toml"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    "path",
    ["examples/tiny/sweep.toml", "examples/recipes/sweep.toml", "runs/quickstart/sweep.toml",
     "runs/stdlib/sweep.toml", "runs/stdlib-h100/sweep.toml", "runs/stdlib-h100-cooled/sweep.toml"],
)  # fmt: skip
def test_the_bundled_sweeps_are_in_order(path):
    spec = read_sweep(ROOT / path)
    assert spec.name == Path(path).parent.name


def test_quantities_are_written_as_people_write_them(tmp_path):
    spec = read_sweep(write(tmp_path, GOOD + 'specialize_tokens = ["1.6k", 2048, "4e3"]\n'))
    assert spec.pretrain_tokens == (32_000,)
    assert spec.specialize_tokens == (1600, 2048, 4000)


FAULTS = [
    ("", "name: is missing"),
    ('name = "a b"', "name:"),
    ('colour = "red"', "colour: no such field; the fields are name"),
    ('recipe = "none"', "recipe: no such recipe; choose one of bytes-wsd"),
    ("widths = []", "widths: is empty; name at least one"),
    ("widths = [16, 16]", "widths: 16 stands there twice"),
    ("widths = [17]", "widths: 17 does not split"),
    ('pretrain_tokens = ["many"]', "pretrain_tokens: 'many' is not a number"),
    ('pretrain_tokens = ["inf"]', "pretrain_tokens: must be finite"),
    ("pretrain_tokens = [-5]", "pretrain_tokens:"),
    ("pretrain_tokens = [10]", "pretrain_tokens: 10 is less than one step"),
    ("specialize_tokens = [3]", "specialize_tokens: 3 is less than one step"),
    ('design = "none"', "design: no such design; choose one of trunk, grid, iso-flop"),
    ('design = "runs"', "design 'runs' needs runs; add them"),
    ('design = "iso-flop"', "design 'iso-flop' needs flops; add them"),
    ('flops = "much"', "flops: 'much' is not a number"),
    ("repeat_widths = [48]", "repeat_widths: 48 is not one of the sweep's widths; add it there"),
    ("processes = 0", "processes:"),
    ("epochs = inf", "epochs:"),
    ('second_stage = [{recipe = "joint", weights = {a = inf}}]', "second_stage"),
    ('branch_from = "warm"', "branch_from:"),
    ('start = "none"', "none: not a model that Hugging Face wrote"),
    ('start_tokens = "8k"', "start_tokens is of start: name its folder"),
]


def replaced(field_line: str) -> str:
    """The good settings with one field replaced, added, or (empty) without a name."""
    name = field_line.split(" ")[0] or "name"
    kept = [line for line in GOOD.splitlines() if line.split(" ")[0] != name]
    return "\n".join([*kept, field_line]) + "\n"


@pytest.mark.parametrize(("line", "message"), FAULTS)
def test_each_fault_names_its_field_and_the_remedy(tmp_path, line, message):
    with pytest.raises(SweepError) as raised:
        read_sweep(write(tmp_path, replaced(line)))
    assert message in str(raised.value)
    assert "1 fault:" in str(raised.value)


def test_all_faults_come_at_once(tmp_path):
    text = 'recipe = "tiny"\nwidths = [17, 0]\npretrain_tokens = [4]\nseeds = [1, 1]\nx = 1\n'
    with pytest.raises(SweepError) as raised:
        read_sweep(write(tmp_path, text))
    message = str(raised.value)
    for field in ("name:", "widths", "pretrain_tokens:", "seeds:", "x:"):
        assert field in message
    assert "5 faults" in message


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"name = ", "not readable as TOML"), (b"\xff\xfe\x00", "not readable as TOML")],
)
def test_a_file_that_is_no_toml(tmp_path, content, message):
    path = tmp_path / "sweep.toml"
    path.write_bytes(content)
    with pytest.raises(SweepError, match=message):
        read_sweep(path)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(SweepError, match="no such file"):
        read_sweep(tmp_path / "sweep.toml")
