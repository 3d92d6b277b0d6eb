"""One cell of a sweep, trained so that a kill at any moment loses minutes and changes nothing."""

from __future__ import annotations

import json
import math
import platform
import time
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from bayeslaw.sweep import Cell
from bayeslaw.sweep.cells import Past, starts_at
from bayeslaw.train import team
from bayeslaw.train.checkpoint import SUFFIX, Keeper, Unreadable, load, write
from bayeslaw.train.data import Heldout, Windows, heldout, share_of
from bayeslaw.train.device import settle
from bayeslaw.train.loop import (
    Objective,
    State,
    alone,
    cool,
    cross_entropy,
    evaluate,
    rewarm,
    train,
    warm,
)
from bayeslaw.train.second import objective_of, text_of
from bayeslaw.train.work import DONE, MODEL, PART, Work, finished, missing, read_text
from bayeslaw.whole import whole


class Diverged(Exception):
    """A training loss that is not finite."""


def train_cell(work: Work, cell: Cell, past: Past) -> None:
    """Train one cell, unless it is there. What it was in the middle of, it goes on with."""
    if team.decided(finished(work, cell, past)):
        return
    settle(cell.device, cell.threads)
    began = time.perf_counter()
    try:
        if cell.stage == "trunk":
            result = _trunk(work, cell, past.stops)
        else:
            result = _model(work, cell, past)
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


def _trunk(work: Work, cell: Cell, stops: Sequence[int]) -> dict[str, Any]:
    """The constant-rate trunk, kept at every stop."""
    state = trained_to(work, cell, stops, max(stops))
    # What was lost, or asked for when the trunk was past it.
    for stop in team.told(missing(work, cell, stops)):
        trained_to(work, cell, stops, stop)
    return {"status": "ok", "rows": [], "before": state.seconds}


def trained_to(work: Work, trunk: Cell, stops: Sequence[int], tokens: int) -> State:
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


def _model(work: Work, cell: Cell, past: Past) -> dict[str, Any]:
    """A cool-down or a second stage, and its loss on every domain."""
    stage = {"cooldown": _cooldown, "start": _as_it_came, "branch": _branch}[cell.stage]
    state, unique = stage(work, cell, past)
    judged = _judged(work, cell, state)
    if not all(math.isfinite(loss) for loss, _ in judged.values()):
        raise Diverged
    rows = [[name, *found] for name, found in judged.items()]
    if work.spec.keep_models or past.kept:
        write(state, work.place(cell) / MODEL)
    return {"status": "ok", "rows": rows, "unique": unique, "before": state.seconds}


Stage = tuple[State, list[int | None]]  # its end, and the distinct tokens of either stage


def _as_it_came(work: Work, cell: Cell, past: Past) -> Stage:
    """A model from elsewhere."""
    return work.fresh(cell), [None, None]


def _cooldown(work: Work, cell: Cell, past: Past) -> Stage:
    """The trunk cooled down on the general mixture."""
    rule, at = work.spec.rule, starts_at(work.spec, cell)
    assert past.trunk is not None
    base = trained_to(work, past.trunk, past.stops, at)
    windows = work.mixture(cell.draw, cell.pretrain_tokens)
    steps = (cell.pretrain_tokens - at) // rule.tokens_per_step
    rate = cool(rule, cell.width, steps)
    state = _through(work, cell, base, windows, at // rule.tokens_per_step, steps, rate)
    return state, [windows.distinct(), None]


def cooled_down(work: Work, cell: Cell, past: Past) -> State:
    """The cooled trunk, with the moments that its optimiser ended with: read where it was kept,
    else cooled again. Raises `Diverged`."""
    if (state := _read_state(work, cell, work.place(cell) / MODEL)) is None:
        if (work.result(cell) or {}).get("status") == "diverged":
            raise Diverged
        state, _ = _cooldown(work, cell, past)
        write(state, work.place(cell) / MODEL)
        if not team.follower():
            (work.place(cell) / PART).unlink(missing_ok=True)
    return state


def _branch(work: Work, cell: Cell, past: Past) -> Stage:
    """A second stage, from a checkpoint of the trunk, from its cool-down or from fresh weights."""
    rule, second, at = work.spec.rule, cell.second_stage, starts_at(work.spec, cell)
    cooled = cooled_down(work, past.cooled, past) if past.cooled is not None else None
    if past.trunk is None:
        base, shape = work.fresh(cell), rewarm if cell.start else alone
    elif cooled is not None and cell.parent == cell.cooled:
        base, shape = cooled, rewarm
    else:
        base, shape = trained_to(work, past.trunk, past.stops, at), cool
    mixture = work.mixture(cell.draw, 0).distinct() if past.trunk is not None else None
    windows = text_of(
        second, cell.branch, work.domains(), rule, cell.draw, at, cell.specialize_tokens
    ).again(cell.specialize_tokens)
    steps = cell.specialize_tokens // rule.tokens_per_step
    usual = shape(rule, cell.width, steps)
    teacher = cooled if cooled is not None and second.teacher == "cooled" else base
    state = _through(
        work, cell, base, windows, 0, steps, lambda i: second.rate * usual(i),
        objective_of(second, teacher.model),
    )  # fmt: skip
    return state, [mixture, windows.distinct()]


def _through(
    work: Work,
    cell: Cell,
    base: State,
    windows: Windows,
    first: int,
    steps: int,
    rate: Callable[[int], float],
    objective: Objective = cross_entropy,
) -> State:
    """A stage from its start, or from where a kill left it, to its end. Raises `Diverged`."""
    base.seconds, base.stage_steps = 0.0, 0
    part = work.place(cell) / PART
    state = _read_state(work, cell, part) or base
    keep = Keeper(part, work.spec.checkpoint_minutes)
    clip = work.spec.rule.clip
    loss = train(state, windows, first, steps, rate, clip, objective, keep, cell.microbatch)
    if not math.isfinite(loss):
        raise Diverged
    return state


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
def _exams(text: Path, names: tuple[str, ...], context: int, tokens: int) -> dict[str, Heldout]:
    """What every model is judged on; made once a process."""
    corpus = read_text(text)
    chosen = [d for d in corpus.domains if not names or d.name in names]
    return {d.name: heldout(d, context, tokens, corpus.vocabulary) for d in chosen}
