"""A plan as its file says it: what a report tells of it, checked field by field."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from bayeslaw.infer.source import Source
from bayeslaw.plan.written import ONE_MODEL, named
from bayeslaw.verify.plan_file import plan_of, read_said, refuse

Number = Annotated[float, Field(allow_inf_nan=False)]
Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Probability = Annotated[float, Field(ge=0, le=1)]
Range = tuple[Number, Number]
Sizes = Amount | dict[str, Amount]  # one for all domains, or one for each


class Part(BaseModel):
    """A part of the file; what else stands there is left alone."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Loss(Part):
    """A loss in nats/token: its mean and its interval."""

    mean: Number
    interval: Range


class Recipe(Part):
    """How branches are trained; level: the share of replay, or the weight of distillation."""

    name: str
    level: Amount | None


class Design(Part):
    """An arrangement and its sizes."""

    arrangement: str
    recipe: Recipe | None = None
    params: Sizes
    pretrain_tokens: Sizes
    specialize_tokens: dict[str, Amount]

    def size(self, name: str, domain: str) -> float:
        """Of the model for a domain."""
        value = getattr(self, name)
        return float(value[domain] if isinstance(value, dict) else value)

    @property
    def named(self) -> str:
        """Its arrangement, and the recipe of its branches where that is not the plain one."""
        return named(self.model_dump(include={"arrangement", "recipe"}))


class Baseline(Design):
    """What the same budget would buy instead."""

    name: str
    loss: Loss
    flops: Amount
    regret: Number
    p_plan_beats: Probability


class Budget(Part):
    flops: Amount
    spent: Amount
    exhausted: bool = False


class Cost(Part):
    factor: Amount = 1.0
    overhead: Amount = 0.0
    error: Amount = 0.0

    @property
    def name(self) -> str:
        """As `--cost` calls it."""
        return "6nd" if self.factor == 1 and not self.overhead else "runs"


class Without(Part):
    """An arrangement that is not there, and why."""

    arrangement: str
    reason: str


class Near(Part):
    """The designs that are as good as the plan."""

    epsilon: Amount
    unit: str
    params: Range | dict[str, Range]
    pretrain_tokens: Range | dict[str, Range]
    specialize_tokens: dict[str, Range] | None


class Spread(Part):
    """Of the draws' own optima."""

    median: Amount
    interval: Range


class Own(Part):
    """What each draw would have chosen."""

    arrangements: dict[str, Probability]
    params: Spread | dict[str, Spread]
    pretrain_tokens: Spread | dict[str, Spread]
    specialize_tokens: dict[str, Spread]


class Term(Part):
    """A term of the laws at the plan."""

    name: str
    nats: Number
    p_largest: Probability


class Alone(Design):
    """What one law would have chosen."""

    law: str
    weight: Probability
    loss: Number
    regret: Number


class Shift(Part):
    """How the plan moves with one prior; the factors are None where too few draws were left."""

    law: str
    prior: str
    power: Amount
    params: Amount | None
    pretrain_tokens: Amount | None
    specialize_tokens: Amount | None
    loss: Number | None

    @property
    def strength(self) -> float:
        """The largest factor on a size, up or down; 1 where nothing is known."""
        sizes = (self.params, self.pretrain_tokens, self.specialize_tokens)
        return max((max(f, 1 / f) for f in sizes if f), default=1.0)


class Targets(Part):
    losses: dict[str, Number]
    p_reached: Probability


class Hardware(Part):
    device: str
    gpu_hours: Amount
    days: Amount
    count: int
    money: Amount | None = None


class Certificate(Part):
    faults: list[str] = []


class Planned(Design):
    """What a plan's file says. file: as the caller names it; source: the posterior that it was
    made with, where that is known."""

    file: str
    passed: bool
    flops: Amount
    models: int
    budget: Budget
    cost: Cost = Cost()
    hardware: Hardware | None = None
    risk: str
    on: str
    targets: Targets | None = None
    kind: str
    prob: Probability
    draws: int | None = None
    seed: int | None = None
    stretch: Amount | None = None
    arrangements: list[str] | None = None
    recipes: list[str] = []
    loss: Loss
    domains: dict[str, Loss]
    weights: dict[str, Amount]
    p_best: Probability
    p_best_of: dict[str, Probability]
    p_split_beats_generalist: Probability | None
    regret: Number
    at_bound: list[str]
    at_limit: list[str] = []
    extrapolation: dict[str, Amount]
    not_assessable: list[Without]
    excluded: list[Without] = []
    data: dict[str, Any] | None = None
    serving: dict[str, Any] | None = None
    architecture: dict[str, Any] | None = None
    chances: list[dict[str, Any]] = []
    region: Near
    own_optima: Own
    evpi: Number
    evpi_flops: Amount | None
    shadow_price: Number | None
    limits: list[Term]
    laws: list[Alone]
    priors: list[Shift]
    certificate: Certificate = Certificate()
    baselines: list[Baseline]
    source: Source | None = Field(None, alias="posterior")
    command: list[str] = []

    @model_validator(mode="after")
    def _every_domain(self) -> Planned:
        wanted = set(self.weights)
        tables: list[tuple[str, Any]] = [("domains", self.domains)]
        region, own = self.region, self.own_optima
        for size in ("params", "pretrain_tokens", "specialize_tokens"):
            each: list[tuple[str, Design]] = [("", self)]
            each += [(f"baselines, {b.name}, ", b) for b in self.baselines]
            each += [(f"laws, {a.law}, ", a) for a in self.laws]
            tables += [(of + size, getattr(d, size)) for of, d in each]
            tables += [(f"{of}, {size}", getattr(d, size)) for of, d in (
                ("region", region), ("own_optima", own))]  # fmt: skip
        for name, table in tables:
            if isinstance(table, dict) and set(table) != wanted:
                raise ValueError(f"{name}: its domains are not those of the weights")
        if not wanted:
            raise ValueError("weights: names no domain")
        return self

    @property
    def reach(self) -> float:
        """By how much ratios may leave the sweep's: without end where the file says null."""
        return float("inf") if self.stretch is None else self.stretch

    @property
    def stages(self) -> tuple[float, float]:
        """Tokens that are trained on, of the general mixture and of the second stage, all models
        together."""
        domains = list(self.weights)
        first = [self.size("pretrain_tokens", d) for d in domains]
        second = [self.size("specialize_tokens", d) for d in domains]
        if self.arrangement in ONE_MODEL:
            first = first[:1]
        if self.arrangement == "joint":
            second = second[:1]
        return sum(first), sum(second)


def read_planned(path: str | Path) -> Planned:
    """The file that `bayeslaw plan --out` wrote. Raises `PlanError` with all its faults."""
    path = Path(path)
    said = read_said(path)
    plan_of(said, path)
    return planned(said, path)


def planned(said: Mapping[str, Any], path: str | Path) -> Planned:
    """What a plan says of itself, under a name. Raises `PlanError` with all faults, and for a plan
    of accuracies or of a system with its router: a report is of losses of branches on their own
    domains."""
    if said.get("objective") is not None:
        refuse(Path(path), ["objective: a plan of accuracies, and a report is of losses; plan "
                            "without --objective for one"])  # fmt: skip
    if said.get("routing") is not None:
        refuse(Path(path), ["routing: a plan of a whole system, and a report is of branches on "
                            "their own domains; plan without --routing for one"])  # fmt: skip
    try:
        return Planned.model_validate({**said, "file": str(path)})
    except ValidationError as error:
        refuse(Path(path), [_fault(e) for e in error.errors()])
        raise


def _fault(error: Mapping[str, Any]) -> str:
    where = ", ".join(str(part) for part in error["loc"])
    if error["type"] == "missing":
        return f"{where}: is missing; plan again with this version of bayeslaw"
    message = str(error["msg"]).removeprefix("Value error, ")
    return f"{where}: {message}" if where else message
