"""The training loop: tokens a second, and its FLOPs against the machine's own matrix products.

python bench/train.py [seconds for each measurement]

Utilisation is that of whole steps (data, clipping and optimiser included), FLOPs counted as in the
table of a sweep. The plain loop is the same model under torch's usual loop: its own cross-entropy
and AdamW, and nothing asked of its kernels. Both are timed in turns and medians are taken, so that
other work on the machine hits both; on a processor it is the seconds of this process that count,
on one thread. On an accelerator the datasheet's bf16 rate stands beside the
measured one.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import replace

import torch
import torch.nn.functional as F

from bayeslaw.sweep import RECIPES
from bayeslaw.train.data import mixed
from bayeslaw.train.device import compiled, found, precision, settle
from bayeslaw.train.loop import start, train
from bayeslaw.train.model import verified

ROUNDS = {"cpu": 5, "cuda": 2}
SIZES = {  # width, layers, context, batch, steps at once
    "cpu": [
        (48, 2, 64, 16, 20),
        (224, 2, 64, 16, 20),
        (256, 2, 64, 16, 10),
        (256, 4, 128, 16, 5),
        (384, 6, 256, 8, 2),
    ],
    # The first is bound by products, the last by the launching of kernels.
    "cuda": [(1536, 4, 1024, 32, 200), (64, 4, 256, 16, 800)],
}
HEADS = {1536: 128, 64: 16, 48: 16}  # their widths; 32 elsewhere
DATASHEET = {"H100": 989e12, "H200": 989e12, "A100": 312e12}  # dense bf16 FLOP/s, NVIDIA


def main(seconds: float) -> None:
    device = found()
    threads = 1 if device == "cpu" else torch.get_num_threads()
    settle(device, threads)
    kind = "cpu" if device == "cpu" else torch.cuda.get_device_name()
    print(f"torch {torch.__version__}, {kind}, {threads} thread(s)", flush=True)
    sheet = next((rate for name, rate in DATASHEET.items() if name in kind), None)
    for size in SIZES[device]:
        print(measured(*size, seconds, device, sheet), flush=True)


def measured(
    width: int, layers: int, context: int, batch: int, steps: int,
    seconds: float, device: str, sheet: float | None,
) -> str:  # fmt: skip
    rule = replace(RECIPES["bytes-wsd"], layers=layers, context=context, batch=batch,
                   head_width=HEADS.get(width, 32))  # fmt: skip
    s = verified(rule.shape(width))
    text = torch.randint(256, (64 * batch * (context + 1),), dtype=torch.uint8).numpy()
    windows = mixed([text], context, batch, 0).again(steps * rule.tokens_per_step)
    ours_state, plain_state = (start(rule, width, 0, device=device) for _ in range(2))
    plain = plain_loop(plain_state.model, device)

    def ours(count: int = steps) -> None:
        train(ours_state, windows, 0, count, lambda _: 1e-3, rule.clip)

    def theirs(count: int = steps) -> None:
        with left_to_chance(device):
            for i in range(count):
                plain(*windows.step(i))

    for step in (ours, theirs):
        step(8)
    rates = [[], [], []]
    for _ in range(ROUNDS[device]):
        for k, step in enumerate((ours, theirs)):
            rates[k].append(tokens_per_second(step, steps * rule.tokens_per_step, seconds, device))
        rates[2].append(products(device, seconds))
    mine, other, peak = map(statistics.median, rates)
    ratio = statistics.median(a / b for a, b in zip(rates[0], rates[1], strict=True))
    used = statistics.median(
        a * s.flops_per_token / p for a, p in zip(rates[0], rates[2], strict=True)
    )
    return (
        f"N {s.params / 1e6:6.2f} M  {mine:9.0f} tokens/s  "
        f"{mine * s.flops_per_token / 1e9:7.1f} GFLOP/s of {peak / 1e9:.0f}: {100 * used:.0f} %"
        f"{of_sheet(mine * s.flops_per_token, sheet)}  "
        f"{ratio:.2f} x the plain loop ({other:.0f})"
    )


def of_sheet(flops: float, sheet: float | None) -> str:
    return f", {100 * flops / sheet:.0f} % of the datasheet's {sheet / 1e12:.0f} T" if sheet else ""


@contextmanager
def left_to_chance(device: str):
    """Without the deterministic kernels that `settle` asks for: the plain loop does not."""
    torch.use_deterministic_algorithms(False)
    yield
    settle(device, torch.get_num_threads())


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


def tokens_per_second(step: Callable[[], None], tokens: int, seconds: float, device: str) -> float:
    clock = time.process_time if device == "cpu" else time.perf_counter
    wait(device)
    began, times = clock(), 0
    while clock() - began < seconds:
        step()
        times += 1
    wait(device)
    return tokens * times / (clock() - began)


def products(device: str, seconds: float) -> float:
    """FLOPs a second of square matrix products: float32 on a processor, bf16 elsewhere."""
    size = 1024 if device == "cpu" else 8192
    kind = torch.float32 if device == "cpu" else torch.bfloat16
    a, b = torch.randn(2, size, size, device=device, dtype=kind)
    a @ b
    return tokens_per_second(lambda: a @ b, 1, seconds, device) * 2.0 * size**3


def wait(device: str) -> None:
    if device != "cpu":
        torch.cuda.synchronize()


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 0.5)
