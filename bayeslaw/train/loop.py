"""One stage of training: steps at given rates from a state to a state; and evaluation."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from bayeslaw.sweep.recipe import Recipe
from bayeslaw.train.data import Heldout, Windows
from bayeslaw.train.model import Decoder, Shape, make


@dataclass
class State:
    """A model, its optimiser and the steps it has been trained. Changed in place by `train`."""

    model: Decoder
    optimiser: torch.optim.AdamW
    steps: int = 0


def shape(recipe: Recipe, width: int) -> Shape:
    return Shape(width, recipe.layers, width // recipe.heads(width), recipe.context)


def start(recipe: Recipe, width: int, seed: int) -> State:
    """A fresh model and optimiser. Decay on matrices only; embeddings are spared too."""
    model = make(shape(recipe, width), seed)
    matrices = [p for n, p in model.named_parameters() if p.ndim > 1 and "embedding" not in n]
    others = [p for n, p in model.named_parameters() if p.ndim < 2 or "embedding" in n]
    groups = [
        {"params": matrices, "weight_decay": recipe.decay},
        {"params": others, "weight_decay": 0.0},
    ]
    betas = (recipe.beta1, recipe.beta2)
    return State(model, torch.optim.AdamW(groups, lr=0.0, betas=betas, fused=True))


class CrossEntropy(torch.autograd.Function):
    """Mean of -log softmax(logits)[target] over rows of logits (row, 256) and targets (row,).

    The gradient, softmax - one-hot, is made in the forward pass: fewer passes over the logits, the
    largest tensor of a small model, and a step that takes a tenth less time.
    """

    @staticmethod
    def forward(ctx: Any, logits: Tensor, targets: Tensor) -> Tensor:
        log_p, rows = logits.log_softmax(-1), torch.arange(len(targets))
        loss = -log_p[rows, targets].mean()
        gradient = log_p.exp_()
        gradient[rows, targets] -= 1
        ctx.save_for_backward(gradient.div_(len(targets)))
        return loss

    @staticmethod
    def backward(ctx: Any, above: Tensor) -> tuple[Tensor, None]:
        return ctx.saved_tensors[0] * above, None


def train(
    state: State,
    windows: Windows,
    first: int,
    steps: int,
    rate: Callable[[int], float],
    clip: float,
) -> float:
    """`steps` steps on batches first, first + 1, …; rate(i) is the rate of the stage's i-th step.

    Returns the mean training loss of the last tenth; NaN or infinity means that it diverged.
    """
    state.model.train()
    tail: list[Tensor] = []
    for i in range(steps):
        inputs, targets = windows.step(first + i)
        for group in state.optimiser.param_groups:
            group["lr"] = rate(i)
        logits = state.model(inputs)
        loss = CrossEntropy.apply(logits.flatten(0, 1), targets.flatten())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(state.model.parameters(), clip)
        state.optimiser.step()
        state.optimiser.zero_grad(set_to_none=True)
        state.steps += 1
        if i >= steps - max(1, steps // 10):
            tail.append(loss.detach())
    return float(torch.stack(tail).mean())


def warm(recipe: Recipe, width: int, done: int) -> Callable[[int], float]:
    """Linear warm-up, then constant: the trunk. `done` steps lie behind."""
    peak = recipe.rate_at(width)
    return lambda i: peak * min(1.0, (done + i + 1) / recipe.warmup)


def cool(recipe: Recipe, width: int, steps: int) -> Callable[[int], float]:
    """1 - √(i/steps): the shape that Hägele et al. 2024 (arXiv:2405.18392) found best."""
    peak = recipe.rate_at(width)
    return lambda i: peak * (1 - math.sqrt((i + 0.5) / steps))


@torch.inference_mode()
def evaluate(model: Decoder, text: Heldout, batch: int = 128) -> tuple[float, float]:
    """Cross-entropy on held-out text, nats/token, and its standard error over windows.

    The regression estimator (Cochran 1977, ch. 7): the intercept of the windows' losses regressed
    on their controls, which have mean 0 over all held-out text. The error is that of the residuals.
    """
    model.eval()
    losses = []
    for part in text.windows.split(batch):
        logits = model(part[:, :-1])
        each = F.cross_entropy(logits.flatten(0, 1), part[:, 1:].flatten(), reduction="none")
        losses.append(each.view(len(part), -1).mean(1).double())
    loss = torch.cat(losses)
    design = torch.cat((torch.ones(len(loss), 1, dtype=torch.float64), text.controls), 1)
    weights = torch.linalg.lstsq(design, loss).solution
    spread = (loss - design @ weights).square().sum() / (len(loss) - len(weights))
    return float(weights[0]), math.sqrt(float(spread) / len(loss))


def pack(state: State) -> bytes:
    """The whole state as an .npz: plain arrays, no pickle."""
    arrays = {f"model/{n}": p.numpy() for n, p in state.model.state_dict().items()}
    for i, moments in state.optimiser.state_dict()["state"].items():
        arrays |= {f"optimiser/{i}/{n}": np.asarray(v) for n, v in moments.items()}
    file = io.BytesIO()
    np.savez(file, steps=np.array(state.steps), **arrays)
    return file.getvalue()


def unpack(path: Path, recipe: Recipe, width: int) -> State:
    """The inverse of `pack`."""
    state = start(recipe, width, 0)
    with np.load(path, allow_pickle=False) as arrays:
        model = {n: torch.from_numpy(arrays[f"model/{n}"]) for n in state.model.state_dict()}
        moments: dict[int, dict[str, Tensor]] = {}
        for i, name in _moments(arrays.files):
            value = torch.from_numpy(arrays[f"optimiser/{i}/{name}"])
            moments.setdefault(i, {})[name] = value
        state.steps = int(arrays["steps"])
    state.model.load_state_dict(model)
    optimiser = state.optimiser.state_dict()
    state.optimiser.load_state_dict({**optimiser, "state": moments})
    return state


def _moments(names: list[str]) -> Iterator[tuple[int, str]]:
    for name in names:
        if name.startswith("optimiser/"):
            _, i, moment = name.split("/")
            yield int(i), moment
