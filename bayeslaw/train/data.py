"""Windows of bytes: the order in which a stage reads its text, and the held-out text it is judged on."""

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
    """Held-out windows that every model is judged on, and a control variate for them.

    Windows differ far more in difficulty than models do. How hard a bigram model finds each window
    is nearly free, and known over all held-out text: it takes most of that out of the estimate.
    """

    windows: Tensor  # (window, context + 1)
    control: Tensor  # (window,) bigram loss, nats/token
    control_mean: float  # over all held-out windows, these or not


def heldout(domain: Domain, context: int, tokens: int) -> Heldout:
    """Evenly spaced windows of the domain's held-out text, the same for every model."""
    length = context + 1
    cut = domain.heldout[: len(domain.heldout) // length * length].reshape(-1, length)
    control = bigram_loss(domain.pretrain, cut)
    count = min(len(cut), tokens // context)
    chosen = np.linspace(0, len(cut) - 1, count).astype(int)
    return Heldout(
        torch.from_numpy(cut[chosen].astype(np.int64)),
        torch.from_numpy(control[chosen]),
        float(control.mean()),
    )


def bigram_loss(text: np.ndarray, windows: np.ndarray) -> np.ndarray:
    """Mean cross-entropy of each window under byte bigrams counted in `text` (add one half)."""
    pairs = text[:-1].astype(np.int64) * 256 + text[1:]
    counts = np.bincount(pairs, minlength=65536).reshape(256, 256) + 0.5
    log_p = np.log(counts / counts.sum(1, keepdims=True))
    return -log_p[windows[:, :-1], windows[:, 1:]].mean(1)
