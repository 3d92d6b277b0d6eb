"""Provenance: what a report was made of, and the commands that make it again."""

from __future__ import annotations

import json
import platform
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from bayeslaw.infer.ensemble import Ensemble
from bayeslaw.infer.source import Source
from bayeslaw.quantity import format_quantity
from bayeslaw.report.next_runs import typed
from bayeslaw.report.planned import Planned

PACKAGES = ("bayeslaw", "numpyro", "jax", "numpy", "scipy", "xarray", "matplotlib")


@dataclass(frozen=True)
class File:
    """what: its part. hash: of its bytes (sha256), or of the runs themselves."""

    what: str
    name: str
    hash: str


@dataclass(frozen=True)
class Provenance:
    """Nothing of it is the time of day: the same inputs give the same bytes."""

    commands: tuple[str, ...]
    notes: tuple[str, ...]
    files: tuple[File, ...]
    versions: Mapping[str, str]
    fitted_with: Mapping[str, str]
    seeds: tuple[str, ...]
    rows: str
    how_to_plan: str


def provenance(
    fitted: Ensemble,
    source: Source | None,
    plans: Sequence[Planned],
    accept: bool,
    spend: float | None = None,
) -> Provenance:
    """Of a report of these. source: the posterior's file; None where there is none. spend: on next
    runs, where that was said."""
    first = fitted.members[0]
    posterior = "POSTERIOR" if source is None else source.path
    largest = fitted.ranges["flops"][1]
    how = [
        "bayeslaw",
        "plan",
        posterior,
        "--flops",
        typed(float(f"{100 * largest:.0e}")),
        "--out",
        "plan.json",
    ]
    flags = ["--accept"] if accept else []
    money = [] if spend is None else ["--spend", repr(float(spend))]
    again = ["bayeslaw", "report", posterior, *(p.file for p in plans), *money, *flags]
    commands = [shlex.join(c) for c in (fitted.command, *(p.command for p in plans), again) if c]
    notes = []
    if not fitted.command:
        notes.append("The posterior does not say by which command it was fitted.")
    notes += [
        f"{p.file} does not say by which command it was made." for p in plans if not p.command
    ]
    files = [] if source is None else [File("posterior", source.path, source.sha256)]
    written = [p.file for p in plans if Path(p.file).is_file()]
    files += [File("plan", f, Source.of(f).sha256) for f in written]
    files.append(File("runs", "as they were read, without their file", first.runs_digest))
    counts = ", ".join(f"{c} {n.replace('_', ' ')}" for n, c in first.counts.items() if c)
    return Provenance(
        tuple(commands), tuple(notes), tuple(files),
        {"python": platform.python_version(), **{n: version(n) for n in PACKAGES}},
        _fitted_with(fitted), _seeds(fitted, plans),
        f"Rows: {counts}. Method {first.method}, likelihood {first.likelihood}.",
        shlex.join([*how, *flags])
        + "\n"
        + shlex.join(["bayeslaw", "report", posterior, "plan.json", *flags]),
    )  # fmt: skip


def _fitted_with(fitted: Ensemble) -> dict[str, str]:
    """The versions that the posterior was written by; empty where it was never written."""
    said = json.loads(fitted.members[0].tree.attrs.get("bayeslaw", "{}"))
    return {str(n): str(v) for n, v in said.get("versions", {}).items()}


def _seeds(fitted: Ensemble, plans: Sequence[Planned]) -> tuple[str, ...]:
    seeds = [f"fit: seed {'unknown' if fitted.seed is None else fitted.seed}"]
    for p in plans:
        seed = "unknown" if p.seed is None else p.seed
        draws = "" if p.draws is None else f", {format_quantity(p.draws)} joint draws"
        seeds.append(f"{p.file}: seed {seed}{draws}")
    return (*seeds, "this report: seed 0")
