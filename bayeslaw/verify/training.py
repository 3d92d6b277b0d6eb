"""The arms trained by the bundled trainer: a sweep of design `runs`, in a process of its own."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bayeslaw.cell import guarded
from bayeslaw.errors import SweepError
from bayeslaw.plan.arrangement import Recipe
from bayeslaw.sweep import SecondStage, SweepSpec
from bayeslaw.sweep.snap import nearest_width
from bayeslaw.verify.arm import Arm
from bayeslaw.whole import whole

COLUMNS = ("params", "pretrain_tokens", "specialize_tokens", "branch", "recipe")
OURS = "# Written by `bayeslaw verify`."
# What a design says by other means, and what `sweep.toml` says for the sweep's own.
DROPPED = (
    "design", "widths", "pretrain_tokens", "specialize_tokens", "flops", "specialize_shares",
    "runs", "seeds", "second_stage",
)  # fmt: skip


@dataclass(frozen=True)
class Training:
    """The sweep that trains arms. arms: as they are built. seeds: none that the sweep had."""

    spec: SweepSpec
    arms: tuple[Arm, ...]
    seeds: tuple[int, ...]
    stages: Mapping[str, SecondStage]  # by how an arm's second stage is done
    folder: Path

    @classmethod
    def of(
        cls,
        spec: SweepSpec,
        arms: Sequence[Arm],
        weights: np.ndarray,
        seeds: int,
        folder: str | Path,
    ) -> Training:
        """weights: of the domains in the objective. Raises `SweepError` when the sweep is not on
        the plan's domains, or has no second stage that splits."""
        domains = arms[0].domains
        faults = [] if seeds >= 1 else [f"seeds must be at least 1, got {seeds}"]
        if spec.domains and (other := sorted(set(domains) - set(spec.domains))):
            faults.append(
                f"the plan is for {', '.join(other)}, which the sweep has not: it has "
                + ", ".join(spec.domains)
            )
        if spec.start:
            faults.append("the sweep starts from a model from elsewhere and trains no trunks; name "
                          "one that does")  # fmt: skip
        plain = [s for s in spec.second_stage if s.kind.splits and not s.kind.scratch]
        if not plain and any(a.stage == "branch" and a.specialize_tokens.any() for a in arms):
            faults.append("the sweep has no second stage on one domain; add [[second_stage]]")
        taken = {s.recipe for s in plain[:1]} if all(s.recipe != "plain" for s in plain) else set()
        if clash := sorted({a.recipe.way for a in arms if a.recipe is not None} & taken):
            faults.append(f"the sweep has no plain second stage to set {', '.join(clash)} against")
        if faults:
            raise SweepError("; ".join(faults))
        equal = np.ptp(weights) < 1e-6
        shares = {d: float(w) for d, w in zip(domains, weights, strict=True) if w > 0}
        # Where the laws' rows are `plain` (see `Runs.recipes`), so are the arms'.
        first = min(plain, key=lambda s: s.recipe != "plain", default=SecondStage())
        stages = {
            "branch": SecondStage(**first.decisive()),  # without what narrows it
            "joint": SecondStage(recipe="joint", weights={} if equal else shares),
            "scratch": SecondStage(recipe="scratch"),
            **{a.stage: _tried(spec, a.recipe) for a in arms if a.recipe is not None},
        }  # fmt: skip
        fresh = max(spec.seeds) + 1
        built = tuple(a.built(spec) for a in arms)
        return cls(spec, built, tuple(range(fresh, fresh + seeds)), stages, Path(folder))

    @property
    def settings(self) -> Path:
        return self.folder / "sweep.toml"

    @property
    def table(self) -> Path:
        return self.folder / "runs.csv"

    def per_token(self, params: float) -> float:
        """FLOPs of a token as the trainer counts them, with attention and the unembedding."""
        width = nearest_width(self.spec.rule, params)
        return self.spec.rule.shape(width, self.spec.vocabulary).flops_per_token

    def write(self) -> Path:
        """Write the sweep's settings and the table of what it trains; the settings' path. Raises
        `SweepError` where the folder is another sweep's."""
        if self.settings.is_file() and not self.settings.read_text().startswith(OURS):
            raise SweepError(f"{self.settings} is of another sweep; give another folder with --out")
        rows = dict.fromkeys(
            (*map(_plain, m[:3]), guarded(m.branch), self.stages[arm.stage].recipe if split else "")
            for arm in self.arms for m in arm.models() for split in [m.specialize_tokens]
        )  # fmt: skip
        used = {r[-1] for r in rows} - {""}
        stages = [_said(s) for s in self.stages.values() if s.recipe in used]
        fields = {n: v for n, v in _said(self.spec).items() if n not in DROPPED}
        if isinstance(place := self.spec.corpus_options.get("path"), str):
            options = self.spec.corpus_options | {"path": os.path.relpath(place, self.folder)}
            fields["corpus_options"] = options
        fields |= {"design": "runs", "runs": "arms.csv", "seeds": list(self.seeds)}
        with whole(self.folder / "arms.csv") as beside:
            beside.write_text(_csv(COLUMNS, rows))
        with whole(self.settings) as beside:
            beside.write_text(_toml(fields, stages))
        return self.settings

    def train(self, executor: str = "local", dry_run: bool = False) -> str:
        """Train what is missing; what the sweep said. A killed one goes on where it was.

        In a process of its own: torch and jax are never in one. Raises `SweepError` when it fails;
        why stands above, on stderr.
        """
        self.write()
        command = [sys.executable, "-m", "bayeslaw", "sweep", str(self.settings),
                   "--out", str(self.folder), "--executor", executor]  # fmt: skip
        done = subprocess.run(
            [*command, *(["--dry-run"] if dry_run else [])],
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )
        if done.returncode == 130:
            raise KeyboardInterrupt
        if done.returncode:
            raise SweepError(
                f"the sweep of the arms failed, see above; what was done in {self.folder} is kept. "
                "--without leaves an arm out"
            )
        return done.stdout


def _tried(spec: SweepSpec, recipe: Recipe) -> SecondStage:
    """A recipe as the sweep has it, with what else it says of it; else its level alone."""
    way, level = recipe.way, recipe.level
    same = (s for s in spec.second_stage if s.recipe == way and np.isclose(getattr(s, way), level))
    found = next(same, None) or SecondStage.model_validate({"recipe": way, way: level})
    return SecondStage(**found.decisive())  # without what narrows it


def _plain(value: float) -> str:
    return f"{value:.0f}"


def _said(model: Any) -> dict[str, Any]:
    return model.model_dump(mode="json", exclude_defaults=True)


def _csv(header: Sequence[str], rows: Any) -> str:
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return file.getvalue()


def _toml(fields: Mapping[str, Any], stages: Sequence[Mapping[str, Any]]) -> str:
    """Settings as TOML; tables within them in one line."""
    lines = [OURS]
    lines += [f"{name} = {_value(v)}" for name, v in fields.items()]
    for stage in stages:
        lines += ["", "[[second_stage]]"]
        lines += [
            f"{name} = {_value(v)}" for name, v in ({"recipe": "plain"} | dict(stage)).items()
        ]
    return "\n".join(lines) + "\n"


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{json.dumps(k)} = {_value(v)}" for k, v in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(_value, value)) + "]"
    return json.dumps(value, ensure_ascii=False)
