"""Windows of bytes: the order in which a stage reads its text, and the held-out text it is judged on."""

from __future__ import annotations

from collections.abc import Sequence

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


def heldout(domain: Domain, context: int, tokens: int) -> Tensor:
    """Fixed windows (window, context + 1) of held-out text: evenly spaced, the same for every model."""
    length = context + 1
    cut = domain.heldout[: len(domain.heldout) // length * length].reshape(-1, length)
    count = min(len(cut), tokens // context)
    return torch.from_numpy(cut[np.linspace(0, len(cut) - 1, count).astype(int)].astype(np.int64))
