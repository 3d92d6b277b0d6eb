"""A corpus: named domains of text as bytes, split so that no stage sees another's."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from tempfile import TemporaryFile
from typing import IO

import numpy as np

CHUNK = 512  # bytes; the unit of the split
MIN_BYTES = 2_000_000
SEEN = 8  # bytes of a hash that are kept to know a text again
IN_MEMORY = 1 << 26  # bytes of a part; a larger one is mapped
BUILD = 3  # raise it when the same text would be gathered, cut or split differently
# Shares of the chunks, in 256ths of their hashes: 15 % held out, 37.5 % for pretraining; the second
# stage has the rest, because D′ ≤ .8 of it while D draws on every domain.
HELDOUT, PRETRAIN = 38, 96
PARTS = ("pretrain", "specialize", "heldout")


@dataclass(frozen=True, eq=False)
class Domain:
    """One kind of text, as tokens. The three parts share no chunk. Compared by identity."""

    name: str
    pretrain: np.ndarray  # unsigned integers: bytes, or numbers of a tokenizer
    specialize: np.ndarray
    heldout: np.ndarray


@dataclass(frozen=True)
class Corpus:
    """Domains, and the manifest that says where they came from. `known` is a digest from before."""

    domains: tuple[Domain, ...]
    manifest: Mapping[str, object]
    vocabulary: int = 256  # how many tokens there are
    known: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(d.name for d in self.domains)

    @property
    def digest(self) -> str:
        """sha256 over all parts of all domains, in order."""
        if self.known:
            return self.known
        whole = hashlib.sha256()
        for d in self.domains:
            whole.update(d.name.encode())
            for part in PARTS:
                whole.update(np.ascontiguousarray(getattr(d, part)).data)
        return whole.hexdigest()


def build(
    texts: Mapping[str, Iterable[str]], about: Mapping[str, object], min_bytes: int = MIN_BYTES
) -> Corpus:
    """De-duplicate, split by hash and describe. Domains under `min_bytes` are left out, and named.

    A paragraph (what blank lines part) or a chunk seen before, in any domain and whatever its
    white space, is dropped. The text that is left is cut into chunks; the hash of a chunk decides
    its part. The chunks of a part are in the order of their hashes: any prefix is a fair sample.
    """
    paragraphs: set[bytes] = set()
    chunks: set[bytes] = set()
    domains, entries, left_out = [], {}, {}
    for name, pieces in texts.items():
        with ExitStack() as opened:
            parts = [_Part(opened.enter_context(TemporaryFile())) for _ in PARTS]
            for chunk in _chunks(_once(pieces, paragraphs)):
                key = _key(chunk)
                if key[:SEEN] in chunks:
                    continue
                chunks.add(key[:SEEN])
                place = 0 if key[0] < HELDOUT else 1 if key[0] < HELDOUT + PRETRAIN else 2
                parts[place].add(key, chunk)
            size = sum(part.size for part in parts)
            if size < min_bytes:
                left_out[name] = size
                continue
            heldout, pretrain, specialize = (part.joined() for part in parts)
        domains.append(Domain(name, pretrain, specialize, heldout))
        entries[name] = {
            "bytes": size,
            "sha256": _hash(pretrain, specialize, heldout),
            "pretrain": len(pretrain), "specialize": len(specialize), "heldout": len(heldout),
        }  # fmt: skip
    manifest = {**about, "chunk": CHUNK, "domains": entries, "left_out": left_out}
    return Corpus(tuple(domains), manifest)


def _key(text: bytes) -> bytes:
    """The hash of a text whose runs of white space count as one space."""
    return hashlib.sha256(b" ".join(text.split())).digest()


def _once(pieces: Iterable[str], seen: set[bytes]) -> Iterator[str]:
    """The pieces without the paragraphs that are in `seen`, which grows."""
    for piece in pieces:
        fresh = []
        for paragraph in piece.split("\n\n"):
            key = _key(paragraph.encode("utf-8", "ignore"))[:SEEN]
            if key not in seen:
                seen.add(key)
                fresh.append(paragraph)
        if fresh:
            text = "\n\n".join(fresh)
            yield text if text.endswith("\n") else text + "\n\n"


def _chunks(pieces: Iterable[str]) -> Iterator[bytes]:
    rest = b""
    for piece in pieces:
        rest += piece.encode("utf-8", "ignore")
        whole = len(rest) // CHUNK * CHUNK
        yield from (rest[i : i + CHUNK] for i in range(0, whole, CHUNK))
        rest = rest[whole:]


def _hash(*parts: np.ndarray) -> str:
    whole = hashlib.sha256()
    for part in parts:
        whole.update(np.ascontiguousarray(part).data)
    return whole.hexdigest()


class _Part:
    """Chunks on their way into one part: on disk, so that a corpus may be larger than memory."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file, self.keys = file, bytearray()

    def add(self, key: bytes, chunk: bytes) -> None:
        self.file.write(chunk)
        self.keys += key

    @property
    def size(self) -> int:
        return len(self.keys) // 32 * CHUNK

    def joined(self) -> np.ndarray:
        """The chunks in the order of their keys: in memory, or mapped where they are many."""
        self.file.flush()
        if not self.keys:
            return np.empty(0, np.uint8)
        order = np.argsort(np.frombuffer(self.keys, "S32"), kind="stable")
        chunks = np.memmap(self.file, np.uint8, "r").reshape(-1, CHUNK)
        if self.size <= IN_MEMORY:
            return np.array(chunks[order]).reshape(-1)
        with TemporaryFile() as file:
            out = np.memmap(file, np.uint8, "w+", shape=chunks.shape)
            for i in range(0, len(order), 4096):
                out[i : i + 4096] = chunks[order[i : i + 4096]]
            return out.reshape(-1)
