"""Log likelihoods are those of the decoder asked directly, however long the text is."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bayeslaw.evaluate.accuracy import answers, share
from bayeslaw.evaluate.coder import Coder
from bayeslaw.evaluate.scorer import START, continuations, token_losses
from bayeslaw.evaluate.task import Item, Task
from bayeslaw.sweep import RECIPES
from bayeslaw.train.model import make

MODEL = make(RECIPES["tiny"].shape(16), 0).eval()
with torch.no_grad():  # an unembedding of zeros knows nothing
    MODEL.unembedding.weight.normal_(0, 1.0, generator=torch.Generator().manual_seed(1))
ROOM = MODEL.s.context
RNG = np.random.default_rng(0)


def tokens(count: int) -> list[int]:
    return RNG.integers(0, 256, count).tolist()


def direct(window: list[int], count: int) -> float:
    """log p of the last `count` tokens of one window."""
    with torch.no_grad():
        log_p = MODEL(torch.tensor([window[:-1]])).log_softmax(-1)[0]
    each = log_p[torch.arange(len(window) - 1), torch.tensor(window[1:])]
    return float(each[-count:].double().sum())


@pytest.mark.parametrize(("before", "after"), [(5, 3), (1, 1), (20, 12), (12, 20), (300, 7)])
def test_a_continuation_is_asked_for_after_the_end_of_its_context(before, after):
    context, continuation = tokens(before), tokens(after)
    window = (context + continuation)[-(ROOM + 1) :]
    (found,) = continuations(MODEL, [(context, continuation)])
    assert found.log_likelihood == pytest.approx(direct(window, after), abs=1e-4)


def test_without_a_context_a_lines_end_stands_before():
    text = tokens(6)
    (found,) = continuations(MODEL, [([], text)])
    assert found.log_likelihood == pytest.approx(direct([START, *text], 6), abs=1e-4)


def test_a_text_longer_than_a_window_is_read_in_windows_that_follow_each_other():
    text = tokens(2 * ROOM + 5)
    (found,) = continuations(MODEL, [([7], text)])
    whole = [7, *text]
    expected = sum(
        direct(whole[a : min(a + ROOM, len(text)) + 1], min(ROOM, len(text) - a))
        for a in range(0, len(text), ROOM)
    )
    assert found.log_likelihood == pytest.approx(expected, abs=1e-3)
    losses = token_losses(MODEL, np.array([whole]))
    assert losses.shape == (1, len(text))
    assert -losses.sum() == pytest.approx(expected, abs=1e-3)


def test_batches_of_mixed_lengths_change_nothing():
    pairs = [(tokens(a), tokens(b)) for a, b in ((3, 9), (30, 2), (0, 4), (8, 70), (1, 1))]
    together = [s.log_likelihood for s in continuations(MODEL, pairs, batch=2)]
    alone = [continuations(MODEL, [p])[0].log_likelihood for p in pairs]
    assert together == pytest.approx(alone, abs=1e-4)


def test_greedy_says_whether_every_token_was_the_likeliest():
    context = tokens(4)
    likely: list[int] = []
    for _ in range(3):
        with torch.no_grad():
            likely.append(int(MODEL(torch.tensor([context + likely]))[0, -1].argmax()))
    wrong = [*likely[:2], (likely[2] + 1) % 256]
    good, bad = continuations(MODEL, [(context, likely), (context, wrong)])
    assert good.greedy
    assert not bad.greedy


def test_accuracy_and_that_per_byte_are_of_the_likeliest_choice():
    items = tuple(
        Item("some words ", ("ab", "abcdefgh", "xyz"), int(a)) for a in RNG.integers(0, 3, 30)
    )
    said = answers(MODEL, Coder(), Task("t", items))
    scored = [s.log_likelihood for s in continuations(
        MODEL, [(list(b"some words "), list(c.encode())) for c in items[0].choices]
    )]  # fmt: skip
    plain, per_byte = int(np.argmax(scored)), int(np.argmax(np.array(scored) / [2, 8, 3]))
    truth = np.array([i.answer for i in items])
    assert np.array_equal(said.correct, truth == plain)
    assert np.array_equal(said.per_byte, truth == per_byte)
    accuracy, se = share(said.correct)
    assert accuracy == (truth == plain).mean()
    assert se == pytest.approx(np.sqrt(accuracy * (1 - accuracy) / 29))
