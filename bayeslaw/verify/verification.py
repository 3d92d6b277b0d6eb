"""verify: what was planned and forecast against what was measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bayeslaw.card import card
from bayeslaw.errors import FitError
from bayeslaw.infer.ensemble import Ensemble, Kind
from bayeslaw.infer.source import Source
from bayeslaw.plan.written import interval, write_json
from bayeslaw.runs import Runs
from bayeslaw.verify.arm import PLAN, Arm, arms_of
from bayeslaw.verify.gain import Gain, gain
from bayeslaw.verify.measured import TOLERANCE, Measured, measured
from bayeslaw.verify.plan_file import PlanFile, read_plan
from bayeslaw.verify.prediction import Predictor, Spoken
from bayeslaw.verify.score import PROBS, Scored, Summary, scored

SCHEMA = 1
KIND: Kind = "calibrated"


@dataclass(frozen=True)
class Verification:
    """What came true. `to_json` is its file.

    arms: as they were to be trained. scores: of each row of `measured`; None where the laws do not
    speak of its arm. gain: of the split over the generalist; None where they share no seed.
    against: of the plan over every other arm. best: the arm of least mean loss among those that
    have all the plan's seeds; regret: what the plan's is above it. sources: what an arm's forecast
    is from (`Predictor.source`); None where there is none.
    """

    plan: PlanFile
    arms: tuple[Arm, ...]
    measured: Measured
    scores: tuple[Scored | None, ...]
    gain: Gain | None
    against: tuple[Gain, ...]
    best: str | None
    regret: float | None
    passed: bool
    tolerance: float
    posterior: Source | None = None
    sources: Mapping[str, str | None] = field(default_factory=dict)

    @property
    def everywhere(self) -> Summary | None:
        """Of all rows with a forecast."""
        found = [s for s in self.scores if s is not None]
        return Summary.of(found) if found else None

    @property
    def by_domain(self) -> dict[str, Summary]:
        return self._by("domain", self.plan.domains)

    @property
    def by_arm(self) -> dict[str, Summary]:
        return self._by("arm", [a.name for a in self.arms])

    def _by(self, name: str, names: Sequence[str]) -> dict[str, Summary]:
        each: dict[str, list[Scored]] = {}
        for row, score in zip(self.measured.rows, self.scores, strict=True):
            if score is not None:
                each.setdefault(getattr(row, name), []).append(score)
        return {n: Summary.of(each[n]) for n in names if n in each}

    def to_dataframe(self) -> pd.DataFrame:
        """A row for every measured run: its arm, design, loss, z and CRPS."""
        rows = [self._row(i) for i in range(len(self.scores))]
        return pd.DataFrame([{n: v for n, v in r.items() if n != "forecast"} for r in rows])

    def _repr_html_(self) -> str:
        table, every = self.to_dataframe(), self.everywhere
        facts = [] if self.regret is None else [f"realised regret {self.regret:.4f} nats"]
        if every is not None:
            held = ", ".join(
                f"{100 * getattr(every, f'coverage{p}'):.0f} % of {p} %" for p in PROBS
            )
            facts.append(f"inside {KIND} intervals: {held}")
        failed = () if self.passed else ("made with laws that failed the convergence gate",)
        shown = ["arm", "seed", "domain", "params", "loss", "z", "crps"]
        rows: list[Any] = table[shown].to_dict("records") if len(table) else []
        return card(f"Verification: {len(table)} rows", facts, rows, failed)

    def to_json(self) -> dict[str, Any]:
        every = self.everywhere
        return {
            "schema": SCHEMA,
            "passed": self.passed,
            "plan": str(self.plan.path),
            "posterior": None if self.posterior is None else self.posterior.to_json(),
            "flops": self.plan.flops,
            "kind": KIND,
            "weights": {
                d: float(w) for d, w in zip(self.plan.domains, self.plan.weights, strict=True)
            },
            "designs": [_design(a) | {"forecast": self.sources.get(a.name)} for a in self.arms],
            "arms": [self._row(i) for i in range(len(self.scores))],
            **{f"coverage{p}": every and getattr(every, f"coverage{p}") for p in PROBS},
            "all": every and every.to_json(),
            "domains": {d: s.to_json() for d, s in self.by_domain.items()},
            "by_arm": {a: s.to_json() for a, s in self.by_arm.items()},
            "gain": None if self.gain is None else self.gain.to_json(),
            "against": [g.to_json() for g in self.against],
            "regret": {"mean": self.regret, "best": self.best},
            "tolerance": self.tolerance,
            "routed": self.plan.routed,
            "unmatched": [left._asdict() for left in self.measured.left],
            "off_branch": self.measured.off,
            "missing": [{"arm": a, "seed": s, "domain": d} for a, s, d in self.measured.missing],
        }

    def write(self, path: str | Path) -> Path:
        """Write verify.json, atomically."""
        return write_json(self.to_json(), path)

    def _row(self, i: int) -> dict[str, Any]:
        found, score = self.measured.rows[i], self.scores[i]
        t = self.measured.runs.table.iloc[found.row]
        se = float(t["loss_se"])
        return {
            "arm": found.arm,
            "seed": found.seed,
            "domain": found.domain,
            "params": float(t["params"]),
            "pretrain_tokens": float(t["pretrain_tokens"]),
            "specialize_tokens": float(t["specialize_tokens"]),
            "loss": float(t["loss"]),
            "loss_se": se if np.isfinite(se) else None,
            "run_id": str(t["run_id"]),
            "away": found.away,
            "forecast": None if score is None else score.to_json(),
            "z": None if score is None else score.z,
            "crps": None if score is None else score.crps,
        }


def verify(
    fitted: Ensemble,
    plan: PlanFile | str | Path,
    runs: Runs,
    arms: Sequence[Arm] | None = None,
    named: Sequence[str] | None = None,
    tolerance: float = TOLERANCE,
    accept: bool = False,
    draws: int = 4000,
    seed: int = 0,
    posterior: Source | None = None,
) -> Verification:
    """Set measured rows against the forecast at the measured designs, of kind `calibrated`, with
    the rows' own standard errors.

    plan: what `bayeslaw plan --out` wrote. fitted: the posterior that it was made with. arms: as
    they were built; by default those of the plan. named, tolerance: see `measured`. posterior:
    the file of `fitted`, to be named in the answer.

    Raises `PlanError`, `RunsError` and `FitError` with all faults of the plan's file, of the rows,
    and where the posterior is of other domains than the plan or may not be used.
    """
    plan = plan if isinstance(plan, PlanFile) else read_plan(plan)
    check_domains(fitted, plan)
    fitted = fitted.accept(accept)
    arms = tuple(arms) if arms is not None else arms_of(plan)
    found = measured(runs, arms, tolerance, named)
    losses = _losses(found, plan)
    predictor = Predictor(fitted, draws, seed)
    spoken = Spoken.of(predictor, found, arms)
    expected = _expected(predictor, spoken, plan)

    def against(of: str, over: str) -> Gain | None:
        forecast = None
        if of in expected and over in expected:
            difference = expected[over] - expected[of]
            forecast = {
                "mean": float(difference.mean()), "interval90": interval(difference, 0.9),
                "p_positive": float((difference > 0).mean()),
            }  # fmt: skip
        return gain(of, over, losses, plan.weights, plan.domains, forecast)

    others = [g for a in arms if a.name != PLAN and (g := against(PLAN, a.name))]
    split = next((a.name for a in arms if _split(a)), None)
    generalist = next((a.name for a in arms if _generalist(a)), None)
    wanted = None if split is None or generalist is None else against(split, generalist)
    best, regret = _regret(losses, plan)
    return Verification(
        plan, arms, found, _scores(predictor, spoken), wanted, tuple(others),
        best, regret, fitted.passed, tolerance, posterior,
        {a.name: predictor.source(a) for a in arms},
    )  # fmt: skip


def check_domains(fitted: Ensemble, plan: PlanFile) -> None:
    """Raise `FitError` where a posterior is of other domains than the plan."""
    if set(plan.domains) - set(fitted.domains):
        raise FitError(
            f"the posterior is of {', '.join(fitted.domains)}, the plan of "
            f"{', '.join(plan.domains)}: not the one that it was made with"
        )


def _split(arm: Arm) -> bool:
    return arm.arrangement in ("trunk", "independent")


def _generalist(arm: Arm) -> bool:
    return arm.assessable and arm.arrangement == "generalist"


def _scores(predictor: Predictor, spoken: Spoken) -> tuple[Scored | None, ...]:
    found = spoken.found
    scores: list[Scored | None] = [None] * len(found.rows)
    if not spoken.rows:
        return tuple(scores)
    t = found.runs.table.iloc[spoken.table_rows]
    losses = predictor.losses(spoken.run, spoken.stages, KIND)
    column = [predictor.fitted.domains.index(found.rows[i].domain) for i in spoken.rows]
    own = losses[:, np.arange(len(column)), column]
    # What a loss is measured with is not in the noise of a run: the fit has them apart.
    relative = np.nan_to_num((t["loss_se"] / t["loss"]).to_numpy(float))
    rng = np.random.default_rng([predictor.seed, 11])
    own = own * np.exp(relative * rng.standard_normal(own.shape))
    for i, score in zip(spoken.rows, scored(own, t["loss"].to_numpy(float)), strict=True):
        scores[i] = score
    return tuple(scores)


def _losses(found: Measured, plan: PlanFile) -> dict[str, dict[int, np.ndarray]]:
    """arm -> seed -> measured losses (domain,), NaN where there is none."""
    loss = found.runs.table["loss"].to_numpy(float)
    each: dict[str, dict[int, np.ndarray]] = {}
    for row in found.rows:
        by_seed = each.setdefault(row.arm, {})
        values = by_seed.setdefault(row.seed, np.full(len(plan.domains), np.nan))
        values[plan.domains.index(row.domain)] = loss[row.row]
    return each


def _expected(predictor: Predictor, spoken: Spoken, plan: PlanFile) -> dict[str, np.ndarray]:
    """arm -> draws of its weighted expected loss at the measured designs, mean over its seeds: the
    laws' curves and what laws get wrong beyond the sweep, without noise. Arms that there is a
    prediction for and that are complete."""
    if not spoken.rows:
        return {}
    losses = predictor.curves(spoken.run, spoken.stages)
    places = [(spoken.found.rows[i].arm, spoken.found.rows[i].domain) for i in spoken.rows]
    totals: dict[str, np.ndarray] = {}
    for arm in {arm for arm, _ in places}:
        total = np.zeros(predictor.draws)
        for k, domain in enumerate(plan.domains):
            here = [j for j, place in enumerate(places) if place == (arm, domain)]
            if not here and plan.weights[k] > 0:
                break
            if here:
                column = predictor.fitted.domains.index(domain)
                total = total + plan.weights[k] * losses[:, here, column].mean(1)
        else:
            totals[arm] = total
    return totals


def _regret(
    losses: Mapping[str, Mapping[int, np.ndarray]], plan: PlanFile
) -> tuple[str | None, float | None]:
    """The best arm of those that have every complete seed of the plan's, and what the plan is above
    it: mean over those seeds. The best of several noisy means looks better than it is."""
    wanted = plan.weights > 0

    def totals(arm: str) -> dict[int, float]:
        return {
            s: float(v[wanted] @ plan.weights[wanted])
            for s, v in losses.get(arm, {}).items() if np.isfinite(v[wanted]).all()
        }  # fmt: skip

    own = totals(PLAN)
    if not own:
        return None, None
    means = {
        arm: float(np.mean([found[s] for s in own]))
        for arm in losses if set(own) <= set(found := totals(arm))
    }  # fmt: skip
    best = min(means, key=lambda a: means[a])
    return best, means[PLAN] - means[best]


def _design(arm: Arm) -> dict[str, Any]:
    """An arm as it was to be trained, and as it was planned where that differs."""

    def sizes(a: Arm) -> dict[str, Any]:
        names = ("params", "pretrain_tokens", "specialize_tokens")
        return {n: dict(zip(a.domains, map(float, getattr(a, n)), strict=True)) for n in names} | {
            "flops": a.flops
        }

    return {
        "arm": arm.name,
        "arrangement": arm.arrangement,
        "second_stage": arm.stage,
        **sizes(arm),
        "planned": None if arm.planned is None else sizes(arm.planned),
    }
