"""The files that a sweep writes: its table of losses, the times, the manifest."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from bayeslaw.cell import guarded
from bayeslaw.corpus import Corpus
from bayeslaw.sweep import Cell, Cells, SweepSpec

COLUMNS = (
    "sweep", "run_id", "lineage", "seed", "params", "pretrain_tokens", "specialize_tokens",
    "branch", "domain", "loss", "loss_se", "unique_tokens", "unique_specialize_tokens", "epochs",
    "specialize_epochs", "recipe", "replay", "distill", "flops", "experts", "status",
)  # fmt: skip
MODELS = (
    "sweep", "run_id", "lineage", "seed", "params", "pretrain_tokens", "specialize_tokens",
    "branch", "recipe", "flops", "checkpoint",
)  # fmt: skip
TIMES = ("cell", "stage", "width", "params", "flops", "seconds", "device")


def runs_csv(
    spec: SweepSpec, plan: Cells, results: Mapping[Cell, Any], corpus: Corpus, domains: int
) -> tuple[str, int]:
    """The table, and how many rows it has. Only what the settings decide: no times, no devices."""
    rows = [
        row for c in plan.models for row in _rows(spec, c, results[c], corpus.vocabulary, domains)
    ]
    return _csv(COLUMNS, rows), len(rows)


def _rows(
    spec: SweepSpec, c: Cell, result: Mapping[str, Any], vocabulary: int, domains: int
) -> list[list[Any]]:
    unique, special = result.get("unique") or (None, None)
    how, experts = ["", "", ""], None
    if c.branch:
        second = c.second_stage
        how = [second.recipe, f"{second.replay:g}", f"{second.distill:g}"]
        experts = domains if second.kind.splits and not second.kind.scratch else None
    s = spec.shape(c.width, vocabulary)
    return [
        [
            spec.name, c.run_id, c.lineage, c.seed, s.params, c.pretrain_tokens,
            c.specialize_tokens, c.branch, domain, loss, se, unique, special,
            _epochs(c.pretrain_tokens, unique), _epochs(c.specialize_tokens, special), *how,
            f"{history_flops(spec, c, vocabulary):.6g}", experts, result["status"],
        ]
        for domain, loss, se in result["rows"]
    ]  # fmt: skip


def models_csv(spec: SweepSpec, kept: Mapping[Cell, Path], vocabulary: int) -> str:
    """Where the models are that a sweep has kept: a row for each."""
    rows = [
        [
            spec.name, c.run_id, c.lineage, c.seed, spec.shape(c.width, vocabulary).params,
            c.pretrain_tokens, c.specialize_tokens, c.branch,
            c.second_stage.recipe if c.branch else "",
            f"{history_flops(spec, c, vocabulary):.6g}", place.as_posix(),
        ]
        for c, place in kept.items()
    ]  # fmt: skip
    return _csv(MODELS, rows)


def _epochs(tokens: int, unique: int | None) -> str:
    """How often the text was read, of what there was of it; nothing without such a stage."""
    return f"{tokens / unique:.4g}" if unique else ""


def history_flops(spec: SweepSpec, cell: Cell, vocabulary: int) -> float:
    """Training compute of a model's whole history, as if it had been trained alone; a cooled
    teacher of a model that is not is of its history."""
    each = spec.shape(cell.width, vocabulary).flops_per_token
    d = cell.pretrain_tokens
    beside = d - spec.stable(d) if cell.cooled and cell.cooled != cell.parent else 0
    return each * (d + beside) + second_flops(cell, each)


def second_flops(cell: Cell, each: float) -> float:
    """Of the second stage."""
    return each * cell.second_stage.work * cell.specialize_tokens if cell.branch else 0.0


def timings_csv(
    results: Mapping[Cell, Any], params: Mapping[int, int], flops: Mapping[Cell, float]
) -> str:
    """Seconds of every cell, evaluation included, and the FLOPs that were done in them."""
    rows = [
        [c.key, c.stage, c.width, params[c.width], f"{flops[c]:.6g}", r["seconds"], r["device"]]
        for c, r in results.items()
    ]
    return _csv(TIMES, rows)


def manifest_json(spec: SweepSpec, widths: Iterable[int], corpus: Corpus) -> str:
    """What the table came from; the places of this machine are not in it."""
    models = {w: spec.shape(w, corpus.vocabulary) for w in widths}
    about = {
        "sweep": spec.model_dump() | _without_places(spec),
        "recipe": spec.rule.fields(),
        "models": {w: asdict(s) | {"params": s.params} for w, s in models.items()},
        "corpus": dict(corpus.manifest),
        "torch": torch.__version__,
    }
    if spec.begun:
        about["start"] = spec.begun.digest()
    return json.dumps(about, indent=1) + "\n"


def _without_places(spec: SweepSpec) -> dict[str, Any]:
    """The settings that name a place of this machine, by the last part of it."""
    options = dict(spec.corpus_options)
    if "path" in options:
        options["path"] = Path(options["path"]).name
    names = {"runs": Path(spec.runs).name, "start": Path(spec.start).name}
    return {**names, "corpus_options": options}


def _csv(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(header)
    writer.writerows([guarded(v) if isinstance(v, str) else v for v in row] for row in rows)
    return file.getvalue()
