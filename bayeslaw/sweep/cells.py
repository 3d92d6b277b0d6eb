"""The cells of a sweep: one training job each, named by the hash of all that decides its result."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any, Literal

from bayeslaw.errors import SweepError
from bayeslaw.sweep.design import Model, models
from bayeslaw.sweep.second_stage import SecondStage
from bayeslaw.sweep.spec import SweepSpec

TRAINER = 3  # raise it when the same cell would train, or be measured, differently

Stage = Literal["trunk", "cooldown", "branch"]


@dataclass(frozen=True)
class Cell:
    """One job. A trunk leaves checkpoints; a cool-down or a branch leaves rows.

    pretrain_tokens: general tokens at the end (D). specialize_tokens: D′ of a branch. `branch` is
    the domain of the second stage, `joint` for the union of all, empty without one.
    """

    stage: Stage
    recipe: str
    recipe_fields: str  # JSON: a recipe that changes is another cell
    corpus: str  # digest of all of it
    domains: tuple[str, ...]  # of them, those of the mixture, in their order
    width: int
    seed: int
    pretrain_tokens: int
    specialize_tokens: int = 0
    branch: str = ""
    second: str = ""  # JSON of the recipe of the second stage
    heldout_tokens: int = 0
    parent: str = ""  # key of the trunk; empty: fresh weights
    device: str = "cpu"
    threads: int = 1
    microbatch: int = 0
    team: str = ""  # of processes that train one model together
    apart: int = 0  # which of several trunks of one width and seed
    trainer: int = TRAINER

    @cached_property
    def key(self) -> str:
        """A trunk of constant rate is the same however far it goes: its length is not in its name,
        so that a longer sweep goes on with it."""
        named = replace(self, pretrain_tokens=0) if self.stage == "trunk" else self
        text = json.dumps(asdict(named), sort_keys=True)
        return f"{self.stage}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"

    @property
    def second_stage(self) -> SecondStage:
        return SecondStage(**json.loads(self.second))

    @property
    def draw(self) -> int:
        """The seed of weights and of the order of text: another one for every trunk, of 32 bits,
        which is what every library takes."""
        return (self.seed + 1_000_003 * self.apart) % 2**32

    @property
    def lineage(self) -> str:
        """The trunk's name; a model from fresh weights is a lineage of its own."""
        own = "" if self.parent or self.stage == "trunk" else f"-scratch-{self.branch}"
        own = f"-d{self.apart}" if self.apart else own
        return f"w{self.width}-s{self.seed}{own}"

    @property
    def run_id(self) -> str:
        parts = [f"w{self.width}-s{self.seed}", str(self.pretrain_tokens)]
        if self.branch:
            label = self.second_stage.label
            parts += [self.branch, str(self.specialize_tokens), *([label] if label else [])]
        return "-".join(parts)


@dataclass(frozen=True)
class Cells:
    """Trunks, and the models whose losses are wanted: cool-downs and branches."""

    trunks: tuple[Cell, ...]
    models: tuple[Cell, ...]

    def __iter__(self) -> Iterator[Cell]:
        """Every cell, trunks first."""
        yield from self.trunks
        yield from self.models

    def of(self, trunk: Cell) -> list[Cell]:
        """The models that start from a checkpoint of this trunk."""
        key = trunk.key
        return [m for m in self.models if m.parent == key]

    def rootless(self) -> list[Cell]:
        """The models that start from fresh weights."""
        return [m for m in self.models if not m.parent]


def cells(
    spec: SweepSpec,
    digest: str,
    domains: tuple[str, ...],
    device: str = "cpu",
    vocabulary: int = 256,
    team: str = "",
) -> Cells:
    """The jobs of a sweep. A trunk of constant rate runs as far as its models need it. A cool-down
    to D starts at (1 - c) D; a branch starts from the constant-rate checkpoint at D.

    Raises `SweepError` as `models` does, and for two second stages that make runs of one name.
    """
    common: dict[str, Any] = {
        "recipe": spec.recipe,
        "recipe_fields": json.dumps(spec.rule.fields(), sort_keys=True),
        "corpus": digest,
        "domains": domains,
        "device": device,
        "threads": spec.threads,
        "team": team,
        "microbatch": spec.microbatch if spec.microbatch < spec.rule.batch else 0,
    }
    wanted: dict[tuple[int, int, int], list[Model]] = {}
    for model in models(spec, domains, vocabulary):
        wanted.setdefault((model.width, model.seed, model.apart), []).append(model)
    trunks, leaves = [], []
    for (width, seed, apart), group in wanted.items():
        common |= {"width": width, "seed": seed, "apart": apart}
        # As far as the last model leaves it: a cool-down starts before its D.
        reach = max(
            m.pretrain_tokens if m.branch else spec.stable(m.pretrain_tokens) for m in group
        )
        trunk = Cell("trunk", **common, pretrain_tokens=reach)
        if reach:
            trunks.append(trunk)
        for m in group:
            leaves.append(Cell(
                "branch" if m.branch else "cooldown", **common,
                pretrain_tokens=m.pretrain_tokens, specialize_tokens=m.specialize_tokens,
                branch=m.branch,
                second=json.dumps(m.second.decisive(), sort_keys=True) if m.second else "",
                heldout_tokens=spec.heldout_tokens,
                parent=trunk.key if m.pretrain_tokens else "",
            ))  # fmt: skip
    leaves = list(dict.fromkeys(leaves))
    ids = Counter(m.run_id for m in leaves)
    if twice := [name for name, count in ids.items() if count > 1]:
        raise SweepError(f"two second stages are one by another name, and both make {twice[0]}; "
                         "keep one")  # fmt: skip
    return Cells(tuple(trunks), tuple(leaves))


def starts_at(spec: SweepSpec, cell: Cell) -> int:
    """Tokens of the trunk's checkpoint that a model starts from."""
    if cell.stage == "cooldown":
        return spec.stable(cell.pretrain_tokens)
    return cell.pretrain_tokens


def stops(spec: SweepSpec, leaves: list[Cell]) -> list[int]:
    """Tokens at which the trunk of these models is kept."""
    return sorted({starts_at(spec, m) for m in leaves})
