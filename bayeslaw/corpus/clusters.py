"""Clusters of text: TF-IDF, a truncated SVD, mini-batch k-means; and where new text goes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bayeslaw.errors import SweepError

# texts (n) -> vectors (n, dimension): whatever has `fit_transform` and `transform`
Embedder = Any
TOPICS = 64  # dimensions that are kept


@dataclass(frozen=True)
class Clusters:
    """K clusters: an embedder that has seen the texts, and a router of vectors."""

    embedder: Embedder
    router: Any
    k: int

    @classmethod
    def of(
        cls,
        texts: Sequence[str] | np.ndarray,
        k: int,
        seed: int = 0,
        embedder: Callable[[int], Embedder] | None = None,
    ) -> Clusters:
        """Cluster texts, or rows of tokens. Raises `SweepError` when there are fewer than k.

        embedder: seed -> an object with `fit_transform` and `transform`; by default TF-IDF of words
        (of pairs of tokens for rows) and its `TOPICS` leading topics.
        """
        if len(texts) < k:
            raise SweepError(f"{len(texts)} pieces of text cannot be {k} clusters; ask for fewer")
        MiniBatchKMeans = _sklearn().cluster.MiniBatchKMeans
        embed = (embedder or default_embedder)(seed)
        vectors = embed.fit_transform(_words(texts))
        router = MiniBatchKMeans(k, random_state=seed, n_init=5, batch_size=1024)
        router.fit(np.asarray(vectors, float))
        return cls(embed, router, k)

    def route(self, texts: Sequence[str] | np.ndarray) -> np.ndarray:
        """The cluster of every text, (n,)."""
        return self.router.predict(np.asarray(self.embedder.transform(_words(texts)), float))

    def terms(self, texts: Sequence[str], labels: np.ndarray, count: int = 6) -> list[list[str]]:
        """The words that set each cluster apart: the largest excess of mean TF-IDF over all."""
        vectorizer = _sklearn().feature_extraction.text.TfidfVectorizer(
            token_pattern=r"[^\W\d_]{3,}", max_features=20_000, sublinear_tf=True
        )
        weights, names = vectorizer.fit_transform(texts), vectorizer.get_feature_names_out()
        every = np.asarray(weights.mean(0)).ravel()
        found = []
        for c in range(self.k):
            rows = np.flatnonzero(labels == c)
            mean = np.asarray(weights[rows].mean(0)).ravel() if len(rows) else 0 * every
            found.append([str(names[i]) for i in np.argsort(every - mean)[:count]])
        return found


def default_embedder(seed: int) -> Embedder:
    """TF-IDF of words, reduced to its leading topics, of length one."""
    sklearn = _sklearn()
    return _Embedder(
        sklearn.feature_extraction.text.TfidfVectorizer(
            token_pattern=r"\S+", max_features=50_000, sublinear_tf=True, min_df=2
        ),
        seed,
    )


class _Embedder:
    def __init__(self, vectorizer: Any, seed: int):
        self.vectorizer, self.seed = vectorizer, seed

    def fit_transform(self, texts: Sequence[str]) -> np.ndarray:
        weights = self.vectorizer.fit_transform(texts)
        keep = min(TOPICS, weights.shape[1] - 1, max(1, weights.shape[0] - 1))
        self.svd = _sklearn().decomposition.TruncatedSVD(keep, random_state=self.seed)
        return _unit(self.svd.fit_transform(weights))

    def transform(self, texts: Sequence[str]) -> np.ndarray:
        return _unit(self.svd.transform(self.vectorizer.transform(texts)))


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)


def _words(texts: Sequence[str] | np.ndarray) -> Sequence[str]:
    """Texts as they are; rows of bytes as text; rows of larger tokens as their numbers."""
    if not isinstance(texts, np.ndarray):
        return texts
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
