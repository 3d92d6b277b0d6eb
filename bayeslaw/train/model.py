"""The decoder: Llama-shaped (RMSNorm, RoPE, SwiGLU, no biases); parameters and FLOPs counted."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

VOCABULARY = 256  # bytes


@dataclass(frozen=True)
class Shape:
    """The sizes of a model. The hidden width of the SwiGLU is 8/3 of the width, in eights."""

    width: int
    layers: int
    head_width: int
    context: int

    @property
    def hidden(self) -> int:
        return -(-8 * self.width // 3 // 8) * 8

    @property
    def heads(self) -> int:
        return self.width // self.head_width

    def counts(self) -> dict[str, int]:
        """Parameters by group. `params` of a run is attention + feed_forward + norms."""
        d = self.width
        return {
            "embedding": VOCABULARY * d,
            "attention": self.layers * 4 * d * d,
            "feed_forward": self.layers * 3 * d * self.hidden,
            "norms": (2 * self.layers + 1) * d,
            "unembedding": VOCABULARY * d,
        }

    @property
    def params(self) -> int:
        """Non-embedding parameters: neither the embedding nor the unembedding."""
        c = self.counts()
        return c["attention"] + c["feed_forward"] + c["norms"]

    @property
    def flops_per_token(self) -> float:
        """Training FLOPs of one token, forward and backward: 6 for every weight that multiplies
        (the unembedding too) and 6 · context · width · layers for causal attention (half of the
        full square's 12: Chowdhery et al. 2022, appendix B, counts all of it)."""
        c = self.counts()
        matrices = c["attention"] + c["feed_forward"] + c["unembedding"]
        return 6.0 * matrices + 6.0 * self.context * self.width * self.layers


class Block(nn.Module):
    def __init__(self, s: Shape):
        super().__init__()
        self.s = s
        self.attend_norm, self.feed_norm = nn.RMSNorm(s.width), nn.RMSNorm(s.width)
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


class Decoder(nn.Module):
    """Byte ids (batch, time) -> logits (batch, time, 256)."""

    def __init__(self, s: Shape):
        super().__init__()
        self.s = s
        self.embedding = nn.Embedding(VOCABULARY, s.width)
        self.blocks = nn.ModuleList(Block(s) for _ in range(s.layers))
        self.norm = nn.RMSNorm(s.width)
        self.unembedding = nn.Linear(s.width, VOCABULARY, bias=False)
        cos, sin = rotations(s.context, s.head_width)
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)

    def forward(self, ids: Tensor) -> Tensor:
        x, t = self.embedding(ids), ids.shape[1]
        for block in self.blocks:
            x = block(x, self.cos[:t], self.sin[:t])
        return self.unembedding(self.norm(x))


def rotations(context: int, head_width: int, base: float = 10_000.0) -> tuple[Tensor, Tensor]:
    """cos and sin of RoPE (Su et al. 2021, arXiv:2104.09864), each (context, head_width / 2)."""
    rate = base ** (-torch.arange(0, head_width, 2, dtype=torch.float64) / head_width)
    angle = torch.arange(context, dtype=torch.float64)[:, None] * rate
    return angle.cos().float(), angle.sin().float()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn pairs (first half, second half) of the head by the position's angle."""
    a, b = x.chunk(2, -1)
    return torch.cat((a * cos - b * sin, a * sin + b * cos), -1)


def make(s: Shape, seed: int) -> Decoder:
    """A decoder with its initial weights; its parameters are asserted against `Shape.counts`.

    Normal weights of sd 1/√(fan-in); what writes into the residual stream is scaled down by
    √(2 layers) (GPT-2); the unembedding starts at zero, so that the first loss is ln 256.
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
