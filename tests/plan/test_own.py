"""Designs of the caller's own: read, and scored like the optimum."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bayeslaw.errors import PlanError
from bayeslaw.laws import Run
from bayeslaw.plan import evaluate_plan
from bayeslaw.plan.own import read_own
from tests.plan import drawn
from tests.plan.test_offset import contrast, replayed, sure

FITTED = drawn.ensemble("additive", 2)


def test_a_table_of_designs_is_read_by_name_and_branch(tmp_path):
    file = tmp_path / "d.csv"
    file.write_text(
        "design,params,pretrain_tokens,specialize_tokens,branch\n"
        "one,1B,10B,,\nours,2e9,1T,5B,d0\nours,2e9,1T,7B,d1\n"
    )
    found = read_own(file, FITTED.domains)
    assert list(found) == ["one", "ours"]
    assert found["one"].specialize_tokens.tolist() == [0, 0]
    assert found["ours"].specialize_tokens.tolist() == [5e9, 7e9]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("params\n1B\n", "no column 'pretrain_tokens'"),
        ("params,pretrain_tokens\n", "there are no designs"),
        (
            "params,pretrain_tokens,recipe\n1,1,replay\n1,1,relay\n",
            "row 2: replay is ''(.|\n)*row 3: recipe is 'relay'",
        ),
        (
            "params,pretrain_tokens,specialize_tokens,replay\n1,1,1,0.1\n",
            "row 2: replay is '0.1', and the recipe ''",
        ),
        ("params,pretrain_tokens\nbig,-1\n", "row 2: params is 'big'(.|\n)*pretrain_tokens is"),
        ("params,pretrain_tokens,branch\n1,1,law\n", "unknown branch 'law'; the fit has d0, d1"),
        ("design,params,pretrain_tokens,branch\na,1,1,d0\n", "'a' has no row for branch 'd1'"),
        ("design,params,pretrain_tokens\na,1,1\na,2,2\n", "'a' has all domains twice"),
    ],
)
def test_a_table_is_refused_with_all_its_faults(tmp_path, text, said):
    file = tmp_path / "d.csv"
    file.write_text(text)
    with pytest.raises(PlanError, match=said):
        read_own(file, FITTED.domains)
    with pytest.raises(PlanError, match="not readable"):
        read_own(tmp_path / "none.csv", FITTED.domains)


def test_the_optimum_itself_is_scored_as_the_optimum():
    from bayeslaw.plan import plan

    best = plan(FITTED, 1e20, draws=200).chosen
    answer = evaluate_plan(FITTED, {"same": best.run}, draws=200)
    same = next(o for o in answer.others if o.name == "same")
    assert answer.flops == pytest.approx(1e20)
    assert same.risk == pytest.approx(answer.chosen.risk, abs=1e-8)
    np.testing.assert_allclose(same.totals, best.totals)
    served = evaluate_plan(FITTED, {"same": best.run}, draws=200, serve={"d0": 1e10}).flops
    assert served == pytest.approx(1e20 + 2e10 * best.run.params[0])
    with pytest.raises(PlanError, match="no designs"):
        evaluate_plan(FITTED, {})


# --- designs of other ways to train


def tried():
    """A fit with runs of `joint`, `scratch` and a share of replay."""
    fitted = replayed(sure(), {0.1: 0.02})
    more = (contrast(fitted, w, lambda k, r: 0.02 * r) for w in ("joint", "scratch"))
    return replace(fitted, contrasts=(*fitted.contrasts, *more))


@pytest.mark.parametrize("arrangement", ["trunk", "joint", "scratch", "trunk with replay 0.1"])
def test_an_optimum_of_every_way_is_scored_as_itself_from_a_table(tmp_path, arrangement):
    from bayeslaw.plan import plan

    fitted = tried()
    best = plan(fitted, 1e20, draws=200, kind="mean").by_arrangement[arrangement]
    recipe = {"trunk": "", "trunk with replay 0.1": "replay"}.get(arrangement, arrangement)
    rows = ["design,params,pretrain_tokens,specialize_tokens,branch,recipe,replay"]
    for d, n, first, second in zip(FITTED.domains, *best.run[:3], strict=True):
        rows.append(
            f"mine,{n!r},{first!r},{second!r},{d},{recipe},{0.1 if 'replay' in recipe else ''}"
        )
    file = tmp_path / "d.csv"
    file.write_text("\n".join(rows).replace("np.float64(", "").replace(")", ""))
    mine = read_own(file, FITTED.domains)
    answer = evaluate_plan(fitted, mine, draws=200, kind="mean")
    same = next(o for o in answer.others if o.name == "mine")
    assert same.arrangement == arrangement
    assert answer.flops == pytest.approx(1e20)
    np.testing.assert_allclose(same.totals, best.totals, rtol=1e-6)


@pytest.mark.parametrize(
    ("design", "said"),
    [
        (("joint", (1e8, 1e9, [1e8, 2e8])), "one model with the same specialize_tokens for every"),
        (("scratch", (1e8, 1e9, 1e8)), "is of 'scratch' and has pretrain_tokens"),
        (("scratch", (1e8, 0.0, [1e9, 0.0])), "and has no specialize_tokens for every domain"),
        (("trunk", (1e8, 1e9, 1e8, np.inf, np.inf, 0.1)), "is of 'trunk' and has replay 0.1"),
        (("trunk", (1e8, [1e9, 0.0], 1e8)), "has no pretrain_tokens for every domain"),
        (("relay", (1e8, 1e9, 1e8)), "is of 'relay', which is none of trunk"),
        (("trunk with replay 0.3", (1e8, 1e9, 1e8)), "'trunk with replay 0.3', which is none of"),
    ],
)
def test_designs_that_an_arrangement_cannot_be_are_refused_with_the_reason(design, said):
    name, sizes = design
    with pytest.raises(PlanError, match=said):
        evaluate_plan(tried(), {"mine": (name, Run(*sizes))}, draws=200)


def test_what_is_no_design_is_refused_as_such():
    for wrong in ((1e8, 1e10), ("trunk", 1e8, 1e10, 1e9)):
        with pytest.raises(PlanError, match="give a Run, or its arrangement and a Run"):
            evaluate_plan(tried(), {"mine": wrong}, flops=1e20, draws=200)


def test_designs_that_no_run_speaks_of_are_refused_with_the_reason():
    with pytest.raises(PlanError, match="is of 'joint', which is not assessable: no runs of"):
        evaluate_plan(FITTED, {"mine": ("joint", Run(1e8, 1e9, 1e8))})
    with pytest.raises(PlanError, match="is of 'scratch', which is not assessable"):
        evaluate_plan(FITTED, {"mine": Run(1e8, 0.0, 1e8)})
