"""The sizes of a model, its parameters by group and its FLOPs, before there is a model."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Shape:
    """The sizes of a model. The hidden width of the SwiGLU is 8/3 of the width, in eights."""

    width: int
    layers: int
    head_width: int
    context: int
    vocabulary: int = 256  # bytes
    # Of a model that came from elsewhere; ours have the defaults.
    hidden_width: int = 0  # 0: 8/3 of the width, in eights
    rotary_base: float = 10_000.0
    norm_eps: float = 0.0  # 0: torch's own, the resolution of the numbers

    @property
    def hidden(self) -> int:
        return self.hidden_width or -(-8 * self.width // 3 // 8) * 8

    @property
    def heads(self) -> int:
        return self.width // self.head_width

    def counts(self) -> dict[str, int]:
        """Parameters by group. `params` of a run is attention + feed_forward + norms."""
        d = self.width
        return {
            "embedding": self.vocabulary * d,
            "attention": self.layers * 4 * d * d,
            "feed_forward": self.layers * 3 * d * self.hidden,
            "norms": (2 * self.layers + 1) * d,
            "unembedding": self.vocabulary * d,
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
