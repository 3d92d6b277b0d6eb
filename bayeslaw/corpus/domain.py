"""A corpus: named domains of text as bytes, split so that no stage sees another's."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

CHUNK = 512  # bytes; the unit of de-duplication and of the split
MIN_BYTES = 2_000_000


@dataclass(frozen=True)
class Domain:
    """One kind of text, as bytes. The three parts share no chunk."""

    name: str
    pretrain: np.ndarray  # uint8
    specialize: np.ndarray
    heldout: np.ndarray


@dataclass(frozen=True)
class Corpus:
    """Domains, and the manifest that says where they came from."""

    domains: tuple[Domain, ...]
    manifest: Mapping[str, object]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(d.name for d in self.domains)

    @property
    def digest(self) -> str:
        """sha256 over all parts of all domains, in order."""
        whole = hashlib.sha256()
        for d in self.domains:
            whole.update(d.name.encode())
            for part in (d.pretrain, d.specialize, d.heldout):
                whole.update(part.tobytes())
        return whole.hexdigest()


def build(
    texts: Mapping[str, Iterable[str]], about: Mapping[str, object], min_bytes: int = MIN_BYTES
) -> Corpus:
    """De-duplicate, split by hash and describe. Domains under `min_bytes` are left out, and named.

    The text of a domain is cut into chunks; a chunk seen before (in any domain) is dropped. Its
    hash decides its part: 20 % held-out, 40 % pretraining, 40 % second stage. The chunks of a part
    are in the order of their hashes, so that any prefix is a fair sample.
    """
    seen: set[bytes] = set()
    domains, entries, left_out = [], {}, {}
    for name, pieces in texts.items():
        parts: tuple[list, list, list] = ([], [], [])
        for chunk in _chunks(pieces):
            key = hashlib.sha256(b" ".join(chunk.split())).digest()
            if key in seen:
                continue
            seen.add(key)
            tenth = key[0] * 10 // 256
            parts[0 if tenth <= 1 else 1 if tenth <= 5 else 2].append((key, chunk))
        size = sum(len(chunk) for part in parts for _, chunk in part)
        if size < min_bytes:
            left_out[name] = size
            continue
        heldout, pretrain, specialize = (_joined(part) for part in parts)
        domains.append(Domain(name, pretrain, specialize, heldout))
        entries[name] = {
            "bytes": size,
            "sha256": hashlib.sha256(b"".join(p.tobytes() for p in (pretrain, specialize, heldout)))
            .hexdigest(),
            "pretrain": len(pretrain), "specialize": len(specialize), "heldout": len(heldout),
        }  # fmt: skip
    manifest = {**about, "chunk": CHUNK, "domains": entries, "left_out": left_out}
    return Corpus(tuple(domains), manifest)


def _chunks(pieces: Iterable[str]) -> Iterable[bytes]:
    rest = b""
    for piece in pieces:
        rest += piece.encode("utf-8", "ignore")
        whole = len(rest) // CHUNK * CHUNK
        yield from (rest[i : i + CHUNK] for i in range(0, whole, CHUNK))
        rest = rest[whole:]


def _joined(part: list[tuple[bytes, bytes]]) -> np.ndarray:
    return np.frombuffer(b"".join(chunk for _, chunk in sorted(part)), dtype=np.uint8)
