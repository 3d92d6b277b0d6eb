"""Importance sampling of general text for a domain of which little text exists.

After Grangier et al. 2024 (arXiv:2410.03735): cluster the general text; weigh a cluster by the
share of the domain's own text that falls into it; draw general text by cluster.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from bayeslaw.corpus import Domain
from bayeslaw.corpus.clusters import Clusters
from bayeslaw.sweep import SecondStage
from bayeslaw.train.data import Windows, cut, mixed

PIECE = 512  # tokens that are clustered together; windows are too short to tell
MOST = 8192  # pieces that clusters are made from, and that are looked at at once


def resampled(
    domain: Domain,
    domains: Sequence[Domain],
    second: SecondStage,
    context: int,
    batch: int,
    seed: int,
    tokens: int,
) -> Windows:
    """Windows of general text, its clusters in the shares that the domain's text has of them.

    No window comes twice before its cluster is used up; then the cluster is read again.
    """
    texts = [d.pretrain for d in domains]
    least = min(map(len, texts))
    clusters, pieces, owner = _clustered(tuple(domains), second.clusters, seed)
    target = clusters.route(_pieces(domain.specialize[: second.target_bytes]))
    wanted = np.bincount(target, minlength=len(clusters.centres)) / len(target)
    pool = mixed([t[:least] for t in texts], context, batch, seed)
    first = np.cumsum([0, *pieces])
    # A window belongs to the piece that its middle is in.
    middle = pool.order[:, 1] * (context + 1) + context // 2
    at = np.minimum(middle // PIECE, np.array(pieces)[pool.order[:, 0]] - 1)
    cluster = owner[first[pool.order[:, 0]] + at]
    return Windows(pool.rows, _drawn(pool.order, cluster, wanted, tokens // context), batch)


@lru_cache(maxsize=2)
def _clustered(
    domains: tuple[Domain, ...], k: int, seed: int
) -> tuple[Clusters, list[int], np.ndarray]:
    """Clusters of the general text, how many pieces each domain has, and the cluster of each piece:
    the same for all branches, and made once a process."""
    least = min(len(d.pretrain) for d in domains)
    pieces = [_pieces(d.pretrain[:least]) for d in domains]
    every = -(-sum(map(len, pieces)) // MOST)
    clusters = Clusters.of(np.concatenate([p[::every] for p in pieces]), k, seed)
    # By so many at once: the text may be larger than memory.
    owner = np.concatenate(
        [clusters.route(p[i : i + MOST]) for p in pieces for i in range(0, len(p), MOST)]
    )
    return clusters, [len(p) for p in pieces], owner


def _drawn(order: np.ndarray, cluster: np.ndarray, wanted: np.ndarray, count: int) -> np.ndarray:
    """`count` windows with the wanted shares of clusters, spread evenly. A cluster that is wanted
    and has no window leaves its share to the others."""
    have = np.bincount(cluster, minlength=len(wanted))
    shares = np.where(have > 0, wanted, 0.0)
    shares = shares / shares.sum()
    due, chosen = [], []
    for c in np.flatnonzero(shares):
        n = int(np.ceil(shares[c] * count)) + 1
        due.append((np.arange(n) + 0.5) / shares[c])
        chosen.append(np.flatnonzero(cluster == c)[np.arange(n) % have[c]])
    turn = np.argsort(np.concatenate(due), kind="stable")[:count]
    return order[np.concatenate(chosen)[turn]]


def _pieces(text: np.ndarray) -> np.ndarray:
    """Rows of `PIECE` tokens; a shorter text is one row, with zeros behind it."""
    if len(text) < PIECE:
        return np.pad(np.asarray(text), (0, PIECE - len(text)))[None]
    return cut(text, PIECE - 1)
