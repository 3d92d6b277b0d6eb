"""The choice: arrangements that can be assessed, those to choose from, and why not the rest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from bayeslaw.errors import PlanError
from bayeslaw.infer.ensemble import Ensemble
from bayeslaw.plan.arrangement import ARRANGEMENTS, arrangement_of, arrangements_of, kind_of
from bayeslaw.plan.conflict import lacking, refusal
from bayeslaw.plan.question import Question

Reasons = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Choice:
    """Arrangements by name. assessed: what the runs can speak about; allowed: those of them to
    choose from. not_assessable, excluded: (name, why), of what the runs cannot speak about, and of
    what cannot keep the caller's bounds."""

    assessed: tuple[str, ...]
    allowed: tuple[str, ...]
    not_assessable: Reasons
    excluded: Reasons = ()

    @classmethod
    def of(cls, fitted: Ensemble, arrangements: Sequence[str] | None) -> Choice:
        """Among some, or all; each with every recipe that was measured. Raises `PlanError` where
        nothing can be chosen."""
        unknown = [a for a in arrangements or () if a not in ARRANGEMENTS]
        if unknown:
            known = ", ".join(ARRANGEMENTS)
            raise PlanError(f"arrangement {', '.join(unknown)} is not one of {known}")
        reasons = {name: a.unassessable(fitted) for name, a in arrangements_of(fitted).items()}
        assessed = tuple(n for n, reason in reasons.items() if not reason)
        allowed = tuple(n for n in assessed if kind_of(n) in (arrangements or ARRANGEMENTS))
        without = tuple((n, r) for n, r in reasons.items() if r)
        if not allowed:
            told = "; ".join(f"{n}: {r}" for n, r in without)
            raise PlanError(f"nothing to choose from: {told}")
        return cls(assessed, allowed, without)

    def within(self, asked: Question) -> Choice:
        """Without what cannot keep the bounds within the budget. What lacks a stage that they speak
        of is not chosen, but stands beside the plan. Raises `PlanError` where nothing is left."""
        mute = tuple((a, asked.mute[a]) for a in self.assessed if a in asked.mute)
        spoken = [a for a in self.assessed if a not in asked.mute]
        open_to = [a for a in self.allowed if a not in asked.mute]
        if not open_to:
            raise PlanError(f"nothing to choose from: {'; '.join(map(': '.join, mute))}")
        refused = {a: refusal(asked, a) for a in spoken}
        lacks = {a: unwanted(asked, a) or lacking(asked, a) for a in spoken}
        assessed = tuple(a for a in spoken if not refused[a][0])
        allowed = tuple(a for a in assessed if a in open_to and not lacks[a])
        reasons = {
            a: refused[a] if refused[a][0] else (lacks[a], "") for a in open_to if a not in allowed
        }
        if not allowed:
            raise PlanError(_told(reasons))
        excluded = tuple((a, ": ".join(filter(None, why))) for a, why in reasons.items())
        return replace(
            self, assessed=assessed, allowed=allowed, excluded=excluded,
            not_assessable=(*self.not_assessable, *mute),
        )  # fmt: skip


def unwanted(asked: Question, arrangement: str) -> str:
    """Why an arrangement's branches are not to be chosen by their recipe; empty where they are."""
    recipe = arrangement_of(arrangement).recipe
    if not recipe or not asked.recipes or recipe in asked.recipes:
        return ""
    return f"its recipe is {recipe}, and {', '.join(asked.recipes)} was asked for"


def _told(reasons: Mapping[str, tuple[str, str]]) -> str:
    """Every reason once, with what each arrangement would need."""
    by_reason: dict[str, dict[str, list[str]]] = {}
    for name, (why, need) in reasons.items():
        by_reason.setdefault(why, {}).setdefault(need, []).append(name)
    told = []
    for why, needs in by_reason.items():
        each = [f"{', '.join(names)}: {need}" for need, names in needs.items()]
        told.append(f"{why} ({'; '.join(e.removesuffix(': ') for e in each)})")
    return "no design is within the bounds: " + "; ".join(told)
