"""The recipes of the second stage at work: the text of each, and the loss that it is trained on."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from bayeslaw.corpus import Domain
from bayeslaw.errors import SweepError
from bayeslaw.sweep import Recipe, SecondStage
from bayeslaw.train.data import Windows, general, special
from bayeslaw.train.loop import Objective, cross_entropy, mean_loss
from bayeslaw.train.model import Decoder


def text_of(
    second: SecondStage,
    branch: str,
    domains: Sequence[Domain],
    rule: Recipe,
    seed: int,
    read: int,
    tokens: int,
) -> Windows:
    """The windows of a second stage of `tokens` tokens, after a first one that read `read`.

    replay: of every 1/p windows one is general, from where the trunk stopped reading. importance:
    all are general, see `importance.resampled`. joint: domains in turn, by their weights.
    """
    size = (rule.context, rule.batch, seed)
    named = {d.name: d for d in domains}
    if second.recipe == "joint":
        own = _weighted({n: special(d, *size) for n, d in named.items()}, second.weights, tokens)
    elif second.recipe == "importance":
        from bayeslaw.train.importance import resampled

        own = resampled(named[branch], domains, second, *size, tokens=tokens)
    else:
        own = special(named[branch], *size, only=second.target_bytes)
    if not second.replay:
        return own
    rest = general(domains, *size).after(read)
    return _interleaved([own, rest], [1 - second.replay, second.replay], tokens)


def objective_of(second: SecondStage, model: Decoder) -> Objective:
    """The loss of a second stage that starts from `model`, which is kept as it is."""
    return Distilled(model, second.distill, second.anneal) if second.distill else cross_entropy


class Distilled:
    """Cross-entropy + λ KL(p₀ ‖ p), nats/token: p₀ are the predictions of the model at the split.

    λ stays, or falls linearly to 0 along the stage. Costs a forward pass: 2 FLOPs a weight.
    """

    def __init__(self, model: Decoder, weight: float, anneal: bool):
        self.before = copy.deepcopy(model).eval().requires_grad_(False)
        self.weight, self.anneal = weight, anneal

    def __call__(
        self,
        model: Callable[[Tensor], Tensor],
        inputs: Tensor,
        targets: Tensor,
        share: float | Tensor,
    ) -> Tensor:
        with torch.no_grad():
            before = self.before(inputs).flatten(0, 1).float().log_softmax(-1)
        found = model(inputs)
        logits = found.flatten(0, 1).float()
        weight = self.weight * (1 - share if self.anneal else 1.0)
        kl = (before.exp() * (before - logits.log_softmax(-1))).sum(-1).mean()
        return mean_loss(found, targets) + weight * kl


def _weighted(parts: Mapping[str, Windows], weights: Mapping[str, float], tokens: int) -> Windows:
    """Every domain's windows by its weight; equal where none are given."""
    if unknown := sorted(set(weights) - set(parts)):
        raise SweepError(f"weights name no domain of the sweep: {', '.join(unknown)}")
    shares = [weights.get(n, 0.0) if weights else 1.0 for n in parts]
    return _interleaved(list(parts.values()), shares, tokens)


def _interleaved(parts: Sequence[Windows], shares: Sequence[float], tokens: int) -> Windows:
    """Windows of several orders in fixed shares: as many as there are without a repeat, or as
    `tokens` ask for; then an order that ends begins again."""
    share = np.array(shares, float) / np.sum(shares)
    parts = [p for p, s in zip(parts, share, strict=True) if s > 0]
    share = share[share > 0]
    fresh = min(int(len(p.order) / s) for p, s in zip(parts, share, strict=True))
    which = _turns(share, max(fresh, -(-tokens // parts[0].context)))
    order = np.empty((len(which), 2), np.int64)
    rows: list[np.ndarray] = []
    for j, part in enumerate(parts):
        here = np.flatnonzero(which == j)
        order[here] = part.order[np.arange(len(here)) % len(part.order)] + [len(rows), 0]
        rows += part.rows
    return Windows(rows, order, parts[0].batch)


def _turns(share: np.ndarray, count: int) -> np.ndarray:
    """Which part each of `count` windows is of. The k-th of part j is due at (k + 1/2) / share:
    in that order every prefix has the shares to within a window."""
    due = [(np.arange(int(np.ceil(s * count)) + 1) + 0.5) / s for s in share]
    owner = np.repeat(np.arange(len(share)), [len(d) for d in due])
    return owner[np.argsort(np.concatenate(due), kind="stable")[:count]]
