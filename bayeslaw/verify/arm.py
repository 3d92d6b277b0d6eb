"""Arms: what is trained to verify a plan, and at what size the trainer can build it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np

from bayeslaw.cost import SIX_ND, CostLaw
from bayeslaw.errors import PlanError
from bayeslaw.plan.arrangement import ONE, Recipe
from bayeslaw.sweep import SweepSpec
from bayeslaw.sweep.snap import nearest_width
from bayeslaw.verify.plan_file import Design, PlanFile

PLAN, WEIGHTED = "plan", "weighted generalist"
# How the second stage is done: `branch`, `joint`, `scratch`, or a recipe as `replay 0.15`.
Stage = str
# arrangement -> how its second stage is done
STAGES: dict[str, Stage] = {
    "trunk": "branch", "independent": "branch", "generalist": "branch", "joint": "joint",
    "scratch": "scratch",
}  # fmt: skip


def recipe_of(stage: Stage) -> Recipe | None:
    """Of branches, where that is something else than plain."""
    return Recipe.of(stage) if " " in stage else None


class Model(NamedTuple):
    """One model to train. branch: the domain of its second stage, empty for all or none."""

    params: float
    pretrain_tokens: float
    specialize_tokens: float
    branch: str


@dataclass(frozen=True)
class Arm:
    """A design and how it is trained; sizes have shape (domain,).

    planned: the same before its sizes were those that can be built. cost: what the plan's budget
    counts a token as.
    """

    name: str
    arrangement: str
    stage: Stage
    domains: tuple[str, ...]
    params: np.ndarray
    pretrain_tokens: np.ndarray
    specialize_tokens: np.ndarray
    planned: Arm | None = None
    cost: CostLaw = SIX_ND

    @classmethod
    def of(cls, design: Design, domains: tuple[str, ...], **changed: object) -> Arm:
        """An arm as the plan has it. Raises `PlanError` for an unknown arrangement."""
        if design.arrangement not in STAGES:
            raise PlanError(
                f"'{design.name}' is of arrangement '{design.arrangement}', which is not one of "
                + ", ".join(STAGES)
            )
        stage = STAGES[design.arrangement]
        if design.recipe:
            stage = Recipe(design.recipe, design.level).said
        arm = cls(
            design.name, design.arrangement, stage, domains, design.params,
            design.pretrain_tokens, design.specialize_tokens,
        )  # fmt: skip
        return replace(arm, **changed)  # type: ignore[arg-type]

    @property
    def assessable(self) -> bool:
        """Whether laws of branches and of generalists speak of it."""
        return self.stage == "branch"

    @property
    def recipe(self) -> Recipe | None:
        """Of its branches, where that is something else than plain."""
        return recipe_of(self.stage)

    def models(self) -> Iterator[Model]:
        """What is trained: one model, or one for every domain."""
        sizes = zip(self.params, self.pretrain_tokens, self.specialize_tokens, strict=True)
        for domain, (n, d, split) in zip(self.domains, sizes, strict=True):
            one = self.arrangement in ONE
            yield Model(float(n), float(d), float(split), "" if one or not split else domain)
            if one:
                return

    def pieces(self) -> Iterator[tuple[float, float]]:
        """(params, tokens) of everything that is trained; a trunk counts once, a token that is
        distilled as four thirds."""
        models = list(self.models())
        if self.arrangement == "trunk":
            work = 1.0 if self.recipe is None else self.recipe.work
            yield models[0].params, models[0].pretrain_tokens
            yield from ((m.params, work * m.specialize_tokens) for m in models)
        else:
            yield from ((m.params, m.pretrain_tokens + m.specialize_tokens) for m in models)

    @cached_property
    def flops(self) -> float:
        """Training compute as the plan counts it."""
        return self.flops_by(self.cost.per_token)

    def flops_by(self, per_token: Callable[[float], float]) -> float:
        """Training compute by another count. per_token: N -> FLOPs of a token."""
        return sum(per_token(n) * tokens for n, tokens in self.pieces())

    def built(self, spec: SweepSpec) -> Arm:
        """The arm as a sweep's trainer can build it: N is that of the nearest width, tokens grow by
        what a token costs less so that the compute is the same, and are whole steps."""
        widths = [nearest_width(spec.rule, float(n)) for n in self.params]
        params = np.array([spec.rule.shape(w).params for w in widths], float)

        def spent(tokens: np.ndarray) -> np.ndarray:
            wanted = tokens * self.cost.per_token(self.params) / self.cost.per_token(params)
            return np.array([spec.whole(int(t)) if t > 0 else 0 for t in wanted], float)

        return replace(
            self, params=params, pretrain_tokens=spent(self.pretrain_tokens),
            specialize_tokens=spent(self.specialize_tokens), planned=self,
        )  # fmt: skip


def arms_of(plan: PlanFile, without: Sequence[str] = ()) -> tuple[Arm, ...]:
    """The plan, its baselines and what else is compared with a split at the same compute:

    joint: N, D of the trunk and Σ D′ₖ, one second stage on the weighted domains, no split.
    scratch: the models of `independent` (else K of the trunk's N), every token on their own domain.
    weighted generalist: the generalist's N and D on the domains in the objective's proportions,
        from the first token on; left out where those are equal, as the sweep's mixture has them.

    What the plan's file has of these names stands as it is. Of branches of another recipe than the
    plain one only the plan's own are an arm. Raises `PlanError` for names in
    `without` that are no arms, and when the plan itself is left out.
    """
    found = {
        d.name: Arm.of(d, plan.domains, cost=plan.cost)
        for d in plan.designs if d.name == PLAN or not d.recipe
    }  # fmt: skip
    kinds = {a.arrangement for a in found.values()}
    for arm in _more(plan):
        if arm.name not in found and (arm.name == WEIGHTED or arm.arrangement not in kinds):
            found[arm.name] = arm
    faults = [
        f"there is no arm '{n}'; there are {', '.join(found)}" for n in without if n not in found
    ]
    if PLAN in without:
        faults.append("the plan cannot be left out of its own verification")
    if faults:
        raise PlanError("; ".join(faults))
    return tuple(a for n, a in found.items() if n not in without)


def _more(plan: PlanFile) -> Iterator[Arm]:
    trunk, own = plan.design("trunk"), plan.design("independent")
    generalist = plan.design("generalist")
    count, none = len(plan.domains), np.zeros(len(plan.domains))
    if trunk is not None:
        together = np.full(count, trunk.specialize_tokens.sum())
        yield Arm.of(
            trunk, plan.domains, cost=plan.cost, name="joint", arrangement="joint", stage="joint",
            specialize_tokens=together,
        )  # fmt: skip
    alone = own or trunk
    if alone is not None:
        first = alone.pretrain_tokens if own else alone.pretrain_tokens / count
        yield Arm.of(
            alone, plan.domains, cost=plan.cost, name="scratch", arrangement="scratch",
            stage="scratch", pretrain_tokens=none,
            specialize_tokens=first + alone.specialize_tokens,
        )  # fmt: skip
    if generalist is not None and np.ptp(plan.weights) > 1e-6:
        yield Arm.of(
            generalist, plan.domains, cost=plan.cost, name=WEIGHTED, stage="joint",
            pretrain_tokens=none, specialize_tokens=generalist.pretrain_tokens,
        )  # fmt: skip
