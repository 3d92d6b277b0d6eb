"""Domains whose entropy and overlap are known: Markov chains of letters. For tests of a trainer."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from bayeslaw.corpus.domain import Corpus, build
from bayeslaw.errors import SweepError

LINE = 1 << 16  # letters in a piece


def markov(
    names: tuple[str, ...] = ("alpha", "beta"),
    size: int = 400_000,
    overlap: float = 0.5,
    letters: int = 16,
    sharpness: float = 8.0,
) -> Corpus:
    """One chain a name: P(next | letter) = overlap · common + (1 - overlap) · the domain's own.

    overlap: 1 makes all domains one, 0 leaves nothing common. sharpness: of the chains; 0 is
    uniform. `manifest["entropy"]` has the entropy rate of every domain, nats/byte: the loss of a
    model that knows the chain, and the least there is.
    """
    if not 0 <= overlap <= 1 or not 2 <= letters <= 26:
        raise SweepError("corpus 'markov': overlap is 0 to 1, letters 2 to 26")
    chains = {n: chain(n, overlap, letters, sharpness) for n in names}
    texts = {n: _text(n, p, size) for n, p in chains.items()}
    about = {
        "source": "markov", "names": list(names), "size": size, "overlap": overlap,
        "letters": letters, "entropy": {n: entropy(p) for n, p in chains.items()},
    }  # fmt: skip
    return build(texts, about, min_bytes=0)


def chain(name: str, overlap: float, letters: int, sharpness: float) -> np.ndarray:
    """The transition matrix of a domain, (letter, next)."""

    def drawn(seed: list[int]) -> np.ndarray:
        rng = np.random.default_rng(seed)
        weights = np.exp(sharpness * rng.random((letters, letters)))
        return weights / weights.sum(1, keepdims=True)

    return overlap * drawn([0]) + (1 - overlap) * drawn([1, *name.encode()])


def entropy(p: np.ndarray) -> float:
    """Entropy rate of a chain, nats a letter: Σ π_i H(p_i), π stationary."""
    values, vectors = np.linalg.eig(p.T)
    stationary = np.real(vectors[:, np.argmax(np.real(values))])
    stationary = stationary / stationary.sum()
    return float(-(stationary[:, None] * p * np.log(p)).sum())


def _text(name: str, p: np.ndarray, size: int) -> Iterator[str]:
    rng = np.random.default_rng([2, *name.encode()])
    steps, letter = p.cumsum(1), 0
    for made in range(0, size, LINE):
        line = []
        for u in rng.random(min(LINE, size - made)):
            letter = min(int(np.searchsorted(steps[letter], u)), len(p) - 1)
            line.append(97 + letter)
        yield bytes(line).decode() + "\n"
