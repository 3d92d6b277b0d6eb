"""Models to and from the Llama layout of Hugging Face: config.json and model.safetensors."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from bayeslaw.errors import SweepError
from bayeslaw.sweep.shape import Shape
from bayeslaw.train.checkpoint import Unreadable, read
from bayeslaw.train.model import Decoder

EPS = torch.finfo(torch.float32).eps  # what torch's RMSNorm takes where none is given
# ours -> theirs; what is joined here is split there
PLAIN = {
    "embedding.weight": "model.embed_tokens.weight",
    "norm.weight": "model.norm.weight",
    "unembedding.weight": "lm_head.weight",
}
BLOCK = {
    "attend_norm.weight": ("input_layernorm.weight",),
    "feed_norm.weight": ("post_attention_layernorm.weight",),
    "qkv.weight": tuple(f"self_attn.{n}_proj.weight" for n in "qkv"),
    "out.weight": ("self_attn.o_proj.weight",),
    "gate_up.weight": ("mlp.gate_proj.weight", "mlp.up_proj.weight"),
    "down.weight": ("mlp.down_proj.weight",),
}


def export(
    checkpoint: str | Path, out: str | Path, files: Mapping[str, str] | None = None
) -> Shape:
    """Write the model of a checkpoint to a new folder. files: name -> what else goes there. Raises
    `SweepError` for a file that is no checkpoint and a folder that is there."""
    shape, weights = _weights(Path(checkpoint))
    write_llama(shape, weights, out, files)
    return shape


def read_checkpoint(checkpoint: str | Path) -> Decoder:
    """The model of a checkpoint. Raises `SweepError` for a file that is none."""
    shape, weights = _weights(Path(checkpoint))
    model = Decoder(shape)
    model.load_state_dict(weights)
    return model


def _weights(checkpoint: Path) -> tuple[Shape, dict[str, Tensor]]:
    try:
        tensors, about = read(checkpoint)
        shape = Shape(**about["shape"])
    except (Unreadable, KeyError, TypeError) as error:
        raise SweepError(f"not a checkpoint of a sweep: {error}") from None
    weights = {n.removeprefix("model/"): t for n, t in tensors.items() if n.startswith("model/")}
    return shape, weights


def write_llama(
    s: Shape,
    weights: dict[str, Tensor],
    out: str | Path,
    files: Mapping[str, str] | None = None,
) -> None:
    """Write weights, named as a `Decoder`'s, as `LlamaForCausalLM` reads them. The folder appears
    when it is whole. Raises `SweepError` where it is there."""
    out = Path(out)
    if out.exists():
        raise SweepError(f"{out} is there already; name a new folder")
    theirs = {t: weights[o] for o, t in PLAIN.items()}
    for i in range(s.layers):
        for ours, names in BLOCK.items():
            parts = weights[f"blocks.{i}.{ours}"].chunk(len(names))
            theirs |= {f"model.layers.{i}.{n}": p for n, p in zip(names, parts, strict=True)}
    beside = out.with_name(f".{out.name}.{os.getpid()}")
    try:
        beside.mkdir(parents=True)
        (beside / "config.json").write_text(json.dumps(_config(s), indent=1) + "\n")
        for name, text in (files or {}).items():
            (beside / name).write_text(text, encoding="utf-8")
        tensors = {n: t.detach().cpu().float().contiguous().clone() for n, t in theirs.items()}
        save_file(tensors, beside / "model.safetensors", {"format": "pt"})
        beside.replace(out)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def read_llama(folder: str | Path, context: int = 0) -> Decoder:
    """A Llama from elsewhere, to be specialised: the same logits. float32.

    context: of the windows it will be trained on; 0 for its own. Keys and values that heads share
    are written out for each head: the same function, with more weights. Tied embeddings are
    untied. Raises `SweepError` with everything about the model that is not ours.
    """
    folder = Path(folder)
    try:
        config = json.loads((folder / "config.json").read_text())
        theirs: dict[str, Tensor] = {}
        for file in sorted(folder.glob("*.safetensors")):
            theirs |= load_file(file)
    except (OSError, ValueError, SafetensorError) as error:
        raise SweepError(f"{folder}: not a model that Hugging Face wrote: {error}") from None
    _ours_only(folder, config)
    heads = config["num_attention_heads"]
    shape = Shape(
        width=config["hidden_size"],
        layers=config["num_hidden_layers"],
        head_width=config["hidden_size"] // heads,
        context=context or config["max_position_embeddings"],
        vocabulary=config["vocab_size"],
        hidden_width=config["intermediate_size"],
        rotary_base=float(_rope(config).get("rope_theta", 10_000.0)),
        norm_eps=config["rms_norm_eps"],
    )
    model = Decoder(shape)
    theirs.setdefault("lm_head.weight", theirs.get("model.embed_tokens.weight", torch.empty(0)))
    try:
        ours = {o: theirs[t] for o, t in PLAIN.items()}
        for i in range(shape.layers):
            for name, names in BLOCK.items():
                parts = [_shared(theirs[f"model.layers.{i}.{n}"], n, shape) for n in names]
                ours[f"blocks.{i}.{name}"] = torch.cat(parts)
        model.load_state_dict({n: t.float() for n, t in ours.items()})
    except (KeyError, RuntimeError) as error:
        raise SweepError(f"{folder}: its weights are not those of its config: {error}") from None
    return model


def _shared(weight: Tensor, name: str, s: Shape) -> Tensor:
    """Keys and values for every head, where groups of heads share them."""
    if not name.startswith(("self_attn.k_proj", "self_attn.v_proj")) or len(weight) == s.width:
        return weight
    each = weight.view(-1, s.head_width, s.width)
    return each.repeat_interleave(s.heads // len(each), 0).reshape(s.width, s.width)


def _config(s: Shape) -> dict[str, Any]:
    return {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu",
        "vocab_size": s.vocabulary, "hidden_size": s.width, "intermediate_size": s.hidden,
        "num_hidden_layers": s.layers, "num_attention_heads": s.heads,
        "num_key_value_heads": s.heads, "head_dim": s.head_width,
        "max_position_embeddings": s.context, "rms_norm_eps": s.norm_eps or EPS,
        "rope_theta": s.rotary_base, "attention_bias": False, "mlp_bias": False,
        "tie_word_embeddings": False, "torch_dtype": "float32", "bos_token_id": None,
        "eos_token_id": None,
    }  # fmt: skip


def _rope(config: dict[str, Any]) -> dict[str, Any]:
    """Newer releases put the base of the rotations into a group of its own."""
    return {**config, **(config.get("rope_parameters") or {})}


def _ours_only(folder: Path, config: dict[str, Any]) -> None:
    wanted = {"model_type": "llama", "hidden_act": "silu"}
    faults = [f"{n} is {config.get(n)!r}, not {v!r}" for n, v in wanted.items()
              if config.get(n) != v]  # fmt: skip
    faults += [f"{n} is on" for n in ("attention_bias", "mlp_bias") if config.get(n)]
    kind = (config.get("rope_scaling") or {}).get("rope_type", "default")
    kind = (config.get("rope_parameters") or {}).get("rope_type", kind)
    faults += [f"its rotations are scaled ({kind})"] if kind != "default" else []
    width, heads = config.get("hidden_size", 0), config.get("num_attention_heads", 1)
    if (config.get("head_dim") or width // heads) * heads != width:
        faults.append("its heads are not as wide together as the model")
    if faults:
        raise SweepError(f"{folder}: not a model that can be trained here: {'; '.join(faults)}")
