"""The training loop: tokens a second, and its FLOPs against the machine's own matrix products.

python bench/train.py [seconds for each measurement]

Utilisation is that of whole steps (data, clipping and optimiser included), FLOPs counted as in the
table of a sweep. The plain loop is the same model under torch's usual loop: its own cross-entropy
and AdamW. Both are timed in turns and medians are taken, so that other work on the machine hits
both.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import replace

import torch
import torch.nn.functional as F

from bayeslaw.sweep import RECIPES
from bayeslaw.train.data import mixed
from bayeslaw.train.device import compiled, found, precision, settle
from bayeslaw.train.loop import start, train
from bayeslaw.train.model import verified

ROUNDS = 5
SIZES = [  # width, layers, context, batch
    (48, 2, 64, 16), (224, 2, 64, 16), (256, 4, 128, 16), (384, 6, 256, 8),
]  # fmt: skip
LARGE = [(768, 14, 1024, 32), (1024, 16, 1024, 32)]


def main(seconds: float) -> None:
    device = found()
    threads = 1 if device == "cpu" else torch.get_num_threads()
    settle(device, threads)
    print(f"torch {torch.__version__}, {device}, {threads} thread(s)")
    for width, layers, context, batch in SIZES if device == "cpu" else LARGE:
        rule = replace(RECIPES["bytes-wsd"], layers=layers, context=context, batch=batch,
                       head_width=32 if width > 64 else 16)  # fmt: skip
        s = verified(rule.shape(width))
        text = torch.randint(256, (64 * batch * (context + 1),), dtype=torch.uint8).numpy()
        windows = mixed([text], context, batch, 0)
        ours_state, plain_state = (start(rule, width, 0, device=device) for _ in range(2))
        plain = plain_loop(plain_state.model, device)

        def ours(i: int, state=ours_state, windows=windows, clip=rule.clip) -> None:
            train(state, windows, i, 1, lambda _: 1e-3, clip)

        def theirs(i: int, windows=windows, plain=plain) -> None:
            plain(*windows.step(i))

        rates = [[], [], []]
        for _ in range(ROUNDS):
            for k, step in enumerate((ours, theirs)):
                rates[k].append(tokens_per_second(step, rule.tokens_per_step, seconds, device))
            rates[2].append(products(device, seconds))
        mine, other, peak = map(statistics.median, rates)
        ratio = statistics.median(a / b for a, b in zip(rates[0], rates[1], strict=True))
        used = statistics.median(
            a * s.flops_per_token / p for a, p in zip(rates[0], rates[2], strict=True)
        )
        print(
            f"N {s.params / 1e6:6.2f} M  {mine:9.0f} tokens/s  "
            f"{mine * s.flops_per_token / 1e9:7.1f} GFLOP/s of {peak / 1e9:.0f}: {100 * used:.0f} %"
            f"  {ratio:.2f} x the plain loop ({other:.0f})",
            flush=True,
        )


def plain_loop(model: torch.nn.Module, device: str) -> Callable[[torch.Tensor, torch.Tensor], None]:
    """What anyone writes."""
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3)
    forward = compiled(model, device)

    def step(inputs: torch.Tensor, targets: torch.Tensor) -> None:
        inputs, targets = inputs.to(device), targets.to(device)
        with precision(device):
            loss = F.cross_entropy(forward(inputs).flatten(0, 1), targets.flatten())
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        loss.item()  # who does not log it?

    return step


def tokens_per_second(step: Callable[[int], None], tokens: int, seconds: float, device: str):
    step(0)
    wait(device)
    began, steps = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        step(steps % 60)
        steps += 1
    wait(device)
    return tokens * steps / (time.perf_counter() - began)


def products(device: str, seconds: float) -> float:
    """FLOPs a second of square matrix products: float32 on a processor, bf16 elsewhere."""
    size = 1024 if device == "cpu" else 8192
    kind = torch.float32 if device == "cpu" else torch.bfloat16
    a, b = torch.randn(2, size, size, device=device, dtype=kind)
    a @ b
    wait(device)
    began, times = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        a @ b
        times += 1
    wait(device)
    return 2.0 * size**3 * times / (time.perf_counter() - began)


def wait(device: str) -> None:
    if device != "cpu":
        torch.cuda.synchronize()


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 0.5)
