"""Windows are read once, in equal shares; n-gram losses and controls against plain arithmetic."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
import torch

from bayeslaw.corpus import synthetic
from bayeslaw.errors import SweepError
from bayeslaw.train import data
from bayeslaw.train.data import heldout, mixed, ngram_losses, share_of


def test_windows_are_read_once_and_in_equal_shares():
    texts = [np.full(65 * 20, 1, np.uint8), np.full(65 * 30, 2, np.uint8)]
    windows = mixed(texts, context=64, batch=4, seed=0)
    assert windows.tokens() == 2 * 20 * 64
    for i in range(10):
        inputs, targets = windows.step(i)
        assert inputs.shape == targets.shape == (4, 64)
        assert (inputs == 1).sum() == (inputs == 2).sum()
    with pytest.raises(SweepError, match="the text ends after 2560 tokens"):
        windows.step(10)


def test_targets_are_the_next_bytes_and_no_window_comes_twice():
    text = np.arange(65 * 40, dtype=np.int64) % 251
    windows = mixed([text.astype(np.uint8)], context=64, batch=8, seed=3)
    seen = set()
    for i in range(5):
        inputs, targets = windows.step(i)
        assert torch.equal(inputs[:, 1:], targets[:, :-1])
        seen |= {tuple(row.tolist()) for row in inputs}
    assert len(seen) == 40


def test_the_order_follows_from_the_seed():
    text = np.random.default_rng(0).integers(0, 256, 65 * 40).astype(np.uint8)
    a, b, c = (mixed([text], 64, 8, seed).step(0)[0] for seed in (0, 0, 1))
    assert torch.equal(a, b)
    assert not torch.equal(a, c)


def test_ngram_losses_by_hand():
    text, window = b"abababac", b"abac"
    n = {g: sum(text[i : i + len(g)] == g for i in range(len(text))) for g in
         (b"a", b"b", b"c", b"ab", b"ba", b"ac", b"aba", b"bac")}  # fmt: skip
    one = {x: (n[x] + 4 / 256) / (len(text) + 4) for x in (b"a", b"b", b"c")}
    two = {g: (n[g] + 4 * one[g[1:]]) / (n[g[:1]] + 4) for g in (b"ab", b"ba", b"ac")}
    three = {g: (n[g] + 4 * two[g[1:]]) / (n[g[:2]] + 4) for g in (b"aba", b"bac")}
    expected = [
        [one[b"b"], one[b"a"], one[b"c"]],
        [two[b"ab"], two[b"ba"], two[b"ac"]],
        [two[b"ab"], three[b"aba"], three[b"bac"]],
    ]
    windows = np.frombuffer(window, np.uint8)[None]
    losses = ngram_losses(np.frombuffer(text, np.uint8), windows)
    np.testing.assert_allclose(losses[0], [-np.log(e).mean() for e in expected])


def test_ngrams_counted_by_slices_are_those_counted_at_once(monkeypatch):
    text = np.random.default_rng(0).integers(0, 9, 10_001).astype(np.uint8)
    windows = text[:9900].reshape(-1, 33)
    whole = ngram_losses(text, windows)
    monkeypatch.setattr(data, "SLICE", 7)
    monkeypatch.setattr(data, "ROWS", 11)
    monkeypatch.setattr(data, "TABLE", 9**3)
    assert np.array_equal(ngram_losses(text, windows, 9), one_by_one(text, windows))
    monkeypatch.undo()
    monkeypatch.setattr(data, "SLICE", 5000)
    assert np.array_equal(ngram_losses(text, windows), whole)


def one_by_one(text: np.ndarray, windows: np.ndarray) -> np.ndarray:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(data, "SLICE", len(text))
        patch.setattr(data, "ROWS", len(windows))
        return ngram_losses(text, windows, 9)


def test_a_mapped_text_is_not_taken_into_memory_to_be_counted(tmp_path, monkeypatch):
    """4 M tokens in slices of 64 k: not a byte of memory for each token, where codes are 8."""
    size = 1 << 22
    np.random.default_rng(0).integers(0, 256, size, np.uint8).tofile(tmp_path / "text")
    text = np.memmap(tmp_path / "text", np.uint8, "r")
    monkeypatch.setattr(data, "SLICE", 1 << 16)
    monkeypatch.setattr(data, "TABLE", 256**2)
    tracemalloc.start()
    try:
        losses = ngram_losses(text, np.array(text[:6500]).reshape(-1, 65))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert losses.shape == (100, 2)
    assert peak < size


def test_controls_have_mean_zero_over_all_windows():
    domain = synthetic(size=60_000).domains[0]
    every = heldout(domain, 32, tokens=10**9)
    np.testing.assert_allclose(every.controls.mean(0), 0, atol=1e-12)
    some = heldout(domain, 32, tokens=1600)
    assert len(some.windows) == len(some.controls) == 50
    assert len(share_of(some, 4).windows) == 13
