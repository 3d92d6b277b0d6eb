"""Sweeps that start from a model that came from elsewhere."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from bayeslaw.corpus import synthetic
from bayeslaw.corpus.bpe import tokenized
from bayeslaw.errors import SweepError
from bayeslaw.runs import read_runs
from bayeslaw.sweep import RECIPES, read_sweep
from bayeslaw.sweep.shape import Shape
from bayeslaw.train import checkpoint
from bayeslaw.train.data import general, heldout
from bayeslaw.train.export import export, read_llama, write_llama
from bayeslaw.train.loop import evaluate, ready, start, train, warm
from bayeslaw.train.model import make
from bayeslaw.train.study import run_sweep
from tests.train.little import Here, Killed, Mortal

TINY = RECIPES["tiny"]
STAGES = """
[[second_stage]]
recipe = "plain"
[[second_stage]]
recipe = "joint"
seeds = [0]
[[second_stage]]
recipe = "replay"
replay = 0.25
seeds = [0]
[[second_stage]]
recipe = "distill"
distill = 0.5
seeds = [0]
[[second_stage]]
recipe = "importance"
clusters = 4
target_bytes = "8k"
seeds = [0]
"""
TOML = """
name = "begun"
corpus = "synthetic"
corpus_options = {size = 60000}
recipe = "tiny"
start = "llama"
start_tokens = "12k"
specialize_tokens = ["2k", "4k"]
heldout_tokens = "4k"
seeds = [0, 1]
checkpoint_minutes = 1e-9
"""
D = 12_000


@pytest.fixture(scope="module")
def llama(tmp_path_factory) -> Path:
    """A model that no width of the recipe is: two layers, another hidden width, trained a little
    and exported."""
    shape = Shape(24, 2, 8, 64, hidden_width=40, norm_eps=1e-5)
    state = ready(make(shape, 3), TINY)
    windows = general(synthetic(size=60_000).domains, TINY.context, TINY.batch, 3)
    train(state, windows, 0, 40, warm(TINY, 24, 0), 1.0)
    folder = tmp_path_factory.mktemp("from") / "llama"
    write_llama(shape, state.model.state_dict(), folder)
    return folder


@pytest.fixture(scope="module")
def begun(llama, tmp_path_factory) -> Path:
    return swept(tmp_path_factory.mktemp("begun"), llama, TOML + STAGES)


def written(folder: Path, llama: Path, text: str = TOML) -> Path:
    if not (folder / "llama").exists():
        shutil.copytree(llama, folder / "llama")
    (folder / "sweep.toml").write_text(text)
    return folder / "sweep.toml"


def swept(folder: Path, llama: Path, text: str) -> Path:
    run_sweep(written(folder, llama, text), folder, executor=Here())
    return folder


def test_the_model_is_judged_as_it_came_and_specialised_by_every_recipe(begun):
    table = pd.read_csv(begun / "runs.csv", keep_default_na=False)
    model = read_llama(begun / "llama", TINY.context)
    assert set(table["params"]) == {model.s.params}
    assert set(table["pretrain_tokens"]) == {D}
    assert set(table["unique_tokens"]) == {""}
    assert table["lineage"].nunique() == 1
    first = table[table["specialize_tokens"] == 0].set_index("domain")["loss"]
    assert len(first) == 2
    for domain in synthetic(size=60_000).domains:
        loss, _ = evaluate(model, heldout(domain, TINY.context, 4000))
        assert first[domain.name] == pytest.approx(loss, abs=2e-6)
    second = table[table["specialize_tokens"] > 0]
    counts = second.groupby(["recipe", "seed"])["run_id"].nunique().to_dict()
    assert counts == {
        ("plain", 0): 4, ("plain", 1): 4, ("joint", 0): 2, ("replay", 0): 4, ("distill", 0): 4,
        ("importance", 0): 4,
    }  # fmt: skip
    own = second[(second["branch"] == second["domain"]) & (second["recipe"] == "plain")]
    for domain, group in own.groupby("domain"):
        assert group.groupby("specialize_tokens")["loss"].mean().is_monotonic_decreasing
        assert group["loss"].max() < first[domain]
    each = model.s.flops_per_token
    split = own["specialize_tokens"]
    assert (own["flops"] / (each * (D + split)) - 1).abs().max() < 1e-5
    read_runs(begun / "runs.csv")


def test_a_dry_run_prices_the_second_stages_alone(begun):
    dry = run_sweep(begun / "sweep.toml", begun / "elsewhere", dry_run=True)
    s = read_llama(begun / "llama", TINY.context).s
    assert {p.cell.stage for p in dry.prices} == {"start", "branch"}
    assert {p.params for p in dry.prices} == {s.params}
    branch = next(p for p in dry.prices if p.cell.stage == "branch")
    spec = read_sweep(begun / "sweep.toml")
    tokens = branch.cell.specialize_tokens + spec.judging
    assert branch.flops == pytest.approx(s.flops_per_token * tokens)
    assert not (begun / "elsewhere").exists()
    manifest = (begun / "manifest.json").read_text()
    assert str(begun) not in manifest
    assert len(json.loads(manifest)["start"]) == 64


def test_killed_anywhere_it_ends_in_the_same_bytes_and_run_again_it_trains_nothing(
    begun, llama, tmp_path, monkeypatch
):
    mortal, rng = Mortal(monkeypatch), random.Random(1)
    toml = written(tmp_path, llama, TOML + STAGES)
    for _ in range(6):
        mortal.left = rng.randrange(25)
        with pytest.raises(Killed):
            run_sweep(toml, tmp_path, executor=Here())
    mortal.left = 10**9
    run_sweep(toml, tmp_path, executor=Here())
    assert (tmp_path / "runs.csv").read_bytes() == (begun / "runs.csv").read_bytes()
    again = run_sweep(toml, tmp_path, executor=Here())
    assert again.trained == 0


def test_other_weights_are_another_sweep(begun, llama, tmp_path):
    toml = written(tmp_path, llama, TOML + STAGES)
    ours = read_llama(llama)
    with torch.no_grad():
        ours.unembedding.weight[0, 0] += 1
    shutil.rmtree(tmp_path / "llama")
    write_llama(ours.s, ours.state_dict(), tmp_path / "llama")
    dry = run_sweep(toml, begun, dry_run=True)
    assert dry.kept == 0


def test_what_our_own_export_was_trained_on_is_said_by_its_folder(tmp_path):
    """A checkpoint of a sweep, exported, and specialised by another sweep: D is what it read."""
    state = start(TINY, 16, 0)
    windows = general(synthetic(size=60_000).domains, TINY.context, TINY.batch, 0)
    train(state, windows, 0, 40, warm(TINY, 16, 0), 1.0)
    checkpoint.write(state, tmp_path / "c.safetensors")
    export(tmp_path / "c.safetensors", tmp_path / "llama")
    (tmp_path / "sweep.toml").write_text(TOML.replace('start_tokens = "12k"\n', ""))
    run_sweep(tmp_path / "sweep.toml", tmp_path, executor=Here())
    table = pd.read_csv(tmp_path / "runs.csv")
    assert set(table["pretrain_tokens"]) == {40 * TINY.tokens_per_step}
    assert set(table["params"]) == {TINY.shape(16).params}


def changed(folder: Path, **fields: Any) -> None:
    file = folder / "llama" / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | fields))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"vocab_size": 300}, "its vocabulary has 300 tokens, bytes are 256: put its tokenizer"),
        ({"max_position_embeddings": 16}, "windows are of 16 tokens at most, those of the recipe"),
        (
            {"model_type": "gpt2", "mlp_bias": True},
            "model_type is 'gpt2', not 'llama'; mlp_bias is",
        ),
        ({"hidden_size": "wide"}, "hidden_size is 'wide', not a size"),
        ({"trained_tokens": "many"}, "trained_tokens of its config.json is 'many', not a number"),
    ],
)
def test_a_model_that_does_not_fit_is_refused_before_the_start(llama, tmp_path, change, message):
    toml = written(tmp_path, llama, TOML + "epochs = 0\n")
    changed(tmp_path, **change)
    with pytest.raises(SweepError) as raised:
        run_sweep(toml, tmp_path, dry_run=True)
    assert message in str(raised.value)
    assert "epochs" in str(raised.value)  # all faults of the settings at once


def test_weights_that_are_not_of_the_config_are_named_before_the_start(llama, tmp_path):
    toml = written(tmp_path, llama)
    changed(tmp_path, num_hidden_layers=3, intermediate_size=48)
    with pytest.raises(SweepError) as raised:
        run_sweep(toml, tmp_path, dry_run=True)
    for part in ("layers.0.mlp.gate_proj.weight is (40, 24), not (48, 24)", "and 10 more"):
        assert part in str(raised.value)
    for file in (tmp_path / "llama").glob("*.safetensors"):
        file.write_bytes(b"no weights")
    with pytest.raises(SweepError, match="its weights cannot be read"):
        run_sweep(toml, tmp_path, dry_run=True)
    for file in (tmp_path / "llama").glob("*.safetensors"):
        file.unlink()
    with pytest.raises(SweepError, match=r"has no \.safetensors; save it with safe_serialization"):
        run_sweep(toml, tmp_path, dry_run=True)
    shutil.rmtree(tmp_path / "llama")
    with pytest.raises(SweepError, match=r"not a model that Hugging Face wrote: .*config.json"):
        run_sweep(toml, tmp_path, dry_run=True)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("widths = [16]", "the model in start says what widths would: leave out"),
        ('design = "grid"', "design 'grid' trains its own trunks"),
        ('start_tokens = ""', "start_tokens"),
        ('branch_from = "stable"', "says what branch_from would"),
        ('[[second_stage]]\nrecipe = "scratch"', "'scratch' has no place in design 'start'"),
        ('[[second_stage]]\nrecipe = "plain"\nwidths = [24]', "'start' sets widths itself"),
        ('[[second_stage]]\nrecipe = "distill"\ndistill = 1.0\nteacher = "cooled"',
         "the model in start is not cooled down again"),
    ],
)  # fmt: skip
def test_what_does_not_go_with_a_start_is_said(llama, tmp_path, line, message):
    name = line.split(" ")[0]
    text = "\n".join(x for x in TOML.splitlines() if x.split(" ")[0] != name) + f"\n{line}\n"
    with pytest.raises(SweepError, match=message):
        run_sweep(written(tmp_path, llama, text), tmp_path, dry_run=True)


def test_tokens_that_are_said_nowhere_are_asked_for(llama, tmp_path):
    text = TOML.replace('start_tokens = "12k"\n', "")
    with pytest.raises(SweepError, match="start_tokens is missing: how many tokens"):
        run_sweep(written(tmp_path, llama, text), tmp_path, dry_run=True)
    text = TOML.replace('start = "llama"\n', 'widths = [16]\npretrain_tokens = ["8k"]\n')
    with pytest.raises(SweepError, match="start_tokens is of start: name its folder"):
        run_sweep(written(tmp_path, llama, text), tmp_path, dry_run=True)


def test_a_model_with_a_tokenizer_reads_the_text_in_its_own_tokens(tmp_path):
    """A sweep in BPE, a checkpoint of it exported with its tokenizer, and specialised elsewhere."""
    pytest.importorskip("tokenizers")
    text = TOML.replace('start = "llama"\nstart_tokens = "12k"\n', "widths = [16]\n"
                        'pretrain_tokens = ["4k"]\nvocabulary = 300\n')  # fmt: skip
    text = text.replace('"2k", "4k"', '"1k"').replace('"4k"\nseeds = [0, 1]', '"1k"\nseeds = [0]')
    (tmp_path / "first").mkdir()
    (tmp_path / "first" / "sweep.toml").write_text(text + "keep_models = true\n")
    run_sweep(tmp_path / "first" / "sweep.toml", tmp_path / "first", executor=Here())
    (kept,) = (tmp_path / "first" / "work").glob("cooldown-*/model.safetensors")
    export(kept, tmp_path / "llama")
    assert (tmp_path / "llama" / "tokenizer.json").is_file()
    second = TOML.replace('start_tokens = "12k"\n', "").replace('"2k", "4k"', '"1k"')
    (tmp_path / "sweep.toml").write_text(
        second.replace('heldout_tokens = "4k"', 'heldout_tokens = "1k"')
    )
    run_sweep(tmp_path / "sweep.toml", tmp_path, executor=Here())
    first, second = (pd.read_csv(f / "runs.csv") for f in (tmp_path / "first", tmp_path))
    assert set(second["pretrain_tokens"]) == set(first["pretrain_tokens"])
    before, after = (t[t["specialize_tokens"] == 0]["loss"].tolist() for t in (first, second))
    assert after == before  # the same windows of the same tokens under the same weights
    tokenizer = tmp_path / "llama" / "tokenizer.json"
    with pytest.raises(SweepError, match=r"has 300 tokens, and its model a vocabulary of 270"):
        tokenized(synthetic(size=1000), tokenizer, 270)
    tokenizer.write_text("{}")
    with pytest.raises(SweepError, match="not a tokenizer"):
        run_sweep(tmp_path / "sweep.toml", tmp_path, dry_run=True)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_a_model_that_transformers_wrote_is_specialised(tmp_path):
    """Shared keys and values, tied embeddings; and what comes of it goes back."""
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=256, hidden_size=32, intermediate_size=72, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=64,
        rms_norm_eps=1e-5, tie_word_embeddings=True, initializer_range=0.1,
    )  # fmt: skip
    theirs = transformers.LlamaForCausalLM(config)
    theirs.save_pretrained(tmp_path / "llama")
    (tmp_path / "sweep.toml").write_text(TOML + "keep_models = true\n")
    run_sweep(tmp_path / "sweep.toml", tmp_path, executor=Here())
    table = pd.read_csv(tmp_path / "runs.csv", keep_default_na=False)
    assert (table["status"] == "ok").all()
    text = heldout(synthetic(size=60_000).domains[0], TINY.context, 4000).windows
    with torch.no_grad():
        loss = float(theirs(text[:, :-1], labels=None).logits.log_softmax(-1)
                     .gather(-1, text[:, 1:, None]).mean())  # fmt: skip
    first = table[(table["specialize_tokens"] == 0) & (table["domain"] == "alpha")]["loss"]
    assert float(first.iloc[0]) == pytest.approx(-loss, rel=0.02)  # without the controls
    kept = sorted((tmp_path / "work").glob("branch-*/model.safetensors"))
    export(kept[0], tmp_path / "out")
    back = transformers.LlamaForCausalLM.from_pretrained(tmp_path / "out").eval()
    ours = read_llama(tmp_path / "out")
    with torch.no_grad():
        torch.testing.assert_close(back(text[:4, :-1]).logits, ours(text[:4, :-1]),
                                   atol=1e-4, rtol=1e-4)  # fmt: skip
