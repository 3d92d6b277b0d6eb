"""Arms that no law was fitted to are forecast from runs of their way, as the plan has them."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np
import pandas as pd
import pytest

from bayeslaw import Run, Runs, verify
from bayeslaw.infer.contrast import Contrast
from bayeslaw.verify import arms_of
from bayeslaw.verify.prediction import Predictor
from tests.verify.planned import DOMAINS, plan_file, posterior, rows_of

GRID = [(n, d, r) for n in (1e6, 1.6e7) for d in (4e7, 3.6e8) for r in (0.05, 0.5)]
EFFECTS = {"joint": 0.1, "scratch": -0.2}
LAWS = {"plan", "independent", "generalist", "split at 50%"}  # arms that laws speak of


def contrast(way: str) -> Contrast:
    """Runs whose log loss is the median of the laws' at the reference, and a constant more."""
    n, d, r = np.repeat(np.array(GRID), 2, 0).T
    k = np.tile([0, 1], len(GRID))
    d, split = (d, r * d) if way == "joint" else (0 * d, d)
    at = Run(n, d, split) if way == "joint" else Run(n, split, 0 * split)
    usual = np.log(np.median(posterior().losses(at, "mean"), 0))[np.arange(len(n)), k]
    none = np.full(len(n), np.nan)
    twin = usual if way == "joint" else none
    lineage = np.repeat(np.arange(len(GRID)), 2)
    return Contrast(
        way, n, d, split, none, k, lineage, usual + EFFECTS[way], 0 * n, twin
    )  # fmt: skip


@lru_cache
def fitted(*ways: str):
    return replace(posterior(), contrasts=tuple(contrast(w) for w in ways))


def measured(folder):
    """Every arm once."""
    plan = plan_file(folder)
    data = pd.DataFrame([r for a in arms_of(plan) for r in rows_of(a)])
    return plan, Runs.from_table(data), data["arm"].tolist()


def test_without_runs_of_their_way_nothing_is_said(tmp_path):
    plan, runs, named = measured(tmp_path)
    said = verify(posterior(), plan, runs, named=named).to_json()
    assert {r["arm"] for r in said["arms"] if r["forecast"]} == LAWS
    assert {d["arm"] for d in said["designs"] if d["forecast"] == "laws"} == LAWS


def test_joint_and_scratch_are_forecast_where_runs_of_their_way_were_kept(tmp_path):
    plan, runs, named = measured(tmp_path)
    said = verify(fitted("joint", "scratch"), plan, runs, named=named).to_json()
    assert {r["arm"] for r in said["arms"] if r["forecast"]} == LAWS | {"joint", "scratch"}
    sources = {d["arm"]: d["forecast"] for d in said["designs"]}
    assert sources["joint"] == "joint: 16 measured losses"
    assert sources["weighted generalist"] is None
    assert set(said["by_arm"]) == LAWS | {"joint", "scratch"}
    assert {g["over"] for g in said["against"] if g["forecast"]} == (LAWS - {"plan"}) | {
        "joint", "scratch"
    }  # fmt: skip


@pytest.mark.parametrize("way", ["joint", "scratch"])
def test_the_forecast_is_the_laws_at_the_reference_and_what_the_way_differs_by(tmp_path, way):
    arm = next(a for a in arms_of(plan_file(tmp_path)) if a.arrangement == way)
    n, d, split = arm.params, arm.pretrain_tokens, arm.specialize_tokens
    there = Run(n, d, split) if way == "joint" else Run(n, split, 0 * split)
    usual = np.log(posterior().losses(there, "mean")).mean(0)
    predictor = Predictor(fitted(way))
    found = np.log(predictor.losses(Run(n, d, split), [arm.stage] * 2, "mean"))
    assert found.mean(0) == pytest.approx(usual + EFFECTS[way], abs=0.01)
    if way == "joint":  # it is anchored to its twins, and adds to the laws' uncertainty
        assert (found.std(0) > np.log(posterior().losses(there, "mean")).std(0)).all()


def test_a_joint_model_from_fresh_weights_is_not_what_was_measured(tmp_path):
    weighted = arms_of(plan_file(tmp_path))[-1]
    assert (weighted.stage, weighted.pretrain_tokens.any()) == ("joint", False)
    assert Predictor(fitted("joint")).source(weighted) is None


def test_what_is_drawn_from_the_forecast_is_covered(tmp_path):
    plan, predictor = plan_file(tmp_path), Predictor(fitted("joint", "scratch"), 1000, seed=5)
    arms = [a for a in arms_of(plan) if a.stage != "branch" and predictor.source(a)]
    data = pd.DataFrame([r for a in arms for s in range(40) for r in rows_of(a, s)])
    sizes = [data[c].to_numpy(float) for c in ("params", "pretrain_tokens", "specialize_tokens")]
    stages = [a.stage for a in arms for _ in range(80)]
    draws = predictor.losses(Run(*sizes), stages, "calibrated")
    rng, column = np.random.default_rng(0), [DOMAINS.index(d) for d in data["domain"]]
    loss = draws[rng.integers(0, 1000, len(data)), np.arange(len(data)), column]
    runs = Runs.from_table(data.assign(loss=loss))
    found = verify(predictor.fitted, plan, runs, named=data["arm"].tolist())
    assert found.everywhere.rows == 160
    assert 0.82 < found.everywhere.coverage90 < 0.97
    worse = Runs.from_table(data.assign(loss=loss * 1.5))
    assert verify(fitted("joint", "scratch"), plan, worse,
                  named=data["arm"].tolist()).everywhere.coverage90 < 0.1  # fmt: skip


def test_a_recipe_is_forecast_by_what_its_level_differs_by(tmp_path):
    plan = plan_file(tmp_path, recipe={"name": "replay", "level": 0.15})
    arm = arms_of(plan)[0]
    joint = contrast("joint")
    levels = [
        replace(joint, way="replay", level=np.full(len(joint), level),
                log_loss=joint.log_loss - EFFECTS["joint"] + effect)
        for level, effect in ((0.15, 0.05), (0.5, 0.4))
    ]  # fmt: skip
    both = {n: np.concatenate([getattr(c, n) for c in levels]) for n in vars(joint) if n != "way"}
    predictor = Predictor(replace(posterior(), contrasts=(Contrast("replay", **both),)))
    assert predictor.source(arm) == "replay 0.15: 16 measured losses"
    run = Run(arm.params, arm.pretrain_tokens, arm.specialize_tokens)
    usual = np.log(posterior().losses(run, "mean")).mean(0)
    found = np.log(predictor.losses(run, [arm.stage] * 2, "mean")).mean(0)
    assert found == pytest.approx(usual + 0.05, abs=0.01)
    assert predictor.source(replace(arm, stage="replay 0.25")) is None
    # Rows of the plan are known by their recipe and share.
    rows = rows_of(arm)
    data = pd.DataFrame([r | {"recipe": "replay", "replay": 0.15} for r in rows]).drop(
        columns="arm"
    )
    said = verify(predictor.fitted, plan, Runs.from_table(data)).to_json()
    assert {r["arm"] for r in said["arms"]} == {"plan"}
    assert all(r["forecast"] for r in said["arms"])
