"""The cells of a sweep: one training job each, named by the hash of all that decides its result."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any, Literal, NamedTuple

from bayeslaw.errors import SweepError
from bayeslaw.sweep.design import Model, models
from bayeslaw.sweep.recipe import Recipe
from bayeslaw.sweep.second_stage import SecondStage
from bayeslaw.sweep.spec import SweepSpec

TRAINER = 3  # raise it when the same cell would train, or be measured, differently

# Fields that are in a name only where they say something: cells without them have older names.
LATER = ("cooled", "start")

Stage = Literal["trunk", "cooldown", "start", "branch"]


@dataclass(frozen=True)
class Cell:
    """One job. A trunk leaves checkpoints; a cool-down, a model from elsewhere as it came (`start`)
    and a branch leave rows.

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
    cooled: str = ""  # key of the cool-down that it starts from, or is held to
    start: str = ""  # digest of the model from elsewhere that it starts from

    @cached_property
    def key(self) -> str:
        """A trunk of constant rate is the same however far it goes: its length is not in its name,
        so that a longer sweep goes on with it."""
        named = replace(self, pretrain_tokens=0) if self.stage == "trunk" else self
        fields = {n: v for n, v in asdict(named).items() if v or n not in LATER}
        text = json.dumps(fields, sort_keys=True)
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
        """The trunk's name; a model from fresh weights is a lineage of its own, and all that start
        from one model from elsewhere, whatever their seed, are of one lineage."""
        if self.start:
            return self._size
        own = "" if self.parent or self.stage == "trunk" else f"-scratch-{self.branch}"
        own = f"-d{self.apart}" if self.apart else own
        return f"{self._size}-s{self.seed}{own}"

    @property
    def _size(self) -> str:
        return f"m{self.start[:8]}" if self.start else f"w{self.width}"

    @property
    def run_id(self) -> str:
        parts = [f"{self._size}-s{self.seed}", str(self.pretrain_tokens)]
        if self.branch:
            label = self.second_stage.label
            parts += [self.branch, str(self.specialize_tokens), *([label] if label else [])]
        return "-".join(parts)


@dataclass(frozen=True)
class Cells:
    """Trunks, and the models whose losses are wanted: cool-downs and branches. between: cool-downs
    that the design does not ask for and that its branches need."""

    trunks: tuple[Cell, ...]
    models: tuple[Cell, ...]
    between: tuple[Cell, ...] = ()

    def __iter__(self) -> Iterator[Cell]:
        """Every cell, after those that it starts from."""
        yield from self.trunks
        yield from self.between
        yield from self.models

    def of(self, cell: Cell) -> list[Cell]:
        """The cells that start from this one, or are held to it."""
        return self._after.get(cell.key, [])

    def rootless(self) -> list[Cell]:
        """The models that start from fresh weights."""
        return [m for m in self.models if not m.parent]

    @cached_property
    def _after(self) -> dict[str, list[Cell]]:
        found: dict[str, list[Cell]] = {}
        for c in self:
            for key in {c.parent, c.cooled} - {""}:
                found.setdefault(key, []).append(c)
        return found

    @cached_property
    def _named(self) -> dict[str, Cell]:
        return {c.key: c for c in self}

    def past(self, cell: Cell, spec: SweepSpec) -> Past:
        """What a cell starts from."""
        cooled = self._named.get(cell.cooled)
        trunk = cell if cell.stage == "trunk" else self._named.get((cooled or cell).parent)
        trunk = trunk if trunk is not None and trunk.stage == "trunk" else None
        return Past(trunk, cooled, tuple(stops(spec, self.of(trunk)) if trunk else ()),
                    cell.stage == "cooldown" and bool(self.of(cell)))  # fmt: skip


class Past(NamedTuple):
    """What a cell starts from. stops: tokens at which the trunk is kept. kept: whether the cell is
    a cool-down that others start from."""

    trunk: Cell | None
    cooled: Cell | None
    stops: tuple[int, ...]
    kept: bool


def cells(
    spec: SweepSpec,
    digest: str,
    domains: tuple[str, ...],
    device: str = "cpu",
    vocabulary: int = 256,
    team: str = "",
) -> Cells:
    """The jobs of a sweep. A trunk of constant rate runs as far as its models need it. A cool-down
    to D starts at (1 - c) D; a branch starts from the constant-rate checkpoint at D, or from its
    cool-down, as the recipe says.

    Raises `SweepError` as `models` does, and for two second stages that make runs of one name.
    """
    common: dict[str, Any] = {
        "recipe": spec.recipe,
        "corpus": digest,
        "domains": domains,
        "device": device,
        "threads": spec.threads,
        "team": team,
        "start": spec.begun.digest() if spec.begun else "",
        "microbatch": spec.microbatch if spec.microbatch < spec.rule.batch else 0,
    }
    wanted: dict[tuple[int, int, int], list[Model]] = {}
    for model in models(spec, domains, vocabulary):
        wanted.setdefault((model.width, model.seed, model.apart), []).append(model)
    # What a branch starts from decides nothing for a trunk and its cool-downs.
    first = _written(replace(spec.rule, branch_from="stable"))
    trunks, leaves, between = [], [], []
    for (width, seed, apart), group in wanted.items():
        common |= {"width": width, "seed": seed, "apart": apart, "recipe_fields": first}
        reach = 0 if spec.start else max(_leaves_at(spec, m) for m in group)
        trunk = Cell("trunk", **common, pretrain_tokens=reach)
        if reach:
            trunks.append(trunk)
        for m in group:
            judged = _judged(spec, trunk, m.pretrain_tokens)
            leaves.append(_branch(spec, judged, m) if m.second else judged)
            if leaves[-1].cooled:
                between.append(judged)
    leaves = list(dict.fromkeys(leaves))
    ids = Counter(m.run_id for m in leaves)
    if twice := [name for name, count in ids.items() if count > 1]:
        raise SweepError(f"two second stages are one by another name, and both make {twice[0]}; "
                         "keep one")  # fmt: skip
    asked = set(leaves)
    between = [c for c in dict.fromkeys(between) if c not in asked]
    return Cells(tuple(trunks), tuple(leaves), tuple(between))


def _judged(spec: SweepSpec, trunk: Cell, tokens: int) -> Cell:
    """The model without a second stage: a trunk cooled down, or one from elsewhere as it came."""
    model = replace(trunk, pretrain_tokens=tokens, heldout_tokens=spec.heldout_tokens)
    if spec.start:
        return replace(model, stage="start", seed=spec.seeds[0])
    return replace(model, stage="cooldown", parent=trunk.key if tokens else "")


def _branch(spec: SweepSpec, before: Cell, m: Model) -> Cell:
    """The second stage of a model; `before` is the model without it."""
    assert m.second is not None
    from_before = bool(m.pretrain_tokens) and spec.rule.branch_from == "cooled"
    held = bool(m.pretrain_tokens) and m.second.teacher == "cooled"
    return replace(
        before, stage="branch", seed=m.seed, specialize_tokens=m.specialize_tokens,
        recipe_fields=_written(spec.rule) if from_before else before.recipe_fields,
        branch=m.branch, second=json.dumps(m.second.decisive(), sort_keys=True),
        parent=before.key if from_before else before.parent,
        cooled=before.key if (from_before or held) and not spec.start else "",
    )  # fmt: skip


def _written(rule: Recipe) -> str:
    return json.dumps(rule.fields(), sort_keys=True)


def _leaves_at(spec: SweepSpec, m: Model) -> int:
    """Tokens of the trunk at which a model leaves it; a cool-down does before its D."""
    stable = m.second is not None and spec.rule.branch_from == "stable"
    return m.pretrain_tokens if stable or not m.pretrain_tokens else spec.stable(m.pretrain_tokens)


def starts_at(spec: SweepSpec, cell: Cell) -> int:
    """General tokens behind what a model starts from."""
    if cell.stage == "cooldown":
        return spec.stable(cell.pretrain_tokens)
    return cell.pretrain_tokens


def stops(spec: SweepSpec, leaves: list[Cell]) -> list[int]:
    """Tokens at which the trunk is kept that these start from."""
    return sorted({starts_at(spec, m) for m in leaves})
