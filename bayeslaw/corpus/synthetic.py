"""Domains made by chance: words of a Zipf law in a domain's own order. For tests and trials."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from bayeslaw.corpus.domain import Corpus, build


def synthetic(names: tuple[str, ...] = ("alpha", "beta"), size: int = 400_000) -> Corpus:
    """One domain per name, `size` bytes each: every domain draws its words from a vocabulary of
    which half is its own, and its next word by a sparse chain of its own."""
    texts = {name: _text(name, size) for name in names}
    return build(texts, {"source": "synthetic", "names": list(names), "size": size}, min_bytes=0)


def _text(name: str, size: int) -> Iterator[str]:
    common, own = np.random.default_rng(0), np.random.default_rng(list(name.encode()))
    words = [_word(common) for _ in range(200)] + [_word(own) for _ in range(200)]
    follow = own.integers(0, len(words), (len(words), 8))
    word, made = 0, 0
    while made < size:
        sentence = []
        for rank in np.minimum(own.zipf(1.6, 50) - 1, 7):
            word = int(follow[word, rank])
            sentence.append(words[word])
        text = " ".join(sentence) + ".\n"
        yield text
        made += len(text)


def _word(rng: np.random.Generator) -> str:
    return "".join(chr(97 + i) for i in rng.integers(0, 26, rng.integers(2, 8)))
