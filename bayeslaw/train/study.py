"""A study: every cell of a sweep trained, and the table of losses that comes of it."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import platform
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bayeslaw.corpus import BUILD, SOURCES, Corpus, Domain
from bayeslaw.errors import SweepError
from bayeslaw.sweep import Cell, Executor, SweepSpec, cells, local, read_sweep
from bayeslaw.sweep.design import checkpoints, cooldown_start
from bayeslaw.train.data import Heldout, general, heldout, share_of, special
from bayeslaw.train.loop import cool, evaluate, pack, shape, start, train, unpack, warm
from bayeslaw.whole import whole

COLUMNS = (
    "sweep", "run_id", "lineage", "seed", "params", "pretrain_tokens", "specialize_tokens",
    "branch", "domain", "loss", "loss_se", "recipe", "flops", "experts", "status",
)  # fmt: skip
CORE_FLOPS = 1.7e10  # one core on the bundled sweep, models of 7-56 k weights; for the dry run only


@dataclass(frozen=True)
class SweepResult:
    """What a sweep did: `trained` and `kept` (already there) cells, and where its table is."""

    csv: Path
    rows: int
    trained: int
    kept: int
    diverged: int
    flops: float
    seconds: float  # estimated, in a dry run
    dry_run: bool


def run_sweep(
    path: str | Path,
    out: str | Path | None = None,
    dry_run: bool = False,
    progress: Callable[[int, int], None] | None = None,
    executor: Executor | None = None,
) -> SweepResult:
    """Train what is missing of the sweep in `path` and write its table.

    runs/<name>/sweep.toml writes runs/<name>.csv, and manifest.json and timings.csv beside the
    sweep; with `out`, runs.csv and the two beside it in that folder. Cells lie in `work/`, named
    by the hash of all that decides them: a sweep that was killed does only what is missing, and
    ends in the same bytes. A dry run prices the cells and trains nothing.

    Raises `SweepError` for faults of the settings, and when the corpus is too small for them.
    """
    path = Path(path)
    spec = read_sweep(path)
    folder = Path(out) if out is not None else path.parent
    table = folder / "runs.csv" if out is not None else path.parent.with_suffix(".csv")
    corpus, domains = gather(spec, folder, keep=not dry_run)
    plan = cells(spec, corpus.digest, tuple(d.name for d in domains))
    every = [*plan, *(c for children in plan.values() for c in children)]
    missing = [c for c in every if not (folder / "work" / c.key / "done.json").is_file()]
    flops = sum(_cell_flops(spec, c) for c in missing)
    if dry_run:
        seconds = flops / CORE_FLOPS / spec.processes
        return SweepResult(
            table, 0, len(missing), len(every) - len(missing), 0, flops, seconds, True
        )

    began = time.perf_counter()
    _write(folder / "manifest.json", _manifest(spec, corpus))
    text = _corpus_file(spec, folder)
    own = local(spec.processes) if executor is None else None
    pool: Executor = executor or own  # type: ignore[assignment]
    try:
        _run(pool, spec, plan, folder, text, progress)
    finally:
        if own is not None:
            own.shutdown(cancel_futures=True)
    results = {c: json.loads((folder / "work" / c.key / "done.json").read_text()) for c in every}
    rows = _rows(spec, plan, results, len(domains))
    _write(table, _csv(COLUMNS, rows))
    times = [[c.key, c.stage, c.width, r["seconds"], r["device"]] for c, r in results.items()]
    _write(folder / "timings.csv", _csv(("cell", "stage", "width", "seconds", "device"), times))
    diverged = sum(r["status"] != "ok" for r in results.values())
    took = time.perf_counter() - began
    return SweepResult(
        table, len(rows), len(missing), len(every) - len(missing), diverged, flops, took, False
    )


def gather(spec: SweepSpec, folder: Path, keep: bool = True) -> tuple[Corpus, tuple[Domain, ...]]:
    """The corpus, kept in `folder`/work if `keep`, and those of its domains that the sweep is on.

    Raises `SweepError` for a domain that is not there and for text that would repeat.
    """
    corpus = _corpus(spec, folder, keep)
    domains = _chosen(spec, corpus)
    _enough(spec, domains)
    return corpus, domains


def _run(
    pool: Executor,
    spec: SweepSpec,
    plan: dict[Cell, list[Cell]],
    folder: Path,
    text: Path,
    progress: Callable[[int, int], None] | None,
) -> None:
    """Trunks first, the widest before the others; then what starts from their checkpoints."""
    total, done = sum(1 + len(children) for children in plan.values()), 0
    trunks = sorted(plan, key=lambda c: -c.width)
    jobs = [(c, pool.submit(train_cell, spec, c, folder, text)) for c in trunks]
    children = []
    for trunk, job in jobs:
        job.result()
        done += 1
        if progress:
            progress(done, total)
        children += [pool.submit(train_cell, spec, c, folder, text) for c in plan[trunk]]
    for job in children:
        job.result()
        done += 1
        if progress:
            progress(done, total)


def train_cell(spec: SweepSpec, cell: Cell, folder: Path, text: Path) -> None:
    """Train one cell, unless it is there, into a folder that appears when it is whole."""
    target = folder / "work" / cell.key
    if (target / "done.json").is_file():
        return
    torch.set_num_threads(1)
    began = time.perf_counter()
    beside = target.with_name(f".{target.name}.{os.getpid()}")
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(parents=True)
    domains = _read_domains(text, spec.domains)
    if cell.stage == "trunk":
        result = _trunk(spec, cell, domains, beside)
    else:
        exams = _exams(text, spec.domains, spec.rule.context, cell.heldout_tokens)
        result = _child(spec, cell, folder, domains, exams)
    result |= {"seconds": round(time.perf_counter() - began, 2), "device": platform.machine()}
    (beside / "done.json").write_text(json.dumps(result))
    shutil.rmtree(target, ignore_errors=True)
    beside.replace(target)


@lru_cache(maxsize=1)
def _read_domains(text: Path, names: tuple[str, ...]) -> tuple[Domain, ...]:
    return tuple(d for d in _load(text) if not names or d.name in names)


@lru_cache(maxsize=1)
def _exams(text: Path, names: tuple[str, ...], context: int, tokens: int) -> dict[str, Heldout]:
    """What every model is judged on; made once a process."""
    return {d.name: heldout(d, context, tokens) for d in _read_domains(text, names)}


def _trunk(
    spec: SweepSpec, cell: Cell, domains: tuple[Domain, ...], beside: Path
) -> dict[str, Any]:
    """The constant-rate trunk, kept at every stop."""
    recipe = spec.rule
    state = start(recipe, cell.width, cell.seed)
    windows = general(domains, recipe.context, recipe.batch, cell.seed)
    loss = 0.0
    for tokens in checkpoints(spec):
        steps = tokens // recipe.tokens_per_step - state.steps
        rate = warm(recipe, cell.width, state.steps)
        loss = train(state, windows, state.steps, steps, rate, recipe.clip)
        (beside / f"{tokens}.npz").write_bytes(pack(state))
    return {"status": "ok" if np.isfinite(loss) else "diverged", "rows": []}


def _child(
    spec: SweepSpec,
    cell: Cell,
    folder: Path,
    domains: tuple[Domain, ...],
    exams: dict[str, Heldout],
) -> dict[str, Any]:
    """A cool-down on the mixture or a branch on a domain, and its loss on every domain."""
    recipe = spec.rule
    named = {d.name: d for d in domains}
    if cell.stage == "cooldown":
        at, end = cooldown_start(spec, cell.pretrain_tokens), cell.pretrain_tokens
        windows = general(domains, recipe.context, recipe.batch, cell.seed)
        first = at // recipe.tokens_per_step
        steps = (end - at) // recipe.tokens_per_step
    else:
        at, first = cell.pretrain_tokens, 0
        windows = special(named[cell.branch], recipe.context, recipe.batch, cell.seed)
        steps = cell.specialize_tokens // recipe.tokens_per_step
    state = unpack(folder / "work" / cell.parent / f"{at}.npz", recipe, cell.width)
    loss = train(state, windows, first, steps, cool(recipe, cell.width, steps), recipe.clip)
    if not np.isfinite(loss):
        return {"status": "diverged", "rows": [[n, None, None] for n in named]}
    rows = []
    for name, exam in exams.items():
        # Off its branch a model's loss tells of forgetting only: a quarter of the text will do.
        own = cell.branch in ("", name)
        mean, se = evaluate(state.model, exam if own else share_of(exam, 4))
        rows.append([name, round(mean, 6), round(se, 6)])
    return {"status": "ok", "rows": rows}


def _rows(
    spec: SweepSpec, plan: dict[Cell, list[Cell]], results: dict[Cell, Any], experts: int
) -> list[list[Any]]:
    rows = []
    for trunk, children in plan.items():
        s = shape(spec.rule, trunk.width)
        lineage = f"w{trunk.width}-s{trunk.seed}"
        for c in children:
            split = [c.branch, str(c.specialize_tokens)] if c.branch else []
            run_id = "-".join([lineage, str(c.pretrain_tokens), *split])
            flops = s.flops_per_token * (c.pretrain_tokens + c.specialize_tokens)
            for domain, loss, se in results[c]["rows"]:
                rows.append([
                    spec.name, run_id, lineage, c.seed, s.params, c.pretrain_tokens,
                    c.specialize_tokens, c.branch, domain, loss, se, spec.recipe, f"{flops:.6g}",
                    experts if c.branch else "", results[c]["status"],
                ])  # fmt: skip
    return rows


def _cell_flops(spec: SweepSpec, cell: Cell) -> float:
    """Training compute of one cell, what it shares with its trunk left out; evaluation included
    at a third of a training token."""
    s = shape(spec.rule, cell.width)
    if cell.stage == "trunk":
        tokens = float(cell.pretrain_tokens)
    elif cell.stage == "cooldown":
        tokens = cell.pretrain_tokens - cooldown_start(spec, cell.pretrain_tokens)
    else:
        tokens = cell.specialize_tokens
    seen = 2 * cell.heldout_tokens / 3
    return s.flops_per_token * (tokens + (seen if cell.stage != "trunk" else 0))


def _chosen(spec: SweepSpec, corpus: Corpus) -> tuple[Domain, ...]:
    unknown = sorted(set(spec.domains) - set(corpus.names))
    if unknown:
        left = dict(corpus.manifest.get("left_out", {}))  # type: ignore[call-overload]
        why = "".join(f"; '{n}' has only {left[n]} bytes" for n in unknown if n in left)
        raise SweepError(f"the corpus has no domain {', '.join(unknown)}; "
                         f"it has {', '.join(corpus.names)}{why}")  # fmt: skip
    return tuple(d for d in corpus.domains if not spec.domains or d.name in spec.domains)


def _enough(spec: SweepSpec, domains: tuple[Domain, ...]) -> None:
    """No token is read twice, and D′ stays within .8 of a domain's second-stage text."""
    recipe = spec.rule
    faults = []
    have = general(domains, recipe.context, recipe.batch, 0).tokens()
    if max(spec.pretrain_tokens) > have:
        faults.append(f"pretrain_tokens {max(spec.pretrain_tokens)} of {have} in the mixture")
    for d in domains:
        have = int(0.8 * special(d, recipe.context, recipe.batch, 0).tokens())
        if spec.specialize_tokens and max(spec.specialize_tokens) > have:
            faults.append(
                f"specialize_tokens {max(spec.specialize_tokens)} of {have} (.8 of what there is) "
                f"in '{d.name}'"
            )
        have = len(d.heldout) // (recipe.context + 1) * recipe.context
        if spec.heldout_tokens > have:
            faults.append(f"heldout_tokens {spec.heldout_tokens} of {have} in '{d.name}'")
    if faults:
        raise SweepError("the corpus is too small: " + "; ".join(faults) + ". Ask for fewer tokens")


def _corpus_file(spec: SweepSpec, folder: Path) -> Path:
    wanted = json.dumps(
        [BUILD, spec.corpus, spec.corpus_options, platform.python_version()], sort_keys=True
    )
    name = hashlib.sha256(wanted.encode()).hexdigest()[:12]
    return folder / "work" / f"corpus-{name}.npz"


def _corpus(spec: SweepSpec, folder: Path, keep: bool) -> Corpus:
    """The corpus, built once and kept beside the cells."""
    file = _corpus_file(spec, folder)
    if file.is_file():
        manifest = json.loads(file.with_suffix(".json").read_text())
        return Corpus(_load(file), manifest)
    if spec.corpus not in SOURCES:
        raise SweepError(f"corpus '{spec.corpus}' is not one of {', '.join(SOURCES)}")
    try:
        corpus = SOURCES[spec.corpus](**spec.corpus_options)
    except TypeError as error:
        raise SweepError(f"corpus_options do not fit corpus '{spec.corpus}': {error}") from None
    if keep:
        file.parent.mkdir(parents=True, exist_ok=True)
        arrays = {
            f"{d.name}/{part}": getattr(d, part)
            for d in corpus.domains
            for part in ("pretrain", "specialize", "heldout")
        }
        packed = io.BytesIO()
        np.savez(packed, **arrays)
        _write(file.with_suffix(".json"), json.dumps(corpus.manifest))
        _write(file, packed.getvalue())
    return corpus


def _load(file: Path) -> tuple[Domain, ...]:
    with np.load(file, allow_pickle=False) as arrays:
        names = list(dict.fromkeys(n.split("/")[0] for n in arrays.files))
        return tuple(
            Domain(n, *(arrays[f"{n}/{part}"] for part in ("pretrain", "specialize", "heldout")))
            for n in names
        )


def _manifest(spec: SweepSpec, corpus: Corpus) -> str:
    about = {
        "sweep": spec.model_dump(),
        "recipe": spec.rule.fields(),
        "models": {w: asdict(shape(spec.rule, w)) | {"params": shape(spec.rule, w).params}
                   for w in spec.widths},
        "corpus": dict(corpus.manifest),
        "torch": torch.__version__,
    }  # fmt: skip
    return json.dumps(about, indent=1) + "\n"


def _csv(header: tuple[str, ...], rows: list[list[Any]]) -> str:
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return file.getvalue()


def _write(path: Path, content: str | bytes) -> None:
    with whole(path) as beside:
        beside.write_bytes(content.encode() if isinstance(content, str) else content)
