"""Log likelihoods of continuations under a decoder, in batches of equal length."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from bayeslaw.train.model import Decoder

BATCH = 256  # windows at once
START = 10  # a line's end stands before a text that has nothing before it


class Scored(NamedTuple):
    """Of one continuation: its log likelihood, nats, and whether every token was the likeliest."""

    log_likelihood: float
    greedy: bool


@torch.inference_mode()
def continuations(
    model: Decoder, pairs: Sequence[tuple[Sequence[int], Sequence[int]]], batch: int = BATCH
) -> list[Scored]:
    """log p(continuation | context) of pairs of tokens.

    The model sees its window and no more: of a longer context the end; a continuation that does not
    fit in itself is read in windows that follow each other, each given the last token before it.
    """
    windows = [w for i, pair in enumerate(pairs) for w in _windows(i, *pair, model.s.context)]
    order = sorted(range(len(windows)), key=lambda j: len(windows[j][1]))
    total, greedy = np.zeros(len(pairs)), np.ones(len(pairs), bool)
    model.eval()
    device = next(model.parameters()).device
    for start in range(0, len(order), batch):
        part = [windows[j] for j in order[start : start + batch]]
        longest = max(len(ids) for _, ids, _ in part)
        ids = torch.zeros(len(part), longest, dtype=torch.long)
        asked = torch.zeros(len(part), longest - 1, dtype=torch.bool)
        for row, (_, window, count) in enumerate(part):
            ids[row, : len(window)] = torch.tensor(window)
            asked[row, len(window) - 1 - count : len(window) - 1] = True
        each, best = _log_p(model, ids.to(device))
        sums = (each * asked).sum(1, dtype=torch.float64)
        right = (best | ~asked).all(1)
        for row, (i, _, _) in enumerate(part):
            total[i] += float(sums[row])
            greedy[i] &= bool(right[row])
    return [Scored(float(t), bool(g)) for t, g in zip(total, greedy, strict=True)]


def _windows(
    i: int, context: Sequence[int], continuation: Sequence[int], room: int
) -> list[tuple[int, list[int], int]]:
    """(pair, tokens, how many of the last are asked for); at most `room` + 1 tokens each."""
    before = list(context) or [START]
    after = list(continuation)
    if len(after) <= room:
        kept = before[-(room + 1 - len(after)) :]
        return [(i, kept + after, len(after))]
    found, last = [], before[-1]
    for j in range(0, len(after), room):
        piece = after[j : j + room]
        found.append((i, [last, *piece], len(piece)))
        last = piece[-1]
    return found


@torch.inference_mode()
def token_losses(model: Decoder, rows: np.ndarray, batch: int = BATCH) -> np.ndarray:
    """-log p of every token of pieces (piece, token) but the first, nats: (piece, token - 1).

    In windows that follow each other, each from the last token of the one before.
    """
    room, length = model.s.context, rows.shape[1]
    device = next(model.parameters()).device
    found = np.empty((len(rows), length - 1))
    model.eval()
    for at in range(0, length - 1, room):
        end = min(at + room, length - 1)
        for start in range(0, len(rows), batch):
            ids = torch.from_numpy(rows[start : start + batch, at : end + 1].astype(np.int64))
            each, _ = _log_p(model, ids.to(device))
            found[start : start + batch, at:end] = -each.double().numpy()
    return found


def _log_p(model: Decoder, ids: Tensor) -> tuple[Tensor, Tensor]:
    """log p of every token but the first, (row, token - 1), and whether it was the likeliest."""
    logits = model(ids[:, :-1]).float()
    log_p = logits.log_softmax(-1).gather(-1, ids[:, 1:, None])[..., 0]
    return log_p.cpu(), (logits.argmax(-1) == ids[:, 1:]).cpu()
