"""sweep.toml: what to train, checked before anything starts."""

from __future__ import annotations

import math
import tomllib
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from bayeslaw.errors import SweepError
from bayeslaw.quantity import parse_quantity
from bayeslaw.sweep.recipe import RECIPES, Recipe


def _tokens(written: Any) -> int:
    value = parse_quantity(written)
    if not math.isfinite(value):
        raise ValueError("must be finite")
    return int(value)


Count = Annotated[int, Field(gt=0)]
Tokens = Annotated[int, BeforeValidator(_tokens), Field(gt=0)]


class SweepSpec(BaseModel):
    """The fields of sweep.toml. Each checks itself, so that all faults are found at once."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")
    corpus: str = "python"
    corpus_options: dict[str, Any] = {}
    domains: tuple[str, ...] = ()  # empty: every domain of the corpus
    recipe: str = "bytes-wsd"
    widths: tuple[Count, ...]
    pretrain_tokens: tuple[Tokens, ...]
    specialize_tokens: tuple[Tokens, ...] = ()
    seeds: tuple[int, ...] = (0,)
    heldout_tokens: Tokens = 131072  # evaluated on each domain
    processes: Count = 2

    @field_validator("recipe")
    @classmethod
    def _known(cls, name: str) -> str:
        if name not in RECIPES:
            raise ValueError(f"no such recipe; choose one of {', '.join(RECIPES)}")
        return name

    @field_validator("domains", "widths", "pretrain_tokens", "specialize_tokens", "seeds")
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

    @property
    def rule(self) -> Recipe:
        return RECIPES[self.recipe]


def read_sweep(path: str | Path) -> SweepSpec:
    """Read and check a sweep.toml. Raises `SweepError` with every fault, its field and remedy."""
    path = Path(path)
    try:
        fields = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SweepError(f"{path}: no such file") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise SweepError(f"{path}: not readable as TOML: {error}") from None
    try:
        return SweepSpec(**fields)
    except ValidationError as error:
        faults = [_fault(e["type"], e["loc"], e["msg"], e["input"]) for e in error.errors()]
        noun = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
        raise SweepError(f"{path}: {noun}:\n  " + "\n  ".join(faults)) from None


def _fault(kind: str, place: tuple[int | str, ...], message: str, value: object) -> str:
    """One line: the field, what is wrong, the value, what to do."""
    field = str(place[0])
    if kind == "missing":
        return f"{field}: is missing; add it"
    if kind == "extra_forbidden":
        return f"{field}: no such field; the fields are {', '.join(SweepSpec.model_fields)}"
    return f"{field}: {message.removeprefix('Value error, ')} (got {value!r})"
