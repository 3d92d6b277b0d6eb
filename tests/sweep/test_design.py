"""Cells: how many, from which checkpoint, and that their names follow from what decides them."""

from __future__ import annotations

import json
import math

import pytest

from bayeslaw.errors import SweepError
from bayeslaw.sweep import KINDS, RECIPES, Cells, SweepSpec, cells
from bayeslaw.sweep.cells import starts_at, stops
from bayeslaw.sweep.design import DESIGNS
from bayeslaw.sweep.llama import config_of
from bayeslaw.sweep.snap import nearest_width
from bayeslaw.sweep.spec import WANTS

DOMAINS = ("a", "b")


def spec(**fields) -> SweepSpec:
    base = {
        "name": "s", "recipe": "tiny", "widths": [16, 32], "pretrain_tokens": ["32k", "64k"],
        "specialize_tokens": ["2k", "8k"],
    }  # fmt: skip
    return SweepSpec(**{n: v for n, v in (base | fields).items() if v is not None})


def test_every_trunk_is_cooled_at_each_d_and_branched_to_each_domain_at_each_length():
    plan = cells(spec(), "digest", DOMAINS)
    assert len(plan.trunks) == 2
    for trunk in plan.trunks:
        children = plan.of(trunk)
        assert [c.stage for c in children].count("cooldown") == 2
        assert [c.stage for c in children].count("branch") == 2 * 2 * 2
        assert {c.parent for c in children} == {trunk.key}
        assert {c.width for c in children} == {trunk.width}


@pytest.mark.parametrize("design", ["trunk", "grid"])
def test_a_seed_can_be_repeated_at_some_widths_only(design):
    plan = cells(spec(design=design, seeds=[5, 6], repeat_widths=[32]), "digest", DOMAINS)
    assert {(m.width, m.seed) for m in plan.models} == {(16, 5), (32, 5), (32, 6)}


def test_keys_are_unique_and_stable():
    plan = cells(spec(), "digest", DOMAINS)
    keys = [c.key for c in plan]
    assert len(set(keys)) == len(keys)
    again = cells(spec(), "digest", DOMAINS)
    assert keys == [c.key for c in again]


@pytest.mark.parametrize(
    "change",
    [{"recipe": "bytes-wsd"}, {"seeds": [1]}, {"heldout_tokens": "4k"}, {"domains": ["a"]},
     {"domains": ["a", "b", "c"]}],
)  # fmt: skip
def test_a_setting_that_decides_the_result_decides_the_key(change):
    def keys(s):
        return {c.key for c in cells(s, "digest", s.domains or DOMAINS).models}

    assert not keys(spec()) & keys(spec(**change))
    assert not keys(spec()) & {c.key for c in cells(spec(), "other", DOMAINS).models}


def test_a_trunk_on_other_domains_is_another_trunk():
    one, two = ({t.key for t in cells(spec(), "digest", d).trunks} for d in (("a",), DOMAINS))
    assert not one & two


def test_a_longer_trunk_is_the_same_trunk():
    short = cells(spec(pretrain_tokens=["32k"]), "digest", DOMAINS)
    long = cells(spec(), "digest", DOMAINS)
    assert [t.key for t in short.trunks] == [t.key for t in long.trunks]
    assert {m.key for m in short.models} < {m.key for m in long.models}


def test_tokens_are_whole_steps():
    s, step = spec(), RECIPES["tiny"].tokens_per_step
    assert s.whole(1) == step
    plan = cells(s, "digest", DOMAINS)
    kept = stops(s, plan.of(plan.trunks[0]))
    assert all(stop % step == 0 for stop in kept)
    for m in plan.models:
        assert m.pretrain_tokens % step == m.specialize_tokens % step == 0
        assert starts_at(s, m) in kept
        if m.stage == "cooldown":
            assert starts_at(s, m) == pytest.approx(0.8 * m.pretrain_tokens, abs=step)


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=list(RECIPES))
def test_recipes_are_sane(recipe):
    assert recipe.tokens_per_step == recipe.batch * recipe.context
    assert 0 < recipe.cooldown < 1
    assert 0 < recipe.rate_at(64) <= recipe.rate_at(16)
    for width in (16, 24, 32, 48, 64):
        assert width % recipe.heads(width) == 0
    assert recipe.fields()["name"] == recipe.name


def listed(fields: dict, tmp_path, table: str = "", suffix: str = "csv") -> SweepSpec:
    file = tmp_path / f"next.{suffix}"
    file.write_text(table)
    return SweepSpec(name="s", recipe="tiny", design="runs", runs=str(file), **fields)


def span(values) -> float:
    values = [v for v in values if v]
    return max(values) / min(values)


def test_a_grid_has_the_models_of_a_trunk_and_a_trunk_of_its_own_for_every_d():
    def what(plan):
        return {(m.width, m.pretrain_tokens, m.specialize_tokens, m.branch) for m in plan.models}

    shared, own = (cells(spec(design=d), "digest", DOMAINS) for d in ("trunk", "grid"))
    assert what(shared) == what(own)
    assert len(own.trunks) == 2 * len(shared.trunks)
    assert len({t.draw for t in own.trunks}) == 2
    assert {m.lineage for m in own.models} == {t.lineage for t in own.trunks}
    assert not {t.key for t in shared.trunks} & {t.key for t in own.trunks}


@pytest.mark.parametrize("vocabulary", [256, 1000])
def test_iso_flop_spends_every_budget_at_every_width(vocabulary):
    s = spec(design="iso-flop", pretrain_tokens=None, flops=["1e9", "8e9"],
             specialize_shares=[0.0, 0.25])  # fmt: skip
    plan = cells(s, "digest", DOMAINS, vocabulary=vocabulary)
    assert len(plan.models) == 2 * 2 * (1 + len(DOMAINS))
    for m in plan.models:
        each = s.rule.shape(m.width, vocabulary).flops_per_token
        spent = each * (m.pretrain_tokens + m.specialize_tokens)
        assert min(abs(spent / c - 1) for c in s.flops) < 0.1
        share = m.specialize_tokens / (m.pretrain_tokens + m.specialize_tokens)
        assert share == pytest.approx(0.25 if m.branch else 0.0, abs=0.1)


def spent(s: SweepSpec, plan: Cells) -> float:
    """Compute of every cell, evaluation too."""
    total = 0.0
    for c in plan:
        tokens = float(c.specialize_tokens or c.pretrain_tokens)
        if c.branch:
            tokens *= 1 + (1 / 3 if c.second_stage.distill else 0)
        if c.stage == "cooldown":
            tokens -= starts_at(s, c)
        tokens += 2 / 3 * c.heldout_tokens
        total += s.rule.shape(c.width).flops_per_token * tokens
    return total


EVERY = [{"recipe": "plain"}, {"recipe": "joint", "seeds": [1]},
         {"recipe": "replay", "replay": 0.1}, {"recipe": "distill", "distill": 1.0}]  # fmt: skip


@pytest.mark.parametrize("stages", [EVERY[:1], EVERY], ids=["plain", "four"])
def test_a_pilot_pays_for_every_second_stage(stages):
    s = spec(design="pilot", flops=1e14, second_stage=stages, seeds=[0, 1])
    assert 0.3e14 < spent(s, cells(s, "digest", DOMAINS)) <= 1e14


def test_iso_flop_pays_for_distillation():
    s = spec(design="iso-flop", flops=["8e9"], specialize_shares=[0.25], second_stage=EVERY[3:])
    for m in cells(s, "digest", DOMAINS).models:
        tokens = m.pretrain_tokens + m.specialize_tokens * 4 / 3
        assert s.rule.shape(m.width).flops_per_token * tokens == pytest.approx(8e9, rel=0.1)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"second_stage": [{"recipe": "joint", "weights": {"z": 1}}]},
         "'joint': weights name no domain of the sweep: z; it has a, b"),
        ({"second_stage": [EVERY[2], {"recipe": "plain", "pretrain_tokens": ["32k"]}],
          "specialize_tokens": None}, "has the second stage 'replay', 'plain'; ask for D′"),
        ({"second_stage": [EVERY[2] | {"distill": 1.0}, EVERY[3] | {"replay": 0.1}]},
         "one by another name, and both make w16-s0-32000-a-2048-replay0.1.distill1; keep one"),
        ({"design": "pilot", "flops": 1e14, "second_stage": [{"pretrain_tokens": ["32k"]}]},
         "'plain': design 'pilot' sets pretrain_tokens itself"),
    ],
)  # fmt: skip
def test_second_stages_that_cannot_be_are_refused_before_the_start(fields, message):
    with pytest.raises(SweepError, match=message):
        cells(spec(**fields), "digest", DOMAINS)


def test_plain_stages_of_several_rates_are_refused():
    with pytest.raises(ValueError, match="'plain' has several rates, which its rows do not tell"):
        spec(second_stage=[{"recipe": "plain"}, {"recipe": "plain", "rate": 0.5}])


def test_a_domain_named_as_the_union_is_refused():
    with pytest.raises(SweepError, match="a domain cannot be named 'joint'"):
        cells(spec(), "digest", ("a", "joint"))


@pytest.mark.parametrize("flops", [3e12, 3e13, 1e15])
def test_a_pilot_keeps_to_its_budget_and_tells_the_stages_apart(flops):
    """Factors that laws need, each at every level of the others; and most of the budget is used."""
    s = spec(design="pilot", widths=None, pretrain_tokens=None, specialize_tokens=None, flops=flops)
    plan = cells(s, "digest", DOMAINS)
    rule = s.rule
    each = {w: rule.shape(w).flops_per_token for w in {c.width for c in plan}}
    params = {w: rule.shape(w).params for w in each}
    assert 0.3 * flops < spent(s, plan) <= flops
    assert span(params.values()) > 3
    lengths = sorted({m.pretrain_tokens for m in plan.models})
    assert len(lengths) == 2
    for width in each:
        for d in lengths:
            splits = {m.specialize_tokens for m in plan.models
                      if (m.width, m.pretrain_tokens) == (width, d)}  # fmt: skip
            assert len(splits) == 4
            assert span(splits) > 10**1.45
        assert lengths[0] >= 19 * params[width]
    ratios = [{round(m.specialize_tokens / d, 2) for m in plan.models if m.pretrain_tokens == d}
              for d in lengths]  # fmt: skip
    assert ratios[0] == ratios[1]


def test_a_pilot_that_cannot_be_paid_says_what_it_takes():
    s = spec(design="pilot", widths=None, pretrain_tokens=None, specialize_tokens=None, flops="1e6")
    with pytest.raises(
        SweepError, match=r"1e\+06 is too little for a pilot of 2 domains; it takes "
    ):
        cells(s, "digest", DOMAINS)


TABLE = "params,pretrain_tokens,specialize_tokens,branch,evsi\n3.3k,32k,4k,a,1\n12000,64k,0,,2\n"


@pytest.mark.parametrize("suffix", ["csv", "json"])
def test_runs_of_a_table_are_trained_at_the_nearest_width(tmp_path, suffix):
    names = TABLE.splitlines()[0].split(",")
    rows = [dict(zip(names, line.split(","), strict=True)) for line in TABLE.splitlines()[1:]]
    text = TABLE if suffix == "csv" else json.dumps({"schema": 1, "runs": rows})
    plan = cells(listed({}, tmp_path, text, suffix), "digest", DOMAINS)
    found = [(m.width, m.pretrain_tokens, m.specialize_tokens, m.branch) for m in plan.models]
    assert found == [(16, 32_000, 4096, "a"), (32, 64_000, 0, "")]
    assert [t.pretrain_tokens for t in plan.trunks] == [
        32_000,
        51_200,
    ]  # a cool-down leaves at .8 D


def test_an_empty_branch_is_every_domain_and_widths_can_be_fixed(tmp_path):
    text = "params,pretrain_tokens,specialize_tokens\n1e9,32k,4k\n"
    plan = cells(listed({"widths": [16, 64]}, tmp_path, text), "digest", DOMAINS)
    assert [(m.width, m.branch) for m in plan.models] == [(64, "a"), (64, "b")]


def test_a_table_from_a_spreadsheet_is_read(tmp_path):
    plan = cells(listed({}, tmp_path, "\ufeff" + TABLE), "digest", DOMAINS)
    assert [m.width for m in plan.models] == [16, 32]


def test_runs_that_nobody_can_train_are_refused(tmp_path):
    text = "params,pretrain_tokens,specialize_tokens,branch\n1e20,32k,4k,a\n3k,32k,-5,a\n"
    with pytest.raises(SweepError, match=r"(?s)'1e20' is too large.*run 2: specialize_tokens must"):
        cells(listed({}, tmp_path, text), "digest", DOMAINS)


def test_all_faults_of_a_table_of_runs_come_at_once(tmp_path):
    text = "params,pretrain_tokens,specialize_tokens,branch\nmany,32k,4k,a\n3k,,0,\n3k,1k,2k,z\n"
    with pytest.raises(SweepError) as raised:
        cells(listed({}, tmp_path, text), "digest", DOMAINS)
    for part in ("3 faults", "run 1, params: 'many'", "run 2, pretrain_tokens: is missing",
                 "run 3, branch 'z'"):  # fmt: skip
        assert part in str(raised.value)
    with pytest.raises(SweepError, match="not readable as a table of runs: it holds no runs"):
        cells(listed({}, tmp_path), "digest", DOMAINS)


def test_runs_name_their_second_stage_and_may_start_from_fresh_weights(tmp_path):
    text = (
        "params,pretrain_tokens,specialize_tokens,branch,recipe\n"
        "3.3k,32k,4k,a,plain\n3.3k,32k,8k,,joint\n3.3k,0,8k,b,scratch\n3.3k,0,16k,,joint\n"
    )
    stages = [{"recipe": "plain"}, {"recipe": "joint"}, {"recipe": "scratch"}]
    plan = cells(listed({"second_stage": stages}, tmp_path, text), "digest", DOMAINS)
    found = [(m.second_stage.recipe, m.pretrain_tokens, m.branch, bool(m.parent))
             for m in plan.models]  # fmt: skip
    assert found == [
        ("plain", 32_000, "a", True), ("joint", 32_000, "joint", True),
        ("scratch", 0, "b", False), ("joint", 0, "joint", False),
    ]  # fmt: skip
    assert len(plan.trunks) == 1


def test_second_stages_that_a_table_of_runs_leaves_open_are_faults(tmp_path):
    text = (
        "params,pretrain_tokens,specialize_tokens,branch,recipe\n"
        "3k,32k,4k,a,\n3k,32k,4k,a,distill\n3k,32k,4k,a,scratch\n3k,0,4k,a,plain\n"
    )
    stages = [{"recipe": "plain"}, {"recipe": "scratch"}]
    with pytest.raises(SweepError) as raised:
        cells(listed({"second_stage": stages}, tmp_path, text), "digest", DOMAINS)
    for part in ("4 faults", "run 1, recipe '': could be several", "run 2, recipe 'distill'",
                 "run 3: second stage 'scratch' starts from", "run 4: params and"):  # fmt: skip
        assert part in str(raised.value)


@pytest.mark.parametrize("rule", RECIPES.values(), ids=RECIPES)
@pytest.mark.parametrize("params", [1, 600, 2_550, 46_000, 866_000, 40_000_000])
def test_the_nearest_width_is_the_nearest_that_can_be_built(rule, params):
    built = [w for w in range(2, 4000, 2) if w % (2 * rule.heads(w)) == 0]
    off = {w: abs(math.log(rule.shape(w).params / params)) for w in built}
    assert nearest_width(rule, params) == min(off, key=off.get)


FIELDS: dict[str, dict] = {
    "trunk": {}, "grid": {}, "iso-flop": {"flops": ["1e9"], "specialize_shares": [0.0, 0.25]},
    "pilot": {"flops": "1e14"}, "runs": {},
    "start": {"widths": None, "pretrain_tokens": None},
}  # fmt: skip
STAGES: dict[str, dict] = {
    "plain": {}, "joint": {"weights": {"a": 2.0}}, "scratch": {}, "replay": {"replay": 0.25},
    "importance": {"clusters": 4}, "distill": {"distill": 1.0, "anneal": True},
}  # fmt: skip
CANNOT = {("iso-flop", "scratch"), ("pilot", "scratch"), ("runs", "scratch"), ("runs", "joint"),
          ("start", "scratch")}  # fmt: skip


def llama(folder) -> str:
    """The folder of a model from elsewhere, as far as cells look into it."""
    (folder / "llama").mkdir()
    config = config_of(RECIPES["tiny"].shape(24), tokens=12_345)
    (folder / "llama" / "config.json").write_text(json.dumps(config))
    (folder / "llama" / "model.safetensors").write_bytes(b"weights")
    return str(folder / "llama")


@pytest.mark.parametrize("recipe", KINDS)
@pytest.mark.parametrize("design", DESIGNS)
def test_every_design_carries_every_recipe_or_says_that_it_cannot(design, recipe, tmp_path):
    (tmp_path / "next.csv").write_text(TABLE)
    runs = {"runs": str(tmp_path / "next.csv")} if design == "runs" else {}
    runs = {"start": llama(tmp_path)} if design == "start" else runs
    s = spec(design=design, seeds=[0, 7], **FIELDS[design], **runs,
             second_stage=[{"recipe": recipe, **STAGES[recipe]}])  # fmt: skip
    if (design, recipe) in CANNOT:
        with pytest.raises(SweepError, match=f"'{recipe}'.* design '{design}'"):
            cells(s, "digest", DOMAINS)
        return
    plan = cells(s, "digest", DOMAINS)
    assert {m.second_stage.recipe for m in plan.models if m.branch} == {recipe}
    assert all(0 <= c.draw < 2**32 for c in plan)  # what scikit-learn takes


def test_every_design_is_known_to_the_settings():
    assert set(DESIGNS) == set(WANTS)


def test_a_stage_is_narrowed_to_some_of_the_sweep():
    stages = [{"recipe": "plain"}, {"recipe": "joint", "widths": [32], "pretrain_tokens": ["32k"]},
              {"recipe": "scratch", "specialize_tokens": ["8k"]}]  # fmt: skip
    plan = cells(spec(second_stage=stages), "digest", DOMAINS)
    by = {}
    for m in plan.models:
        if m.branch:
            by.setdefault(m.second_stage.recipe, []).append(m)
    assert len(by["plain"]) == 2 * 2 * 2 * 2
    assert {(m.width, m.pretrain_tokens) for m in by["joint"]} == {(32, 32_000)}
    assert len(by["joint"]) == 2
    assert {(m.pretrain_tokens, m.specialize_tokens, m.parent) for m in by["scratch"]} == {
        (0, 7936, "")
    }


def test_cells_from_a_model_from_elsewhere_are_named_by_it_and_have_no_trunk(tmp_path):
    s = spec(start=llama(tmp_path), widths=None, pretrain_tokens=None, seeds=[3, 4])
    plan = cells(s, "digest", DOMAINS)
    assert not plan.trunks
    (first,) = [m for m in plan.models if not m.branch]
    assert (first.stage, first.seed, first.pretrain_tokens) == ("start", 3, 12_345)
    assert len(plan.of(first)) == len(plan.models) - 1 == 2 * 2 * 2
    assert {m.lineage for m in plan.models} == {first.lineage}
    assert len({m.run_id for m in plan.models}) == len(plan.models)
    (tmp_path / "llama" / "model.safetensors").write_bytes(b"others")
    again = cells(s, "digest", DOMAINS)
    assert not {m.key for m in plan.models} & {m.key for m in again.models}
    told = spec(start=s.start, start_tokens="7k", widths=None, pretrain_tokens=None)
    assert {m.pretrain_tokens for m in cells(told, "digest", DOMAINS).models} == {7000}


@pytest.mark.parametrize("teacher", [None, "cooled"])
def test_from_the_cooled_trunk_branches_follow_their_cool_down(teacher):
    """From it, or held to it: either needs it first. The trunk goes no further than it must."""
    how = {"branch_from": "cooled"} if teacher is None else {
        "second_stage": [{"recipe": "distill", "distill": 1.0, "teacher": teacher}]}  # fmt: skip
    s = spec(pretrain_tokens=["64k"], **how)
    plan = cells(s, "digest", DOMAINS)
    stable = cells(spec(pretrain_tokens=["64k"]), "digest", DOMAINS)
    assert [t.key for t in plan.trunks] == [t.key for t in stable.trunks]
    cooldowns = [m for m in plan.models if m.stage == "cooldown"]
    assert cooldowns == [m for m in stable.models if m.stage == "cooldown"]
    assert not plan.between
    for m in plan.models:
        past = plan.past(m, s)
        assert past.trunk in plan.trunks
        assert past.kept == (m.stage == "cooldown")
        assert past.cooled == (next(c for c in cooldowns if c.width == m.width) if m.branch
                               else None)  # fmt: skip
    reach = {t.pretrain_tokens for t in plan.trunks}
    assert reach == {s.stable(64_000) if teacher is None else 64_000}
