"""To the Llama layout and back: the same logits, on both sides."""

from __future__ import annotations

import json
from dataclasses import asdict

import pytest
import torch

from bayeslaw.cli import run
from bayeslaw.corpus import synthetic
from bayeslaw.errors import SweepError
from bayeslaw.sweep import RECIPES
from bayeslaw.train.checkpoint import write
from bayeslaw.train.data import special
from bayeslaw.train.export import export, read_llama, write_llama
from bayeslaw.train.loop import cool, ready, start, train
from bayeslaw.train.model import Decoder

TINY = RECIPES["tiny"]


def state(width: int = 24):
    made = start(TINY, width, 0)
    with torch.no_grad():
        for p in made.model.parameters():
            p.add_(0.3 * torch.randn(p.shape, generator=torch.Generator().manual_seed(1)))
    return made


def logits(model: Decoder, ids: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return model.eval()(ids)


IDS = torch.randint(0, 256, (3, TINY.context), generator=torch.Generator().manual_seed(0))


def test_a_checkpoint_goes_out_and_comes_back(tmp_path):
    made = state()
    write(made, tmp_path / "c.safetensors")
    shape = export(tmp_path / "c.safetensors", tmp_path / "llama")
    assert shape == made.model.s
    again = read_llama(tmp_path / "llama")
    torch.testing.assert_close(logits(again, IDS), logits(made.model, IDS))
    assert again.s.params == made.model.s.params
    with pytest.raises(SweepError, match="is there already"):
        export(tmp_path / "c.safetensors", tmp_path / "llama")
    (tmp_path / "no.safetensors").write_bytes(b"no")
    with pytest.raises(SweepError, match="not a checkpoint of a sweep"):
        export(tmp_path / "no.safetensors", tmp_path / "other")


def test_the_command_writes_the_folder(tmp_path, capsys):
    write(state(), tmp_path / "c.safetensors")
    assert run(["export", str(tmp_path / "c.safetensors"), str(tmp_path / "llama")]) == 0
    assert "non-embedding parameters, width 24" in capsys.readouterr().out
    assert {p.name for p in (tmp_path / "llama").iterdir()} == {"config.json", "model.safetensors"}


def test_a_model_that_is_not_ours_is_refused_with_every_reason(tmp_path):
    made = state()
    write_llama(made.model.s, made.model.state_dict(), tmp_path / "llama")
    file = tmp_path / "llama" / "config.json"
    config = json.loads(file.read_text())
    file.write_text(json.dumps(config | {"model_type": "gpt2", "mlp_bias": True,
                                         "rope_scaling": {"rope_type": "yarn"}}))  # fmt: skip
    with pytest.raises(SweepError) as raised:
        read_llama(tmp_path / "llama")
    for part in ("model_type is 'gpt2'", "mlp_bias is on", "scaled (yarn)"):
        assert part in str(raised.value)
    with pytest.raises(SweepError, match="not a model that Hugging Face wrote"):
        read_llama(tmp_path / "none")
    file.write_text(json.dumps(config | {"num_hidden_layers": 5}))
    with pytest.raises(SweepError, match="its weights are not those of its config"):
        read_llama(tmp_path / "llama")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_transformers_computes_the_same_logits(tmp_path):
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    made = state()
    write_llama(made.model.s, made.model.state_dict(), tmp_path / "llama")
    theirs = transformers.LlamaForCausalLM.from_pretrained(tmp_path / "llama")
    with torch.no_grad():
        found = theirs.eval()(IDS).logits
    torch.testing.assert_close(found, logits(made.model, IDS), atol=1e-4, rtol=1e-4)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_a_llama_from_elsewhere_is_specialised_and_goes_back(tmp_path):
    """Shared keys and values, tied embeddings, another base, another hidden width: the same logits;
    training lowers its loss; what comes of it is read by transformers."""
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=256, hidden_size=32, intermediate_size=72, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=64,
        rms_norm_eps=1e-5, tie_word_embeddings=True, rope_theta=50_000.0, initializer_range=0.3,
    )  # fmt: skip
    theirs = transformers.LlamaForCausalLM(config).eval()
    theirs.save_pretrained(tmp_path / "theirs")
    model = read_llama(tmp_path / "theirs", TINY.context)
    assert asdict(model.s)["hidden_width"] == 72
    with torch.no_grad():
        expected = theirs(IDS).logits
    torch.testing.assert_close(logits(model, IDS), expected, atol=1e-4, rtol=1e-4)
    made = ready(model, TINY)
    windows = special(synthetic(size=100_000).domains[0], TINY.context, TINY.batch, 0)
    first = train(made, windows, 0, 1, lambda _: 0.0, 1.0)
    last = train(made, windows, 1, 60, cool(TINY, 32, 60), 1.0)
    assert last < 0.8 * first
    write_llama(made.model.s, made.model.state_dict(), tmp_path / "ours")
    back = transformers.LlamaForCausalLM.from_pretrained(tmp_path / "ours").eval()
    with torch.no_grad():
        found = back(IDS).logits
    torch.testing.assert_close(found, logits(made.model, IDS), atol=1e-4, rtol=1e-4)
