"""Senders: from a text alone, the domain whose branch it goes to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from bayeslaw.corpus import Corpus
from bayeslaw.corpus.clusters import Clusters
from bayeslaw.corpus.split import names_of
from bayeslaw.errors import TaskError
from bayeslaw.evaluate.coder import Coder
from bayeslaw.evaluate.scorer import START
from bayeslaw.train.data import Grams

MOST = 4_000_000  # tokens of a domain that are counted

# Texts as tokens -> the number of the domain of each, (text,)
Sender = Callable[[Sequence[Sequence[int] | np.ndarray]], np.ndarray]


def grams(corpus: Corpus, names: Sequence[str]) -> Sender:
    """The domain under whose n-grams, counted in its pretraining text, a text is likeliest: naive
    Bayes of orders 1 to 3 for bytes, with equal odds for all domains."""
    by_name = {d.name: d.pretrain for d in corpus.domains}

    def send(texts: Sequence[Sequence[int] | np.ndarray]) -> np.ndarray:
        lengths = np.array([len(t) for t in texts], int)
        rows = {n: np.flatnonzero(lengths == n) for n in np.unique(lengths)}
        found = np.empty((len(texts), len(names)))
        for k, name in enumerate(names):  # one domain's tables at a time: they are large
            counted = Grams(by_name[name][:MOST], corpus.vocabulary)
            for here in rows.values():
                # A line's end before it: a text may be a single token.
                windows = np.array([[START, *texts[int(i)]] for i in here])
                found[here, k] = counted.losses(windows)[:, -1] if windows.shape[1] > 1 else 0.0
        return found.argmin(1)

    return send


def clusters(router: str | Path, names: Sequence[str], coder: Coder) -> Sender:
    """The router.npz that `bayeslaw domains` wrote. Raises `TaskError` where its clusters are not
    these domains."""
    found, theirs = Clusters.load(router), names_of(Path(router))
    if unknown := set(theirs) - set(names):
        raise TaskError(
            f"{router}: its domains {', '.join(sorted(unknown))} are no branches; there is "
            + ", ".join(names)
        )
    number = np.array([list(names).index(n) for n in theirs])

    def send(texts: Sequence[Sequence[int] | np.ndarray]) -> np.ndarray:
        return number[found.route([coder.decode(np.asarray(t, int)) for t in texts])]

    return send
