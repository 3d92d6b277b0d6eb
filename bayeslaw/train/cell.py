"""One cell of a sweep, trained so that a kill at any moment loses minutes and changes nothing."""

from __future__ import annotations

import json
import math
import platform
import time
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import torch

from bayeslaw.corpus import Corpus, Domain, read_shards
from bayeslaw.sweep import Cell, SweepSpec
from bayeslaw.sweep.cells import starts_at
from bayeslaw.train import team
from bayeslaw.train.checkpoint import SUFFIX, Keeper, Unreadable, load, write
from bayeslaw.train.data import Heldout, Windows, general, heldout, share_of
from bayeslaw.train.device import settle
from bayeslaw.train.loop import (
    Objective,
    State,
    alone,
    cool,
    cross_entropy,
    evaluate,
    start,
    train,
    warm,
)
from bayeslaw.train.second import objective_of, text_of
from bayeslaw.whole import whole

DONE, PART, MODEL = "done.json", f"part{SUFFIX}", f"model{SUFFIX}"


class Diverged(Exception):
    """A training loss that is not finite."""


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
        return _read(self.text)

    def fresh(self, cell: Cell) -> State:
        words = self.corpus().vocabulary
        return start(self.spec.rule, cell.width, cell.draw, words, cell.device)

    def mixture(self, seed: int, tokens: int) -> Windows:
        rule = self.spec.rule
        return general(self.domains(), rule.context, rule.batch, seed).again(tokens)


def finished(work: Work, cell: Cell, stops: list[int]) -> bool:
    """Whether there is nothing left to do; `stops` are the checkpoints that a trunk must have."""
    result = work.result(cell)
    if result is None:
        return False
    if result["status"] == "diverged":
        return True
    if cell.stage == "trunk":
        return not missing(work, cell, stops)
    return not work.spec.keep_models or (work.place(cell) / MODEL).is_file()


def missing(work: Work, trunk: Cell, stops: list[int]) -> list[int]:
    """The stops of which a trunk has no checkpoint."""
    place = work.place(trunk)
    return [s for s in stops if not (place / f"{s}{SUFFIX}").is_file()]


def train_cell(work: Work, cell: Cell, trunk: Cell | None, stops: list[int]) -> None:
    """Train one cell, unless it is there. What it was in the middle of, it goes on with.

    trunk, stops: the trunk that a model starts from, or the cell itself, and where that is kept.
    """
    if team.decided(finished(work, cell, stops)):
        return
    settle(cell.device, cell.threads)
    began = time.perf_counter()
    try:
        if cell.stage == "trunk":
            result = _trunk(work, cell, stops)
        else:
            result = _model(work, cell, trunk, stops)
    except Diverged:
        names = [d.name for d in work.domains()] if cell.stage != "trunk" else []
        result = {"status": "diverged", "rows": [[n, None, None] for n in names]}
    before = result.pop("before", 0.0)
    took = round(before + time.perf_counter() - began, 2)
    result |= {"seconds": took, "device": _machine(cell.device)}
    if team.follower():
        return
    with whole(work.place(cell) / DONE) as beside:
        beside.write_text(json.dumps(result))
    (work.place(cell) / PART).unlink(missing_ok=True)


def _machine(device: str) -> str:
    return platform.machine() if device == "cpu" else torch.cuda.get_device_name()


def _trunk(work: Work, cell: Cell, stops: list[int]) -> dict[str, Any]:
    """The constant-rate trunk, kept at every stop."""
    state = trained_to(work, cell, stops, max(stops))
    # What was lost, or asked for when the trunk was past it.
    for stop in team.told(missing(work, cell, stops)):
        trained_to(work, cell, stops, stop)
    return {"status": "ok", "rows": [], "before": state.seconds}


def trained_to(work: Work, trunk: Cell, stops: list[int], tokens: int) -> State:
    """The trunk after `tokens`: read where it was kept, else trained from the last state that can
    be read, and kept at every stop on the way. Raises `Diverged`."""
    place, rule = work.place(trunk), work.spec.rule
    if (state := _read_state(work, trunk, place / f"{tokens}{SUFFIX}")) is not None:
        return state
    if (work.result(trunk) or {}).get("status") == "diverged":
        raise Diverged
    kept = [int(p.stem) for p in place.glob(f"*{SUFFIX}") if p.stem.isdigit()]
    kept = team.told(sorted(kept, reverse=True))
    steps, state = tokens // rule.tokens_per_step, work.fresh(trunk)
    # What was kept within a stage is newer than every stop: a stop removes it.
    for file in (place / PART, *(place / f"{s}{SUFFIX}" for s in kept if s < tokens)):
        found = _read_state(work, trunk, file)
        if found is not None and found.steps <= steps:
            state = found
            break
    windows = work.mixture(trunk.draw, trunk.pretrain_tokens)
    keep = Keeper(place / PART, work.spec.checkpoint_minutes)
    for stop in sorted({*(s for s in stops if s < tokens), tokens}):
        end = stop // rule.tokens_per_step
        # A stop that was reached may not be written yet; one that was passed cannot be any more.
        lost = end == state.steps and team.told(missing(work, trunk, [stop]))
        if end <= state.steps and not lost:
            continue
        if end > state.steps:
            state.stage_steps = state.steps  # the trunk is one stage from its first step on
            rate = warm(rule, trunk.width, 0)
            loss = train(
                state, windows, 0, end, rate, rule.clip, keep=keep, microbatch=trunk.microbatch
            )
            if not math.isfinite(loss):
                raise Diverged
        state.stage_steps = 0
        write(keep.aged(state), place / f"{stop}{SUFFIX}")
        if not team.follower():
            (place / PART).unlink(missing_ok=True)
    return state


def _read_state(work: Work, trunk: Cell, file: Path) -> State | None:
    """A state that was kept, or None; what cannot be read is removed, to be made again."""
    try:
        return load(file, work.fresh(trunk)) if team.decided(file.is_file()) else None
    except Unreadable:
        if not team.follower():
            file.unlink(missing_ok=True)
        return None


def _model(work: Work, cell: Cell, trunk: Cell | None, stops: list[int]) -> dict[str, Any]:
    """A cool-down or a second stage from a trunk's checkpoint, and its loss on every domain."""
    rule, spec = work.spec.rule, work.spec
    at = starts_at(spec, cell)
    base = trained_to(work, trunk, stops, at) if trunk is not None else work.fresh(cell)
    base.seconds, base.stage_steps = 0.0, 0
    objective: Objective = cross_entropy
    if cell.stage == "cooldown":
        windows, first = work.mixture(cell.draw, cell.pretrain_tokens), at // rule.tokens_per_step
        steps = (cell.pretrain_tokens - at) // rule.tokens_per_step
        unique = [windows.distinct(), None]
    else:
        second, first, steps = cell.second_stage, 0, cell.specialize_tokens // rule.tokens_per_step
        windows = text_of(
            second, cell.branch, work.domains(), rule, cell.draw, at, cell.specialize_tokens
        ).again(cell.specialize_tokens)
        objective = objective_of(second, base.model)
        mixture = work.mixture(cell.draw, 0).distinct() if trunk is not None else None
        unique = [mixture, windows.distinct()]
    rate = (cool if trunk is not None else alone)(rule, cell.width, steps)
    part = work.place(cell) / PART
    state = _read_state(work, cell, part) or base
    keep = Keeper(part, spec.checkpoint_minutes)
    loss = train(state, windows, first, steps, rate, rule.clip, objective, keep, cell.microbatch)
    judged = _judged(work, cell, state) if math.isfinite(loss) else {}
    if not judged or not all(math.isfinite(loss) for loss, _ in judged.values()):
        raise Diverged
    rows = [[name, *found] for name, found in judged.items()]
    if spec.keep_models:
        write(state, work.place(cell) / MODEL)
    return {"status": "ok", "rows": rows, "unique": unique, "before": state.seconds}


def _judged(work: Work, cell: Cell, state: State) -> dict[str, tuple[float, float]]:
    """Domain -> loss and its standard error."""
    exams = _exams(work.text, work.spec.domains, work.spec.rule.context, cell.heldout_tokens)
    found = {}
    for name, exam in exams.items():
        # Off its branch a model's loss tells of forgetting only: a quarter of the text will do.
        own = cell.branch in ("", "joint", name)
        mean, se = evaluate(state.model, exam if own else share_of(exam, 4))
        found[name] = (round(mean, 6), round(se, 6))
    return found


@lru_cache(maxsize=1)
def _read(text: Path) -> Corpus:
    return read_shards(text)


@lru_cache(maxsize=1)
def _exams(text: Path, names: tuple[str, ...], context: int, tokens: int) -> dict[str, Heldout]:
    """What every model is judged on; made once a process."""
    corpus = _read(text)
    chosen = [d for d in corpus.domains if not names or d.name in names]
    return {d.name: heldout(d, context, tokens, corpus.vocabulary) for d in chosen}
