"""Training and measuring: rates, gradients, the same bytes for the same seed, honest errors."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from bayeslaw.corpus import synthetic
from bayeslaw.sweep import RECIPES
from bayeslaw.train import loop
from bayeslaw.train.checkpoint import load, pack
from bayeslaw.train.data import Windows, heldout, mixed
from bayeslaw.train.device import look, precision
from bayeslaw.train.loop import CrossEntropy, cool, evaluate, start, train, warm

TINY = RECIPES["tiny"]


@pytest.fixture(scope="module")
def domain():
    return synthetic(size=200_000).domains[0]


def windows(domain) -> Windows:
    return mixed([domain.pretrain], TINY.context, TINY.batch, 0)


def test_rates_rise_stay_and_fall():
    peak = TINY.rate_at(16)
    rise = [warm(TINY, 16, 0)(i) for i in range(3 * TINY.warmup)]
    assert rise == sorted(rise)
    assert rise[TINY.warmup - 1 :] == [peak] * (2 * TINY.warmup + 1)
    assert warm(TINY, 16, TINY.warmup)(0) == peak
    fall = [cool(TINY, 16, 40)(i) for i in range(40)]
    assert fall == sorted(fall, reverse=True)
    assert 0 < fall[-1] < 0.01 * peak < fall[0] < peak


def test_cross_entropy_is_torchs_own():
    logits = torch.randn(9, 256, dtype=torch.float64, requires_grad=True)
    targets = torch.randint(0, 256, (9,))
    ours, theirs = CrossEntropy.apply(logits, targets), F.cross_entropy(logits, targets)
    torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(
        torch.autograd.grad(3 * ours, logits), torch.autograd.grad(3 * theirs, logits)
    )


def trained(domain, steps: int = 30, seed: int = 0):
    state = start(TINY, 16, seed)
    loss = train(state, windows(domain), 0, steps, warm(TINY, 16, 0), TINY.clip)
    return state, loss


def test_training_learns_and_repeats(domain):
    torch.set_num_threads(1)
    first, loss = trained(domain)
    again, same = trained(domain)
    assert loss == same < np.log(256)
    assert pack(first) == pack(again)
    assert pack(first) != pack(trained(domain, seed=1)[0])


def test_a_state_that_was_kept_goes_on_to_the_same_bytes(domain, tmp_path: Path):
    torch.set_num_threads(1)
    whole, _ = trained(domain, steps=30)
    half, _ = trained(domain, steps=15)
    file = tmp_path / "half.safetensors"
    file.write_bytes(pack(half))
    state = load(file, start(TINY, 16, 1))
    train(state, windows(domain), 15, 15, warm(TINY, 16, 15), TINY.clip)
    assert pack(state) == pack(whole)


@pytest.mark.parametrize("microbatch", [1, 3, 8, 20])
def test_accumulated_gradients_are_those_of_the_whole_batch(domain, microbatch):
    """The same steps to rounding, whole parts or not; a part as large as the batch to the bit."""
    whole, _ = trained(domain, steps=5)
    state = start(TINY, 16, 0)
    train(state, windows(domain), 0, 5, warm(TINY, 16, 0), TINY.clip, microbatch=microbatch)
    if microbatch >= TINY.batch:
        assert pack(state) == pack(whole)
    for a, b in zip(state.model.parameters(), whole.model.parameters(), strict=True):
        torch.testing.assert_close(a, b, atol=2e-4, rtol=1e-3)


def test_an_accelerator_multiplies_in_bf16_and_keeps_float32_weights(domain, monkeypatch):
    """The precision of an accelerator, on this processor: it learns as much."""
    assert isinstance(precision("cpu"), contextlib.nullcontext)
    _, exact = trained(domain)
    kinds = set()
    monkeypatch.setattr(loop, "precision", lambda _: torch.autocast("cpu", torch.bfloat16))
    state = start(TINY, 16, 0)
    state.model.unembedding.register_forward_hook(lambda *a: kinds.add(a[2].dtype))
    loss = train(state, windows(domain), 0, 30, warm(TINY, 16, 0), TINY.clip)
    assert kinds == {torch.bfloat16}
    assert {p.dtype for p in state.model.parameters()} == {torch.float32}
    assert loss == pytest.approx(exact, abs=0.02)


def test_on_an_accelerator_the_loss_is_looked_at_now_and_then():
    assert all(look("cpu", i) for i in range(100))
    assert [i for i in range(100) if look("cuda", i)] == [31, 63, 95]


def test_a_rate_beyond_reason_is_seen(domain):
    recipe = replace(TINY, rate=1e30)
    state = start(recipe, 16, 0)
    loss = train(state, windows(domain), 0, 20, warm(recipe, 16, 0), float("inf"))
    assert not np.isfinite(loss)


def test_the_estimate_keeps_to_its_standard_error(domain):
    """Over disjoint samples of windows: errors, in units of the stated one, spread by about one;
    and the controls are worth their cost."""
    state, _ = trained(domain, steps=100)
    every = heldout(domain, TINY.context, 10**9)
    truth, _ = evaluate(state.model, every)
    misses, stated, plain = [], [], []
    for k in range(12):
        sample = every._replace(windows=every.windows[k::12], controls=every.controls[k::12])
        mean, se = evaluate(state.model, sample)
        misses.append((mean - truth) / se)
        stated.append(se)
        without = sample._replace(controls=sample.controls[:, :0])
        plain.append(evaluate(state.model, without)[1])
    assert 0.4 < np.std(misses) < 1.7
    assert np.mean(stated) < 0.8 * np.mean(plain)
