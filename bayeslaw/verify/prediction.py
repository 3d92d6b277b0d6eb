"""Predictions: draws of the loss at measured designs, however they were trained.

Laws speak of generalists and branches. Of a second stage on all domains, of models from fresh
weights, and of branches with replay or distillation, runs of that way speak that were kept with the
fit (`infer.contrast`): by how much it differs from what the laws say of the usual way there
(`plan.offset`), as the plan has it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from bayeslaw.infer.ensemble import Ensemble, Kind
from bayeslaw.infer.model import inputs_of
from bayeslaw.infer.precision import double
from bayeslaw.laws import Run
from bayeslaw.plan.arrangement import Recipe
from bayeslaw.plan.offset import WAYS, Offset, levels_of, offset_of
from bayeslaw.plan.outlook import Outlook
from bayeslaw.verify.arm import Arm, Stage, recipe_of
from bayeslaw.verify.measured import Measured

LAWS = "laws"


@dataclass(frozen=True)
class Predictor:
    """What a fit can say of arms. draws: joint draws of the laws; seed: theirs and the offsets'."""

    fitted: Ensemble
    draws: int = 4000
    seed: int = 0

    def source(self, arm: Arm) -> str | None:
        """What speaks of an arm: `laws`, or how many runs of that way; None where nothing does."""
        if arm.assessable:
            return LAWS if self.fitted.two_stage or not arm.specialize_tokens.any() else None
        way = self._way(arm)
        if way is None:
            return None
        if self._by_laws(arm.stage):
            return LAWS
        contrast, recipe = self.fitted.contrast(way), arm.recipe
        if contrast is None or (recipe is not None and recipe.level not in contrast.level):
            return None
        rows = len(contrast) if recipe is None else int((contrast.level == recipe.level).sum())
        return f"{arm.stage}: {rows} measured losses"

    def _way(self, arm: Arm) -> str | None:
        """The contrast that would speak of it. A joint model from fresh weights is of none: what
        was measured starts from a trunk."""
        if arm.assessable or not self.fitted.two_stage or self.fitted.discrepancy is None:
            return None
        if arm.stage == "joint" and not arm.pretrain_tokens.any():
            return None
        return _way_of(arm.stage)

    def _by_laws(self, stage: Stage) -> bool:
        """Whether laws know a recipe themselves."""
        recipe = recipe_of(stage)
        return recipe is not None and recipe.by_laws(self.fitted)

    def losses(self, run: Run, stages: Sequence[Stage], kind: Kind) -> np.ndarray:
        """(draw, design, domain); stages: how the second stage of each design was done."""
        at = self._reference(run, stages)
        return self.fitted.losses(at, kind, self.draws, self.seed) * self._factors(run, stages)

    def curves(self, run: Run, stages: Sequence[Stage]) -> np.ndarray:
        """The same of expected losses: curves, and what laws get wrong beyond the sweep."""
        at, fitted = self._reference(run, stages), self.fitted
        losses = self.losses(run, stages, "mean")
        if fitted.discrepancy is None:
            return losses
        beyond = fitted.discrepancy.sample(at, len(fitted.domains), self.draws, self.seed)
        return np.asarray(losses * np.exp(beyond))

    def _reference(self, run: Run, stages: Sequence[Stage]) -> Run:
        """The designs that the laws are asked about."""
        full = [np.array(f, float) for f in np.broadcast_arrays(*run, np.zeros(len(stages)))]
        fields = dict(zip(Run._fields, full, strict=False))
        for stage, rows in _of_stages(stages):
            if self._by_laws(stage):
                fields["replay"][rows] = Recipe.of(stage).level
            there = WAYS[_way_of(stage)].reference(Run(**{n: f[rows] for n, f in fields.items()}))
            for name, values in there._asdict().items():
                fields[name][rows] = np.asarray(values)
        return Run(**fields)

    def _factors(self, run: Run, stages: Sequence[Stage]) -> np.ndarray:
        """What a way to train multiplies the loss by, (draw, design, domain)."""
        domains = len(self.fitted.domains)
        factors = np.ones((self.draws, len(stages), domains))
        full = np.broadcast_arrays(*[np.asarray(f, float) for f in run], np.zeros(len(stages)))
        for stage, rows in _of_stages(stages):
            if self._by_laws(stage):
                continue
            designs, which = np.unique(np.stack(full[:-1])[:, rows], axis=1, return_inverse=True)
            with double():
                for j, design in enumerate(designs.T):
                    one = Run(*[np.full(domains, v) for v in design])
                    there = np.exp(np.asarray(self._offset(stage).of(one)))
                    factors[:, rows[which.ravel() == j]] = there[:, None]
        return factors

    def _offset(self, stage: Stage) -> Offset:
        """Within `double()`."""
        if stage not in self._offsets:
            contrast = self.fitted.contrast(_way_of(stage))
            assert contrast is not None
            given = (self.fitted, contrast, self._outlook.log_loss, self.draws, self.seed)
            recipe = recipe_of(stage)
            self._offsets[stage] = (
                offset_of(*given) if recipe is None else levels_of(*given)[recipe.level]
            )
        return self._offsets[stage]

    @cached_property
    def _outlook(self) -> Outlook:
        return Outlook.of(self.fitted, "calibrated", self.draws, self.seed)

    @cached_property
    def _offsets(self) -> dict[Stage, Offset]:
        return {}


def _way_of(stage: Stage) -> str:
    recipe = recipe_of(stage)
    return stage if recipe is None else recipe.way


def _of_stages(stages: Sequence[Stage]) -> Iterator[tuple[Stage, np.ndarray]]:
    """Every way to train but the laws' own, and where it is."""
    names = np.array(stages)
    for stage in sorted(set(stages) - {"branch"}):
        yield stage, np.flatnonzero(names == stage)


@dataclass(frozen=True)
class Spoken:
    """Rows that there is a prediction for. rows: their places among `found.rows`."""

    found: Measured
    rows: tuple[int, ...]
    stages: tuple[Stage, ...]

    @classmethod
    def of(cls, predictor: Predictor, found: Measured, arms: Sequence[Arm]) -> Spoken:
        stages = {a.name: a.stage for a in arms if predictor.source(a) is not None}
        rows = tuple(i for i, row in enumerate(found.rows) if row.arm in stages)
        return cls(found, rows, tuple(stages[found.rows[i].arm] for i in rows))

    @property
    def table_rows(self) -> list[int]:
        """Their places in the table."""
        return [self.found.rows[i].row for i in self.rows]

    @property
    def run(self) -> Run:
        return inputs_of(self.found.runs.table.iloc[self.table_rows])
