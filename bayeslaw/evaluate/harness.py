"""lm_eval's own tasks (extra `eval`) on our models, whose tokens are their own."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bayeslaw.errors import TaskError
from bayeslaw.evaluate.accuracy import Answers, TaskRow, row_of
from bayeslaw.evaluate.coder import Coder
from bayeslaw.evaluate.model_file import ModelFile
from bayeslaw.evaluate.scorer import continuations
from bayeslaw.evaluate.task import Item, Task
from bayeslaw.train.model import Decoder

# The eight of common sense.
STANDARD = (
    "arc_easy", "arc_challenge", "hellaswag", "piqa", "winogrande", "openbookqa", "social_iqa",
    "boolq",
)  # fmt: skip
SUFFIXES = (".yaml", ".yml")


def harness(
    models: Sequence[ModelFile], names: Sequence[str], limit: int | None = None
) -> list[TaskRow]:
    """Rows of lm_eval's tasks: names of its own, or files of YAML that describe one.

    Nothing is fetched: their data must be on this machine. limit: of items a task. Raises
    `TaskError` without lm_eval, for a task that it does not know, that has no choices, or whose
    data is not here.
    """
    # Read when `datasets` is first loaded.
    for name in ("HF_DATASETS_OFFLINE", "HF_HUB_OFFLINE"):
        os.environ.setdefault(name, "1")
    evaluator, TaskManager = _lm_eval()
    folders = [str(Path(n).absolute().parent) for n in names if n.endswith(SUFFIXES)]
    manager = TaskManager(include_path=folders or None)
    wanted = [_name(n) if n.endswith(SUFFIXES) else n for n in names]
    if unknown := [n for n in wanted if not manager.match_tasks([n])]:
        raise TaskError(
            f"lm_eval has no task {', '.join(unknown)}; `lm_eval ls tasks` lists them, and a "
            "file is named with .jsonl or .yaml"
        )
    rows = []
    for model in models:
        asked = _model(*model.load())
        for name in wanted:
            try:
                said = evaluator.simple_evaluate(
                    model=asked, tasks=[name], task_manager=manager, limit=limit,
                    bootstrap_iters=0, verbosity="ERROR", log_samples=True,
                )  # fmt: skip
            except (ConnectionError, OSError, ValueError) as error:
                raise TaskError(
                    f"task '{name}': its data is not on this machine, or cannot be read ({error}); "
                    "have lm_eval fetch it once where there is a network"
                ) from None
            for task, samples in said["samples"].items():
                rows.append(_row(model, task, samples))
    return rows


def _lm_eval() -> tuple[Any, Any]:
    try:
        from lm_eval import evaluator
        from lm_eval.tasks import TaskManager
    except ModuleNotFoundError as error:
        raise TaskError(
            f"tasks of lm_eval need it ({error.name} is missing): pip install 'bayeslaw[eval]'; "
            "tasks in JSON lines do not"
        ) from None
    return evaluator, TaskManager


def _name(path: str) -> str:
    """The task that a YAML file describes: its `task:`, found without reading the rest."""
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise TaskError(f"{path}: not readable: {error}") from None
    named = [line.partition(":")[2] for line in lines if line.startswith("task:")]
    if not named:
        raise TaskError(f"{path}: has no line `task: NAME`")
    return named[0].strip().strip("\"'")


def _model(decoder: Decoder, coder: Coder) -> Any:
    """Our model as lm_eval asks it."""
    from lm_eval.api.model import LM

    class Ours(LM):
        def loglikelihood(self, requests: Any, **_: Any) -> list[tuple[float, bool]]:
            pairs = [tuple(map(coder.encode, r.args)) for r in requests]
            return [(s.log_likelihood, s.greedy) for s in continuations(decoder, pairs)]

        def loglikelihood_rolling(self, requests: Any, **_: Any) -> list[float]:
            pairs: list[Any] = [([], coder.encode(r.args[0])) for r in requests]
            return [s.log_likelihood for s in continuations(decoder, pairs)]

        def generate_until(self, requests: Any, **_: Any) -> list[str]:
            raise TaskError("tasks that generate text are not for these models")

    return Ours()


def _row(model: ModelFile, name: str, samples: Sequence[dict[str, Any]]) -> TaskRow:
    """From what was asked and answered, item by item, as for our own tasks."""
    items, correct, per_byte, loss = [], [], [], []
    for sample in samples:
        texts, target = [str(a[1]) for a in _arguments(sample)], sample["target"]
        scored = np.array([float(r[0]) for r in sample["filtered_resps"]])
        if len(scored) < 2 or not 0 <= (true := _number(target, texts)) < len(scored):
            raise TaskError(f"task '{name}' is no multiple choice with one true answer")
        length = np.array([max(1, len(t.encode())) for t in texts], float)
        items.append(Item("", tuple(texts[: len(scored)]), true))
        correct.append(scored.argmax() == true)
        per_byte.append((scored / length[: len(scored)]).argmax() == true)
        loss.append(-scored[true] / length[true])
    said = Answers(np.array(correct, float), np.array(per_byte, float), np.array(loss))
    return row_of(model, Task(name, tuple(items)), said, (float("nan"), float("nan")))


def _arguments(sample: dict[str, Any]) -> list[Any]:
    """(context, continuation) of every choice; some releases keep them by name."""
    asked = sample["arguments"]
    if isinstance(asked, dict):
        asked = [list(a.values()) if isinstance(a, dict) else a for a in asked.values()]
    return list(asked)


def _number(target: Any, texts: Sequence[str]) -> int:
    """The number of the true choice, which may be told by its text."""
    try:
        return int(target)
    except (TypeError, ValueError):
        bare = [t.strip() for t in texts]
        return bare.index(str(target).strip()) if str(target).strip() in bare else -1
