"""The cells of a sweep: one training job each, named by the hash of all that decides its result."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Any, Literal

from bayeslaw.sweep.spec import SweepSpec

TRAINER = 2  # raise it when the same cell would train, or be measured, differently

Stage = Literal["trunk", "cooldown", "branch"]


@dataclass(frozen=True)
class Cell:
    """One job. A trunk leaves checkpoints; a cool-down or a branch leaves rows.

    tokens: of the trunk, or of general text at the end (D). specialize_tokens: D′ of a branch.
    """

    stage: Stage
    recipe: str
    recipe_fields: str  # JSON: a recipe that changes is another cell
    corpus: str  # digest
    width: int
    seed: int
    pretrain_tokens: int
    specialize_tokens: int = 0
    branch: str = ""
    heldout_tokens: int = 0
    parent: str = ""  # key of the trunk
    trainer: int = TRAINER

    @property
    def key(self) -> str:
        text = json.dumps(asdict(self), sort_keys=True)
        return f"{self.stage}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"


def cells(spec: SweepSpec, digest: str, domains: tuple[str, ...]) -> dict[Cell, list[Cell]]:
    """Trunk -> the cool-downs and branches that start from its checkpoints.

    A trunk of constant rate runs to the largest D. A cool-down to D starts at (1 - c) D; a branch
    starts from the constant-rate checkpoint at D.
    """
    recipe = spec.rule
    common: dict[str, Any] = {
        "recipe": spec.recipe,
        "recipe_fields": json.dumps(recipe.fields(), sort_keys=True),
        "corpus": digest,
    }
    plan = {}
    for seed in spec.seeds:
        for width in spec.widths:
            trunk = Cell("trunk", **common, width=width, seed=seed,
                         pretrain_tokens=whole(spec, max(spec.pretrain_tokens)))  # fmt: skip
            rest: dict[str, Any] = {**common, "width": width, "seed": seed, "parent": trunk.key,
                    "heldout_tokens": spec.heldout_tokens}  # fmt: skip
            plan[trunk] = [
                Cell("cooldown", **rest, pretrain_tokens=whole(spec, d))
                for d in sorted(spec.pretrain_tokens)
            ] + [
                Cell("branch", **rest, pretrain_tokens=whole(spec, d),
                     specialize_tokens=whole(spec, split), branch=domain)
                for d in sorted(spec.pretrain_tokens)
                for domain in domains
                for split in sorted(spec.specialize_tokens)
            ]  # fmt: skip
    return plan


def whole(spec: SweepSpec, tokens: int) -> int:
    """The nearest whole number of steps, in tokens: what is counted is what is trained."""
    step = spec.rule.tokens_per_step
    return max(1, round(tokens / step)) * step


def cooldown_start(spec: SweepSpec, pretrain_tokens: int) -> int:
    """Tokens at which the cool-down to D starts."""
    return whole(spec, int((1 - spec.rule.cooldown) * pretrain_tokens))


def checkpoints(spec: SweepSpec) -> list[int]:
    """Tokens at which a trunk is kept."""
    stops = set()
    for d in spec.pretrain_tokens:
        stops |= {whole(spec, d), cooldown_start(spec, whole(spec, d))}
    return sorted(stops)
