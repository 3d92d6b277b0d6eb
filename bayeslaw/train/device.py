"""Where a model runs: float32 on a processor; bf16 and a compiled model on an accelerator."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from bayeslaw.errors import SweepError

CHECK = 32  # steps between looks at the loss on an accelerator: a look waits for it
SHAPES = 64  # compiled forms of one function that a process may have: a sweep has many widths


def found() -> str:
    """`cuda` (also ROCm) where there is an accelerator that torch sees, else `cpu`.

    `BAYESLAW_DEVICE` says otherwise, also of what is not here but where the work will be done.
    Raises `SweepError` where it is neither.
    """
    asked = os.environ.get("BAYESLAW_DEVICE") or ("cuda" if torch.cuda.is_available() else "cpu")
    if asked not in ("cpu", "cuda"):
        raise SweepError(f"BAYESLAW_DEVICE is '{asked}'; it may be cpu or cuda")
    return asked


def settle(device: str, threads: int) -> None:
    """Threads, and the same result for the same seed: no kernels that leave it to chance."""
    torch.set_num_threads(threads)
    if device != "cpu":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True)
        # Every empty tensor would be filled first, for nothing: none is read before it is written.
        torch.utils.deterministic.fill_uninitialized_memory = False
        # The products of training are bf16; those of judging are meant to be float32.
        warnings.filterwarnings("ignore", "TensorFloat32 tensor cores")


def precision(device: str) -> AbstractContextManager[Any]:
    """bf16 products on an accelerator; nothing on a processor."""
    return nullcontext() if device == "cpu" else torch.autocast(device, torch.bfloat16)


def compiled(fn: Callable[..., Any], device: str) -> Callable[..., Any]:
    """What is called for a model or a loss: itself on a processor, where compiling costs more than
    it gives for models this small. Shapes are fixed: kernels of any shape are slower."""
    if device == "cpu":
        return fn
    _many_shapes()
    return torch.compile(fn, dynamic=False)


def compiled_within(module: nn.Module) -> None:
    """Compile a module in place, where that pays: what is hooked to it is not compiled."""
    if next(module.parameters()).device.type != "cpu":
        _many_shapes()
        module.compile(dynamic=False)


def _many_shapes() -> None:
    import torch._dynamo  # late: it takes seconds

    torch._dynamo.config.recompile_limit = SHAPES


def sent(ids: Tensor, device: str) -> Tensor:
    """Tokens on the device, without waiting for what it is at."""
    return ids if device == "cpu" else ids.pin_memory().to(device, non_blocking=True)


def look(device: str, step: int) -> bool:
    """Whether the loss of this step is looked at."""
    return device == "cpu" or step % CHECK == CHECK - 1
