"""Designs of the caller's own: read, and scored like the optimum."""

from __future__ import annotations

import numpy as np
import pytest

from bayeslaw.errors import PlanError
from bayeslaw.plan import evaluate_plan
from bayeslaw.plan.own import read_own
from tests.plan import drawn

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
