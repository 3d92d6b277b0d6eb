"""sweep.toml: what to train, checked before anything starts."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from bayeslaw.errors import SweepError
from bayeslaw.quantity import parse_quantity
from bayeslaw.sweep.recipe import RECIPES, Recipe

Tokens = Annotated[int, BeforeValidator(lambda v: int(parse_quantity(v))), Field(gt=0)]


class SweepSpec(BaseModel):
    """The fields of sweep.toml."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")
    corpus: str = "python"
    corpus_options: dict[str, Any] = {}
    domains: tuple[str, ...] = ()  # empty: every domain of the corpus
    recipe: str = "bytes-wsd"
    widths: tuple[Annotated[int, Field(gt=0)], ...] = Field(min_length=1)
    pretrain_tokens: tuple[Tokens, ...] = Field(min_length=1)
    specialize_tokens: tuple[Tokens, ...] = ()
    seeds: tuple[int, ...] = (0,)
    heldout_tokens: Tokens = 131072  # evaluated on each domain
    processes: Annotated[int, Field(gt=0)] = 2

    @model_validator(mode="after")
    def _agree(self) -> SweepSpec:
        faults = []
        if self.recipe not in RECIPES:
            faults.append(f"recipe '{self.recipe}' is not one of {', '.join(RECIPES)}")
        else:
            recipe = RECIPES[self.recipe]
            faults += [
                f"width {w} is not a multiple of the recipe's head width {recipe.head_width}"
                for w in self.widths
                if w % recipe.head_width
            ]
            faults += [
                f"{n} = {t} is less than one step of {recipe.tokens_per_step} tokens"
                for n in ("pretrain_tokens", "specialize_tokens")
                for t in getattr(self, n)
                if t < recipe.tokens_per_step
            ]
        for name in ("widths", "pretrain_tokens", "specialize_tokens", "seeds", "domains"):
            values = getattr(self, name)
            if len(set(values)) != len(values):
                faults.append(f"{name} names a value twice")
        if faults:
            raise ValueError("; ".join(faults))
        return self

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
        faults = [
            f"{'.'.join(map(str, e['loc'])) or 'sweep'}: {e['msg']} (got {e['input']!r})"
            if e["loc"]
            else e["msg"]
            for e in error.errors()
        ]
        raise SweepError(f"{path}: {len(faults)} faults:\n  " + "\n  ".join(faults)) from None
