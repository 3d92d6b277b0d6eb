"""Accuracies: how often a model's likeliest choice is the true one."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np

from bayeslaw.cell import guarded
from bayeslaw.evaluate.coder import Coder
from bayeslaw.evaluate.model_file import ModelFile
from bayeslaw.evaluate.scorer import continuations
from bayeslaw.evaluate.task import Task
from bayeslaw.train.model import Decoder


@dataclass(frozen=True)
class TaskRow:
    """One model on one task; a column each in CSV, the model's as in a table of runs.

    accuracy: share of items whose true choice is the likeliest; per_byte: by log likelihood over
    its bytes. se: standard errors over items. answer_loss: of the true choices, nats/byte. loss,
    loss_se: of the model on held-out text of the task's domain, as its sweep measured them. router:
    how items were sent to branches; empty for a model alone.
    """

    task: str
    domain: str
    accuracy: float
    se: float
    per_byte: float
    per_byte_se: float
    answer_loss: float
    items: int
    chance: float
    sweep: str
    run_id: str
    lineage: str
    seed: int
    params: float
    pretrain_tokens: float
    specialize_tokens: float
    branch: str
    recipe: str
    flops: float
    loss: float = math.nan
    loss_se: float = math.nan
    router: str = ""


COLUMNS = tuple(f.name for f in fields(TaskRow))


@dataclass(frozen=True)
class Answers:
    """What one model says to every item. correct, per_byte: (item,) of 0 and 1; answer_loss:
    (item,), nats/byte of the true choice."""

    correct: np.ndarray
    per_byte: np.ndarray
    answer_loss: np.ndarray

    def sent(self, others: Sequence[Answers], branch: np.ndarray) -> Answers:
        """Item by item those of the branch that it is sent to; self is number 0, then others."""
        every = (self, *others)
        rows = np.arange(len(branch))
        return Answers(
            *(np.stack([getattr(a, f.name) for a in every])[branch, rows] for f in fields(Answers))
        )


def answers(model: Decoder, coder: Coder, task: Task) -> Answers:
    """Every choice of every item scored."""
    pairs, bytes_ = [], []
    for item in task.items:
        context = coder.encode(item.context)
        for choice in item.choices:
            pairs.append((context, coder.encode(choice)))
            bytes_.append(len(choice.encode("utf-8", "ignore")))
    scored = np.array([s.log_likelihood for s in continuations(model, pairs)])
    length, correct, per_byte, loss, at = np.array(bytes_, float), [], [], [], 0
    for item in task.items:
        here = slice(at, at + len(item.choices))
        at += len(item.choices)
        correct.append(scored[here].argmax() == item.answer)
        per_byte.append((scored[here] / length[here]).argmax() == item.answer)
        loss.append(-scored[here][item.answer] / length[here][item.answer])
    return Answers(np.array(correct, float), np.array(per_byte, float), np.array(loss))


def share(correct: np.ndarray) -> tuple[float, float]:
    """The share of right answers and its standard error over items."""
    n = len(correct)
    return float(correct.mean()), float(correct.std(ddof=1) / math.sqrt(n)) if n > 1 else math.nan


def row_of(
    model: ModelFile, task: Task, said: Answers, loss: tuple[float, float], router: str = ""
) -> TaskRow:
    exact, normed = share(said.correct), share(said.per_byte)
    about = {f.name: getattr(model, f.name) for f in fields(ModelFile) if f.name in COLUMNS}
    return TaskRow(
        task.name, task.domain, *exact, *normed, float(said.answer_loss.mean()), len(task.items),
        task.chance, **about, loss=loss[0], loss_se=loss[1], router=router,
    )  # fmt: skip


def rows_csv(rows: Sequence[TaskRow]) -> str:
    """A line each; what is not known stays empty."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows([_cell(v) for v in asdict(r).values()] for r in rows)
    return file.getvalue()


def _cell(value: Any) -> Any:
    if isinstance(value, str):
        return guarded(value)
    if not isinstance(value, float):
        return value
    if not math.isfinite(value):
        return ""
    return int(value) if value.is_integer() and abs(value) >= 2 else f"{value:.6g}"
