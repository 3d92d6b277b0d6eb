"""Data: the distinct tokens that there are, and how often they may be repeated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bayeslaw.errors import PlanError
from bayeslaw.infer.ensemble import Ensemble
from bayeslaw.laws import Run
from bayeslaw.plan.bounds import Bound
from bayeslaw.plan.faults import Faults, quantity
from bayeslaw.quantity import format_quantity

GENERAL = "general"  # what the first stage is trained on
# Epochs until which repeated tokens are as good as fresh (Muennighoff et al. 2023,
# arXiv:2305.16264): what is assumed where no law knows better.
FRESH = 4.0
STAGES = {"pretrain_tokens": "unique_tokens", "specialize_tokens": "unique_specialize_tokens"}


@dataclass(frozen=True)
class Data:
    """unique: name -> distinct tokens, of `general` and of domains; others have no end. epochs: how
    often they may be seen; None: as often as the laws find it worth. priced: the stages whose
    repetition every law of the ensemble prices."""

    unique: Mapping[str, float]
    epochs: float | None
    priced: tuple[str, ...]

    @classmethod
    def of(cls, fitted: Ensemble, unique: Mapping[str, Any], epochs: Any = None) -> Data:
        """unique: numbers, or `20B`. Raises `PlanError` with all faults."""
        faults, found = Faults(), {}
        for name, tokens in unique.items():
            if name != GENERAL and name not in fitted.domains:
                known = ", ".join((GENERAL, *fitted.domains))
                faults.append(f"unique tokens of '{name}': there is {known}")
            elif (amount := faults.of(lambda n=name, t=tokens: _tokens(n, t))) is not None:  # type: ignore[misc]
                found[name] = amount
        if epochs is not None:
            faults.unless(0 < epochs < np.inf, f"epochs must be positive and finite, got {epochs}")
            faults.unless(bool(unique), "epochs are of unique tokens: say how many there are")
        faults.tell()
        laws = [m.law for m in fitted.counted]
        priced = tuple(s for s, name in STAGES.items() if all(name in law.inputs for law in laws))
        return cls(found, epochs, priced)

    def limit(self, stage: str) -> float | None:
        """Epochs of a stage at most; None where there is no limit."""
        return FRESH if self.epochs is None and stage not in self.priced else self.epochs

    def caps(self, domains: Sequence[str]) -> tuple[Bound, ...]:
        """The bounds that it sets."""
        found = []
        for stage, names in (("pretrain_tokens", (GENERAL,)), ("specialize_tokens", domains)):
            limit = self.limit(stage)
            for k, name in enumerate(names):
                if limit is not None and name in self.unique:
                    tokens = self.unique[name]
                    said = f"{limit:g} epochs of {format_quantity(tokens)} {name}"
                    row = None if stage == "pretrain_tokens" else k
                    found.append(Bound(stage, 0.0, limit * tokens, said, row, cap=True))
        return tuple(found)

    def distinct(self, domains: Sequence[str]) -> np.ndarray | None:
        """Distinct tokens of either stage, (2, domain); None where there is no end of any."""
        if not self.unique:
            return None
        first = np.full(len(domains), self.unique.get(GENERAL, np.inf))
        return np.stack([first, [self.unique.get(d, np.inf) for d in domains]])

    def seen(self, run: Run, domains: Sequence[str]) -> dict[str, float]:
        """How often a design sees the distinct tokens; the most of its models."""
        tokens = {GENERAL: float(np.max(run.pretrain_tokens))}
        split = dict(zip(domains, map(float, run.specialize_tokens), strict=True))
        found = {}
        for name, amount in self.unique.items():
            count = split[name] if name in split else tokens[name]
            found[name] = (max(count, tokens[GENERAL]) if name == GENERAL else count) / amount
        return found


def _tokens(name: str, tokens: Any) -> float:
    amount = quantity(f"unique tokens of {name}", tokens)
    if not 0 < amount < np.inf:
        raise PlanError(f"unique tokens of {name}: {tokens}; it must be more than 0, and finite")
    return amount
