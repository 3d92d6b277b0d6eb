"""Where the cells of a sweep are trained, on what, and which of them are done."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from bayeslaw.corpus import Corpus, Domain, read_shards
from bayeslaw.sweep import Cell, SweepSpec
from bayeslaw.sweep.cells import Past
from bayeslaw.train.checkpoint import SUFFIX
from bayeslaw.train.data import Windows, general
from bayeslaw.train.export import read_llama
from bayeslaw.train.loop import State, ready, start

DONE, PART, MODEL = "done.json", f"part{SUFFIX}", f"model{SUFFIX}"


class Work(NamedTuple):
    """Where the cells of a sweep are trained, and on what. All processes share the folder."""

    spec: SweepSpec
    folder: Path  # of the cells
    text: Path  # folder of the corpus

    def place(self, cell: Cell) -> Path:
        return self.folder / cell.key

    def result(self, cell: Cell) -> dict[str, Any] | None:
        """What is known of a cell that was finished; None of one that was not."""
        try:
            return json.loads((self.place(cell) / DONE).read_text())
        except (OSError, ValueError):
            return None

    def domains(self) -> tuple[Domain, ...]:
        names = self.spec.domains
        return tuple(d for d in self.corpus().domains if not names or d.name in names)

    def corpus(self) -> Corpus:
        return read_text(self.text)

    def fresh(self, cell: Cell) -> State:
        """What a lineage begins with, its optimiser without moments: fresh weights, or those of a
        model from elsewhere."""
        if cell.start:
            model = read_llama(self.spec.start, self.spec.rule.context)
            state = ready(model, self.spec.rule, cell.device)
            state.tokens = cell.pretrain_tokens
            return state
        words = self.corpus().vocabulary
        return start(self.spec.rule, cell.width, cell.draw, words, cell.device)

    def mixture(self, seed: int, tokens: int) -> Windows:
        rule = self.spec.rule
        return general(self.domains(), rule.context, rule.batch, seed).again(tokens)


def finished(work: Work, cell: Cell, past: Past) -> bool:
    """Whether there is nothing left to do."""
    result = work.result(cell)
    if result is None:
        return False
    if result["status"] == "diverged":
        return True
    if cell.stage == "trunk":
        return not missing(work, cell, past.stops)
    kept = work.spec.keep_models or past.kept
    return not kept or (work.place(cell) / MODEL).is_file()


def missing(work: Work, trunk: Cell, stops: Sequence[int]) -> list[int]:
    """The stops of which a trunk has no checkpoint."""
    place = work.place(trunk)
    return [s for s in stops if not (place / f"{s}{SUFFIX}").is_file()]


@lru_cache(maxsize=1)
def read_text(text: Path) -> Corpus:
    return read_shards(text)
