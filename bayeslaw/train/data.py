"""Windows of bytes: in which order a stage reads its text, and on what a model is judged."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from bayeslaw.corpus import Domain
from bayeslaw.errors import SweepError


class Windows:
    """Windows of context + 1 bytes, each read once: a fixed shuffled order over the given texts.

    With several texts (the general mixture) every batch draws from all of them in turn, in equal
    shares. Asking for more than there is raises `SweepError`: nothing repeats unnoticed.
    """

    def __init__(self, texts: Sequence[np.ndarray], context: int, batch: int, seed: int):
        self.batch = batch
        length = context + 1
        rng = np.random.default_rng(seed)
        cut = [t[: len(t) // length * length].reshape(-1, length) for t in texts]
        least = min(len(c) for c in cut)
        mixed = np.stack([c[rng.permutation(len(c))[:least]] for c in cut], axis=1)
        self.windows = mixed.reshape(-1, length)

    def tokens(self) -> int:
        """How many tokens can be trained on without a repeat."""
        return len(self.windows) * (self.windows.shape[1] - 1)

    def step(self, i: int) -> tuple[Tensor, Tensor]:
        """The i-th batch: inputs and targets, (batch, context)."""
        part = self.windows[i * self.batch : (i + 1) * self.batch]
        if len(part) < self.batch:
            raise SweepError(
                f"the text ends after {self.tokens()} tokens; ask for fewer, or add text"
            )
        ids = torch.from_numpy(part.astype(np.int64))
        return ids[:, :-1], ids[:, 1:]


def general(domains: Sequence[Domain], context: int, batch: int, seed: int) -> Windows:
    """The general mixture: the pretraining parts of all domains in equal shares."""
    return Windows([d.pretrain for d in domains], context, batch, seed)


def special(domain: Domain, context: int, batch: int, seed: int) -> Windows:
    """The second stage's text of one domain: none of it is in the general mixture."""
    return Windows([domain.specialize], context, batch, seed)


class Heldout(NamedTuple):
    """Held-out windows that every model is judged on, and control variates for them.

    Windows differ far more in difficulty than models do. How hard n-gram models find each window is
    nearly free, and known over all held-out text: it takes most of that out of the estimate.
    """

    windows: Tensor  # (window, context + 1)
    controls: Tensor  # (window, order) n-gram losses, nats/token, less their mean over all windows


def heldout(domain: Domain, context: int, tokens: int) -> Heldout:
    """Evenly spaced windows of the domain's held-out text, the same for every model."""
    length = context + 1
    cut = domain.heldout[: len(domain.heldout) // length * length].reshape(-1, length)
    controls = ngram_losses(domain.pretrain, cut)
    count = min(len(cut), tokens // context)
    chosen = np.linspace(0, len(cut) - 1, count).astype(int)
    return Heldout(
        torch.from_numpy(cut[chosen].astype(np.int64)),
        torch.from_numpy((controls - controls.mean(0))[chosen]),
    )


def share_of(text: Heldout, every: int) -> Heldout:
    """One window in `every`."""
    return Heldout(text.windows[::every], text.controls[::every])


def ngram_losses(text: np.ndarray, windows: np.ndarray, orders: int = 3) -> np.ndarray:
    """Mean cross-entropy of each window, (window, order), under byte n-grams counted in `text`.

    Each order falls back on the one below: p = (n(context, next) + 4 p_below) / (n(context) + 4).
    """
    p = (_counts(text, windows, 1)[:, 1:] + 4 / 256) / (len(text) + 4)
    losses = [-np.log(p).mean(1)]
    for k in range(1, orders):  # k bytes of context; the first k - 1 positions have fewer
        context, gram = _counts(text, windows, k)[:, :-1], _counts(text, windows, k + 1)
        p = np.concatenate((p[:, : k - 1], (gram + 4 * p[:, k - 1 :]) / (context + 4)), axis=1)
        losses.append(-np.log(p).mean(1))
    return np.stack(losses, axis=1)


def _counts(text: np.ndarray, windows: np.ndarray, n: int) -> np.ndarray:
    """How often each n-gram of the windows occurs in `text`: (window, length - n + 1)."""
    return np.bincount(_codes(text, n), minlength=256**n)[_codes(windows, n)]


def _codes(text: np.ndarray, n: int) -> np.ndarray:
    """Every run of n bytes along the last axis, as one number."""
    count = text.shape[-1] - n + 1
    parts = [text[..., i : i + count].astype(np.int64) << 8 * (n - 1 - i) for i in range(n)]
    return np.sum(parts, axis=0)
