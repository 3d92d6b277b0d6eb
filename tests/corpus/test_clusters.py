"""Clusters find what was mixed, route new text, and come back from a file as they were."""

from __future__ import annotations

import json

import numpy as np
import pytest

from bayeslaw.errors import SweepError

pytest.importorskip("sklearn")

from bayeslaw.cli import run
from bayeslaw.corpus import folder
from bayeslaw.corpus.clusters import Clusters, typical
from bayeslaw.corpus.split import split

TOPICS = {"sea": "whale ship sail mast harbour tide anchor", "sky": "cloud star comet moon wing",
          "kitchen": "flour butter oven spoon salt broth"}  # fmt: skip


def mixture(count: int, seed: int) -> tuple[list[str], np.ndarray]:
    """Documents of one topic each, with common words between, and their topics."""
    rng = np.random.default_rng(seed)
    found, labels = [], rng.integers(0, len(TOPICS), count)
    for label in labels:
        own = list(TOPICS.values())[label].split()
        words = [*rng.choice(own, 20), *rng.choice(["the", "of", "and", "was", "in"], 20)]
        found.append(" ".join(rng.permutation(words)))
    return found, labels


def agreement(labels: np.ndarray, clusters: np.ndarray) -> float:
    """The share of documents that are of the commonest topic of their cluster."""
    return sum(
        np.bincount(labels[clusters == c]).max() for c in np.unique(clusters)
    ) / len(labels)  # fmt: skip


@pytest.fixture(scope="module")
def clusters() -> Clusters:
    return Clusters.of(mixture(300, 0)[0], 3)


def test_clusters_are_the_topics_also_of_new_text(clusters):
    for seed in (0, 1):
        texts, labels = mixture(300, seed)
        assert agreement(labels, clusters.route(texts)) > 0.97


def test_typical_words_are_those_of_the_topic(clusters):
    texts, labels = mixture(300, 0)
    found = clusters.route(texts)
    for c, words in enumerate(typical(texts, found, 3)):
        topic = list(TOPICS.values())[np.bincount(labels[found == c]).argmax()].split()
        assert len(words) == 5
        assert set(words) <= set(topic)


def test_a_router_comes_back_from_its_file(clusters, tmp_path):
    clusters.save(tmp_path / "router.npz")
    again = Clusters.load(tmp_path / "router.npz")
    texts, _ = mixture(100, 2)
    assert np.array_equal(again.route(texts), clusters.route(texts))
    np.save(tmp_path / "array.npy", np.zeros(3))
    whole = (tmp_path / "router.npz").read_bytes()
    for spoilt in (b"no", whole[: len(whole) // 2], (tmp_path / "array.npy").read_bytes()):
        (tmp_path / "broken.npz").write_bytes(spoilt)
        with pytest.raises(SweepError, match="no router that `bayeslaw domains` wrote"):
            Clusters.load(tmp_path / "broken.npz")


def test_another_embedder_can_be_put_in(tmp_path):
    class Lengths:
        def __init__(self, seed: int):
            pass

        def fit_transform(self, texts):
            return self.transform(texts)

        def transform(self, texts):
            return np.array([[len(t)] for t in texts])

    texts = ["a" * n for n in (10, 11, 12, 1000, 1001)]
    found = Clusters.of(texts, 2, embedder=Lengths)
    labels = found.route(texts)
    assert len(set(labels[:3])) == len(set(labels[3:])) == 1
    assert labels[0] != labels[3]
    with pytest.raises(SweepError, match="only clusters of the default embedder"):
        found.save(tmp_path / "r.npz")


def test_what_cannot_be_clustered_is_said():
    with pytest.raises(SweepError, match="2 pieces of text cannot be 3 clusters"):
        Clusters.of(["a b", "c d"], 3)
    with pytest.raises(SweepError, match="no words in common"):
        Clusters.of(["a", "b", "c"], 2)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    place = tmp_path_factory.mktemp("unlabelled")
    for seed in (0, 1):
        lines = (json.dumps({"text": t}) + "\n" for t in mixture(200, seed)[0])
        (place / f"{seed}.jsonl").write_text("".join(lines))
    return place


def test_a_corpus_becomes_domains_that_a_sweep_reads(corpus, tmp_path):
    found = split(corpus, 3, tmp_path / "domains")
    assert sum(c.documents for c in found) == 400
    read = folder(str(tmp_path / "domains"), min_bytes=0)
    assert set(read.names) == {c.name for c in found}
    again = split(corpus, 3, tmp_path / "again")
    assert again == found
    routed = split(corpus, 9, tmp_path / "routed", router=tmp_path / "domains" / "router.npz")
    assert [(c.name, c.documents) for c in routed] == [(c.name, c.documents) for c in found]
    with pytest.raises(SweepError, match="is there already; name a new folder"):
        split(corpus, 3, tmp_path / "domains")
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".")]


def test_the_command_prints_sizes_and_words_within_the_terminal(corpus, tmp_path, capsys):
    out = tmp_path / "domains"
    assert run(["domains", str(corpus), "--k", "3", "--out", str(out)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines[:4])) <= 80
    assert lines[0].split() == ["domain", "documents", "size", "words"]
    assert lines[-1] == f'wrote {out}: corpus = "folder" reads it'
    other = tmp_path / "other"
    assert run(["domains", str(corpus), "--k", "3", "--out", str(other), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["schema"] == 1
    assert sum(c["documents"] for c in answer["clusters"]) == 400
    assert run(["domains", str(corpus), "--out", str(out)]) == 1
    assert capsys.readouterr().err == f"error: {out} is there already; name a new folder\n"
