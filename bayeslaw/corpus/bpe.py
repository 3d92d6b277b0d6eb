"""Tokens of byte-level BPE (Sennrich et al. 2016), trained on a corpus with `tokenizers`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from bayeslaw.corpus.domain import CHUNK, PARTS, Corpus, Domain
from bayeslaw.errors import SweepError

SAMPLE = 20_000_000  # bytes that the merges are learnt from, of all domains in equal parts
BATCH = 4096  # chunks that are encoded at once


def bpe(corpus: Corpus, vocabulary: int) -> Corpus:
    """The corpus in tokens of a BPE of that many, learnt from its pretraining parts.

    Chunks are encoded one by one, so parts stay disjoint. The manifest gains the tokenizer and
    bytes a token by domain: losses are nats a token, and a byte's is that over it. Raises
    `SweepError` without `tokenizers`.
    """
    tokenizers = _tokenizers()
    coder = tokenizers.Tokenizer(tokenizers.models.BPE())
    coder.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    coder.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=vocabulary,
        show_progress=False,
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
    )
    each = SAMPLE // max(1, len(corpus.domains))
    sample = (c for d in corpus.domains for c in _chunks(d.pretrain[:each]))
    coder.train_from_iterator(sample, trainer)
    return _in_tokens(corpus, coder, vocabulary, coder.get_vocab_size(), "bpe")


def tokenized(corpus: Corpus, file: str | Path, vocabulary: int) -> Corpus:
    """The corpus in the tokens of a tokenizer.json, for a model of that vocabulary, which may be
    larger than the tokenizer's. Otherwise as `bpe`. Raises `SweepError` where it is smaller, and
    for a file that is no tokenizer."""
    tokenizers = _tokenizers()
    try:
        coder = tokenizers.Tokenizer.from_file(str(file))
    except Exception as error:  # what a broken file raises has no type of its own
        raise SweepError(f"{file}: not a tokenizer: {error}") from None
    if (size := coder.get_vocab_size()) > vocabulary:
        raise SweepError(f"{file}: has {size} tokens, and its model a vocabulary of {vocabulary}; "
                         "take the tokenizer that the model was trained with")  # fmt: skip
    coder.no_truncation()
    coder.no_padding()
    return _in_tokens(corpus, coder, vocabulary, vocabulary, "tokenizer")


def _tokenizers() -> Any:
    try:
        import tokenizers
    except ModuleNotFoundError:
        raise SweepError("a vocabulary beyond bytes needs: pip install 'bayeslaw[hf]'") from None
    return tokenizers


def _in_tokens(corpus: Corpus, coder: Any, most: int, size: int, kind: str) -> Corpus:
    """most: that numbers of tokens stay below; size: the vocabulary of the corpus."""
    domains, per = [], {}
    for d in corpus.domains:
        parts = [_encoded(coder, getattr(d, part), most) for part in PARTS]
        domains.append(Domain(d.name, *parts))
        sizes = (sum(len(getattr(d, part)) for part in PARTS), sum(map(len, parts)))
        per[d.name] = round(sizes[0] / max(1, sizes[1]), 4)
    about: Mapping[str, Any] = {
        **corpus.manifest, "tokens": f"{kind}-{size}", "bytes_per_token": per,
        "tokenizer": coder.to_str(),
    }  # fmt: skip
    return Corpus(tuple(domains), about, size)


def _encoded(coder: Any, part: np.ndarray, vocabulary: int) -> np.ndarray:
    kind = np.uint16 if vocabulary <= 1 << 16 else np.uint32
    chunks, found = _chunks(part), []
    while batch := list(islice(chunks, BATCH)):
        codes = coder.encode_batch_fast(batch, add_special_tokens=False)
        found.append(np.concatenate([np.array(c.ids, kind) for c in codes]))
    return np.concatenate(found) if found else np.empty(0, kind)


def _chunks(part: np.ndarray) -> Iterator[str]:
    for i in range(0, len(part), CHUNK):
        yield part[i : i + CHUNK].tobytes().decode("utf-8", "ignore")
