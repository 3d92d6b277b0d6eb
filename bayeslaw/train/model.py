"""The decoder: Llama-shaped (RMSNorm, RoPE, SwiGLU, no biases); its counts verified."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from bayeslaw.sweep.shape import Shape


class Block(nn.Module):
    def __init__(self, s: Shape):
        super().__init__()
        self.s = s
        self.attend_norm, self.feed_norm = norm(s), norm(s)
        self.qkv = nn.Linear(s.width, 3 * s.width, bias=False)
        self.out = nn.Linear(s.width, s.width, bias=False)
        self.gate_up = nn.Linear(s.width, 2 * s.hidden, bias=False)
        self.down = nn.Linear(s.hidden, s.width, bias=False)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        b, t, d = x.shape
        q, k, v = (
            self.qkv(self.attend_norm(x))
            .view(b, t, 3, self.s.heads, self.s.head_width)
            .permute(2, 0, 3, 1, 4)
        )
        seen = F.scaled_dot_product_attention(
            rotate(q, cos, sin), rotate(k, cos, sin), v, is_causal=True
        )
        x = x + self.out(seen.transpose(1, 2).reshape(b, t, d))
        gate, up = self.gate_up(self.feed_norm(x)).chunk(2, -1)
        return x + self.down(F.silu(gate) * up)


FEW = 1024  # tokens of a vocabulary whose gradient is a product on an accelerator


class Lookup(torch.autograd.Function):
    """Rows of a table (vocabulary, width) by their numbers. The gradient is a matrix product with
    the numbers' one-hot rows: adding row by row, in an order that leaves nothing to chance, waits
    for the commonest token's thousands of rows."""

    @staticmethod
    def forward(ctx: Any, table: Tensor, ids: Tensor) -> Tensor:
        ctx.save_for_backward(ids)
        ctx.rows = table.shape[0]
        return table[ids]

    @staticmethod
    def backward(ctx: Any, above: Tensor) -> tuple[Tensor, None]:
        (ids,) = ctx.saved_tensors
        hot = F.one_hot(ids.flatten(), ctx.rows).to(above.dtype)
        return hot.T @ above.flatten(0, 1), None


class Decoder(nn.Module):
    """Token ids (batch, time) -> logits (batch, time, vocabulary)."""

    def __init__(self, s: Shape):
        super().__init__()
        self.s = s
        self.embedding = nn.Embedding(s.vocabulary, s.width)
        self.blocks = nn.ModuleList(Block(s) for _ in range(s.layers))
        self.norm = norm(s)
        self.unembedding = nn.Linear(s.width, s.vocabulary, bias=False)
        cos, sin = rotations(s.context, s.head_width, s.rotary_base)
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)

    def forward(self, ids: Tensor) -> Tensor:
        few = ids.is_cuda and self.s.vocabulary <= FEW
        x = Lookup.apply(self.embedding.weight, ids) if few else self.embedding(ids)
        t = ids.shape[1]
        for block in self.blocks:
            x = block(x, self.cos[:t], self.sin[:t])
        return self.unembedding(self.norm(x))


def norm(s: Shape) -> nn.RMSNorm:
    return nn.RMSNorm(s.width, s.norm_eps or None)


def rotations(context: int, head_width: int, base: float = 10_000.0) -> tuple[Tensor, Tensor]:
    """cos and sin of RoPE (Su et al. 2021, arXiv:2104.09864), each (context, head_width / 2)."""
    rate = base ** (-torch.arange(0, head_width, 2, dtype=torch.float64) / head_width)
    angle = torch.arange(context, dtype=torch.float64)[:, None] * rate
    return angle.cos().float(), angle.sin().float()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn pairs (first half, second half) of the head by the position's angle."""
    a, b = x.chunk(2, -1)
    return torch.cat((a * cos - b * sin, a * sin + b * cos), -1)


@lru_cache
def verified(s: Shape) -> Shape:
    """The shape, its parameters by group and its FLOPs asserted on the meta device, where nothing
    is allocated: what is priced and written in the table is what is trained."""
    with torch.device("meta"):
        model = Decoder(s)
        ids = torch.zeros(1, s.context, dtype=torch.long)
    found = dict.fromkeys(s.counts(), 0)
    for name, p in model.named_parameters():
        found[group_of(name)] += p.numel()
    assert found == s.counts(), (found, s.counts())
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(ids)
    by_kind = counter.get_flop_counts()["Global"]
    # What is no plain product is attention: batched products, or a kernel, by torch's release.
    matrices = sum(v for kind, v in by_kind.items() if str(kind) in ("aten.mm", "aten.addmm"))
    counted = 3 * (matrices + 2 * s.context**2 * s.width * s.layers) / s.context
    assert counted == s.flops_per_token, (counted, s.flops_per_token)
    return s


def group_of(name: str) -> str:
    """The group of `Shape.counts` that a parameter belongs to."""
    for part, group in _GROUPS.items():
        if part in name:
            return group
    raise KeyError(name)


_GROUPS = {
    "unembedding": "unembedding", "embedding": "embedding", "norm": "norms",
    "qkv": "attention", ".out.": "attention", "gate_up": "feed_forward", "down": "feed_forward",
}  # fmt: skip


def make(s: Shape, seed: int) -> Decoder:
    """A decoder with its initial weights; its parameters are asserted against `Shape.counts`.

    Normal weights of sd 1/√(fan-in); what writes into the residual stream is scaled down by
    √(2 layers) (GPT-2); the unembedding starts at zero, so that the first loss is that of knowing
    nothing.
    """
    model = Decoder(s)
    total = sum(p.numel() for p in model.parameters())
    assert total == sum(s.counts().values()), (total, s.counts())
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in model.named_parameters():
            if p.ndim < 2:
                continue
            sd = 1.0 if name.startswith("embedding") else p.shape[1] ** -0.5
            if name.endswith(("out.weight", "down.weight")):
                sd /= (2 * s.layers) ** 0.5
            p.normal_(0.0, sd, generator=generator)
        model.unembedding.weight.zero_()
    return model
