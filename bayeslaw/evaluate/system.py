"""Systems: the branches of one trunk, one for every domain; and the generalist beside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from bayeslaw.errors import TaskError
from bayeslaw.evaluate.model_file import ModelFile


@dataclass(frozen=True)
class System:
    """branches: in the order of `domains`. generalist: of the same trunk, nearest in compute to all
    that the system cost; None where none was kept."""

    domains: tuple[str, ...]
    branches: tuple[ModelFile, ...]
    generalist: ModelFile | None = None

    @property
    def name(self) -> str:
        b = self.branches[0]
        kind = "" if b.recipe in ("", "plain") else f"-{b.recipe}"
        return f"{b.lineage}-{b.pretrain_tokens:.0f}-split-{b.specialize_tokens:.0f}{kind}"

    @property
    def flops(self) -> float:
        """Compute of the trunk, once, and of all branches."""
        b = self.branches[0]
        trunk = b.flops * b.pretrain_tokens / (b.pretrain_tokens + b.specialize_tokens)
        return trunk + sum(m.flops for m in self.branches) - trunk * len(self.branches)

    def as_model(self) -> ModelFile:
        """What is said of all its branches together, as of one model."""
        return replace(self.branches[0], run_id=self.name, branch="", flops=self.flops)


def systems(models: Sequence[ModelFile], domains: Sequence[str]) -> tuple[System, ...]:
    """Every trunk's checkpoint of which all domains have a branch of one kind, dearest first."""
    groups: dict[tuple, dict[str, ModelFile]] = {}
    for m in models:
        if m.branch in domains and m.specialize_tokens > 0 and m.pretrain_tokens > 0:
            key = (m.sweep, m.lineage, m.pretrain_tokens, m.specialize_tokens, m.recipe, m.params)
            groups.setdefault(key, {})[m.branch] = m
    found = []
    for group in groups.values():
        if not set(domains) <= set(group):
            continue
        one = System(tuple(domains), tuple(group[d] for d in domains))
        first = one.branches[0]
        general = [
            m for m in models
            if not m.branch and m.specialize_tokens == 0
            and (m.sweep, m.lineage, m.params) == (first.sweep, first.lineage, first.params)
        ]  # fmt: skip
        nearest = min(general, key=lambda m: abs(m.flops - one.flops), default=None)
        found.append(replace(one, generalist=nearest))
    return tuple(sorted(found, key=lambda s: (-s.flops, s.name)))


def chosen(models: Sequence[ModelFile], domains: Sequence[str], name: str | None = None) -> System:
    """The system of that name, or the dearest. Raises `TaskError` where there is none."""
    found = systems(models, domains)
    if not found:
        raise TaskError(f"no trunk has a kept branch for each of {', '.join(domains)}")
    for one in found if name else found[:1]:
        if name in (None, one.name):
            return one
    raise TaskError(f"no system '{name}'; there is {', '.join(s.name for s in found)}")
