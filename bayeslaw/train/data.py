"""Windows of tokens: in which order a stage reads its text, and on what a model is judged."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from bayeslaw.corpus import Domain
from bayeslaw.errors import SweepError

TABLE = 256**3  # entries of the largest table of n-grams
SLICE = 1 << 22  # tokens of a text that are counted at once
ROWS = 1 << 16  # windows whose n-grams are looked up at once


class Windows:
    """Windows of context + 1 tokens in a fixed order. The texts stay where they are, on disk too.

    rows: of each text, (row, context + 1), as `cut` makes them. order: (window, 2), the text and
    the row that every window is. Asking for a batch beyond the end raises `SweepError`: nothing
    repeats unnoticed.
    """

    def __init__(self, rows: Sequence[np.ndarray], order: np.ndarray, batch: int):
        self.rows, self.order, self.batch = rows, order, batch
        self.context = rows[0].shape[1] - 1

    def tokens(self) -> int:
        """How many tokens there are to train on."""
        return len(self.order) * self.context

    def distinct(self) -> int:
        """How many of them are not read before: what the order repeats counts once."""
        most = max(map(len, self.rows), default=0) + 1
        return len(np.unique(self.order @ np.array([most, 1]))) * self.context

    def step(self, i: int) -> tuple[Tensor, Tensor]:
        """The i-th batch: inputs and targets, (batch, context)."""
        both = self.ids(i)
        return both[:, :-1], both[:, 1:]

    def ids(self, i: int, part: slice = slice(None)) -> Tensor:
        """The tokens of the i-th batch, (batch, context + 1); or of a part of its windows."""
        order = self.order[i * self.batch : (i + 1) * self.batch]
        if len(order) < self.batch:
            raise SweepError(
                f"the text ends after {self.tokens()} tokens; ask for fewer, or add text"
            )
        order = order[part]
        ids = np.empty((len(order), self.context + 1), np.int64)
        for text, rows in enumerate(self.rows):
            if (here := order[:, 0] == text).any():
                ids[here] = rows[order[here, 1]]
        return torch.from_numpy(ids)

    def again(self, tokens: int) -> Windows:
        """The same order as often as `tokens` need it: later epochs are as the first."""
        times = max(1, -(-tokens // max(1, self.tokens())))
        return Windows(self.rows, np.tile(self.order, (times, 1)), self.batch)

    def after(self, tokens: int) -> Windows:
        """Without the first `tokens`; these follow at the end, to be read again."""
        order = np.roll(self.order, -(tokens // self.context), axis=0)
        return Windows(self.rows, order, self.batch)


def cut(text: np.ndarray, context: int) -> np.ndarray:
    """A text as rows of context + 1 tokens; the rest is left out."""
    length = context + 1
    return text[: len(text) // length * length].reshape(-1, length)


def mixed(texts: Sequence[np.ndarray], context: int, batch: int, seed: int) -> Windows:
    """Shuffled windows, from all texts in turn, in equal shares; each is read once."""
    rng = np.random.default_rng(seed)
    sizes = [len(t) // (context + 1) for t in texts]
    least = min(sizes)
    rows = np.stack([rng.permutation(n)[:least] for n in sizes], axis=1)
    which = np.broadcast_to(np.arange(len(sizes)), rows.shape)
    order = np.stack([which, rows], axis=-1).reshape(-1, 2)
    return Windows([cut(t, context) for t in texts], order, batch)


def general(domains: Sequence[Domain], context: int, batch: int, seed: int) -> Windows:
    """The general mixture: the pretraining parts of all domains in equal shares."""
    return mixed([d.pretrain for d in domains], context, batch, seed)


def special(
    domain: Domain, context: int, batch: int, seed: int, only: int | None = None
) -> Windows:
    """The second stage's text of one domain, or its first `only` tokens: none of it is in the
    general mixture."""
    return mixed([domain.specialize[:only]], context, batch, seed)


class Heldout(NamedTuple):
    """Held-out windows that every model is judged on, and control variates for them.

    Windows differ far more in difficulty than models do. How hard n-gram models find each window is
    nearly free, and known over all held-out text: it takes most of that out of the estimate.
    """

    windows: Tensor  # (window, context + 1)
    controls: Tensor  # (window, order) n-gram losses, nats/token, less their mean over all windows


def heldout(domain: Domain, context: int, tokens: int, vocabulary: int = 256) -> Heldout:
    """Evenly spaced windows of the domain's held-out text, the same for every model."""
    rows = cut(domain.heldout, context)
    controls = ngram_losses(domain.pretrain, rows, vocabulary)
    count = min(len(rows), tokens // context)
    chosen = np.linspace(0, len(rows) - 1, count).astype(int)
    return Heldout(
        torch.from_numpy(rows[chosen].astype(np.int64)),
        torch.from_numpy((controls - controls.mean(0))[chosen]),
    )


def share_of(text: Heldout, every: int) -> Heldout:
    """One window in `every`."""
    return Heldout(text.windows[::every], text.controls[::every])


def ngram_losses(text: np.ndarray, windows: np.ndarray, vocabulary: int = 256) -> np.ndarray:
    """Mean cross-entropy of each window, (window, order), under n-grams counted in `text`.

    Orders 1 to 3 for bytes; fewer for a larger vocabulary, whose n-grams do not fit in a table.
    Each order falls back on the one below: p = (n(context, next) + 4 p_below) / (n(context) + 4).
    """
    grams = Grams(text, vocabulary)
    parts = [windows[i : i + ROWS] for i in range(0, max(1, len(windows)), ROWS)]
    return np.concatenate([grams.losses(part) for part in parts])


class Grams:
    """n-grams of a text, counted."""

    def __init__(self, text: np.ndarray, vocabulary: int = 256):
        orders = max(1, int(np.log(TABLE) / np.log(vocabulary) + 1e-9))
        self.tables = [_counted(text, n, vocabulary) for n in range(1, orders + 1)]
        self.size, self.vocabulary = len(text), vocabulary

    def losses(self, windows: np.ndarray) -> np.ndarray:
        """As `ngram_losses`, of windows of two tokens or more; orders up to their length."""
        tables = self.tables[: windows.shape[1]]
        return _losses(tables, self.size, windows, self.vocabulary)


def _losses(
    tables: Sequence[np.ndarray], size: int, windows: np.ndarray, vocabulary: int
) -> np.ndarray:
    """`ngram_losses` of some windows, from the tables of a text of `size` tokens."""
    counts = [t[_codes(windows, n, vocabulary)] for n, t in enumerate(tables, 1)]
    p = (counts[0][:, 1:] + 4 / vocabulary) / (size + 4)
    losses = [-np.log(p).mean(1)]
    for k in range(1, len(tables)):  # k tokens of context; the first k - 1 positions have fewer
        context, gram = counts[k - 1][:, :-1], counts[k]
        p = np.concatenate((p[:, : k - 1], (gram + 4 * p[:, k - 1 :]) / (context + 4)), axis=1)
        losses.append(-np.log(p).mean(1))
    return np.stack(losses, axis=1)


def _counted(text: np.ndarray, n: int, vocabulary: int) -> np.ndarray:
    """How often each n-gram occurs in a text, (vocabulary^n,): a slice at a time, as the text may
    be larger than memory."""
    table = np.zeros(vocabulary**n, np.int64)
    for i in range(0, len(text), SLICE):
        piece = text[i : i + SLICE + n - 1]  # n-grams that begin in the slice
        if len(piece) >= n:
            table += np.bincount(_codes(piece, n, vocabulary), minlength=len(table))
    return table


def _codes(text: np.ndarray, n: int, vocabulary: int) -> np.ndarray:
    """Every run of n tokens along the last axis, as one number."""
    count = text.shape[-1] - n + 1
    codes = text[..., :count].astype(np.int64)
    for i in range(1, n):
        codes *= vocabulary
        codes += text[..., i : i + count]
    return codes
