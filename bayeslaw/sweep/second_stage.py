"""Recipes of the second stage: what a model is trained on after the split, and on which loss."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from bayeslaw.sweep.tokens import Count, Tokens


@dataclass(frozen=True)
class Kind:
    """A named recipe: which fields of `SecondStage` it wants, and what it does with the trunk."""

    name: str
    does: str
    wants: str = ""  # the field without which it is nothing
    splits: bool = True  # a model for each domain; otherwise one for all
    scratch: bool = False  # starts from fresh weights: D = 0


KINDS = {
    k.name: k
    for k in (
        Kind("plain", "on the text of one domain"),
        Kind("joint", "one model, on the weighted union of the domains", splits=False),
        Kind("scratch", "on the text of one domain, from fresh weights", scratch=True),
        Kind("replay", "on one domain, with a share of general text", "replay"),
        Kind("importance", "on general text, drawn by its likeness to the domain", "clusters"),
        Kind("distill", "on one domain, held near the predictions at the split", "distill"),
    )
}


class SecondStage(BaseModel):
    """One `[[second_stage]]` of sweep.toml. Its fields are named as the columns of the table.

    `widths`, `pretrain_tokens`, `specialize_tokens` and `seeds` narrow it to some of the sweep's.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    recipe: str = "plain"
    replay: Annotated[float, Field(ge=0, lt=1)] = 0.0  # share of general text
    distill: Annotated[float, Field(ge=0)] = 0.0  # weight of KL(at the split || now)
    anneal: bool = False  # that weight falls to 0 along the stage
    teacher: str = "split"  # whose predictions; "cooled": of the trunk cooled down at the split
    rate: Annotated[float, Field(gt=0, le=10)] = 1.0  # of the recipe's, all along the stage
    weights: dict[str, Annotated[float, Field(gt=0)]] = {}  # joint; empty: equal
    clusters: Count = 16  # importance: of the general text
    target_bytes: Tokens | None = None  # of the domain's own text; of a BPE, its tokens
    widths: tuple[Count, ...] = ()
    pretrain_tokens: tuple[Tokens, ...] = ()
    specialize_tokens: tuple[Tokens, ...] = ()
    seeds: tuple[int, ...] = ()

    @field_validator("recipe")
    @classmethod
    def _known(cls, name: str) -> str:
        if name not in KINDS:
            raise ValueError(f"no such recipe of a second stage; choose one of {', '.join(KINDS)}")
        return name

    @field_validator("weights")
    @classmethod
    def _joint_only(cls, weights: dict[str, float], info: ValidationInfo) -> dict[str, float]:
        if weights and info.data.get("recipe") != "joint":
            raise ValueError("only 'joint' mixes the domains; leave it out")
        return weights

    @model_validator(mode="after")
    def _wanted(self) -> SecondStage:
        wants = self.kind.wants
        if wants and not getattr(self, wants):
            raise ValueError(f"recipe '{self.recipe}' needs {wants}, more than 0")
        if self.recipe == "plain" and (self.replay or self.distill):
            raise ValueError("recipe 'plain' is on the domain alone: leave out replay and distill, "
                             "or take the recipe of that name")  # fmt: skip
        if self.anneal and not self.distill:
            raise ValueError("anneal is of distill: give distill, or leave anneal out")
        if self.teacher not in ("split", "cooled"):
            raise ValueError(f"teacher is 'split' or 'cooled', not '{self.teacher}'")
        if self.teacher == "cooled" and not self.distill:
            raise ValueError("teacher is of distill: give distill, or leave teacher out")
        if self.kind.scratch and (self.distill or self.replay):
            raise ValueError("recipe 'scratch' has no trunk: leave out replay and distill")
        return self

    def takes(self, width: int, seed: int, pretrain_tokens: int) -> bool:
        """Whether this stage is for such a trunk. Fresh weights have no D to choose by."""
        return (
            width in (self.widths or (width,))
            and seed in (self.seeds or (seed,))
            and (not pretrain_tokens or pretrain_tokens in (self.pretrain_tokens or
                 (pretrain_tokens,)))
        )  # fmt: skip

    @property
    def kind(self) -> Kind:
        return KINDS[self.recipe]

    def decisive(self) -> dict[str, Any]:
        """The fields that decide what is trained, without those that say where."""
        names = ("recipe", "replay", "distill", "anneal", "weights", "target_bytes")
        fields = {n: getattr(self, n) for n in names}
        fields |= {"clusters": self.clusters} if self.recipe == "importance" else {}
        # Cells that do not use these have the names that they had without them.
        fields |= {"teacher": self.teacher} if self.teacher != "split" else {}
        return fields | ({"rate": self.rate} if self.rate != 1 else {})

    @property
    def work(self) -> float:
        """FLOPs of a token, over those of a plain one: the predictions that distillation holds to
        cost a forward pass, a third of a training token."""
        return 4 / 3 if self.distill else 1.0

    @property
    def label(self) -> str:
        """As in a run's name: nothing for plain, else the recipe and what sets it apart."""
        parts = [] if self.recipe in ("plain", "replay", "distill") else [self.recipe]
        parts += [f"{n}{getattr(self, n):g}" for n in ("replay", "distill") if getattr(self, n)]
        parts += ["anneal"] if self.anneal else []
        parts += ["cooled"] if self.teacher == "cooled" else []
        parts += [f"rate{self.rate:g}"] if self.rate != 1 else []
        if self.recipe == "importance":
            parts.append(f"k{self.clusters}")
        parts += [f"of{self.target_bytes}"] if self.target_bytes else []
        parts += [f"{k}{w:g}" for k, w in self.weights.items()]
        return "+".join(parts)
