"""Does one tuned rate serve every size? The recipe's rate against the best, at two ends of a sweep.

python bench/rates.py SWEEP.toml [tokens] [seeds]

Trains the smallest and the largest width at five rates around the recipe's (x 1/2 to x 2) for the
same tokens, cool-down included, and fits a parabola to log loss over log rate, seeds taken
together. Prints where its least is, as a factor of the rate in use, and what the rate in use loses
to it.
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from bayeslaw.quantity import parse_quantity
from bayeslaw.sweep import Recipe, SweepSpec, read_sweep
from bayeslaw.train.data import general, heldout
from bayeslaw.train.gather import gather
from bayeslaw.train.loop import alone, evaluate, start, train

FACTORS = (0.5, 0.71, 1.0, 1.41, 2.0)


def loss(spec: SweepSpec, domains, exams, rule: Recipe, width: int, tokens: int, seed: int):
    """Mean held-out loss over the domains."""
    state = start(rule, width, seed)
    windows = general(domains, rule.context, rule.batch, seed)
    steps = tokens // rule.tokens_per_step
    train(state, windows, 0, steps, alone(rule, width, steps), rule.clip)
    return float(np.mean([evaluate(state.model, exam)[0] for exam in exams]))


def main(path: str, tokens: int, seeds: int) -> None:
    torch.set_num_threads(1)
    spec = read_sweep(path)
    place = Path(tempfile.gettempdir()) / f"bayeslaw-rates-{spec.name}"
    _, domains = gather(spec, place)
    exams = [heldout(d, spec.rule.context, 65536) for d in domains]
    for width in (min(spec.widths), max(spec.widths)):
        found = np.array([
            [
                loss(spec, domains, exams, replace(spec.rule, rate=spec.rule.rate * f), width,
                     tokens, seed)
                for f in FACTORS
            ]
            for seed in range(seeds)
        ])  # fmt: skip
        x, y = np.log(FACTORS), np.log(found) - np.log(found).mean(1, keepdims=True)
        a, b, c = np.polyfit(np.tile(x, seeds), y.ravel(), 2)
        best = np.exp(-b / (2 * a)) if a > 0 else np.nan
        lost = 100 * (c - (c - b**2 / (4 * a))) if a > 0 else np.nan
        means = "  ".join(f"x{f:g} {m:.4f}" for f, m in zip(FACTORS, found.mean(0), strict=True))
        print(f"width {width}, rate {spec.rule.rate_at(width):.4f}: {means}")
        print(f"  least at x {best:.2f} of it; the rate in use loses {lost:.2f} %", flush=True)


if __name__ == "__main__":
    main(
        sys.argv[1],
        int(parse_quantity(sys.argv[2])) if len(sys.argv) > 2 else 1_600_000,
        int(sys.argv[3]) if len(sys.argv) > 3 else 1,
    )
