"""Tasks of lm_eval: what it asked and answered becomes a row; without it the extra is named."""

from __future__ import annotations

import builtins
import json
from pathlib import Path

import pytest

from bayeslaw.errors import TaskError
from bayeslaw.evaluate.accuracy import answers
from bayeslaw.evaluate.coder import Coder
from bayeslaw.evaluate.harness import _name, _row, harness
from bayeslaw.evaluate.model_file import ModelFile
from bayeslaw.evaluate.suite import suite
from bayeslaw.evaluate.task import write_task
from tests.evaluate.test_scorer import MODEL
from tests.evaluate.test_task import CORPUS

FILE = ModelFile(Path("m"), "m", params=1e3)
SAMPLES = [
    {"arguments": [("q", " yes"), ("q", " no")], "target": 0,
     "filtered_resps": [(-4.0, False), (-3.0, True)]},
    {"arguments": {"a": {"0": "q", "1": " no"}, "b": {"0": "q", "1": " yes"}}, "target": "yes",
     "filtered_resps": [("-9", "False"), ("-2", "True")]},
]  # fmt: skip


def test_a_row_is_made_of_what_was_answered():
    row = _row(FILE, "t", SAMPLES)
    assert (row.accuracy, row.items, row.chance) == (0.5, 2, 0.5)
    assert row.per_byte == 1.0  # -4/4 is no less than -3/3
    assert row.answer_loss == pytest.approx((4 / 4 + 2 / 4) / 2)
    with pytest.raises(TaskError, match="no multiple choice"):
        _row(FILE, "t", [{**SAMPLES[0], "target": 5}])


def test_without_lm_eval_the_extra_is_named(monkeypatch):
    real = builtins.__import__

    def none(name, *rest):
        if name.startswith("lm_eval"):
            raise ModuleNotFoundError("No module named 'lm_eval'", name="lm_eval")
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", none)
    with pytest.raises(TaskError, match=r"pip install 'bayeslaw\[eval\]'"):
        harness([FILE], ["arc_easy"])


def test_the_name_of_a_described_task_is_found(tmp_path):
    file = tmp_path / "t.yaml"
    file.write_text('group: x\ntask: "mine"\n')
    assert _name(str(file)) == "mine"
    file.write_text("group: x\n")
    with pytest.raises(TaskError, match="has no line `task: NAME`"):
        _name(str(file))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_lm_eval_counts_as_we_do(tmp_path, monkeypatch):
    """The same items through lm_eval's own reading of them: the same accuracies."""
    pytest.importorskip("lm_eval", reason="lm_eval is not installed (extra eval)")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    task = suite(CORPUS, items=30)[0]
    write_task(task, tmp_path / "ours.jsonl")
    (tmp_path / "theirs.yaml").write_text(
        f"""task: theirs
dataset_path: json
dataset_kwargs:
  data_files: {json.dumps(str(tmp_path / "ours.jsonl"))}
  cache_dir: {json.dumps(str(tmp_path / "cache"))}
test_split: train
output_type: multiple_choice
doc_to_text: "{{{{context}}}}"
doc_to_choice: "{{{{choices}}}}"
doc_to_target: answer
target_delimiter: ""
metric_list:
  - metric: acc
"""
    )

    class Loaded(ModelFile):
        def load(self):
            return MODEL, Coder()

    (row,) = harness([Loaded(Path("m"), "m")], [str(tmp_path / "theirs.yaml")])
    said = answers(MODEL, Coder(), task)
    assert row.items == len(task.items) > 0
    assert row.chance == 0.25
    assert row.accuracy == said.correct.mean()
    assert row.per_byte == said.per_byte.mean()
    assert row.answer_loss == pytest.approx(said.answer_loss.mean(), rel=1e-5)
