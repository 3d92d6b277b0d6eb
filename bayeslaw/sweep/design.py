"""Designs: which models a sweep trains, before it is said how."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from bayeslaw.sweep.second_stage import SecondStage
from bayeslaw.sweep.spec import SweepSpec


class Model(NamedTuple):
    """One model that is wanted. Tokens are whole steps."""

    width: int
    seed: int
    pretrain_tokens: int
    specialize_tokens: int = 0
    branch: str = ""  # a domain, `joint`, or empty without a second stage
    second: SecondStage | None = None


def models(spec: SweepSpec, domains: tuple[str, ...]) -> list[Model]:
    """Every model of the sweep, in the order of the table."""
    return [
        m for seed in spec.seeds for width in spec.widths for m in _of(spec, width, seed, domains)
    ]


def _of(spec: SweepSpec, width: int, seed: int, domains: tuple[str, ...]) -> Iterator[Model]:
    """The models of one trunk: cooled at every D, then branched from every D to every D′."""
    for d in sorted(spec.pretrain_tokens):
        yield Model(width, seed, spec.whole(d))
    for second in spec.second_stage:
        if width not in (second.widths or (width,)) or seed not in (second.seeds or (seed,)):
            continue
        lengths = second.pretrain_tokens or spec.pretrain_tokens
        for d in (0,) if second.kind.scratch else sorted(lengths):
            for branch in domains if second.kind.splits else ("joint",):
                for split in sorted(second.specialize_tokens or spec.specialize_tokens):
                    yield Model(
                        width, seed, spec.whole(d) if d else 0, spec.whole(split), branch, second
                    )
