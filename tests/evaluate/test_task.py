"""Tasks come back from their files; what is no task is refused with every line at once."""

from __future__ import annotations

import json

import numpy as np
import pytest

from bayeslaw.corpus import Corpus, Domain, synthetic
from bayeslaw.errors import TaskError
from bayeslaw.evaluate.suite import CHOICES, CONTEXT, MOST, suite
from bayeslaw.evaluate.task import Item, Task, filename, named_once, read_task, write_task

ITEMS = (Item("Grüße, ", ("Welt", "mond"), 0), Item("a", ("b\n", "c\u2028", "d\u0085"), 2))
GOOD = {"context": "a", "choices": ["b", "c"], "answer": 1}


def test_a_task_comes_back_from_its_file(tmp_path):
    task = Task("greet", ITEMS, "prose")
    write_task(task, tmp_path / "greet.jsonl")
    assert read_task(tmp_path / "greet.jsonl") == task
    assert task.chance == pytest.approx((1 / 2 + 1 / 3) / 2)


@pytest.mark.parametrize("name", ["next-../../up", "next-/etc/x", "a\\b", "a\0b"])
def test_a_file_of_a_task_stays_in_its_folder(name):
    assert set(filename(name)).isdisjoint("./\\\0")


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("no", "line 2: is no JSON"),
        ("[1]", "line 2: is no object"),
        (json.dumps({"context": "a"}), "line 2: has no choices, answer"),
        (json.dumps(GOOD | {"context": 3}), "line 2: context is 3"),
        (json.dumps(GOOD | {"choices": ["b"]}), "line 2: choices must be two or more"),
        (json.dumps(GOOD | {"choices": ["b", ""]}), "line 2: choices must be two or more"),
        (json.dumps(GOOD | {"answer": 2}), "line 2: answer is 2; .* 0 to 1"),
        (json.dumps(GOOD | {"answer": True}), "line 2: answer is True"),
    ],
)
def test_a_line_that_is_no_item_is_named_with_what_is_wrong(tmp_path, line, told):
    path = tmp_path / "t.jsonl"
    path.write_text(json.dumps(GOOD) + "\n" + line + "\n")
    with pytest.raises(TaskError, match=told):
        read_task(path)


def test_all_faults_of_a_file_are_told_at_once(tmp_path):
    path = tmp_path / "t.jsonl"
    path.write_text("no\n\nno\n")
    with pytest.raises(TaskError, match=r"2 faults:\n  line 1: .*\n  line 3: "):
        read_task(path)
    path.write_text("\n")
    with pytest.raises(TaskError, match="it has no items"):
        read_task(path)
    with pytest.raises(TaskError, match="not readable"):
        read_task(tmp_path / "none.jsonl")
    with pytest.raises(TaskError, match="two tasks are named a"):
        named_once([Task("a", ITEMS), Task("a", ITEMS)])


# --- the offline suite

CORPUS = synthetic(size=60_000)


def test_the_suite_is_of_held_out_text_alone_and_the_same_again():
    made = suite(CORPUS, items=40)
    assert made == suite(CORPUS, items=40)
    assert made != suite(CORPUS, items=40, seed=1)
    assert [t.name for t in made] == ["next-alpha", "next-beta"]
    for task, domain in zip(made, CORPUS.domains, strict=True):
        held = domain.heldout.tobytes().decode()
        others = (domain.pretrain.tobytes() + domain.specialize.tobytes()).decode()
        assert task.domain == domain.name
        for item in task.items:
            true = item.context + item.choices[item.answer]
            assert len(item.context) == CONTEXT
            assert true in held
            assert true not in others
            assert len(set(item.choices)) == CHOICES
            assert all(c in held and 8 <= len(c) <= MOST for c in item.choices)
            assert not any(item.context + c in held for c in item.choices if c not in true)


def test_the_true_choice_stands_anywhere():
    answers = [i.answer for t in suite(CORPUS, items=200) for i in t.items]
    counts = np.bincount(answers, minlength=CHOICES)
    assert (counts > len(answers) / 8).all()


def test_too_little_held_out_text_is_refused():
    short = np.frombuffer(b"a word or two " * 40, np.uint8)
    with pytest.raises(TaskError, match="domain 'few': 560 held-out tokens have 1 continuations"):
        suite(Corpus((Domain("few", short, short, short),), {}))
