"""An unlabelled corpus turned into domains: clusters of its documents, written as a folder."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import IO

import numpy as np

from bayeslaw.corpus.clusters import Clusters, typical
from bayeslaw.corpus.folder import documents, domains_in
from bayeslaw.errors import SweepError

SAMPLE = 20_000  # documents that the clusters are made from
BATCH = 1000  # documents that are routed at once
ROUTER = "router.npz"
LONGEST = 24  # letters of a term in a name


@dataclass(frozen=True)
class Cluster:
    """One of the domains: its documents, their bytes as UTF-8, and the words that set it apart."""

    name: str
    documents: int
    bytes: int
    terms: tuple[str, ...]


def split(
    path: str | Path, k: int, out: str | Path, seed: int = 0, column: str = "text",
    router: str | Path | None = None,
) -> tuple[Cluster, ...]:  # fmt: skip
    """Cluster the documents of a folder into k domains, and write them to a new folder `out`.

    out/<name>.jsonl are the domains, as corpus `folder` reads them; out/router.npz assigns new
    text; out/clusters.json says what they are. Of more than `SAMPLE` documents every n-th is looked
    at to make the clusters; all are assigned, a thousand at a time. With `router`, one that was
    kept, nothing is clustered: text goes to the domains that there are.

    Raises `SweepError` when there is no text, when `out` is there, for too few documents.
    """
    out = Path(out)
    if out.exists():
        raise SweepError(f"{out} is there already; name a new folder")
    files = [f for group in domains_in(path).values() for f in group]
    total = sum(1 for _ in _documents(files, column))
    sample = list(islice(_documents(files, column), 0, None, max(1, -(-total // SAMPLE))))
    if router is None:
        clusters, names = Clusters.of(sample, k, seed), None
    else:
        clusters, names = Clusters.load(router), names_of(Path(router))
    k = len(clusters.centres)
    if names and len(names) != k:
        raise SweepError(f"{router}: clusters.json names {len(names)} clusters, the router has {k}")
    terms = typical(sample, clusters.route(sample), k)
    leading = [[term[:LONGEST] for term in terms[c][:2]] for c in range(k)]
    names = names or ["-".join([f"{c:02d}", *leading[c]]) for c in range(k)]
    beside = out.with_name(f".{out.name}.{os.getpid()}")
    try:
        beside.mkdir(parents=True)
        counts = _write(_documents(files, column), clusters, names, beside)
        found = tuple(
            Cluster(n, int(counts[c, 0]), int(counts[c, 1]), tuple(terms[c]))
            for c, n in enumerate(names)
        )
        clusters.save(beside / ROUTER)
        about = {"schema": 1, "clusters": [asdict(c) for c in found]}
        (beside / "clusters.json").write_text(json.dumps(about, indent=1) + "\n")
        beside.replace(out)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return found


def _documents(files: list[Path], column: str) -> Iterator[str]:
    for file in files:
        yield from (text for text in documents(file, column) if text.strip())


def _write(texts: Iterator[str], clusters: Clusters, names: list[str], folder: Path) -> np.ndarray:
    """Every document to the file of its cluster; (cluster, [documents, bytes])."""
    counts = np.zeros((len(names), 2), int)
    with ExitStack() as opened:
        files: list[IO[str]] = [
            opened.enter_context((folder / f"{n}.jsonl").open("w", encoding="utf-8")) for n in names
        ]
        while batch := list(islice(texts, BATCH)):
            for text, c in zip(batch, clusters.route(batch), strict=True):
                files[c].write(json.dumps({"text": text}, ensure_ascii=False) + "\n")
                counts[c] += 1, len(text.encode("utf-8", "ignore"))
    return counts


def names_of(router: Path) -> list[str]:
    """The domains that a kept router sends to. Raises `SweepError`."""
    try:
        about = json.loads((router.parent / "clusters.json").read_text())
        names = [str(c["name"]) for c in about["clusters"]]
    except (OSError, ValueError, KeyError, TypeError):
        raise SweepError(f"{router}: no clusters.json beside it; keep the two together") from None
    # Each is a file of the new folder, and stays in it.
    if bad := [n for n in names if not re.fullmatch(r"[\w-]+", n)]:
        raise SweepError(f"{router}: clusters.json has names that are no files: {bad[0]!r}")
    return names
