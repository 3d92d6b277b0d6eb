"""Where a model runs: float32 on a processor; bf16 and a compiled model on an accelerator."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch

CHECK = 32  # steps between looks at the loss on an accelerator: a look waits for it


def found() -> str:
    """`cuda` (also ROCm) where there is an accelerator that torch sees, else `cpu`.

    `BAYESLAW_DEVICE` says otherwise.
    """
    return os.environ.get("BAYESLAW_DEVICE") or ("cuda" if torch.cuda.is_available() else "cpu")


def settle(device: str, threads: int) -> None:
    """Threads, and the same result for the same seed: no kernels that leave it to chance."""
    torch.set_num_threads(threads)
    if device != "cpu":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True)


def precision(device: str) -> AbstractContextManager[Any]:
    """bf16 products on an accelerator; nothing on a processor."""
    return nullcontext() if device == "cpu" else torch.autocast(device, torch.bfloat16)


def compiled(model: Callable[..., Any], device: str) -> Callable[..., Any]:
    """What is called for the model: itself on a processor, where compiling costs more than it
    gives for models this small."""
    return model if device == "cpu" else torch.compile(model)


def look(device: str, step: int) -> bool:
    """Whether the loss of this step is looked at."""
    return device == "cpu" or step % CHECK == CHECK - 1
