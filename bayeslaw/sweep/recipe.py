"""Recipes: frozen, named rules that turn a width and token counts into a training run."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from bayeslaw.sweep.shape import Shape


@dataclass(frozen=True)
class Recipe:
    """How a model of a given width is shaped and trained. Every number has its source beside it."""

    name: str
    layers: int  # constant depth: width alone is the size axis (nanochat varies both)
    head_width: int  # about; 16 trains a quarter faster than 8 on a CPU
    context: int  # bytes; half a line of code is too short, 128 doubles the attention cost
    batch: int  # sequences; batch × context = 1024 tokens keeps ≥ 1 500 steps at the smallest D
    rate: float  # peak rate at `rate_width`; measured: runs/quickstart/README.md
    rate_width: int
    rate_power: float  # rate × (rate_width / width)^power; measured at both ends, as the rate
    warmup: int  # steps
    cooldown: float  # share of D spent cooling down (WSD, Hu et al. 2024, arXiv:2404.06395)
    beta1: float = 0.9
    beta2: float = 0.95  # Hoffmann et al. 2022 and most since
    decay: float = 0.1  # AdamW, matrices only
    clip: float = 1.0
    branch_from: str = "stable"  # the constant-rate checkpoint at D; "cooled": its D' = 0 model
    rewarm: float = 0.1  # cooled: share of a branch in which the rate climbs again

    def rate_at(self, width: int) -> float:
        return self.rate * (self.rate_width / width) ** self.rate_power

    def heads(self, width: int) -> int:
        """The number of heads: as many of `head_width` as fit, at least one."""
        return max(1, width // self.head_width)

    def shape(self, width: int, vocabulary: int = 256) -> Shape:
        return Shape(width, self.layers, width // self.heads(width), self.context, vocabulary)

    @property
    def tokens_per_step(self) -> int:
        return self.batch * self.context

    def fields(self) -> dict[str, object]:
        """All that decides what is trained: without the fields that do nothing."""
        idle = () if self.branch_from == "cooled" else ("rewarm",)
        return {n: v for n, v in asdict(self).items() if n not in idle}


RECIPES = {
    "bytes-wsd": Recipe(
        "bytes-wsd", layers=2, head_width=16, context=64, batch=16, rate=1.6e-2, rate_width=32,
        rate_power=0.25, warmup=100, cooldown=0.2,
    ),
    # Half the batch: a second stage of 64 k has 125 steps. runs/stdlib/README.md has the rate.
    "bytes-fine": Recipe(
        "bytes-fine", layers=2, head_width=16, context=64, batch=8, rate=9.8e-3, rate_width=32,
        rate_power=0.8, warmup=200, cooldown=0.2,
    ),
    # For an accelerator: four times the windows. runs/stdlib-h100/README.md has the rate.
    "bytes-many": Recipe(
        "bytes-many", layers=2, head_width=16, context=64, batch=32, rate=2.1e-2, rate_width=32,
        rate_power=0.97, warmup=200, cooldown=0.2,
    ),
    # For an accelerator: deeper, longer windows. runs/stdlib-gpu/README.md has the rate.
    "bytes-wide": Recipe(
        "bytes-wide", layers=4, head_width=32, context=256, batch=16, rate=1.2e-3, rate_width=384,
        rate_power=1.0, warmup=200, cooldown=0.2,
    ),
    # For tests and first steps: shallow and short.
    "tiny": Recipe(
        "tiny", layers=1, head_width=8, context=32, batch=8, rate=1.0e-2, rate_width=16,
        rate_power=0.5, warmup=10, cooldown=0.2,
    ),
}  # fmt: skip
