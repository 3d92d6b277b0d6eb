"""A verification of simulated truth: honest forecasts are found honest, wrong ones wrong."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom, kstest

from bayeslaw import Ensemble, Run, Runs, verify
from bayeslaw.errors import FitError
from bayeslaw.infer.source import Source
from bayeslaw.verify import arms_of
from tests.verify.planned import DOMAINS, PLAN, plan_file, posterior, rows_of, table

SEEDS = 24


def realised(folder, fitted: Ensemble, kind: str, seed: int = 5) -> tuple[pd.DataFrame, list[str]]:
    """Every arm that laws speak of, `SEEDS` times; each loss one draw of its own forecast."""
    data = pd.DataFrame(
        [r for a in arms_of(plan_file(folder)) if a.assessable for s in range(SEEDS)
         for r in rows_of(a, s)]
    )  # fmt: skip
    sizes = [data[c].to_numpy(float) for c in ("params", "pretrain_tokens", "specialize_tokens")]
    draws = fitted.losses(Run(*sizes), kind, draws=1000, seed=seed)  # type: ignore[arg-type]
    rng = np.random.default_rng(seed)
    one, domain = rng.integers(0, 1000, len(data)), [DOMAINS.index(d) for d in data["domain"]]
    return data.assign(loss=draws[one, np.arange(len(data)), domain]), data["arm"].tolist()


@pytest.fixture
def seen(tmp_path):
    """A verification whose truth is the forecast."""
    data, named = realised(tmp_path, posterior(), "calibrated")
    return verify(posterior(), plan_file(tmp_path), Runs.from_table(data), named=named)


def test_losses_drawn_from_the_forecast_are_covered_as_often_as_it_says(seen):
    every = seen.everywhere
    assert every.rows == 4 * 2 * SEEDS
    for prob in (50, 80, 90):
        low, high = binom.interval(0.999, every.rows, prob / 100)
        assert low <= round(every.rows * getattr(every, f"coverage{prob}")) <= high
    z = [s.z for s in seen.scores]
    assert kstest(z, "norm").pvalue > 0.001


def test_losses_elsewhere_are_found_out(tmp_path):
    data, named = realised(tmp_path, posterior(), "calibrated")
    runs = Runs.from_table(data.assign(loss=data["loss"] * 1.5))
    every = verify(posterior(), plan_file(tmp_path), runs, named=named).everywhere
    assert every.coverage90 < 0.1
    assert every.z_mean > 3


def test_standard_errors_of_the_losses_widen_the_forecast(tmp_path):
    data, named = realised(tmp_path, posterior(), "calibrated")
    plan = plan_file(tmp_path)

    def width(loss_se):
        runs = Runs.from_table(data.assign(loss_se=loss_se))
        scores = verify(posterior(), plan, runs, named=named).scores
        return np.mean([np.ptp(s.intervals[90]) for s in scores])

    assert width(0.2) > 1.5 * width(0.0)


def test_the_file_has_the_promised_form(seen, tmp_path):
    path = seen.write(tmp_path / "verify.json")
    said = json.loads(path.read_text())
    assert said["schema"] == 1
    assert said["flops"] == PLAN["budget"]["flops"]
    first = said["arms"][0]
    assert {"arm", "seed", "domain", "params", "pretrain_tokens", "specialize_tokens", "loss",
            "forecast"} <= set(first)  # fmt: skip
    assert {"mean", "interval50", "interval90"} <= set(first["forecast"])
    assert len(said["arms"]) == len(seen.measured.rows)
    assert {"mean", "interval90"} <= set(said["gain"])
    assert said["coverage90"] == seen.everywhere.coverage90
    assert set(said["domains"]) == set(DOMAINS)
    assert said["missing"][0]["arm"] == "joint"


def test_gain_regret_and_the_best_arm_are_those_of_the_losses(tmp_path):
    plan = plan_file(tmp_path)
    # Weighted: plan 2.0, generalist 2.1 and 2.3, split at 50% 1.9, joint 2.2; scratch has one seed.
    losses = {"plan": (2.0, 2.0), "generalist": (2.1, 2.3), "split at 50%": (1.9, 1.9),
              "joint": (2.2, 2.2), "scratch": (1.0,)}  # fmt: skip
    arms = {a.name: a for a in arms_of(plan)}
    data = pd.DataFrame(
        [r for n, each in losses.items() for s, v in enumerate(each)
         for r in rows_of(arms[n], s, v)]
    )  # fmt: skip
    found = verify(posterior(), plan, Runs.from_table(data), named=data["arm"].tolist())
    assert found.gain is not None
    assert (found.gain.of, found.gain.over) == ("plan", "generalist")
    assert found.gain.per_seed == pytest.approx((0.1, 0.3))
    half = 6.313752 * 0.1  # t of .95 with 1 degree of freedom, sd .1414 / sqrt 2
    assert found.gain.interval90 == pytest.approx((0.2 - half, 0.2 + half), abs=1e-6)
    assert found.best == "split at 50%"  # scratch was measured with too few seeds
    assert found.regret == pytest.approx(0.1)
    against = {g.over: g for g in found.against}
    assert against["joint"].mean == pytest.approx(0.2)
    assert against["joint"].forecast is None
    assert against["scratch"].per_seed == pytest.approx((-1.0,))


def test_the_forecast_of_a_gain_is_the_difference_of_expected_losses(tmp_path):
    data, named = realised(tmp_path, posterior(), "run")
    plan = plan_file(tmp_path)
    found = verify(posterior(), plan, Runs.from_table(data), named=named)
    arms = {a.name: a for a in arms_of(plan)}
    totals = {}
    for name in ("plan", "generalist"):
        a = arms[name]
        run = Run(a.params, a.pretrain_tokens, a.specialize_tokens)
        curve = np.diagonal(posterior().losses(run, "mean"), axis1=1, axis2=2)
        wrong = posterior().discrepancy.sample(run, 2, 4000, 0)
        totals[name] = (curve * np.exp(np.diagonal(wrong, axis1=1, axis2=2))) @ plan.weights
    wanted = totals["generalist"] - totals["plan"]
    assert found.gain.forecast["mean"] == pytest.approx(wanted.mean())
    assert found.gain.forecast["interval90"] == pytest.approx(np.quantile(wanted, [0.05, 0.95]))


def test_a_plan_that_is_not_split_is_compared_with_the_split_all_the_same(tmp_path):
    said = {n: PLAN[n] for n in ("arrangement", "params", "pretrain_tokens", "specialize_tokens")}
    generalist = PLAN["baselines"][1]
    plan = plan_file(
        tmp_path, **{n: generalist[n] for n in said}, baselines=[{"name": "trunk", **said}]
    )
    data = table(plan, seeds=1)
    found = verify(posterior(), plan, Runs.from_table(data), named=data["arm"].tolist())
    assert (found.gain.of, found.gain.over) == ("trunk", "plan")


def test_a_posterior_of_other_domains_is_refused(tmp_path):
    plan = plan_file(tmp_path, weights={"d0": 1, "z": 1}, baselines=[], specialize_tokens=1e7)
    with pytest.raises(FitError, match=r"the posterior is of d0, d1, the plan of d0, z"):
        verify(posterior(), plan, Runs.from_table(table(plan)))


def test_where_the_laws_speak_of_no_row_there_is_no_forecast(tmp_path):
    plan = plan_file(tmp_path)
    data = pd.DataFrame([r for a in arms_of(plan) if a.name == "joint" for r in rows_of(a)])
    source = Source("p.nc", "0" * 64)
    found = verify(posterior(), plan, Runs.from_table(data), posterior=source)
    said = found.to_json()
    assert found.everywhere is None
    assert (said["coverage90"], said["gain"], said["regret"]["best"]) == (None, None, None)
    assert said["arms"][0]["forecast"] is None
    assert said["posterior"]["path"] == "p.nc"
