"""Architectures: the best of a list, and what it costs."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from bayeslaw.cli.planned import plan as lines
from bayeslaw.errors import PlanError
from bayeslaw.plan import Architecture, plan, reach, read_architectures
from tests.plan import drawn

FITTED = drawn.ensemble("additive", 2)
FLOPS = 1e20
SIZES = [Architecture(f"m{i}", n, {"layers": i}) for i, n in enumerate(np.geomspace(1e7, 3e10, 14))]


SINGLE = drawn.ensemble("chinchilla", 1, 50)


@pytest.mark.parametrize(
    ("fitted", "arrangement", "risk"),
    [
        (FITTED, "trunk", "mean"), (FITTED, "generalist", "mean"),
        (SINGLE, "generalist", "cvar:0.1"),
    ],
)  # fmt: skip
def test_one_model_is_the_best_of_the_list(fitted, arrangement, risk):
    how = {"risk": risk, "draws": 50, "arrangements": [arrangement]}
    answer = plan(fitted, FLOPS, architectures=SIZES, **how)
    each = {
        a.name: plan(fitted, FLOPS, pins={"params": a.params}, **how).chosen.risk
        for a in SIZES[4:9]
    }
    best = min(each, key=each.get)
    assert set(answer.chosen.architectures) == {best}
    assert answer.chosen.risk == pytest.approx(each[best], abs=1e-6)
    assert answer.chosen.flops == pytest.approx(FLOPS, rel=1e-9)


def test_the_answer_says_what_is_built_and_what_it_costs():
    how = {"draws": 50, "arrangements": ["trunk"]}
    said = plan(FITTED, FLOPS, architectures=SIZES, **how).to_json()
    free = plan(FITTED, FLOPS, **how).chosen.risk
    assert said["architecture"]["costs"] == pytest.approx(said["risk_value"] - free, abs=1e-9)
    assert said["architecture"]["costs"] > 0
    built = said["architecture"]["models"]
    assert built["shape"] == {"layers": int(built["name"][1:])}
    assert built["params"] == pytest.approx(said["params"])
    assert said["certificate"]["faults"] == []
    assert said["region"]["params"] == pytest.approx([said["params"]] * 2)
    assert any(line.startswith(f"built as {built['name']} (layers") for line in lines(said))


def test_models_of_their_own_are_each_of_the_list():
    how = {"draws": 100, "arrangements": ["independent"]}
    some = SIZES[2:9:2]
    answer = plan(FITTED, FLOPS, architectures=some, **how)
    risks = {
        pair: plan(
            FITTED, FLOPS, pins={"params.d0": pair[0], "params.d1": pair[1]}, **how
        ).by_arrangement["independent"].risk
        for pair in product([a.params for a in some], repeat=2)
    }  # fmt: skip
    best = min(risks.values())
    assert answer.chosen.risk == pytest.approx(best, abs=1e-8)
    assert set(answer.to_json()["architecture"]["models"]) == {"d0", "d1"}


def test_a_list_that_has_the_optimum_costs_nothing():
    free = plan(FITTED, FLOPS, draws=100, arrangements=["trunk"]).chosen
    listed = [*SIZES, Architecture("mine", float(free.run.params[0]))]
    answer = plan(FITTED, FLOPS, draws=100, arrangements=["trunk"], architectures=listed)
    assert answer.chosen.architectures == ("mine", "mine")
    assert answer.chosen.risk == pytest.approx(free.risk, abs=1e-9)


def test_every_candidate_can_be_built():
    answer = plan(FITTED, FLOPS, draws=100, architectures=SIZES)
    sizes = {a.params for a in SIZES}
    for c in (answer.chosen, *answer.others):
        assert {min(sizes, key=lambda n: abs(n - p)) for p in c.run.params} <= sizes
        assert all(np.isclose(list(sizes), p, rtol=1e-9).any() for p in c.run.params)


def test_architectures_are_read_from_csv_and_toml(tmp_path):
    table, toml = tmp_path / "a.csv", tmp_path / "a.toml"
    table.write_text("name,params,layers\nlarge,1B,24\n,125M,12\n")
    toml.write_text('[large]\nparams = "1B"\nlayers = 24\n[small]\nparams = 125e6\n')
    assert read_architectures(table) == (
        Architecture("125M", 1.25e8, {"layers": "12"}), Architecture("large", 1e9, {"layers": "24"})
    )  # fmt: skip
    assert read_architectures(toml) == (
        Architecture("small", 1.25e8), Architecture("large", 1e9, {"layers": 24})
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name,layers\na,3\n", "row 2 has no params"),
        ("params,name\nbig,a\n-1,b\n", "row 2: params: 'big' is not a number"),
        ("params,name\n-1,b\n", "params of 'b' is -1; it must be more than 0"),
        ("params,name\n1,b\n2,b\n", "two are called 'b'"),
        ("params\n", "there is none"),
    ],
)
def test_a_list_that_cannot_be_is_refused(tmp_path, text, said):
    file = tmp_path / "a.csv"
    file.write_text(text)
    with pytest.raises(PlanError, match=said):
        read_architectures(file)


def test_what_is_not_toml_or_not_there_is_refused(tmp_path):
    (tmp_path / "a.toml").write_text("= 3")
    for file, said in (("a.toml", "not readable as TOML"), ("b.csv", "not readable as CSV")):
        with pytest.raises(PlanError, match=said):
            read_architectures(tmp_path / file)


def test_a_list_without_anything_that_fits_is_refused():
    huge = [Architecture("huge", 1e13)]
    with pytest.raises(PlanError, match="no architecture, 10T to 10T params, is within the bounds"):
        plan(FITTED, FLOPS, architectures=huge)
    with pytest.raises(PlanError, match="architectures are not for targets"):
        reach(FITTED, {"d0": 2.2}, architectures=SIZES)
