"""Other people's logs as runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from bayeslaw.readers.given import check_given
from bayeslaw.readers.peek import Peek
from bayeslaw.readers.reader import Reader
from bayeslaw.readers.table import find_reader, guess_reader
from bayeslaw.readers.translation import Translation, translate
from bayeslaw.runs import Fault, Runs, Unreadable, assembled, checked, expand, refuse

RUN = ["sweep", "run_id", "seed", "params", "branch", "domain"]  # what tells runs apart


@dataclass(frozen=True)
class Source:
    """A file that was read: by which reader, a guess or not, and what was taken from where."""

    file: str
    reader: str
    guessed: bool
    taken: Mapping[str, str]


@dataclass(frozen=True)
class Imported:
    """What `import_runs` returns.

    runs: the rows, checked.  sources: file by file, what was read how.
    notes: what was left out and why.  warnings: what must not be overlooked.
    """

    runs: Runs
    sources: tuple[Source, ...]
    notes: tuple[str, ...]
    warnings: tuple[str, ...]


def import_runs(
    *paths: str | Path,
    reader: str | Reader | None = None,
    map: Mapping[str, str] | None = None,
    set: Mapping[str, Any] | None = None,
    about: str | Path | None = None,
    unit: str | None = None,
    sweep: str = "imported",
    last: bool = False,
) -> Imported:
    """Read training logs and evaluations of other tools as runs.

    reader: its name; guessed from each file's shape when not given.
    map: our column -> theirs, as {"loss": "eval/loss"} or {"loss/code": "eval/code/loss"};
        "step" may be mapped too.
    set: our column -> its value for all rows, as {"params": "124M", "tokens_per_step": "512k"}.
    about: a table by `run_id` for what differs between runs, columns as of `set`.
    unit: of the losses, as for `read_runs`; a reader that knows it says so itself.
    sweep: the name of the sweep, where nothing else says it.
    last: keep the last evaluation of each run only.

    A log's tokens, or its steps times `tokens_per_step`, are `pretrain_tokens`; they are
    `specialize_tokens` where `pretrain_tokens` and `branch` were given. Evaluations of one run are
    rows of one `lineage`. A loss of NaN or infinity marks its row diverged.

    Raises `RunsError` once, with every fault of every file and all that is missing.
    """
    faults: list[Fault] = []
    given = check_given(map or {}, set or {}, about, unit, faults)
    named = None if reader is None else find_reader(reader)
    if about is not None and given.about is None:
        refuse(faults)  # nothing can be said of the rows without it
    done: list[tuple[Translation, Source, Reader]] = []
    for file in expand(paths, faults):
        try:
            by = guess_reader(Peek(file)) if named is None else named
            log = by.read(file)
        except Unreadable as why:
            called = f"as {named.name}: " if named else ""
            faults.append(Fault(str(file), 0, "", None, f"{called}{why}"))
            continue
        found = translate(log, str(file), given, last)
        done.append((found, Source(str(file), by.name, named is None, found.taken), by))
    frames, dropped = _frames(done, unit, sweep, faults, last)
    _refuse_together(faults)
    counted = {s.file: by.counted for _, s, by in done}
    runs = assembled(frames, tuple(s.file for _, s, _ in done), (), [], counted)
    notes = (*_notes(done), *dropped)
    return Imported(runs, tuple(s for _, s, _ in done), notes, _warnings(done))


def _frames(
    done: Sequence[tuple[Translation, Source, Reader]],
    unit: str | None,
    sweep: str,
    faults: list[Fault],
    last: bool,
) -> tuple[list[pd.DataFrame], tuple[str, ...]]:
    """Every log checked as a table of runs is; rows that files share are kept once. last: of each
    run and domain those of most tokens, whichever file they are in. With notes of what was left
    out."""
    frames: list[pd.DataFrame] = []
    for found, source, by in done:
        faults += found.faults
        if not len(found.table):
            continue
        here: list[Fault] = []
        frame, _ = checked(found.table, source.file, sweep, {}, unit, here)
        faults += [replace(f, counted=by.counted) for f in found.names(here)]
        frames.append(frame)
    if not frames:
        return frames, ()
    # Every checkpoint's file has the history before it: what is the same in two files is one row.
    together = pd.concat(frames, ignore_index=True)
    said = [c for c in together if c not in ("_file", "_row")]
    together = together.drop_duplicates(said)
    notes: tuple[str, ...] = ()
    if last:
        tokens = together["pretrain_tokens"] + together["specialize_tokens"]
        most = tokens.groupby([together[c] for c in RUN], dropna=False).transform("max")
        if before := int((tokens != most).sum()):
            notes = (f"left out: {before} losses before the last of a run, in other files",)
        together = together[tokens == most]
    return [together], notes


def _refuse_together(faults: Sequence[Fault]) -> None:
    """`refuse`, with what is said alike of several files as a whole said once."""
    alike: dict[tuple[str, str], list[Fault]] = {}
    for f in faults:
        if f.row == 0 and f.value is None:
            alike.setdefault((f.column, f.remedy), []).append(f)
    several = {id(f): group for group in alike.values() if len(group) > 1 for f in group}
    told: list[Fault] = []
    for f in faults:
        group = several.get(id(f))
        if group is None:
            told.append(f)
        elif f is group[0]:
            told.append(replace(f, file=f"{f.file} and {len(group) - 1} more"))
    refuse(told)


def _notes(done: Sequence[tuple[Translation, Source, Reader]]) -> tuple[str, ...]:
    return tuple(f"{s.file}: {note}" for found, s, _ in done for note in found.notes)


def _warnings(done: Sequence[tuple[Translation, Source, Reader]]) -> tuple[str, ...]:
    early = sum(found.early for found, _, _ in done)
    rows = sum(len(found.table) for found, _, _ in done)
    warnings = []
    if early:
        warnings.append(
            f"{early} of {rows} losses were measured before the end of their run: under a rate "
            "that decays they lie above those of a finished run of as many tokens, and a law "
            "fitted to them takes the decay for data. Keep them only if the rate was constant, or "
            "decayed before each was measured; else import with --last"
        )
    unfinished = sorted({u for found, _, _ in done for u in found.unfinished})
    if unfinished:
        shown = ", ".join(unfinished[:5]) + (", ..." if len(unfinished) > 5 else "")
        warnings.append(f"not evaluated at the end of their schedule: {shown}")
    return tuple(warnings)
