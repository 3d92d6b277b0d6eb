"""Clusters of text: TF-IDF, a truncated SVD, mini-batch k-means; and where new text goes."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from zipfile import BadZipFile

import numpy as np

from bayeslaw.errors import SweepError

TOPICS = 64  # dimensions that are kept
WORDS = 50_000  # of the vocabulary
LETTERS = 20_000  # of a text are looked at


class Embedder(Protocol):
    """Anything that makes vectors of texts, (text, dimension)."""

    def fit_transform(self, texts: Sequence[str]) -> np.ndarray: ...

    def transform(self, texts: Sequence[str]) -> np.ndarray: ...


@dataclass(frozen=True)
class Clusters:
    """K clusters: an embedder that has seen the texts, and the centres, (cluster, dimension)."""

    embedder: Embedder
    centres: np.ndarray

    @classmethod
    def of(
        cls,
        texts: Sequence[str] | np.ndarray,
        k: int,
        seed: int = 0,
        embedder: Callable[[int], Embedder] | None = None,
    ) -> Clusters:
        """Cluster texts, or rows of tokens. Raises `SweepError` when there are fewer than k.

        embedder: seed -> an `Embedder`; by default TF-IDF of words and its `TOPICS` leading topics.
        """
        if len(texts) < k:
            raise SweepError(f"{len(texts)} pieces of text cannot be {k} clusters; ask for fewer")
        embed = (embedder or Topics)(seed)
        vectors = np.asarray(embed.fit_transform(_words(texts)), float)
        means = _sklearn().cluster.MiniBatchKMeans(
            k, random_state=seed, n_init=5, batch_size=1024
        ).fit(vectors)  # fmt: skip
        return cls(embed, means.cluster_centers_)

    def route(self, texts: Sequence[str] | np.ndarray) -> np.ndarray:
        """The cluster of every text, (text,): the nearest centre."""
        v = np.asarray(self.embedder.transform(_words(texts)), float)
        # |v - c|² less |v|², which is the same for all centres
        return ((self.centres**2).sum(1) - 2 * v @ self.centres.T).argmin(1)

    def save(self, path: str | Path) -> None:
        """Plain arrays in an .npz. Raises `SweepError` for an embedder of one's own."""
        if not isinstance(self.embedder, Topics):
            raise SweepError("only clusters of the default embedder can be kept in a file")
        e = self.embedder
        words = json.dumps(e.words.get_feature_names_out().tolist())
        with Path(path).open("wb") as file:
            np.savez_compressed(
                file, centres=self.centres, components=e.components, idf=e.words.idf_,
                words=np.frombuffer(words.encode(), np.uint8),
            )  # fmt: skip

    @classmethod
    def load(cls, path: str | Path) -> Clusters:
        """What `save` wrote. Raises `SweepError` for a file that is no such thing."""
        try:
            with Path(path).open("rb") as file, np.load(file, allow_pickle=False) as kept:
                embed = Topics(0)
                vocabulary = json.loads(kept["words"].tobytes())
                embed.words = _tfidf(vocabulary=vocabulary, min_df=1)
                embed.words.idf_ = kept["idf"]
                embed.components = kept["components"]
                return cls(embed, kept["centres"])
        except (OSError, ValueError, KeyError, TypeError, AttributeError, BadZipFile) as error:
            raise SweepError(f"{path}: no router that `bayeslaw domains` wrote: {error}") from None


class Topics:
    """TF-IDF of words, reduced to its leading topics (latent semantic analysis), of length one."""

    def __init__(self, seed: int):
        self.seed, self.words = seed, _tfidf(max_features=WORDS, min_df=2)

    def fit_transform(self, texts: Sequence[str]) -> np.ndarray:
        try:
            weights = self.words.fit_transform(texts)
        except ValueError:
            raise SweepError("the texts have no words in common: nothing to cluster by") from None
        keep = max(1, min(TOPICS, min(weights.shape) - 1))
        svd = _sklearn().decomposition.TruncatedSVD(keep, random_state=self.seed)
        svd.fit(weights)
        self.components = svd.components_
        return self._reduced(weights)

    def transform(self, texts: Sequence[str]) -> np.ndarray:
        return self._reduced(self.words.transform(texts))

    def _reduced(self, weights: Any) -> np.ndarray:
        vectors = np.asarray(weights @ self.components.T)
        return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)


def typical(texts: Sequence[str], labels: np.ndarray, k: int, count: int = 5) -> list[list[str]]:
    """The words that set each cluster apart: the largest excess of mean TF-IDF over that of all."""
    weigher = _tfidf(token_pattern=r"[^\W\d_]{3,}", max_features=WORDS, min_df=1)
    try:
        weights = weigher.fit_transform(texts)
    except ValueError:  # no words at all
        return [[] for _ in range(k)]
    names = weigher.get_feature_names_out()
    every = np.asarray(weights.mean(0)).ravel()
    found = []
    for c in range(k):
        rows = np.flatnonzero(labels == c)
        more = np.asarray(weights[rows].mean(0)).ravel() - every if len(rows) else 0 * every
        found.append([str(names[i]) for i in np.argsort(-more)[:count] if more[i] > 0])
    return found


def _tfidf(**fields: Any) -> Any:
    make = _sklearn().feature_extraction.text.TfidfVectorizer
    return make(**{"token_pattern": r"\S+", "sublinear_tf": True, **fields})


def _words(texts: Sequence[str] | np.ndarray) -> Sequence[str]:
    """Texts as they are; rows of bytes as text; rows of larger tokens as their numbers."""
    if not isinstance(texts, np.ndarray):
        return [t[:LETTERS] for t in texts]
    if texts.dtype == np.uint8:
        return [row.tobytes().decode("latin-1") for row in texts]
    return [" ".join(map(str, row)) for row in texts.tolist()]


def _sklearn() -> Any:
    try:
        import sklearn.cluster
        import sklearn.decomposition
        import sklearn.feature_extraction.text
    except ModuleNotFoundError as error:
        if error.name != "sklearn":
            raise
        raise SweepError("clusters need scikit-learn: pip install 'bayeslaw[corpus]'") from None
    return sklearn
