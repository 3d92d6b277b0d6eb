"""Tasks of multiple choice: contexts, continuations, and which of them is the true one."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bayeslaw.errors import TaskError
from bayeslaw.whole import whole

FIELDS = ("context", "choices", "answer")
SHOWN = 20  # faults of a file that are printed


@dataclass(frozen=True)
class Item:
    """One question: the choices follow the context as they stand, and the answer is one's number,
    from 0."""

    context: str
    choices: tuple[str, ...]
    answer: int


@dataclass(frozen=True)
class Task:
    """Items of one kind. domain: what its text is of, empty where that is no domain of a sweep."""

    name: str
    items: tuple[Item, ...]
    domain: str = ""

    @property
    def chance(self) -> float:
        """The accuracy of guessing."""
        return sum(1 / len(i.choices) for i in self.items) / len(self.items)


def read_task(path: str | Path) -> Task:
    """A task, named as its file of JSON lines: `context`, `choices` (two or more), `answer` (its
    number, from 0), and `domain` where all lines have the same.

    Raises `TaskError` with every line that is no such item.
    """
    path = Path(path)
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise TaskError(f"{path}: not readable as JSON lines: {error}") from None
    items, domains, faults = [], set(), []
    for n, line in enumerate(lines, 1):
        if not line.strip():
            continue
        found = _item(line)
        if isinstance(found, str):
            faults.append(f"line {n}: {found}")
            continue
        item, domain = found
        items.append(item)
        domains.add(domain)
    if not items and not faults:
        faults = ["it has no items"]
    if faults:
        noun = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
        more = [f"and {len(faults) - SHOWN} more"] if len(faults) > SHOWN else []
        raise TaskError(f"{path}: {noun}:\n  " + "\n  ".join([*faults[:SHOWN], *more]))
    return Task(path.stem, tuple(items), domains.pop() if len(domains) == 1 else "")


def filename(name: str) -> str:
    """A task's name as that of a file: a domain may be called anything."""
    return re.sub(r"[^\w-]+", "-", name)


def _item(line: str) -> tuple[Item, str] | str:
    """The item of a line and its domain, or what is wrong with it."""
    try:
        said = json.loads(line)
    except (ValueError, RecursionError):
        return "is no JSON; write one object a line"
    if not isinstance(said, Mapping):
        return "is no object; write one with " + ", ".join(FIELDS)
    if missing := [f for f in FIELDS if f not in said]:
        return f"has no {', '.join(missing)}"
    choices, answer = said["choices"], said["answer"]
    if not isinstance(said["context"], str):
        return f"context is {said['context']!r}; it must be text"
    texts = isinstance(choices, list) and all(isinstance(c, str) and c for c in choices)
    if not texts or len(choices) < 2:
        return "choices must be two or more texts, none of them empty"
    if isinstance(answer, bool) or not isinstance(answer, int) or not 0 <= answer < len(choices):
        return f"answer is {answer!r}; it must be the number of a choice, 0 to {len(choices) - 1}"
    return Item(said["context"], tuple(choices), answer), str(said.get("domain") or "")


def write_task(task: Task, path: str | Path) -> None:
    """The file that `read_task` reads, written whole."""
    about: dict[str, Any] = {"domain": task.domain} if task.domain else {}
    with whole(path) as beside:
        beside.write_text(
            "".join(
                json.dumps({**about, "context": i.context, "choices": i.choices,
                            "answer": i.answer}, ensure_ascii=False) + "\n"
                for i in task.items
            ),
            encoding="utf-8",
        )  # fmt: skip


def named_once(tasks: Sequence[Task]) -> None:
    """Raise `TaskError` where two tasks have one name: their rows could not be told apart."""
    names = [t.name for t in tasks]
    if twice := sorted({n for n in names if names.count(n) > 1}):
        raise TaskError(f"two tasks are named {', '.join(twice)}; rename a file")
