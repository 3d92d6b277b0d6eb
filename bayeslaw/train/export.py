"""Models to and from the Llama layout of Hugging Face: config.json and model.safetensors."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from bayeslaw.errors import SweepError
from bayeslaw.sweep.llama import config_of, read_config, shape_of
from bayeslaw.sweep.shape import Shape
from bayeslaw.sweep.start import TOKENIZER, WEIGHTS
from bayeslaw.train.checkpoint import Unreadable, read
from bayeslaw.train.model import Decoder

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
    """Write the model of a checkpoint to a new folder, with the tokenizer of its sweep if it has
    one and the tokens that it was trained on. files: name -> what else goes there. Raises
    `SweepError` for a file that is no checkpoint and a folder that is there."""
    shape, weights, tokens = _weights(Path(checkpoint))
    write_llama(shape, weights, out, tokens, _tokenizer(Path(checkpoint)), files)
    return shape


def read_checkpoint(checkpoint: str | Path) -> Decoder:
    """The model of a checkpoint. Raises `SweepError` for a file that is none."""
    shape, weights, _ = _weights(Path(checkpoint))
    model = Decoder(shape)
    model.load_state_dict(weights)
    return model


def _weights(checkpoint: Path) -> tuple[Shape, dict[str, Tensor], int]:
    """With the tokens that the model was trained on; 0 where that is not known."""
    try:
        tensors, about = read(checkpoint)
        shape = Shape(**about["shape"])
    except (Unreadable, KeyError, TypeError) as error:
        raise SweepError(f"not a checkpoint of a sweep: {error}") from None
    weights = {n.removeprefix("model/"): t for n, t in tensors.items() if n.startswith("model/")}
    return shape, weights, about.get("tokens", 0)


def _tokenizer(checkpoint: Path) -> str:
    """That of the sweep in whose work/ a checkpoint lies; empty where it is of bytes."""
    try:
        folder = checkpoint.absolute().parents[2]
        manifest = json.loads((folder / "manifest.json").read_text())
        return manifest["corpus"].get("tokenizer", "")
    except (OSError, ValueError, KeyError, AttributeError, IndexError):
        return ""


def write_llama(
    s: Shape,
    weights: dict[str, Tensor],
    out: str | Path,
    tokens: int = 0,
    tokenizer: str = "",
    files: Mapping[str, str] | None = None,
) -> None:
    """Write weights, named as a `Decoder`'s, as `LlamaForCausalLM` reads them. The folder appears
    when it is whole. tokens: that the model was trained on; 0 where that is not known. tokenizer:
    of `tokenizers`, as JSON. files: name -> what else goes there. Raises `SweepError` where the
    folder is there."""
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
        (beside / "config.json").write_text(json.dumps(config_of(s, tokens), indent=1) + "\n")
        others = {TOKENIZER: tokenizer} if tokenizer else {}
        for name, text in {**others, **(files or {})}.items():
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
    shape = shape_of(read_config(folder), context)
    verify_weights(folder, shape)
    theirs: dict[str, Tensor] = {}
    for file in sorted(folder.glob(WEIGHTS)):
        theirs |= load_file(file)
    theirs.setdefault("lm_head.weight", theirs["model.embed_tokens.weight"])
    ours = {o: theirs[t] for o, t in PLAIN.items()}
    for i in range(shape.layers):
        for name, names in BLOCK.items():
            parts = [_shared(theirs[f"model.layers.{i}.{n}"], n, shape) for n in names]
            ours[f"blocks.{i}.{name}"] = torch.cat(parts)
    model = Decoder(shape)
    model.load_state_dict({n: t.float() for n, t in ours.items()})
    return model


def verify_weights(folder: str | Path, s: Shape) -> None:
    """That a folder has the weights of a shape, by their names and sizes; none is read. Raises
    `SweepError` with what is missing and what has another size."""
    folder = Path(folder)
    found: dict[str, tuple[int, ...]] = {}
    try:
        for file in sorted(folder.glob(WEIGHTS)):
            with safe_open(file, "pt") as tensors:
                found |= {n: tuple(tensors.get_slice(n).get_shape()) for n in tensors.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise SweepError(f"{folder}: its weights cannot be read: {error}") from None
    with torch.device("meta"):
        ours = {n: tuple(p.shape) for n, p in Decoder(s).named_parameters()}
    faults = []
    for name, sizes in _theirs(ours, s.layers).items():
        if name not in found:
            if name != "lm_head.weight":  # it may be the embedding
                faults.append(f"{name} is missing")
        elif not _fits(found[name], sizes, name, s):
            faults.append(f"{name} is {found[name]}, not {sizes}")
    if faults:
        more = f"; and {len(faults) - 5} more" if len(faults) > 5 else ""
        raise SweepError(f"{folder}: its weights are not those of its config: "
                         f"{'; '.join(faults[:5])}{more}")  # fmt: skip


def _theirs(ours: dict[str, tuple[int, ...]], layers: int) -> dict[str, tuple[int, ...]]:
    """Their names and sizes, of ours."""
    sizes = {t: ours[o] for o, t in PLAIN.items()}
    for i in range(layers):
        for name, names in BLOCK.items():
            rows, *rest = ours[f"blocks.{i}.{name}"]
            sizes |= {f"model.layers.{i}.{n}": (rows // len(names), *rest) for n in names}
    return sizes


def _fits(found: tuple[int, ...], wanted: tuple[int, ...], name: str, s: Shape) -> bool:
    """Heads may share keys and values, in equal groups."""
    if name.endswith(("k_proj.weight", "v_proj.weight")) and len(found) == 2:
        groups, rest = divmod(found[0], s.head_width)
        return not rest and groups > 0 and s.heads % groups == 0 and found[1] == s.width
    return found == wanted


def _shared(weight: Tensor, name: str, s: Shape) -> Tensor:
    """Keys and values for every head, where groups of heads share them."""
    if not name.startswith(("self_attn.k_proj", "self_attn.v_proj")) or len(weight) == s.width:
        return weight
    each = weight.view(-1, s.head_width, s.width)
    return each.repeat_interleave(s.heads // len(each), 0).reshape(s.width, s.width)
