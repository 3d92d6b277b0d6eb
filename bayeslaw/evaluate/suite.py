"""The offline suite: which of four continuations of held-out text is the true one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bayeslaw.corpus import Corpus, Domain
from bayeslaw.errors import TaskError
from bayeslaw.evaluate.coder import Coder
from bayeslaw.evaluate.task import Item, Task

PIECE = 512  # tokens; bytes were cut in chunks of as many, so that a piece is of one place
CONTEXT, LEAST, MOST = 40, 8, 24  # bytes of a context and of a continuation: a window of 64 in all
CHOICES = 4
ITEMS = 1000


def suite(
    corpus: Corpus, names: Sequence[str] = (), items: int = ITEMS, seed: int = 0
) -> tuple[Task, ...]:
    """A task `next-DOMAIN` for every domain, or those named, from its held-out text alone.

    A context of 40 bytes; what follows it, 8 to 24 bytes, to the end of a word if one ends there;
    and three such continuations of other places of the same domain. The same corpus and seed give
    the same items.
    Raises `TaskError` for a domain whose held-out text is too short.
    """
    chosen = [d for d in corpus.domains if not names or d.name in names]
    return tuple(_task(d, Coder.of(corpus), items, seed) for d in chosen)


def _task(domain: Domain, coder: Coder, items: int, seed: int) -> Task:
    rng = np.random.default_rng([seed, *domain.name.encode()])
    text, pairs, used = domain.heldout, [], set()
    for start in rng.permutation(len(text) // PIECE) * PIECE:
        pair = _pair(coder.decode(text[start : start + PIECE]), rng)
        if pair and pair[1] not in used:  # the same words twice would be two true answers
            used.add(pair[1])
            pairs.append(pair)
        if len(pairs) == items:
            break
    if len(pairs) < CHOICES:
        raise TaskError(
            f"domain '{domain.name}': {len(text)} held-out tokens have {len(pairs)} continuations "
            f"to choose from, fewer than {CHOICES}; more text is wanted"
        )
    return Task(f"next-{domain.name}", tuple(_items(pairs, rng)), domain.name)


def _pair(piece: str, rng: np.random.Generator) -> tuple[str, str] | None:
    """A context of the piece and what follows it; None where that is blank, or no text."""
    data = piece.encode()
    room = len(data) - CONTEXT - MOST - 1
    if room < 1:
        return None
    cut = CONTEXT + int(rng.integers(room))
    after = data[cut : cut + MOST + 1]
    ends = [i for i in range(LEAST, len(after)) if chr(after[i]).isspace()]
    after = after[: ends[0] if ends else MOST]
    if not after.strip():
        return None
    try:
        return data[cut - CONTEXT : cut].decode(), after.decode()
    except UnicodeDecodeError:  # within a character
        return None


def _items(pairs: Sequence[tuple[str, str]], rng: np.random.Generator) -> list[Item]:
    found = []
    for i, (context, true) in enumerate(pairs):
        others = rng.choice(len(pairs) - 1, CHOICES - 1, replace=False)
        choices = [pairs[j + (j >= i)][1] for j in others]
        answer = int(rng.integers(CHOICES))
        choices.insert(answer, true)
        found.append(Item(context, tuple(choices), answer))
    return found
