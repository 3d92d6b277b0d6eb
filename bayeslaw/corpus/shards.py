"""A corpus on disk: one file of tokens for each part of each domain, read by mapping it."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np

from bayeslaw.corpus.domain import PARTS, Corpus, Domain

ABOUT = "corpus.json"


def write_shards(corpus: Corpus, folder: str | Path) -> None:
    """Write a corpus into a folder that appears when it is whole, in the place of an old one."""
    folder = Path(folder)
    beside = folder.with_name(f".{folder.name}.{os.getpid()}")
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(parents=True)
    try:
        about = {"manifest": dict(corpus.manifest), "vocabulary": corpus.vocabulary, "domains": {}}
        for i, d in enumerate(corpus.domains):
            lengths = [len(getattr(d, part)) for part in PARTS]
            about["domains"][d.name] = [i, str(d.pretrain.dtype), lengths]  # type: ignore[index]
            for part in PARTS:
                np.ascontiguousarray(getattr(d, part)).tofile(beside / f"{i}.{part}.bin")
        about["digest"] = corpus.digest
        (beside / ABOUT).write_text(json.dumps(about))
        shutil.rmtree(folder, ignore_errors=True)
        beside.replace(folder)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def read_shards(folder: str | Path) -> Corpus:
    """The corpus of a folder that `write_shards` made; its tokens stay on disk until they are read.

    Raises `FileNotFoundError` where there is none, `ValueError` for one that is not whole.
    """
    folder = Path(folder)
    about = json.loads((folder / ABOUT).read_text())
    domains = tuple(
        Domain(
            name,
            *(
                _mapped(folder / f"{i}.{part}.bin", kind, length)
                for part, length in zip(PARTS, lengths, strict=True)
            ),
        )
        for name, (i, kind, lengths) in about["domains"].items()
    )
    return Corpus(domains, about["manifest"], about["vocabulary"], about["digest"])


def _mapped(file: Path, kind: str, length: int) -> np.ndarray:
    if file.stat().st_size != length * np.dtype(kind).itemsize:
        raise ValueError(f"{file}: not {length} tokens")
    if length == 0:  # an empty file cannot be mapped
        return np.empty(0, kind)
    return np.memmap(file, kind, mode="r")
