"""A sweep from its toml to its table: priced, trained, resumed, and refused with all reasons."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from bayeslaw.corpus import synthetic
from bayeslaw.errors import SweepError
from bayeslaw.runs import read_runs
from bayeslaw.sweep import RECIPES, Recipe, read_sweep
from bayeslaw.train import price
from bayeslaw.train.device import found
from bayeslaw.train.export import export
from bayeslaw.train.study import COLUMNS, run_sweep
from tests.train.little import TOML, Here, write

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def little(tmp_path_factory):
    """A sweep that was run once: its toml, its result, its folder."""
    out = tmp_path_factory.mktemp("little")
    toml = write(out)
    return toml, run_sweep(toml, out, executor=Here()), out


def test_the_table_has_every_model_on_every_domain(little):
    _, result, out = little
    table = pd.read_csv(out / "runs.csv", keep_default_na=False)
    assert tuple(table.columns) == COLUMNS
    models = 2 + 2 * 2  # cool-downs; branches of 2 domains from 2 checkpoints
    assert len(table) == result.rows == 2 * models
    assert (table["status"] == "ok").all()
    assert set(table.loc[table["specialize_tokens"] == 0, "branch"]) == {""}
    assert not table.duplicated(
        ["sweep", "run_id", "pretrain_tokens", "specialize_tokens", "domain"]
    ).any()
    s = RECIPES["tiny"].shape(16)
    assert set(table["params"]) == {s.params}
    tokens = table["pretrain_tokens"] + table["specialize_tokens"]
    assert (table["flops"] / (s.flops_per_token * tokens) - 1).abs().max() < 1e-5


def test_the_table_is_one_that_we_read(little):
    *_, out = little
    assert len(read_runs(out / "runs.csv").table) > 0


def test_beside_the_table_lie_a_manifest_without_places_and_the_times(little):
    *_, out = little
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["sweep"]["name"] == "little"
    assert str(out) not in json.dumps(manifest)
    times = pd.read_csv(out / "timings.csv")
    assert len(times) == 1 + 2 + 4
    assert (times["flops"] > 0).all()
    assert (times["seconds"] >= 0).all()


def test_run_again_it_trains_nothing_and_writes_the_same(little):
    toml, _, out = little
    before = (out / "runs.csv").read_bytes()
    again = run_sweep(toml, out, executor=Here())
    assert (again.trained, again.kept) == (0, 7)
    assert (out / "runs.csv").read_bytes() == before


def test_the_same_settings_give_the_same_bytes_elsewhere(little, tmp_path):
    toml, _, out = little
    run_sweep(toml, tmp_path, executor=Here())
    assert (tmp_path / "runs.csv").read_bytes() == (out / "runs.csv").read_bytes()


def test_a_longer_sweep_does_only_what_is_missing(little, tmp_path):
    _, _, out = little
    longer = write(tmp_path, TOML.replace('["4k"]', '["4k", "2k"]'))
    dry = run_sweep(longer, out, dry_run=True)
    assert (dry.trained, dry.kept) == (4, 7)


def test_a_dry_run_prices_and_leaves_no_trace(tmp_path):
    toml = write(tmp_path / "runs" / "little")
    priced = run_sweep(toml, dry_run=True)
    assert priced.dry_run
    assert (priced.trained, priced.kept) == (7, 0)
    assert priced.csv == tmp_path / "runs" / "little.csv"
    s = RECIPES["tiny"].shape(16)
    assert sum(p.flops for p in priced.prices) == priced.flops
    assert {p.cell.stage for p in priced.prices} == {"trunk", "cooldown", "branch"}
    assert all(p.seconds > 0 and p.memory > 16 * s.params for p in priced.prices)
    assert priced.flops > s.flops_per_token * (16_000 + 4 * 4_000)
    assert [p.name for p in (tmp_path / "runs").rglob("*")] == ["little", "sweep.toml"]


def test_a_dry_run_prices_microbatches_distillation_and_the_device(tmp_path, monkeypatch):
    """Parts of a batch take less memory, a copy of the weights 4 bytes each; the speed is measured
    on the device that trains."""
    stage = '[[second_stage]]\nrecipe = "distill"\ndistill = 1.0\n'
    asked = []
    monkeypatch.setattr(price, "speed", lambda *given: asked.append(given[3:]) or 1e9)
    plain, parts = (
        {(p.cell.stage, p.cell.branch): p for p in run_sweep(toml, dry_run=True).prices}
        for toml in (write(tmp_path / "a", TOML + stage),
                     write(tmp_path / "b", TOML + "microbatch = 2\n" + stage))
    )  # fmt: skip
    s = RECIPES["tiny"].shape(16)
    weights = sum(s.counts().values())
    for priced, windows in ((plain, 8), (parts, 2)):
        branch, cooled = priced["branch", "alpha"].memory, priced["cooldown", ""].memory
        assert branch - cooled == 4 * weights
        assert cooled == price.memory(s, windows)
    assert price.memory(s, 2) - 16 * weights == (price.memory(s, 8) - 16 * weights) / 4
    assert asked == [(found(), 8), (found(), 2)]


def test_without_out_the_table_goes_beside_the_folder(tmp_path):
    toml = write(tmp_path / "little")
    result = run_sweep(toml, executor=Here())
    assert result.csv == tmp_path / "little.csv"
    assert result.csv.is_file()
    assert {"manifest.json", "timings.csv", "work"} <= {p.name for p in toml.parent.iterdir()}


def test_progress_counts_to_the_end(tmp_path):
    told: list[tuple[int, int]] = []
    run_sweep(write(tmp_path), tmp_path, progress=lambda *a: told.append(a), executor=Here())
    assert told == [(n, 7) for n in range(1, 8)]


def test_a_diverged_run_is_recorded_and_the_sweep_goes_on(tmp_path, monkeypatch):
    wild = replace(RECIPES["tiny"], rate=1e30, clip=float("inf"))
    monkeypatch.setitem(RECIPES, "tiny", wild)
    result = run_sweep(write(tmp_path), tmp_path, executor=Here())
    table = pd.read_csv(tmp_path / "runs.csv")
    assert result.diverged == 7
    assert set(table["status"]) == {"diverged"}
    assert table["loss"].isna().all()


class Uneven(Recipe):
    """A rate beyond reason for one width only."""

    def rate_at(self, width: int) -> float:
        return 1e30 if width == 24 else super().rate_at(width)


def test_the_others_are_trained_where_one_size_diverges(little, tmp_path, monkeypatch):
    *_, out = little
    fields = {**RECIPES["tiny"].fields()}
    monkeypatch.setitem(RECIPES, "tiny", Uneven(**fields))
    result = run_sweep(write(tmp_path, TOML.replace("[16]", "[16, 24]")), tmp_path, executor=Here())
    table = pd.read_csv(tmp_path / "runs.csv", keep_default_na=False, dtype=str)
    assert result.diverged == 7
    assert set(table.loc[table["lineage"] == "w24-s0", "status"]) == {"diverged"}
    whole = pd.read_csv(out / "runs.csv", keep_default_na=False, dtype=str)
    assert table[table["lineage"] == "w16-s0"]["loss"].tolist() == whole["loss"].tolist()


def test_too_little_text_is_refused_with_all_the_reasons(tmp_path):
    text = TOML.replace("16k", "900k").replace('["4k"]', '["90k"]').replace('"4k"', '"99k"')
    with pytest.raises(SweepError) as raised:
        run_sweep(write(tmp_path, text), tmp_path, dry_run=True)
    message = str(raised.value)
    for part in ("pretrain_tokens 900096 of", "'alpha'", "'beta'", "heldout_tokens 99000 of"):
        assert part in message


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"synthetic"', '"none"', "corpus 'none' is not one of python, synthetic"),
        ("size = 60000", "height = 3", "corpus_options do not fit"),
        ("size = 60000", "names = [1, 2]", "corpus_options do not fit"),
        ('heldout_tokens = "4k"', "heldout_tokens = 400", "heldout_tokens 384 are too few|400 are"),
        ('recipe = "tiny"', 'recipe = "tiny"\ndomains = ["alpha", "gamma"]', "no domain gamma"),
    ],
)
def test_what_the_corpus_has_not_is_said(tmp_path, old, new, message):
    with pytest.raises(SweepError, match=message):
        run_sweep(write(tmp_path, TOML.replace(old, new)), tmp_path, dry_run=True)


@pytest.mark.slow
def test_the_example_runs_on_two_processes_within_its_promise(tmp_path):
    began = time.perf_counter()
    result = run_sweep(ROOT / "examples/tiny/sweep.toml", tmp_path)
    assert time.perf_counter() - began < 60  # 20 s on two idle cores
    spec = read_sweep(ROOT / "examples/tiny/sweep.toml")
    models = len(spec.widths) * len(spec.pretrain_tokens) * (1 + 2 * len(spec.specialize_tokens))
    assert result.rows == 2 * models


def test_a_folder_beside_the_settings_in_tokens_of_bpe(tmp_path):
    """Text of one's own: relative to the settings, in BPE, read four times; counted in the table,
    and no place of this machine in the manifest."""
    pytest.importorskip("tokenizers")
    for d in synthetic(size=30_000).domains:
        raw = b"cut elsewhere " + b"".join(
            getattr(d, part).tobytes() for part in ("pretrain", "specialize")
        )
        (tmp_path / "text").mkdir(exist_ok=True)
        (tmp_path / "text" / f"{d.name}.txt").write_bytes(raw)
    text = TOML.replace('"synthetic"', '"folder"').replace(
        "{size = 60000}", '{path = "text", min_bytes = 0}'
    )
    settings = 'vocabulary = 400\nepochs = 4\nseeds = [3]\nheldout_tokens = "1k"\n'
    toml = write(tmp_path, text.replace('heldout_tokens = "4k"\n', settings))
    run_sweep(toml, tmp_path / "out", executor=Here())
    table = pd.read_csv(tmp_path / "out" / "runs.csv")
    assert (table["status"] == "ok").all()
    assert (table["unique_tokens"] < table["pretrain_tokens"]).any()
    assert (table["unique_tokens"] * 4 >= table["pretrain_tokens"]).all()
    manifest = (tmp_path / "out" / "manifest.json").read_text()
    assert str(tmp_path) not in manifest
    assert json.loads(manifest)["models"]["16"]["vocabulary"] == 400
    (tmp_path / "text" / "alpha.txt").write_text("changed")
    with pytest.raises(SweepError, match="the corpus is too small"):
        run_sweep(toml, tmp_path / "out", dry_run=True)


@pytest.mark.slow
def test_a_model_of_a_known_chain_comes_near_its_entropy_and_not_below(tmp_path):
    """The loss of a trained model, against the entropy rate of its text."""
    text = TOML.replace('"synthetic"', '"markov"').replace("{size = 60000}", "{size = 400000}")
    text = text.replace('["8k", "16k"]', '["256k"]').replace('["4k"]', '["64k"]')
    run_sweep(write(tmp_path, text), tmp_path, executor=Here())
    entropy = json.loads((tmp_path / "manifest.json").read_text())["corpus"]["entropy"]
    table = pd.read_csv(tmp_path / "runs.csv", keep_default_na=False)
    own = table[table["branch"] == table["domain"]]
    assert len(own) == 2
    for row in own.itertuples():
        above = row.loss - entropy[row.domain]
        assert -3 * row.loss_se < above < 0.1


def test_models_are_kept_where_that_is_asked_for(tmp_path):
    """Every cool-down and branch, ready to be exported; without it only trunks are kept."""
    text = TOML.replace('["8k", "16k"]', '["8k"]')
    run_sweep(write(tmp_path, text + "keep_models = true\n"), tmp_path, executor=Here())
    kept = sorted(p.parent.name for p in (tmp_path / "work").glob("*/model.safetensors"))
    assert len(kept) == 3
    assert {name.split("-")[0] for name in kept} == {"branch", "cooldown"}
    (tmp_path / "work" / kept[1] / "model.safetensors").unlink()  # or not kept at first
    table = (tmp_path / "runs.csv").read_bytes()
    assert run_sweep(tmp_path / "sweep.toml", tmp_path, executor=Here()).trained == 1
    assert (tmp_path / "work" / kept[1] / "model.safetensors").is_file()
    assert (tmp_path / "runs.csv").read_bytes() == table
    s = export(tmp_path / "work" / kept[0] / "model.safetensors", tmp_path / "llama")
    assert s == RECIPES["tiny"].shape(16)
