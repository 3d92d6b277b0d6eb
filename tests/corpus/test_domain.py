"""What `build` promises: nothing twice, parts that share nothing, the same bytes again."""

from __future__ import annotations

import numpy as np
import pytest

from bayeslaw.corpus import build, synthetic
from bayeslaw.corpus.domain import CHUNK

PARTS = ("pretrain", "specialize", "heldout")


def text(seed: int, paragraphs: int = 400) -> list[str]:
    rng = np.random.default_rng(seed)
    return [
        " ".join(str(n) for n in rng.integers(0, 10**6, 40)) + "\n\n" for _ in range(paragraphs)
    ]


def chunks(part: np.ndarray) -> set[bytes]:
    raw = part.tobytes()
    return {raw[i : i + CHUNK] for i in range(0, len(raw), CHUNK)}


@pytest.fixture(scope="module")
def corpus():
    return build({"a": text(0), "b": text(1)}, {"source": "test"}, min_bytes=0)


def test_parts_are_disjoint_and_have_their_shares(corpus):
    found = [chunks(getattr(d, part)) for d in corpus.domains for part in PARTS]
    assert sum(map(len, found)) == len(set().union(*found))
    for d in corpus.domains:
        whole = sum(len(getattr(d, part)) for part in PARTS)
        assert len(d.heldout) / whole == pytest.approx(0.15, abs=0.06)
        assert len(d.pretrain) / whole == pytest.approx(0.375, abs=0.08)


def test_text_seen_before_is_dropped_whatever_its_white_space(corpus):
    again = [p.replace(" ", "\n  ") for p in text(0)]
    twice = build({"a": text(0) + again, "b": text(1)}, {"source": "test"}, min_bytes=0)
    assert twice.digest == corpus.digest


def test_a_paragraph_belongs_to_the_first_domain_that_has_it(corpus):
    shared = build({"a": text(0), "b": text(0) + text(1)}, {"source": "test"}, min_bytes=0)
    assert shared.digest == corpus.digest


def test_a_small_domain_is_left_out_and_named():
    corpus = build({"a": text(0), "tiny": ["few words"]}, {}, min_bytes=10_000)
    assert corpus.names == ("a",)
    assert corpus.manifest["left_out"] == {"tiny": 0}


def test_the_digest_tells_one_text_from_another(corpus):
    assert build({"a": text(0), "b": text(1)}, {}, min_bytes=0).digest == corpus.digest
    assert build({"a": text(0), "b": text(2)}, {}, min_bytes=0).digest != corpus.digest


def test_the_manifest_counts_what_there_is(corpus):
    for d in corpus.domains:
        entry = corpus.manifest["domains"][d.name]
        assert {part: entry[part] for part in PARTS} == {p: len(getattr(d, p)) for p in PARTS}
        assert entry["bytes"] == sum(entry[part] for part in PARTS)
        assert len(entry["sha256"]) == 64


def test_synthetic_domains_repeat_and_differ():
    once, again = synthetic(size=30_000), synthetic(size=30_000)
    assert once.digest == again.digest
    assert once.names == ("alpha", "beta")
    a, b = once.domains
    assert a.pretrain.tobytes() != b.pretrain.tobytes()
