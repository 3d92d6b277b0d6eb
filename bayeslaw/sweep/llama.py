"""The config.json of a Llama in the layout of Hugging Face: our shape of it, and its of ours."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bayeslaw.errors import SweepError
from bayeslaw.sweep.shape import Shape

EPS = 2.0**-23  # what torch's RMSNorm takes where none is given: the resolution of float32
TOKENS = "trained_tokens"  # ours: the tokens that a model has been trained on
SIZES = (
    "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
    "max_position_embeddings", "vocab_size",
)  # fmt: skip


def config_of(s: Shape, tokens: int = 0) -> dict[str, Any]:
    """tokens: that the model has been trained on; 0 where that is not known."""
    known = {TOKENS: tokens} if tokens else {}
    return {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu",
        "vocab_size": s.vocabulary, "hidden_size": s.width, "intermediate_size": s.hidden,
        "num_hidden_layers": s.layers, "num_attention_heads": s.heads,
        "num_key_value_heads": s.heads, "head_dim": s.head_width,
        "max_position_embeddings": s.context, "rms_norm_eps": s.norm_eps or EPS,
        "rope_theta": s.rotary_base, "attention_bias": False, "mlp_bias": False,
        "tie_word_embeddings": False, "torch_dtype": "float32", "bos_token_id": None,
        "eos_token_id": None, **known,
    }  # fmt: skip


def read_config(folder: str | Path) -> dict[str, Any]:
    """Raises `SweepError` where there is none, and with everything about the model that is not
    ours."""
    folder = Path(folder)
    try:
        config = json.loads((folder / "config.json").read_text())
        if not isinstance(config, dict):
            raise ValueError("config.json is no object")
    except (OSError, ValueError, RecursionError) as error:
        raise SweepError(f"{folder}: not a model that Hugging Face wrote: {error}") from None
    if faults := list(_faults(config)):
        raise SweepError(f"{folder}: not a model that can be trained here: {'; '.join(faults)}")
    return config


def shape_of(config: dict[str, Any], context: int = 0) -> Shape:
    """The shape of a model with keys and values for every head. context: of the windows that it
    will be trained on; 0 for its own."""
    return Shape(
        width=config["hidden_size"],
        layers=config["num_hidden_layers"],
        head_width=config["hidden_size"] // config["num_attention_heads"],
        context=context or config["max_position_embeddings"],
        vocabulary=config["vocab_size"],
        hidden_width=config["intermediate_size"],
        rotary_base=float(_rope(config).get("rope_theta", 10_000.0)),
        norm_eps=config["rms_norm_eps"],
    )


def _rope(config: dict[str, Any]) -> dict[str, Any]:
    """Newer releases put the base of the rotations into a group of its own."""
    return {**config, **(config.get("rope_parameters") or {})}


def _faults(config: dict[str, Any]) -> Iterator[str]:
    for name, wanted in (("model_type", "llama"), ("hidden_act", "silu")):
        if config.get(name) != wanted:
            yield f"{name} is {config.get(name)!r}, not {wanted!r}"
    for name in ("attention_bias", "mlp_bias"):
        if config.get(name):
            yield f"{name} is on"
    groups = [config.get(n) or {} for n in ("rope_parameters", "rope_scaling")]
    if not all(isinstance(g, dict) for g in groups):
        yield "what it says of its rotations is no object"
        return
    kind = next((g["rope_type"] for g in groups if "rope_type" in g), "default")
    if kind != "default":
        yield f"its rotations are scaled ({kind})"
    sizes = [n for n in SIZES if not isinstance(config.get(n), int) or config[n] < 1]
    yield from (f"{n} is {config.get(n)!r}, not a size" for n in sizes)
    if not isinstance(config.get("rms_norm_eps"), float):
        yield f"rms_norm_eps is {config.get('rms_norm_eps')!r}, not a number"
    if sizes:
        return
    width, heads = config["hidden_size"], config["num_attention_heads"]
    each = config.get("head_dim") or width // heads
    if each * heads != width:
        yield "its heads are not as wide together as the model"
    elif each % 2:
        yield f"its heads are {each} wide, which is odd"
