"""evaluate: models, and systems with their routers, on tasks."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from bayeslaw.cell import unguarded
from bayeslaw.corpus import Corpus
from bayeslaw.errors import TaskError
from bayeslaw.evaluate.accuracy import Answers, TaskRow, answers, row_of, rows_csv
from bayeslaw.evaluate.coder import Coder
from bayeslaw.evaluate.model_file import ModelFile
from bayeslaw.evaluate.routing import ROUTERS
from bayeslaw.evaluate.scorer import continuations
from bayeslaw.evaluate.sender import Sender, grams
from bayeslaw.evaluate.system import System, systems
from bayeslaw.evaluate.task import Task, named_once
from bayeslaw.whole import whole

SCHEMA = 1
Losses = Mapping[tuple[str, str, str], tuple[float, float]]  # (sweep, run, domain) -> loss, its se
UNKNOWN = (math.nan, math.nan)


@dataclass(frozen=True)
class Evaluation:
    """Rows of models, then of systems, in the order they were given."""

    rows: tuple[TaskRow, ...]

    def placed(self, domains: Mapping[str, str], losses: Losses) -> Evaluation:
        """The same with tasks of no domain put to one, task -> domain, and its loss beside them.
        Raises `TaskError` for a task that is not there."""
        if unknown := sorted(set(domains) - {r.task for r in self.rows}):
            raise TaskError(f"no task {', '.join(unknown)} was evaluated")
        rows = []
        for r in self.rows:
            if r.task in domains and not r.router:
                own = domains[r.task]
                loss, se = losses.get((r.sweep, r.run_id, own), UNKNOWN)
                r = replace(r, domain=own, loss=loss, loss_se=se)
            rows.append(r)
        return Evaluation(tuple(rows))

    def to_json(self) -> dict[str, Any]:
        return {"schema": SCHEMA, "rows": [asdict(r) for r in self.rows]}

    def write(self, path: str | Path) -> None:
        """Write the CSV, whole."""
        with whole(path) as beside:
            beside.write_text(rows_csv(self.rows), encoding="utf-8")


@dataclass
class _Heard:
    """What a model said: task -> its answers; task -> how it found its contexts, (item,)."""

    coder: Coder
    said: dict[str, Answers] = field(default_factory=dict)
    contexts: dict[str, np.ndarray] = field(default_factory=dict)


def evaluate(
    models: Sequence[ModelFile],
    tasks: Sequence[Task],
    corpus: Corpus | None = None,
    domains: Sequence[str] = (),
    sender: Sender | None = None,
    losses: Losses | None = None,
    progress: Callable[[str, float], None] = lambda *_: None,
) -> Evaluation:
    """Accuracies of every model on every task; and of every system among them, its items sent to
    branches by label (tasks of a domain), by text (where a corpus or a sender is there to tell),
    and by the context's loss.

    domains: what a system is of; by default the models' branches. losses: as `read_losses`.
    Raises `TaskError` where there is nothing to do, or two tasks have one name.
    """
    if not models or not tasks:
        raise TaskError("no " + ("models" if not models else "tasks") + " to evaluate")
    named_once(tasks)
    known = losses or {}
    domains = domains or sorted({m.branch for m in models if m.branch})
    found = systems(models, domains) if len(domains) > 1 else ()
    inside = {b.run_id for s in found for b in s.branches}
    heard: dict[str, _Heard] = {}
    rows: list[TaskRow] = []
    for i, model in enumerate(models):
        progress(model.run_id, i / len(models))
        heard[model.run_id] = _hear(model, tasks, model.run_id in inside)
        for task in tasks:
            loss = known.get((model.sweep, model.run_id, task.domain), UNKNOWN)
            rows.append(row_of(model, task, heard[model.run_id].said[task.name], loss))
    if found and sender is None and corpus is not None:
        sender = grams(corpus, domains)
    if not found:
        return Evaluation(tuple(rows))
    told: Sequence[np.ndarray | None] = [None] * len(tasks)
    if sender is not None:
        coder = heard[found[0].branches[0].run_id].coder
        texts = [coder.encode(i.context) for task in tasks for i in task.items]
        told = np.split(sender(texts), np.cumsum([len(task.items) for task in tasks])[:-1])
    for task, to in zip(tasks, told, strict=True):
        for system in found:
            rows += _system_rows(system, task, heard, to, known)
    return Evaluation(tuple(rows))


def _hear(model: ModelFile, tasks: Sequence[Task], routed: bool) -> _Heard:
    decoder, coder = model.load()
    heard = _Heard(coder)
    for task in tasks:
        heard.said[task.name] = answers(decoder, coder, task)
        if routed:
            pairs: list[tuple[list[int], list[int]]] = [
                ([], coder.encode(i.context)) for i in task.items
            ]
            scored = continuations(decoder, pairs)
            heard.contexts[task.name] = np.array([-s.log_likelihood for s in scored])
    return heard


def _system_rows(
    system: System,
    task: Task,
    heard: Mapping[str, _Heard],
    told: np.ndarray | None,
    known: Losses,
) -> list[TaskRow]:
    """One row for every router that can be asked."""
    each = [heard[b.run_id] for b in system.branches]
    sent = {"text": told, "loss": np.stack([h.contexts[task.name] for h in each]).argmin(0)}
    if task.domain in system.domains:
        own = system.domains.index(task.domain)
        sent["label"] = np.full(len(task.items), own)
    rows = []
    for router in ROUTERS:
        to = sent.get(router)
        if to is None:
            continue
        first, *others = [h.said[task.name] for h in each]
        losses = [known.get((b.sweep, b.run_id, task.domain), UNKNOWN) for b in system.branches]
        share = np.bincount(to, minlength=len(each)) / len(to)
        used = [(s, *loss) for s, loss in zip(share, losses, strict=True) if s > 0]
        mean = sum(s * loss for s, loss, _ in used)
        se = math.sqrt(sum((s * e) ** 2 for s, _, e in used))
        rows.append(row_of(system.as_model(), task, first.sent(others, to), (mean, se), router))
    return rows


def read_losses(folders: Sequence[Path]) -> dict[tuple[str, str, str], tuple[float, float]]:
    """What the tables of sweeps say of their models' losses: of folder F, F/runs.csv or F.csv. A
    table that is not there says nothing."""
    found: dict[Any, tuple[float, float]] = {}
    for folder in folders:
        for path in (folder / "runs.csv", folder.absolute().with_suffix(".csv")):
            if not path.is_file():
                continue
            with path.open(newline="", encoding="utf-8") as file:
                for row in csv.DictReader(file):
                    if row.get("loss"):
                        key = tuple(unguarded(row[n]) for n in ("sweep", "run_id", "domain"))
                        found[key] = (float(row["loss"]), float(row.get("loss_se") or "nan"))
            break
    return found
