"""What a sweep costs before anything starts: FLOPs, time and memory of every cell, on the device
that would train it."""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch

from bayeslaw.sweep import Cell, Cells, Recipe, SweepSpec
from bayeslaw.sweep.cells import starts_at
from bayeslaw.train.data import mixed
from bayeslaw.train.device import settle
from bayeslaw.train.loop import ready, train
from bayeslaw.train.model import Shape, make, verified
from bayeslaw.train.table import second_flops

MEASURED = 0.3  # seconds of real steps that a width's speed is taken from
AT_ONCE = 200  # steps of a stage on an accelerator, which is slow to start and fast to go on
SMALL = 30_000_000  # parameters; larger models are not built to be timed
UTILISATION = 0.5  # of the machine's matrix products, for those


@dataclass(frozen=True)
class Price:
    """Of one cell: FLOPs, seconds of one process of this machine, bytes at its peak."""

    cell: Cell
    params: int
    flops: float
    seconds: float
    memory: float
    there: bool = False  # trained already


def cell_flops(spec: SweepSpec, cell: Cell, vocabulary: int) -> float:
    """Compute of one cell, what it shares with its trunk left out; evaluation at a third of a
    training token."""
    each = spec.shape(cell.width, vocabulary).flops_per_token
    if cell.stage == "trunk":
        return each * cell.pretrain_tokens
    seen = each * spec.judging
    if cell.stage == "start":
        return seen
    if cell.stage == "cooldown":
        return each * (cell.pretrain_tokens - starts_at(spec, cell)) + seen
    return second_flops(cell, each) + seen


def memory(s: Shape, windows: int, distilled: bool = False) -> float:
    """Bytes at the peak of a step on so many windows at once, in float32 (bf16 takes less).

    Weights, gradients and two moments, and for distillation the weights at the split; what a block
    keeps for its backward pass (about 14 widths and 3 hidden widths a token, and attention without
    its square); the logits, their gradient and one copy.
    """
    weights = (20.0 if distilled else 16.0) * sum(s.counts().values())
    tokens = windows * s.context
    kept = 4.0 * tokens * s.layers * (14 * s.width + 3 * s.hidden)
    return weights + kept + 12.0 * tokens * s.vocabulary


def speed(s: Shape, rule: Recipe, threads: int, device: str = "cpu", microbatch: int = 0) -> float:
    """FLOPs a second of real training steps of this shape, on this device, here and now."""
    before = torch.get_num_threads()
    settle(device, threads)
    try:
        if sum(s.counts().values()) > SMALL:
            return UTILISATION * matmul_rate(device)
        state = ready(make(s, 0), rule, device)
        text = torch.randint(s.vocabulary, (64 * rule.batch * (s.context + 1),)).numpy()
        chunk, steps = 1 if device == "cpu" else AT_ONCE, 0
        windows = mixed([text], s.context, rule.batch, 0).again(chunk * rule.tokens_per_step)
        train(state, windows, 0, 2, lambda _: 1e-4, rule.clip, microbatch=microbatch)
        began = time.perf_counter()
        while (took := time.perf_counter() - began) < MEASURED and steps < 60 * chunk:
            first = steps if chunk == 1 else 0
            train(state, windows, first, chunk, lambda _: 1e-4, rule.clip, microbatch=microbatch)
            steps += chunk
        return s.flops_per_token * rule.tokens_per_step * steps / took
    finally:
        torch.set_num_threads(before)


def matmul_rate(device: str = "cpu", size: int = 0) -> float:
    """FLOPs a second of matrix products: float32 on a processor, bf16 on an accelerator."""
    size = size or (1024 if device == "cpu" else 4096)
    kind = torch.float32 if device == "cpu" else torch.bfloat16
    a, b = torch.randn(2, size, size, dtype=kind, device=device)
    float((a @ b)[0, 0])
    began, times = time.perf_counter(), 0
    while (took := time.perf_counter() - began) < MEASURED:
        float((a @ b)[0, 0])  # read, or an accelerator would only have been asked
        times += 1
    return 2.0 * size**3 * times / took


def prices(spec: SweepSpec, plan: Cells, vocabulary: int, there: set[Cell]) -> list[Price]:
    """The price of every cell, its model's counts verified before anything is allocated."""
    rule = spec.rule
    at_once = min(spec.microbatch or rule.batch, rule.batch)
    shapes = {c.width: verified(spec.shape(c.width, vocabulary)) for c in plan}
    device = next(iter(plan)).device  # one for all cells
    speeds = {w: speed(s, rule, spec.threads, device, at_once) for w, s in shapes.items()}
    out = []
    for c in plan:
        s, flops = shapes[c.width], cell_flops(spec, c, vocabulary)
        seconds = flops / speeds[c.width]
        most = memory(s, at_once, bool(c.branch and c.second_stage.distill))
        out.append(Price(c, s.params, flops, seconds, most, c in there))
    return out
