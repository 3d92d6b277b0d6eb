"""sweep.toml: what to train, checked before anything starts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from bayeslaw.errors import SweepError
from bayeslaw.sweep.recipe import RECIPES, Recipe
from bayeslaw.sweep.second_stage import SecondStage
from bayeslaw.sweep.shape import Shape
from bayeslaw.sweep.start import Start, read_start
from bayeslaw.sweep.tokens import Count, Flops, Tokens
from bayeslaw.toml import read_toml

# design -> the fields without which it is nothing
WANTS = {
    "trunk": ("widths", "pretrain_tokens"),
    "grid": ("widths", "pretrain_tokens"),
    "iso-flop": ("widths", "flops"),
    "pilot": ("flops",),
    "runs": ("runs",),
    "start": ("start",),
}


class SweepSpec(BaseModel):
    """The fields of sweep.toml. Each checks itself, so that all faults are found at once."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")
    corpus: str = "python"
    corpus_options: dict[str, Any] = {}
    domains: tuple[str, ...] = ()  # empty: every domain of the corpus
    vocabulary: Annotated[int, Field(ge=256, le=1 << 20)] = 256  # bytes; more: BPE
    recipe: str = "bytes-wsd"
    branch_from: Literal["", "stable", "cooled"] = ""  # empty: as the recipe says
    start: str = ""  # folder of a model from elsewhere, beside the settings
    start_tokens: Tokens | None = None  # that it was trained on; none: what its folder says
    design: str = "trunk"
    widths: tuple[Count, ...] = ()
    pretrain_tokens: tuple[Tokens, ...] = ()
    specialize_tokens: tuple[Tokens, ...] = ()
    flops: tuple[Flops, ...] = ()  # budgets of design iso-flop; the whole budget of a pilot
    specialize_shares: tuple[Annotated[float, Field(ge=0, lt=1)], ...] = (0.0, 0.05, 0.2)
    runs: str = ""  # file of design runs, beside the settings
    seeds: tuple[int, ...] = (0,)
    repeat_widths: tuple[Count, ...] = ()  # those of every seed but the first; empty: all
    heldout_tokens: Tokens = 131072  # evaluated on each domain
    second_stage: tuple[SecondStage, ...] = (SecondStage(),)
    epochs: Annotated[float, Field(ge=1)] = 1.0  # how often a text may be read
    processes: Count = 2
    executor_options: dict[str, Any] = {}  # of ray.remote, or of submitit
    threads: Count = 1  # of each process
    microbatch: Annotated[int, Field(ge=0)] = 0  # windows at once; 0: the batch
    keep_models: bool = False  # also of cool-downs and branches, to be exported
    checkpoint_minutes: Annotated[float, Field(gt=0)] = 5.0  # within a cell

    @model_validator(mode="before")
    @classmethod
    def _started(cls, fields: Any) -> Any:
        """Where there is a model to start from, that is the design."""
        return {"design": "start", **fields} if fields.get("start") else fields

    @field_validator("recipe")
    @classmethod
    def _known(cls, name: str) -> str:
        if name not in RECIPES:
            raise ValueError(f"no such recipe; choose one of {', '.join(RECIPES)}")
        return name

    @field_validator("start")
    @classmethod
    def _startable(cls, folder: str, info: ValidationInfo) -> str:
        recipe = RECIPES.get(info.data.get("recipe", ""))
        if not folder or recipe is None:
            return folder
        folder = str(Path((info.context or {}).get("beside", "")) / folder)
        try:
            read_start(folder, recipe.context)
        except SweepError as error:
            raise ValueError(str(error)) from None
        return folder

    @field_validator("design")
    @classmethod
    def _designed(cls, name: str) -> str:
        if name not in WANTS:
            raise ValueError(f"no such design; choose one of {', '.join(WANTS)}")
        return name

    @field_validator("flops", mode="before")
    @classmethod
    def _several(cls, written: Any) -> Any:
        return written if isinstance(written, list | tuple) else (written,)

    @field_validator(
        "domains", "widths", "pretrain_tokens", "specialize_tokens", "seeds", "flops",
        "specialize_shares",
    )  # fmt: skip
    @classmethod
    def _once(cls, values: tuple) -> tuple:
        twice = sorted({v for v in values if values.count(v) > 1})
        if twice:
            raise ValueError(f"{', '.join(map(str, twice))} stands there twice; name it once")
        return values

    @field_validator("widths", "pretrain_tokens", "seeds")
    @classmethod
    def _some(cls, values: tuple) -> tuple:
        if not values:
            raise ValueError("is empty; name at least one")
        return values

    @field_validator("widths")
    @classmethod
    def _divisible(cls, widths: tuple[int, ...], info: ValidationInfo) -> tuple[int, ...]:
        if (recipe := RECIPES.get(info.data.get("recipe", ""))) is None:
            return widths
        for width in widths:
            if width % (2 * recipe.heads(width)):
                raise ValueError(
                    f"{width} does not split into {recipe.heads(width)} heads of even width; "
                    f"take a multiple of {recipe.head_width}"
                )
        return widths

    @field_validator("pretrain_tokens", "specialize_tokens")
    @classmethod
    def _a_step(cls, values: tuple[int, ...], info: ValidationInfo) -> tuple[int, ...]:
        recipe = RECIPES.get(info.data.get("recipe", ""))
        if recipe and values and min(values) < recipe.tokens_per_step:
            raise ValueError(f"{min(values)} is less than one step; ask for at least "
                             f"{recipe.tokens_per_step} tokens")  # fmt: skip
        return values

    @field_validator("repeat_widths")
    @classmethod
    def _repeated(cls, widths: tuple[int, ...], info: ValidationInfo) -> tuple[int, ...]:
        others = [w for w in widths if w not in info.data.get("widths", widths)]
        if others:
            raise ValueError(f"{others[0]} is not one of the sweep's widths; add it there")
        return widths

    @field_validator("second_stage")
    @classmethod
    def _within(
        cls, stages: tuple[SecondStage, ...], info: ValidationInfo
    ) -> tuple[SecondStage, ...]:
        for stage in stages:
            for name in ("widths", "seeds", "pretrain_tokens"):
                have = info.data.get(name)
                others = [v for v in getattr(stage, name) if have and v not in have]
                if others:
                    raise ValueError(f"{name} {others[0]} of '{stage.recipe}' is not one of the "
                                     f"sweep's; add it there")  # fmt: skip
        if len({s.rate for s in stages if s.recipe == "plain"}) > 1:
            raise ValueError("'plain' has several rates, which its rows do not tell; keep one")
        return stages

    @model_validator(mode="after")
    def _complete(self) -> SweepSpec:
        faults = list(self._misplaced())
        missing = [f for f in WANTS[self.design] if not getattr(self, f)]
        if missing and not faults:
            faults = [f"design '{self.design}' needs {' and '.join(missing)}; add them"]
        if faults:
            raise ValueError("; ".join(faults))
        return self

    def _misplaced(self) -> Iterator[str]:
        """What does not go with a model from elsewhere, or not without one."""
        if not self.start:
            if self.start_tokens:
                yield "start_tokens is of start: name its folder, or leave start_tokens out"
            return
        if self.design != "start":
            yield f"design '{self.design}' trains its own trunks: leave out design, or start"
        named = [n for n in (
            "widths", "pretrain_tokens", "repeat_widths", "flops", "runs", "vocabulary",
            "branch_from",
        ) if n in self.model_fields_set]  # fmt: skip
        if named:
            yield f"the model in start says what {', '.join(named)} would: leave out"
        begun = self.begun
        if begun and not (self.start_tokens or begun.tokens):
            yield ("start_tokens is missing: how many tokens the model in start was trained on, "
                   "which its folder does not say")  # fmt: skip

    def widths_of(self, seed: int) -> tuple[int, ...]:
        """The widths that are trained with a seed."""
        repeated = seed != self.seeds[0] and self.repeat_widths
        return tuple(w for w in self.widths if w in self.repeat_widths) if repeated else self.widths

    @property
    def rule(self) -> Recipe:
        rule = RECIPES[self.recipe]
        # A model from elsewhere is one that was cooled down.
        branch_from = "cooled" if self.start else self.branch_from
        return replace(rule, branch_from=branch_from) if branch_from else rule

    @cached_property
    def begun(self) -> Start | None:
        """The model from elsewhere that the sweep starts from."""
        return read_start(self.start, self.rule.context) if self.start else None

    def shape(self, width: int, vocabulary: int) -> Shape:
        """Of the sweep's models of a width."""
        begun = self.begun
        return begun.shape if begun else self.rule.shape(width, vocabulary)

    def whole(self, tokens: int) -> int:
        """The nearest whole number of steps, in tokens: what is counted is what is trained."""
        step = self.rule.tokens_per_step
        return max(1, round(tokens / step)) * step

    def stable(self, tokens: int) -> int:
        """Tokens after which the cool-down to `tokens` starts: (1 - c) D, in whole steps."""
        return self.whole(int((1 - self.rule.cooldown) * tokens))

    @property
    def judging(self) -> float:
        """What the evaluation of a model costs, in training tokens: of them a judged one is a
        third."""
        return 2 * self.heldout_tokens / 3


def read_sweep(path: str | Path) -> SweepSpec:
    """Read and check a sweep.toml. Raises `SweepError` with every fault, its field and remedy."""
    path = Path(path)
    fields = read_toml(path, SweepError)
    try:
        spec = SweepSpec.model_validate(fields, context={"beside": path.parent})
        # Places in the settings are beside the settings.
        beside: dict[str, Any] = {"runs": str(path.parent / spec.runs)} if spec.runs else {}
        if isinstance(place := spec.corpus_options.get("path"), str):
            beside["corpus_options"] = spec.corpus_options | {"path": str(path.parent / place)}
        return spec.model_copy(update=beside)
    except ValidationError as error:
        faults = [_fault(e["type"], e["loc"], e["msg"], e["input"]) for e in error.errors()]
        noun = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
        raise SweepError(f"{path}: {noun}:\n  " + "\n  ".join(faults)) from None


def _fault(kind: str, place: tuple[int | str, ...], message: str, value: object) -> str:
    """One line: the field, what is wrong, the value, what to do."""
    field = str(place[0]) if place else "sweep"
    if field == "second_stage" and len(place) > 1:
        field += f" {int(place[1]) + 1}" + "".join(f", {p}" for p in place[2:3])
    if kind == "missing":
        return f"{field}: is missing; add it"
    if not place:
        return message.removeprefix("Value error, ")
    if kind == "extra_forbidden":
        model = SweepSpec if len(place) == 1 else SecondStage
        return f"{field}: no such field; the fields are {', '.join(model.model_fields)}"
    return f"{field}: {message.removeprefix('Value error, ')} (got {value!r})"
