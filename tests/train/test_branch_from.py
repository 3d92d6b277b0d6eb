"""Branches that start from the cooled trunk: its weights and moments, the limit of no steps, and
nothing that a kill can lose; and teachers that were cooled down."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch

from bayeslaw.corpus import read_shards
from bayeslaw.sweep import RECIPES, Cells, cells, read_sweep
from bayeslaw.train import cell as at_work
from bayeslaw.train import checkpoint
from bayeslaw.train.checkpoint import read
from bayeslaw.train.loop import rewarm
from bayeslaw.train.study import run_sweep
from bayeslaw.train.work import Work
from tests.train.little import OFTEN, TOML, Here, Killed, Mortal, swept

TINY = RECIPES["tiny"]
COOLED = TOML + OFTEN + 'branch_from = "cooled"\n'
DOMAINS = ("alpha", "beta")


@pytest.fixture(scope="module")
def cooled(tmp_path_factory) -> Path:
    return swept(tmp_path_factory.mktemp("cooled"), COOLED)


def plan_of(folder: Path) -> tuple[Cells, Work]:
    spec = read_sweep(folder / "sweep.toml")
    (text,) = (folder / "work").glob("corpus-*")
    return cells(spec, read_shards(text).digest, DOMAINS), Work(spec, folder / "work", text)


def test_the_rate_climbs_again_and_falls():
    peak = TINY.rate_at(16)
    rates = [rewarm(TINY, 16, 40)(i) for i in range(40)]
    assert rates[:4] == sorted(rates[:4])
    assert 0 < rates[0] <= peak / 4
    assert rates[4:] == sorted(rates[4:], reverse=True)
    assert max(rates) <= peak
    assert 0 < rates[-1] < 0.02 * peak
    assert all(0 < rewarm(TINY, 16, n)(i) < peak for n in (1, 2) for i in range(n))


def test_a_cooled_branch_shares_trunk_and_cool_downs_with_a_stable_one(cooled, tmp_path):
    """The D′ = 0 rows are the same, the branches others, and all are of one lineage."""
    stable, other = (pd.read_csv(swept(f, t) / "runs.csv", keep_default_na=False)
                     for f, t in ((tmp_path, TOML), (cooled, COOLED)))  # fmt: skip
    first = [t[t["specialize_tokens"] == 0].reset_index(drop=True) for t in (stable, other)]
    pd.testing.assert_frame_equal(*first)
    second = [t[t["specialize_tokens"] > 0].reset_index(drop=True) for t in (stable, other)]
    same = [c for c in stable.columns if c not in ("loss", "loss_se")]
    pd.testing.assert_frame_equal(second[0][same], second[1][same])
    assert (second[0]["loss"] != second[1]["loss"]).all()
    (tmp_path / "sweep.toml").write_text(COOLED)
    dry = run_sweep(tmp_path / "sweep.toml", tmp_path, dry_run=True)
    # The trunk; the cool-downs of the first sweep were not kept as branches need them.
    assert (dry.trained, dry.kept) == (4 + 2, 1)


def test_without_a_step_a_cooled_branch_is_the_row_without_a_second_stage(cooled):
    plan, work = plan_of(cooled)
    for branch in [c for c in plan.models if c.branch]:
        none = replace(branch, specialize_tokens=0)
        at_work.train_cell(work, none, plan.past(branch, work.spec))
        begun = {r[0]: r for r in work.result(plan.past(branch, work.spec).cooled)["rows"]}
        own = next(r for r in work.result(none)["rows"] if r[0] == branch.branch)
        assert own == begun[branch.branch]


def test_a_cooled_branch_goes_on_with_the_moments_of_the_cool_down(cooled, monkeypatch):
    plan, work = plan_of(cooled)
    branch = next(c for c in plan.models if c.branch)
    past = plan.past(branch, work.spec)
    kept, about = read(work.place(past.cooled) / "model.safetensors")
    assert about["steps"] == branch.pretrain_tokens // TINY.tokens_per_step
    assert about["tokens"] == branch.pretrain_tokens
    seen = []

    def looked_at(work, cell, base, *rest):
        seen.append(checkpoint.pack(base))
        raise at_work.Diverged

    monkeypatch.setattr(at_work, "_through", looked_at)
    at_work.train_cell(work, replace(branch, specialize_tokens=TINY.tokens_per_step), past)
    (cooled / "seen.safetensors").write_bytes(seen[0])
    found, _ = read(cooled / "seen.safetensors")
    assert any(n.endswith("exp_avg_sq") for n in kept)
    assert found.keys() == kept.keys()
    assert all(torch.equal(found[n], kept[n]) for n in kept)


def test_killed_at_six_steps_or_robbed_of_cooled_models_it_ends_in_the_same_bytes(
    cooled, tmp_path, monkeypatch
):
    wanted, rng = (cooled / "runs.csv").read_bytes(), random.Random(0)
    mortal = Mortal(monkeypatch)
    (tmp_path / "sweep.toml").write_text(COOLED)
    for _ in range(6):
        mortal.left = rng.randrange(25)
        with pytest.raises(Killed):
            run_sweep(tmp_path / "sweep.toml", tmp_path, executor=Here())
        for model in (tmp_path / "work").glob("cooldown-*/model.safetensors"):
            model.write_bytes(b"no checkpoint")
    mortal.left = 10**9
    swept(tmp_path, COOLED)
    assert (tmp_path / "runs.csv").read_bytes() == wanted
    for branch in (tmp_path / "work").glob("branch-*/done.json"):
        branch.unlink()
    for model in (tmp_path / "work").glob("cooldown-*/model.safetensors"):
        model.write_bytes(b"no checkpoint")
    swept(tmp_path, COOLED)
    assert (tmp_path / "runs.csv").read_bytes() == wanted


def test_cool_downs_that_only_branches_need_are_priced_and_leave_no_rows(tmp_path):
    """A design without D′ = 0 at the D of its branches."""
    text = COOLED.replace('pretrain_tokens = ["8k", "16k"]\n', "").replace(
        'specialize_tokens = ["4k"]\n', ""
    )
    text += 'design = "iso-flop"\nflops = ["3e8"]\nspecialize_shares = [0.0, 0.25]\n'
    folder = swept(tmp_path, text)
    plan, work = plan_of(folder)
    assert len(plan.between) == 1
    assert work.result(plan.between[0])["status"] == "ok"
    dry = run_sweep(folder / "sweep.toml", folder, dry_run=True)
    assert plan.between[0] in {p.cell for p in dry.prices}
    table = pd.read_csv(folder / "runs.csv", keep_default_na=False)
    assert plan.between[0].run_id not in set(table["run_id"])
    assert len(table) == 2 * len(plan.models)


def test_a_cooled_teacher_is_the_cooled_trunk_and_its_compute_counts(tmp_path, monkeypatch):
    stage = '[[second_stage]]\nrecipe = "distill"\ndistill = 0.5\nteacher = "cooled"\nrate = 0.5\n'
    teachers, rates = [], []
    real, train = at_work.objective_of, at_work.train
    monkeypatch.setattr(
        at_work, "objective_of", lambda s, m: teachers.append(m.state_dict()) or real(s, m)
    )

    def watched(state, windows, first, steps, rate, *rest, **named):
        rates.append(rate(0))
        return train(state, windows, first, steps, rate, *rest, **named)

    monkeypatch.setattr(at_work, "train", watched)
    folder = swept(tmp_path, TOML.replace('["8k", "16k"]', '["8k"]') + stage)
    (model,) = (folder / "work").glob("cooldown-*/model.safetensors")
    kept = {n.removeprefix("model/"): t for n, t in read(model)[0].items() if "model/" in n}
    assert len(teachers) == 2
    assert all(torch.equal(t[n], kept[n]) for t in teachers for n in kept)
    assert rates[-1] == pytest.approx(0.5 * TINY.rate_at(16), rel=0.2)
    table = pd.read_csv(folder / "runs.csv", keep_default_na=False)
    branch = table[table["specialize_tokens"] > 0].iloc[0]
    assert branch["run_id"].endswith("-distill0.5+cooled+rate0.5")
    d, split = branch["pretrain_tokens"], branch["specialize_tokens"]
    beside = d - read_sweep(folder / "sweep.toml").stable(d)
    each = TINY.shape(16).flops_per_token
    assert branch["flops"] == pytest.approx(each * (d + beside + split * 4 / 3), rel=1e-5)
