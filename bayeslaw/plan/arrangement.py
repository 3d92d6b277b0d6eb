"""Arrangements: what is trained, what the domains have in common, and what it costs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from bayeslaw.cost import (
    SIX_ND,
    CostLaw,
    generalist_flops,
    independent_flops,
    joint_flops,
    scratch_flops,
    trunk_flops,
)
from bayeslaw.infer.contrast import Contrast
from bayeslaw.infer.ensemble import Ensemble
from bayeslaw.laws import Run


class Arrangement:
    """A way to spend a budget.

    own: what each domain has for itself, among `params`, `tokens_per_param` and `split_ratio`; the
    rest is the same for all domains. stages: whether there is a first and a second one. work: FLOPs
    of a token of the second stage, over those of a plain one. recipe: of its branches, where it is
    something to choose; else empty.
    """

    name: str
    own: ClassVar[frozenset[str]] = frozenset()
    stages: ClassVar[tuple[bool, bool]] = (True, True)
    work: float = 1.0
    recipe: str = ""

    @property
    def kind(self) -> str:
        """Which of `ARRANGEMENTS` it is, or a recipe of."""
        return self.name

    def flops(self, run: Run, law: CostLaw = SIX_ND) -> Any:
        """What training it costs; fields of `run` have shape (domain,)."""
        raise NotImplementedError

    def unassessable(self, fitted: Ensemble) -> str:
        """Why the runs cannot speak about it; empty when they can."""
        return ""

    def contrast(self, fitted: Ensemble) -> Contrast | None:
        """Runs of it that no law was fitted to, and that speak for it; None where laws do."""
        return None


class Trunk(Arrangement):
    """One trunk, K branches: 6 N (D + Σ D′ₖ)."""

    name = "trunk"
    own = frozenset({"split_ratio"})
    recipe = "plain"

    def flops(self, run: Run, law: CostLaw = SIX_ND) -> Any:
        return trunk_flops(run.params[0], run.pretrain_tokens[0], run.specialize_tokens, law)

    def unassessable(self, fitted: Ensemble) -> str:
        return "" if fitted.two_stage else "the fit is of a single stage: no runs were split"


class Independent(Arrangement):
    """K models of their own: Σ 6 Nₖ (Dₖ + D′ₖ)."""

    name = "independent"
    own = frozenset({"params", "tokens_per_param", "split_ratio"})

    def flops(self, run: Run, law: CostLaw = SIX_ND) -> Any:
        return independent_flops(run.params, run.pretrain_tokens, run.specialize_tokens, law)

    def unassessable(self, fitted: Ensemble) -> str:
        return "" if len(fitted.domains) > 1 else "there is one domain: it is the same as one model"


class Generalist(Arrangement):
    """One model, no second stage: 6 N D."""

    name = "generalist"
    stages = (True, False)

    def flops(self, run: Run, law: CostLaw = SIX_ND) -> Any:
        return generalist_flops(run.params[0], run.pretrain_tokens[0], law)

    def unassessable(self, fitted: Ensemble) -> str:
        infinite = _infinite(fitted, "specialize_tokens")
        return f"not finite without a second stage: {infinite}" if infinite else ""


class Joint(Arrangement):
    """One model, a second stage on the union of the domains: 6 N (D + D′). In the proportions in
    which the runs mixed it."""

    name = "joint"

    def flops(self, run: Run, law: CostLaw = SIX_ND) -> Any:
        return joint_flops(run.params[0], run.pretrain_tokens[0], run.specialize_tokens[0], law)

    def unassessable(self, fitted: Ensemble) -> str:
        if self.contrast(fitted) is None:
            return "no runs of recipe joint: with a second stage on several domains at once"
        return "" if fitted.two_stage else "the fit is of a single stage: no runs were split"

    def contrast(self, fitted: Ensemble) -> Contrast | None:
        return fitted.contrast(self.name)


class Scratch(Arrangement):
    """K models without pretraining: Σ 6 Nₖ D′ₖ. Here `tokens_per_param` is D′/N."""

    name = "scratch"
    own = frozenset({"params", "tokens_per_param"})
    stages = (False, True)

    def flops(self, run: Run, law: CostLaw = SIX_ND) -> Any:
        return scratch_flops(run.params, run.specialize_tokens, law)

    def unassessable(self, fitted: Ensemble) -> str:
        if self.contrast(fitted) is not None:
            return ARRANGEMENTS["generalist"].unassessable(fitted)
        if fitted.ranges.get("pretrain_tokens", (1.0, 1.0))[0] > 0:
            return "no runs with pretrain_tokens = 0, or of recipe scratch"
        infinite = _infinite(fitted, "pretrain_tokens")
        return f"not finite without pretraining: {infinite}" if infinite else ""

    def contrast(self, fitted: Ensemble) -> Contrast | None:
        by_law = fitted.ranges.get("pretrain_tokens", (1.0, 1.0))[0] == 0
        return None if by_law else fitted.contrast(self.name)


@dataclass(frozen=True)
class Recipe(Trunk):
    """One trunk, K branches that are trained in another way than on their domain alone.

    way: `replay`, with a share of general data, or `distill`, held to the predictions at the split,
    which costs a forward pass of that model a token: 6 N (D + 4/3 Σ D′ₖ). level: the share, or the
    weight. Only levels that were measured can be chosen.
    """

    way: str
    level: float

    @property
    def name(self) -> str:  # type: ignore[override]
        return f"trunk with {self.said}"

    @property
    def said(self) -> str:
        """Its way and level, which `Recipe.of` reads again: digits are those of the number."""
        short = f"{self.level:g}"
        return f"{self.way} {short if float(short) == self.level else repr(self.level)}"

    @classmethod
    def of(cls, said: str) -> Recipe:
        """From `said`, as `replay 0.15`."""
        way, level = said.split()
        return cls(way, float(level))

    @property
    def kind(self) -> str:
        return "trunk"

    @property
    def recipe(self) -> str:  # type: ignore[override]
        return self.way

    @property
    def work(self) -> float:  # type: ignore[override]
        return DISTILLED if self.way == "distill" else 1.0

    def flops(self, run: Run, law: CostLaw = SIX_ND) -> Any:
        return super().flops(run._replace(specialize_tokens=self.work * run.specialize_tokens), law)

    def unassessable(self, fitted: Ensemble) -> str:
        contrast = fitted.contrast(self.way)
        if contrast is None or self.level not in contrast.level:
            return f"no runs of {self.said}"
        if any(m.law.rows != "own branch" for m in fitted.members):
            return "the fit is of branches on other domains"
        return super().unassessable(fitted)

    def contrast(self, fitted: Ensemble) -> Contrast | None:
        return fitted.contrast(self.way)

    def by_laws(self, fitted: Ensemble) -> bool:
        """Whether all laws know it themselves."""
        return self.way == "replay" and all("replay" in m.law.inputs for m in fitted.counted)


def _infinite(fitted: Ensemble, column: str) -> str:
    """The laws with weight that are not finite where an input is 0."""
    laws = [m.law for m in fitted.counted]
    return ", ".join(w.name for w in laws if column in w.inputs and column not in w.may_be_zero)


RECIPES = ("plain", "replay", "distill")  # of branches; plain: as the runs that laws are fitted to
ONE = ("generalist", "joint")  # of a single model: there are no branches
DISTILLED = 4 / 3  # what a token costs that is held to the predictions of another model

ARRANGEMENTS: dict[str, Arrangement] = {
    a.name: a for a in (Trunk(), Independent(), Generalist(), Joint(), Scratch())
}


def arrangements_of(fitted: Ensemble) -> dict[str, Arrangement]:
    """All of `ARRANGEMENTS`, and the trunk with every recipe that runs have tried."""
    tried = [(way, fitted.contrast(way)) for way in RECIPES[1:]]
    recipes = [
        Recipe(way, level) for way, contrast in tried if contrast is not None
        for level in sorted(set(contrast.level.tolist()))
    ]  # fmt: skip
    return ARRANGEMENTS | {r.name: r for r in recipes}


def arrangement_of(name: str) -> Arrangement:
    """By its name: one of `ARRANGEMENTS`, or a recipe as `trunk with replay 0.15`."""
    if name in ARRANGEMENTS:
        return ARRANGEMENTS[name]
    return Recipe.of(name.removeprefix("trunk with "))


def kind_of(name: str) -> str:
    """Which of `ARRANGEMENTS` a name is of."""
    return arrangement_of(name).kind
