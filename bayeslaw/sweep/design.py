"""Designs: which models a sweep trains. A design is a short class and one line in `DESIGNS`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from bayeslaw.errors import SweepError
from bayeslaw.sweep.listed import listed
from bayeslaw.sweep.second_stage import SecondStage
from bayeslaw.sweep.snap import nearest_width
from bayeslaw.sweep.spec import SweepSpec

JOINT = "joint"  # the branch of the union of all domains


class Model(NamedTuple):
    """One model that is wanted. Tokens are whole steps."""

    width: int
    seed: int
    pretrain_tokens: int
    specialize_tokens: int = 0
    branch: str = ""  # a domain, `joint`, or empty without a second stage
    second: SecondStage | None = None
    apart: int = 0  # of the models of a width and seed: which trunk they share


def models(spec: SweepSpec, domains: tuple[str, ...], vocabulary: int = 256) -> list[Model]:
    """Every model of the sweep, in the order of the table. Raises `SweepError` when there are
    none, when the design cannot be made, or when it cannot carry a second stage."""
    design = DESIGNS[spec.design](spec, domains, vocabulary)
    faults = [*_named(domains), *(f for s in spec.second_stage for f in design.misfits(s))]
    if faults:
        raise SweepError("; ".join(dict.fromkeys(faults)))
    found = [m for seed in spec.seeds for m in design.models(seed)]
    if not found:
        raise SweepError(f"design '{spec.design}' asks for no model; widen it")
    asked = spec.second_stage if "second_stage" in spec.model_fields_set else ()
    idle = [f"'{s.recipe}'" for s in asked if not any(m.second == s for m in found)]
    if idle and not isinstance(design, Listed):
        raise SweepError(f"no model of design '{spec.design}' has the second stage "
                         f"{', '.join(idle)}; ask for D′, or widen what narrows it")  # fmt: skip
    return found


def _named(domains: tuple[str, ...]) -> Iterator[str]:
    if JOINT in domains:
        yield f"a domain cannot be named '{JOINT}', as the union of all is; rename it"


class Design:
    """Some models for a seed. `cannot` are the recipes of a second stage, and the fields that
    narrow one, that it has no place for."""

    cannot: tuple[str, ...] = ()

    def __init__(self, spec: SweepSpec, domains: tuple[str, ...], vocabulary: int):
        self.spec, self.domains, self.vocabulary = spec, domains, vocabulary

    def models(self, seed: int) -> Iterator[Model]:
        raise NotImplementedError

    def misfits(self, second: SecondStage) -> Iterator[str]:
        """Why a second stage is not for these domains or this design."""
        what = f"second stage '{second.recipe}'"
        if unknown := sorted(set(second.weights) - set(self.domains)):
            yield (f"{what}: weights name no domain of the sweep: {', '.join(unknown)}; it has "
                   f"{', '.join(self.domains)}")  # fmt: skip
        if second.recipe in self.cannot:
            yield f"{what} has no place in design '{self.spec.design}'; leave it out"
        if narrow := [f for f in self.cannot if getattr(second, f, ())]:
            yield (f"{what}: design '{self.spec.design}' sets {' and '.join(narrow)} itself; "
                   "leave it out")  # fmt: skip

    def flops(self, width: int) -> float:
        """Of a token."""
        return self.spec.shape(width, self.vocabulary).flops_per_token

    def length(self, second: SecondStage, tokens: int) -> int:
        """Tokens of a second stage where a plain one has so many."""
        return tokens

    def first(self, d: int) -> int:
        """Tokens of a first stage of about D: whole steps."""
        return self.spec.whole(d) if d else 0

    def branches(
        self, width: int, seed: int, d: int, lengths: tuple[int, ...], apart: int = 0
    ) -> Iterator[Model]:
        """Every second stage from a trunk at D; those from fresh weights where D is 0."""
        for second in self.spec.second_stage:
            if second.kind.scratch != (d == 0) or not second.takes(width, seed, d):
                continue
            for branch in self.domains if second.kind.splits else (JOINT,):
                for split in sorted(second.specialize_tokens or lengths):
                    tokens = self.spec.whole(self.length(second, split))
                    yield Model(width, seed, self.first(d), tokens, branch, second, apart)


class Trunk(Design):
    """One trunk for a width: cooled at every D, and branched from every D at every D′."""

    def models(self, seed: int) -> Iterator[Model]:
        for width in self.spec.widths_of(seed):
            yield from self.of(width, seed, self.spec.pretrain_tokens, self.spec.specialize_tokens)

    def of(
        self, width: int, seed: int, lengths: tuple[int, ...], splits: tuple[int, ...]
    ) -> Iterator[Model]:
        for d in sorted(lengths):
            yield Model(width, seed, self.spec.whole(d))
        # Recipe by recipe, as the table has them.
        every = [m for d in (0, *sorted(lengths)) for m in self.branches(width, seed, d, splits)]
        for second in self.spec.second_stage:
            yield from (m for m in every if m.second is second)


class Grid(Design):
    """The same models, but every D has a trunk of its own, with its own weights and order of text:
    dearer, and no two D share their noise."""

    def models(self, seed: int) -> Iterator[Model]:
        for width in self.spec.widths_of(seed):
            for d in sorted(self.spec.pretrain_tokens):
                yield Model(width, seed, self.spec.whole(d), apart=d)
            for d in (0, *sorted(self.spec.pretrain_tokens)):
                yield from self.branches(width, seed, d, self.spec.specialize_tokens, apart=d)


class IsoFlop(Design):
    """Every width at every budget of compute (Hoffmann et al. 2022, approach 2), of which a share
    goes to the second stage: T = C / FLOPs of a token, D = (1 - share) T, D′ = share · T; less
    for distillation, whose tokens cost more."""

    cannot = ("scratch", "pretrain_tokens", "specialize_tokens")

    def length(self, second: SecondStage, tokens: int) -> int:
        return int(tokens / second.work)

    def models(self, seed: int) -> Iterator[Model]:
        spec, step = self.spec, self.spec.rule.tokens_per_step
        dearest = max((s.work for s in spec.second_stage), default=1.0)
        for width in spec.widths_of(seed):
            for flops in sorted(spec.flops):
                tokens = flops / self.flops(width)
                for share in sorted(spec.specialize_shares):
                    d, split = int((1 - share) * tokens), int(share * tokens)
                    if min(d, split / dearest or d) < step:
                        raise SweepError(f"flops: {flops:.3g} at width {width} and share {share:g} "
                                         "is less than one step; ask for more")  # fmt: skip
                    if split:
                        yield from self.branches(width, seed, d, (split,))
                    else:
                        yield Model(width, seed, spec.whole(d))


class Pilot(Trunk):
    """The least that tells the two stages apart, as large as the budget allows.

    Three widths (w, w/√2, w/2: N by 4), two D (20 and 80 tokens a weight of the largest model, and
    no fewer than 1500 steps for the shorter), and at both D the same three D′/D over 1.5 decades:
    D/N and D′/D vary independently. Compute is that of every cell, for all domains, seeds and
    second stages, evaluation included.
    """

    RATIOS = (1 / 3, 1 / 17, 1 / 95)
    cannot = ("scratch", "pretrain_tokens", "specialize_tokens")

    def models(self, seed: int) -> Iterator[Model]:
        return self.under(self.largest(), seed)

    def under(self, top: int, seed: int) -> Iterator[Model]:
        """The models whose largest width is `top`."""
        for width in self.ladder(top):
            d_short, d_long = self.lengths(top)
            for d in (d_short, d_long):
                yield Model(width, seed, self.spec.whole(d))
            for d in (d_short, d_long):
                yield from self.branches(width, seed, d, self.splits(d))

    def largest(self) -> int:
        """The largest top width whose pilot is within the budget. Raises `SweepError`."""
        step, budget = 2 * self.spec.rule.head_width, min(self.spec.flops)
        top = 2 * step
        if (least := self.cost(top)) > budget:
            raise SweepError(f"flops: {budget:.3g} is too little for a pilot of {len(self.domains)}"
                             f" domains; it takes {least:.3g} at least")  # fmt: skip
        while self.cost(top + step) <= budget:
            top += step
        return top

    def ladder(self, top: int) -> tuple[int, ...]:
        step = self.spec.rule.head_width * (1 if self.spec.rule.head_width % 2 == 0 else 2)
        return tuple(step * max(1, round(top / f / step)) for f in (2, 2**0.5, 1))

    def lengths(self, top: int) -> tuple[int, int]:
        rule = self.spec.rule
        short = max(20 * rule.shape(top, self.vocabulary).params, 1500 * rule.tokens_per_step)
        return short, 4 * short

    def splits(self, d: int) -> tuple[int, ...]:
        return tuple(int(r * d) for r in self.RATIOS)

    def cost(self, top: int) -> float:
        spec, (_, d_long) = self.spec, self.lengths(top)
        spent = sum(map(self.flops, self.ladder(top))) * spec.whole(d_long) * len(spec.seeds)
        for m in (m for seed in spec.seeds for m in self.under(top, seed)):
            d = m.pretrain_tokens
            own = m.specialize_tokens * m.second.work if m.second else d - spec.stable(d)
            spent += self.flops(m.width) * (own + spec.judging)
        return spent


class Listed(Design):
    """The runs of a table, CSV or JSON, with the columns params, pretrain_tokens,
    specialize_tokens, branch and, where there are several second stages, recipe: what to run next.
    A size becomes the nearest width."""

    cannot = ("widths", "pretrain_tokens", "specialize_tokens", "seeds")

    def models(self, seed: int) -> Iterator[Model]:
        stages = self.spec.second_stage or (SecondStage(),)
        for run in listed(self.spec.runs, self.domains, stages):
            width = nearest_width(self.spec.rule, run.params, self.spec.widths)
            d, split = run.pretrain_tokens, run.specialize_tokens
            d = self.spec.whole(d) if d else 0
            if run.second is None:
                yield Model(width, seed, d)
                continue
            every = self.domains if run.second.kind.splits else (JOINT,)
            for branch in (run.branch,) if run.branch else every:
                yield Model(width, seed, d, self.spec.whole(split), branch, run.second)


class Started(Design):
    """A model that came from elsewhere: judged as it came, and specialised at every D′. Its D is
    what it was trained on."""

    cannot = ("scratch", "widths", "pretrain_tokens")

    def first(self, d: int) -> int:
        return d

    def misfits(self, second: SecondStage) -> Iterator[str]:
        yield from super().misfits(second)
        if second.teacher == "cooled":
            yield (f"second stage '{second.recipe}': the model in start is not cooled down again; "
                   "leave teacher out")  # fmt: skip

    def models(self, seed: int) -> Iterator[Model]:
        begun = self.spec.begun
        assert begun is not None
        width, d = begun.shape.width, self.spec.start_tokens or begun.tokens
        if seed == self.spec.seeds[0]:  # the same for all
            yield Model(width, seed, d)
        yield from self.branches(width, seed, d, self.spec.specialize_tokens)


DESIGNS: dict[str, type[Design]] = {
    "trunk": Trunk, "grid": Grid, "iso-flop": IsoFlop, "pilot": Pilot, "runs": Listed,
    "start": Started,
}  # fmt: skip
