"""Does one tuned rate serve every size? The recipe's rate against the best, at two ends of a sweep.

python bench/rates.py SWEEP.toml [tokens] [seeds] [processes]

Trains the smallest and the largest width at five rates around the recipe's (x 1/2 to x 2) for the
same tokens, cool-down included, and fits a parabola to log loss over log rate, seeds taken
together. Prints where its least is, as a factor of the rate in use, and what the rate in use loses
to it, each with the standard error that the seeds give (jackknife). On an accelerator where there
is one.
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from bayeslaw.quantity import parse_quantity
from bayeslaw.sweep import SweepSpec, read_sweep
from bayeslaw.sweep.execute import local
from bayeslaw.train.data import general, heldout
from bayeslaw.train.device import found, settle
from bayeslaw.train.gather import gather
from bayeslaw.train.loop import alone, evaluate, start, train

FACTORS = (0.5, 0.71, 1.0, 1.41, 2.0)
HELDOUT = 65536  # tokens of each domain


@lru_cache
def read(path: str):
    spec = read_sweep(path)
    _, domains = gather(spec, Path(tempfile.gettempdir()) / f"bayeslaw-rates-{spec.name}")
    return spec, domains, [heldout(d, spec.rule.context, HELDOUT) for d in domains]


def loss(path: str, width: int, factor: float, tokens: int, seed: int) -> float:
    """Mean held-out loss over the domains."""
    spec, domains, exams = read(path)
    settle(found(), 1)
    rule = replace(spec.rule, rate=spec.rule.rate * factor)
    state = start(rule, width, seed, device=found())
    windows = general(domains, rule.context, rule.batch, seed)
    steps = tokens // rule.tokens_per_step
    train(state, windows, 0, steps, alone(rule, width, steps), rule.clip)
    return float(np.mean([evaluate(state.model, exam)[0] for exam in exams]))


def least(losses: np.ndarray) -> tuple[float, float]:
    """Of losses (seed, factor): the log factor of the least, and what factor 1 loses to it, in
    log loss."""
    x, y = np.log(FACTORS), np.log(losses) - np.log(losses).mean(1, keepdims=True)
    a, b, _ = np.polyfit(np.tile(x, len(losses)), y.ravel(), 2)
    return (-b / (2 * a), b**2 / (4 * a)) if a > 0 else (np.nan, np.nan)


def jackknife(losses: np.ndarray) -> np.ndarray:
    """Standard errors of `least` over seeds; none of one seed."""
    n = len(losses)
    if n < 2:
        return np.full(2, np.nan)
    without = np.array([least(np.delete(losses, i, 0)) for i in range(n)])
    return np.sqrt((n - 1) * without.var(0))


def report(spec: SweepSpec, width: int, losses: np.ndarray) -> None:
    (at, lost), (at_se, lost_se) = least(losses), jackknife(losses)
    means = "  ".join(f"x{f:g} {m:.4f}" for f, m in zip(FACTORS, losses.mean(0), strict=True))
    print(f"width {width}, rate {spec.rule.rate_at(width):.4f}: {means}")
    print(
        f"  least at x {np.exp(at):.2f} of it (log ± {at_se:.2f}); "
        f"the rate in use loses {100 * lost:.2f} ± {100 * lost_se:.2f} %",
        flush=True,
    )


def main(path: str, tokens: int, seeds: int, processes: int) -> None:
    spec = read(path)[0]
    with local(processes) as pool:
        jobs = {
            w: [[pool.submit(loss, path, w, f, tokens, s) for f in FACTORS] for s in range(seeds)]
            for w in (max(spec.widths), min(spec.widths))
        }
        for width, grid in jobs.items():
            report(spec, width, np.array([[job.result() for job in row] for row in grid]))


if __name__ == "__main__":
    main(
        sys.argv[1],
        int(parse_quantity(sys.argv[2])) if len(sys.argv) > 2 else 1_600_000,
        int(sys.argv[3]) if len(sys.argv) > 3 else 1,
        int(sys.argv[4]) if len(sys.argv) > 4 else 2,
    )
