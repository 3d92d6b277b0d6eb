"""Arrangements: what is trained, what the domains have in common, and what it costs."""

from __future__ import annotations

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
    rest is the same for all domains. stages: whether there is a first and a second one.
    """

    name: ClassVar[str]
    own: ClassVar[frozenset[str]] = frozenset()
    stages: ClassVar[tuple[bool, bool]] = (True, True)

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


def _infinite(fitted: Ensemble, column: str) -> str:
    """The laws with weight that are not finite where an input is 0."""
    laws = [m.law for m in fitted.counted]
    return ", ".join(w.name for w in laws if column in w.inputs and column not in w.may_be_zero)


ARRANGEMENTS: dict[str, Arrangement] = {
    a.name: a for a in (Trunk(), Independent(), Generalist(), Joint(), Scratch())
}
