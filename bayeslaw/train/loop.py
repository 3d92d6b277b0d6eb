"""One stage of training: steps at given rates from a state to a state; and evaluation."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from bayeslaw.sweep.recipe import Recipe
from bayeslaw.train import team
from bayeslaw.train.capture import Captured
from bayeslaw.train.data import Heldout, Windows
from bayeslaw.train.device import compiled, look, precision, sent
from bayeslaw.train.model import Decoder, make


@dataclass
class State:
    """A model, its optimiser and the steps it has been trained. Changed in place by `train`."""

    model: Decoder
    optimiser: torch.optim.AdamW
    device: str = "cpu"
    steps: int = 0  # of its whole history
    tokens: int = 0  # likewise
    stage_steps: int = 0  # of the stage that it is in
    seconds: float = 0.0  # spent on the stage before this process


def start(
    recipe: Recipe, width: int, seed: int, vocabulary: int = 256, device: str = "cpu"
) -> State:
    """A fresh model and optimiser."""
    return ready(make(recipe.shape(width, vocabulary), seed), recipe, device)


def ready(model: Decoder, recipe: Recipe, device: str = "cpu") -> State:
    """A model with a fresh optimiser. Decay on matrices only; embeddings are spared too."""
    model = model.to(device)
    matrices = [p for n, p in model.named_parameters() if p.ndim > 1 and "embedding" not in n]
    others = [p for n, p in model.named_parameters() if p.ndim < 2 or "embedding" in n]
    groups = [
        {"params": matrices, "weight_decay": recipe.decay},
        {"params": others, "weight_decay": 0.0},
    ]
    betas = (recipe.beta1, recipe.beta2)
    # On an accelerator a step is replayed as it was captured: its rate is read from there.
    rate = 0.0 if device == "cpu" else torch.zeros((), device=device)
    optimiser = torch.optim.AdamW(
        groups, lr=rate, betas=betas, fused=True, capturable=device != "cpu"
    )
    return State(model, optimiser, device)


class CrossEntropy(torch.autograd.Function):
    """Mean of -log softmax(logits)[target] over rows of logits (row, 256) and targets (row,).

    The gradient, softmax - one-hot, is made in the forward pass: fewer passes over the logits, the
    largest tensor of a small model, and a step that takes a tenth less time.
    """

    @staticmethod
    def forward(ctx: Any, logits: Tensor, targets: Tensor) -> Tensor:
        log_p, rows = logits.log_softmax(-1), torch.arange(len(targets), device=targets.device)
        loss = -log_p[rows, targets].mean()
        gradient = log_p.exp_()
        gradient[rows, targets] -= 1
        ctx.save_for_backward(gradient.div_(len(targets)))
        return loss

    @staticmethod
    def backward(ctx: Any, above: Tensor) -> tuple[Tensor, None]:
        return ctx.saved_tensors[0] * above, None


class Keep(Protocol):
    """What keeps a state within a stage, when it is due."""

    def due(self) -> bool: ...

    def __call__(self, state: State) -> None: ...


# model, inputs, targets, the share of the stage that lies behind -> loss, nats/token
Objective = Callable[[Callable[[Tensor], Tensor], Tensor, Tensor, float | Tensor], Tensor]


def cross_entropy(
    model: Callable[[Tensor], Tensor], inputs: Tensor, targets: Tensor, share: float | Tensor
) -> Tensor:
    """The usual loss, all along the stage."""
    return mean_loss(model(inputs), targets)


def mean_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy of logits (batch, time, vocabulary), nats/token, in float32. Compiled, torch's
    own reads the logits no more often than `CrossEntropy` does, and leaves nothing to chance."""
    if logits.is_cpu:
        return CrossEntropy.apply(logits.flatten(0, 1).float(), targets.flatten())
    return _torchs_own(logits.device.type)(logits, targets)


@lru_cache
def _torchs_own(device: str) -> Callable[[Tensor, Tensor], Tensor]:
    def loss(logits: Tensor, targets: Tensor) -> Tensor:
        return F.cross_entropy(logits.flatten(0, 1).float(), targets.flatten())

    return compiled(loss, device)


def train(
    state: State,
    windows: Windows,
    first: int,
    steps: int,
    rate: Callable[[int], float],
    clip: float,
    objective: Objective = cross_entropy,
    keep: Keep | None = None,
    microbatch: int = 0,
) -> float:
    """A stage of `steps` steps on batches first, first + 1, …; rate(i) is that of its i-th step.

    Goes on from `state.stage_steps`, which is 0 again at the end; `keep` is called after a step
    when it is due. A batch goes through the model in parts of `microbatch` windows, their gradients
    added; 0 for all at once. Returns the last training loss, and stops at one that is not finite:
    it diverged.
    """
    state.model.train()
    together = team.Together(state.model, state.optimiser)
    model, optimiser = together.forward, together.optimiser
    mine = team.mine(windows.batch)
    parts = _parts(mine, microbatch)

    def gradients(ids: Tensor, share: float | Tensor) -> Tensor:
        loss = torch.zeros((), device=state.device)
        for part, weight in parts:
            inputs, targets = ids[part, :-1], ids[part, 1:]
            with precision(state.device):
                each = objective(model, inputs, targets, share)
            (each if weight == 1 else each * weight).backward()
            loss += each.detach() * weight
        return team.agreed(loss)

    def update() -> None:
        torch.nn.utils.clip_grad_norm_(together.model.parameters(), clip)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)

    captured = state.device != "cpu" and not team.there()
    whole = Captured(gradients, update) if captured else None
    value = 0.0
    for i in range(state.stage_steps, steps):
        for group in optimiser.param_groups:
            _set_rate(group, rate(i))
        ids, last = sent(windows.ids(first + i, mine), state.device), i == steps - 1
        loss = whole(ids, i / steps) if whole else gradients(ids, i / steps)
        if (last or look(state.device, i)) and not math.isfinite(value := float(loss)):
            return value
        if not whole:
            update()
        state.steps += 1
        state.tokens += windows.batch * windows.context
        state.stage_steps += 1
        if keep and keep.due():
            together.gather()
            keep(state)
    together.gather()
    state.stage_steps = 0
    return value


def _set_rate(group: dict[str, Any], rate: float) -> None:
    """Where the rate is on the device it is filled in: a captured step reads it there."""
    if isinstance(group["lr"], Tensor):
        group["lr"].fill_(rate)
    else:
        group["lr"] = rate


def _parts(batch: slice, microbatch: int) -> list[tuple[slice, float]]:
    """The parts of a process's windows, counted from the first, and the weight of their means."""
    count = batch.stop - batch.start
    size = min(microbatch or count, count)
    cuts = [slice(i, min(i + size, count)) for i in range(0, count, size)]
    return [(c, (c.stop - c.start) / count) for c in cuts]


def warm(recipe: Recipe, width: int, done: int) -> Callable[[int], float]:
    """Linear warm-up, then constant: the trunk. `done` steps lie behind."""
    peak = recipe.rate_at(width)
    return lambda i: peak * min(1.0, (done + i + 1) / recipe.warmup)


def alone(recipe: Recipe, width: int, steps: int) -> Callable[[int], float]:
    """A whole life in one stage: warm-up, constant, and a cool-down over the recipe's share."""
    rise, stable = warm(recipe, width, 0), steps - round(recipe.cooldown * steps)
    fall = cool(recipe, width, max(1, steps - stable))
    return lambda i: min(rise(i), fall(i - stable)) if i >= stable else rise(i)


def cool(recipe: Recipe, width: int, steps: int) -> Callable[[int], float]:
    """1 - √(i/steps): the shape that Hägele et al. 2024 (arXiv:2405.18392) found best."""
    peak = recipe.rate_at(width)
    return lambda i: peak * (1 - math.sqrt((i + 0.5) / steps))


def rewarm(recipe: Recipe, width: int, steps: int) -> Callable[[int], float]:
    """Up from 0 over the recipe's share of the steps, then down as `cool`: for a branch of a model
    whose rate has been at 0."""
    up = max(1, round(recipe.rewarm * steps))
    peak, fall = recipe.rate_at(width), cool(recipe, width, max(1, steps - up))
    return lambda i: peak * (i + 1) / (up + 1) if i < up else fall(i - up)


@torch.inference_mode()
def evaluate(model: Decoder, text: Heldout, batch: int = 128) -> tuple[float, float]:
    """Cross-entropy on held-out text, nats/token, and its standard error over windows.

    The regression estimator (Cochran 1977, ch. 7): the intercept of the windows' losses regressed
    on their controls, which have mean 0 over all held-out text. The error is that of the residuals.
    """
    model.eval()
    losses = []
    for part in text.windows.split(batch):
        ids = part.to(next(model.parameters()).device)
        logits = model(ids[:, :-1])
        each = F.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten(), reduction="none")
        losses.append(each.view(len(part), -1).mean(1).double().cpu())
    loss = torch.cat(losses)
    design = torch.cat((torch.ones(len(loss), 1, dtype=torch.float64), text.controls), 1)
    weights = torch.linalg.lstsq(design, loss).solution
    spread = (loss - design @ weights).square().sum() / (len(loss) - len(weights))
    return float(weights[0]), math.sqrt(float(spread) / len(loss))
