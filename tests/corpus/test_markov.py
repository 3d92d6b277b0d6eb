"""Chains of known entropy: what is stated is what the text has."""

from __future__ import annotations

import numpy as np
import pytest

from bayeslaw.corpus import markov
from bayeslaw.corpus.markov import chain, entropy
from bayeslaw.errors import SweepError


def test_entropies_in_closed_form():
    uniform = np.full((4, 4), 0.25)
    assert entropy(uniform) == pytest.approx(np.log(4))
    flip = np.array([[0.9, 0.1], [0.3, 0.7]])  # stationary (.75, .25)
    h = [-p * np.log(p) - (1 - p) * np.log(1 - p) for p in (0.9, 0.7)]
    assert entropy(flip) == pytest.approx(0.75 * h[0] + 0.25 * h[1])


def test_the_text_has_the_entropy_that_is_stated():
    corpus = markov(size=300_000)
    for d in corpus.domains:
        text = d.pretrain.astype(int) - 97
        here = (text[:-1] >= 0) & (text[1:] >= 0)
        counts = np.zeros((16, 16))
        np.add.at(counts, (text[:-1][here], text[1:][here]), 1)
        p = counts / counts.sum(1, keepdims=True)
        found = -(counts * np.log(np.where(p > 0, p, 1))).sum() / counts.sum()
        assert found == pytest.approx(corpus.manifest["entropy"][d.name], rel=0.01)


def test_overlap_says_how_much_is_common():
    def apart(overlap: float) -> float:
        return float(np.abs(chain("a", overlap, 16, 8.0) - chain("b", overlap, 16, 8.0)).sum())

    assert apart(1.0) == 0
    assert apart(0.5) == pytest.approx(0.5 * apart(0.0))
    with pytest.raises(SweepError, match="overlap is 0 to 1"):
        markov(overlap=2.0)
