"""A study: every cell of a sweep trained, and the table of losses that comes of it."""

from __future__ import annotations

import errno
import shutil
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from bayeslaw.corpus import Corpus, Domain
from bayeslaw.errors import SweepError
from bayeslaw.sweep import EXECUTORS, Cell, Cells, Executor, SweepSpec, cells, read_sweep
from bayeslaw.sweep.execute import opened
from bayeslaw.train import team
from bayeslaw.train.cell import train_cell
from bayeslaw.train.device import found
from bayeslaw.train.export import verify_weights
from bayeslaw.train.gather import corpus_folder, gather
from bayeslaw.train.model import verified
from bayeslaw.train.price import Price, cell_flops, prices
from bayeslaw.train.table import COLUMNS, manifest_json, models_csv, runs_csv, timings_csv
from bayeslaw.train.work import MODEL, Work, finished
from bayeslaw.whole import whole

__all__ = ["COLUMNS", "SweepResult", "run_sweep"]


@dataclass(frozen=True)
class SweepResult:
    """What a sweep did: `trained` and `kept` (already there) cells, and where its table is."""

    csv: Path
    rows: int
    trained: int
    kept: int
    diverged: int
    flops: float  # of the cells that were trained, or are to be
    seconds: float  # estimated, in a dry run
    dry_run: bool
    prices: tuple[Price, ...] = ()  # of every cell, in a dry run


def run_sweep(
    path: str | Path,
    out: str | Path | None = None,
    dry_run: bool = False,
    progress: Callable[[int, int], None] | None = None,
    executor: Executor | str = "local",
) -> SweepResult:
    """Train what is missing of the sweep in `path` and write its table.

    runs/<name>/sweep.toml writes runs/<name>.csv, and manifest.json and timings.csv beside the
    sweep; with `out`, runs.csv and the two beside it in that folder. With `keep_models` models.csv
    says where each model is. Cells lie in `work/`, named
    by the hash of all that decides them: a sweep that was killed goes on where it was, within a
    cell too, and ends in the same bytes. A dry run prices the cells and trains nothing.

    executor: one of `EXECUTORS`, or an object with its one method; folders must be the same for all
    its workers.

    Raises `SweepError` for faults of the settings and of a model to start from, for an executor
    that is not there or that does not take its options, when the corpus is too small, when a team
    cannot share a batch, when another sweep is at work in the folder, when a worker was killed for
    good and when the disk is full.
    """
    path = Path(path)
    spec = read_sweep(path)
    if begun := spec.begun:
        verify_weights(begun.folder, begun.shape)
    folder = Path(out) if out is not None else path.parent
    table = folder / "runs.csv" if out is not None else path.parent.with_suffix(".csv")
    if isinstance(executor, str) and executor not in EXECUTORS:
        raise SweepError(f"executor '{executor}' is not one of {', '.join(EXECUTORS)}")
    if spec.rule.batch % team.size():
        raise SweepError(f"{team.size()} processes cannot share a batch of {spec.rule.batch} "
                         f"equally; start as many as divide it")  # fmt: skip
    if dry_run:
        # Processes of one machine share its accelerator: each is slower by as much.
        shared = executor == "local" and found() != "cpu"
        return _priced(spec, folder, table, 1 if shared else spec.processes)
    with _alone(folder), _room(folder):
        return _trained(spec, folder, table, progress, executor)


def _priced(spec: SweepSpec, folder: Path, table: Path, processes: int) -> SweepResult:
    corpus, domains = gather(spec, folder, keep=False)
    plan, work = _plan(spec, folder, corpus, domains)
    there = {c for c in plan if finished(work, c, plan.past(c, spec))}
    priced = prices(spec, plan, corpus.vocabulary, there)
    missing = [p for p in priced if not p.there]
    return SweepResult(
        table, 0, len(missing), len(there), 0, sum(p.flops for p in missing),
        _wall(missing, processes), True, tuple(priced),
    )  # fmt: skip


def _wall(missing: list[Price], processes: int) -> float:
    """Seconds from start to end: no shorter than the longest chain of cells."""
    total = sum(p.seconds for p in missing) / processes
    chain = {"": 0.0}  # until a cell is done, from what is missing of those before it
    for p in missing:
        before = max(chain.get(k, 0.0) for k in (p.cell.parent, p.cell.cooled))
        chain[p.cell.key] = before + p.seconds
    return max([total, *chain.values()])


def _trained(
    spec: SweepSpec,
    folder: Path,
    table: Path,
    progress: Callable[[int, int], None] | None,
    executor: Executor | str,
) -> SweepResult:
    began = time.perf_counter()
    corpus, domains = gather(spec, folder)
    plan, work = _plan(spec, folder, corpus, domains)
    for litter in work.folder.glob("*/.*"):  # what a kill left half-written
        litter.unlink(missing_ok=True)
    shapes = {c.width: verified(spec.shape(c.width, corpus.vocabulary)) for c in plan}
    missing = [c for c in plan if not finished(work, c, plan.past(c, spec))]
    _write(folder / "manifest.json", manifest_json(spec, sorted(shapes), corpus))
    if not isinstance(executor, str):
        _run(executor, work, plan, missing, progress)
    elif missing:
        logs = folder.resolve() / "work" / "logs"
        with opened(executor, spec.processes, spec.threads, logs, spec.executor_options) as pool:
            _run(pool, work, plan, missing, progress)
    results = {c: r for c in plan if (r := work.result(c)) is not None}
    text, rows = runs_csv(spec, plan, results, corpus, len(domains))
    _write(table, text)
    flops = {c: cell_flops(spec, c, corpus.vocabulary) for c in plan}
    params = {w: s.params for w, s in shapes.items()}
    _write(folder / "timings.csv", timings_csv(results, params, flops))
    if spec.keep_models:
        places = {c: Path("work") / c.key / MODEL for c in plan.models}
        kept = {c: p for c, p in places.items() if (folder / p).is_file()}
        _write(folder / "models.csv", models_csv(spec, kept, corpus.vocabulary))
    return SweepResult(
        table, rows, len(missing), len(results) - len(missing),
        sum(r["status"] != "ok" for r in results.values()),
        sum(flops[c] for c in missing), time.perf_counter() - began, False,
    )  # fmt: skip


def _plan(
    spec: SweepSpec, folder: Path, corpus: Corpus, domains: tuple[Domain, ...]
) -> tuple[Cells, Work]:
    plan = cells(
        spec, corpus.digest, tuple(d.name for d in domains), found(), corpus.vocabulary, team.name()
    )
    return plan, Work(spec, folder.resolve() / "work", corpus_folder(spec, folder.resolve()))


def _run(
    pool: Executor,
    work: Work,
    plan: Cells,
    missing: list[Cell],
    progress: Callable[[int, int], None] | None,
) -> None:
    """What others start from first, the widest trunks before the others. The narrowest are done
    first, and what starts from them does not wait for the others."""
    total, wanted = len(list(plan)), set(missing)
    done = total - len(missing)
    sent: dict[Cell, Any] = {}

    def ready(cell: Cell) -> bool:
        return not {cell.parent, cell.cooled} & {c.key for c in wanted}

    def submit(cells: Iterable[Cell]) -> list[Cell]:
        new = [c for c in cells if c in wanted and c not in sent and ready(c)]
        for c in new:
            sent[c] = pool.submit(train_cell, work, c, plan.past(c, work.spec))
        return new

    line = deque(reversed(submit(sorted(plan.trunks, key=lambda c: -c.width))))
    line += submit(plan)
    while line:
        cell = line.popleft()
        sent[cell].result()
        wanted.discard(cell)
        done += 1
        if progress:
            progress(done, total)
        new = submit(plan.of(cell))
        # What others start from is waited for before the next trunk: its branches then fill in.
        line.extendleft(reversed([c for c in new if plan.of(c)]))
        line += [c for c in new if not plan.of(c)]


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One sweep at a time in a folder. The lock goes with the process, however that ends."""
    (folder / "work").mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / "work" / "lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise SweepError(
            f"another sweep is at work in {folder}; wait for it, or give another folder with --out"
        ) from None
    try:
        yield
    finally:
        lock.release()


@contextmanager
def _room(folder: Path) -> Iterator[None]:
    """A full disk and a killed worker, in words: what was done is kept in both cases."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        free = shutil.disk_usage(folder).free
        raise SweepError(
            f"no room left in {folder} ({free / 1e6:.0f} MB free): make some and run the same "
            "command again; what was done is kept"
        ) from None
    except BrokenProcessPool:
        raise SweepError(
            "a worker was killed, for want of memory perhaps: run the same command again to go on "
            "from where it was, with fewer `processes` if it happens again"
        ) from None


def _write(path: Path, content: str) -> None:
    with whole(path) as beside:
        beside.write_text(content)
