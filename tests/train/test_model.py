"""The decoder against oracles: parameters, FLOPs, causality, rotations."""

from __future__ import annotations

import math
from dataclasses import astuple

import pytest
import torch
import torch.nn.functional as F

from bayeslaw.sweep import RECIPES
from bayeslaw.train.model import Decoder, Lookup, Shape, make, rotate, rotations, verified

SHAPES = [RECIPES["bytes-wsd"].shape(w) for w in (16, 24, 32, 48, 256)]


@pytest.mark.parametrize("s", SHAPES, ids=lambda s: f"w{s.width}")
def test_parameters_are_counted_by_group_before_any_is_allocated(s: Shape):
    with torch.device("meta"):
        model = Decoder(s)
    named = {n: p.numel() for n, p in model.named_parameters()}
    groups = {
        "embedding": sum(v for n, v in named.items() if n.startswith("embedding")),
        "attention": sum(v for n, v in named.items() if "qkv" in n or ".out." in n),
        "feed_forward": sum(v for n, v in named.items() if "gate_up" in n or "down" in n),
        "norms": sum(v for n, v in named.items() if "norm" in n),
        "unembedding": sum(v for n, v in named.items() if n.startswith("unembedding")),
    }
    assert groups == s.counts()
    assert s.params == sum(named.values()) - 2 * 256 * s.width


def test_published_arithmetic():
    s = Shape(width=48, layers=2, head_width=16, context=64)
    assert s.hidden == 128
    assert s.params == 2 * (4 * 48 * 48 + 3 * 48 * 128) + 5 * 48 == 55_536


@pytest.mark.parametrize(
    "s", [*SHAPES[:2], Shape(48, 3, 16, 128, 1000), Shape(4096, 32, 128, 2048, 32_000)],
    ids=lambda s: f"w{s.width}",
)  # fmt: skip
def test_flops_agree_with_torchs_own_count_on_the_meta_device(s: Shape):
    """A model of billions is verified without a byte of it; a wrong count is not let through."""
    assert verified(s) is s

    class Wrong(Shape):
        @property
        def flops_per_token(self) -> float:
            return super().flops_per_token + 1

    with pytest.raises(AssertionError):
        verified(Wrong(*astuple(s)))


def test_no_byte_sees_a_later_one():
    s = SHAPES[2]
    model = make(s, 0)
    torch.nn.init.normal_(model.unembedding.weight)
    ids = torch.randint(0, 256, (2, s.context), generator=torch.Generator().manual_seed(0))
    changed = ids.clone()
    changed[:, 40:] = (changed[:, 40:] + 1) % 256
    with torch.no_grad():
        before, after = model(ids), model(changed)
    torch.testing.assert_close(before[:, :40], after[:, :40])
    assert not torch.allclose(before[:, 40:], after[:, 40:])


def test_the_first_loss_is_that_of_knowing_nothing():
    s = SHAPES[0]
    with torch.no_grad():
        logits = make(s, 0)(torch.arange(s.context)[None])
    assert logits.logsumexp(-1).mean().item() == pytest.approx(math.log(256))


def test_rotations_keep_lengths_and_see_only_distance():
    cos, sin = rotations(64, 16)
    generator = torch.Generator().manual_seed(0)
    q, k = torch.randn(2, 16, generator=generator)
    turned_q, turned_k = (rotate(v.expand(64, 16), cos, sin) for v in (q, k))
    torch.testing.assert_close(turned_q.norm(dim=-1), q.norm().expand(64))
    scores = turned_q @ turned_k.T
    for distance in (0, 1, 7, 30):
        along = scores.diagonal(-distance)
        torch.testing.assert_close(along, along[:1].expand_as(along), atol=1e-4, rtol=1e-4)


def test_the_same_seed_gives_the_same_weights():
    a, b, c = (make(SHAPES[1], seed).state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(a[n], b[n]) for n in a)
    assert not torch.equal(a["embedding.weight"], c["embedding.weight"])


def test_the_gradient_of_a_lookup_is_that_of_an_embedding():
    ids = torch.randint(0, 7, (3, 5))
    table = torch.randn(7, 4, dtype=torch.float64, requires_grad=True)
    above = torch.randn(3, 5, 4, dtype=torch.float64)
    ours, theirs = Lookup.apply(table, ids), F.embedding(ids, table)
    torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(
        torch.autograd.grad(ours, table, above), torch.autograd.grad(theirs, table, above)
    )
