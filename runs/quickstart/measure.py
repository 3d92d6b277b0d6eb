"""What the recipe's numbers rest on: the rate at both ends, the noise of seeds, the D′ → 0 limit.

python runs/quickstart/measure.py rates|seeds|limit
"""

import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path

import torch

from bayeslaw.sweep import Recipe, cells, read_sweep
from bayeslaw.train.checkpoint import SUFFIX, load
from bayeslaw.train.data import general, heldout
from bayeslaw.train.gather import gather
from bayeslaw.train.loop import cool, evaluate, start, train, warm

HERE = Path(__file__).parent
TOKENS = 1_600_000


def losses(width: int, seed: int, recipe: Recipe) -> list[float]:
    """Loss on every domain of a model trained for `TOKENS` tokens, cool-down included."""
    torch.set_num_threads(1)
    spec = read_sweep(HERE / "sweep.toml")
    _, domains = gather(spec, HERE)
    state = start(recipe, width, seed)
    windows = general(domains, recipe.context, recipe.batch, seed)
    steps = TOKENS // recipe.tokens_per_step
    stable = round((1 - recipe.cooldown) * steps)
    train(state, windows, 0, stable, warm(recipe, width, 0), recipe.clip)
    rest = cool(recipe, width, steps - stable)
    train(state, windows, stable, steps - stable, rest, recipe.clip)
    exams = [heldout(d, recipe.context, spec.heldout_tokens) for d in domains]
    return [evaluate(state.model, exam)[0] for exam in exams]


def rates() -> None:
    """The peak rate, at the smallest and the largest width."""
    spec = read_sweep(HERE / "sweep.toml")
    jobs = [
        (width, factor, replace(spec.rule, rate=spec.rule.rate * factor))
        for width in (max(spec.widths), min(spec.widths))
        for factor in (0.5, 0.75, 1.0, 1.4, 2.0)
    ]
    with _pool() as pool:
        found = pool.map(losses, *zip(*((w, 0, r) for w, _, r in jobs), strict=True))
        for (width, factor, recipe), loss in zip(jobs, found, strict=True):
            mean = sum(loss) / len(loss)
            print(f"width {width}  rate {recipe.rate_at(width):.4f} (x {factor})  {mean:.4f}")


def seeds() -> None:
    """The spread of three seeds (weights and order of text), at the middle widths."""
    spec = read_sweep(HERE / "sweep.toml")
    jobs = [(width, seed) for width in spec.widths[:2] for seed in (0, 1, 2)]
    with _pool() as pool:
        found = pool.map(losses, *zip(*((w, s, spec.rule) for w, s in jobs), strict=True))
        for (width, seed), loss in zip(jobs, found, strict=True):
            print(f"width {width}  seed {seed}  " + "  ".join(f"{v:.4f}" for v in loss))


def limit() -> None:
    """The constant-rate checkpoint at D, from which branches start: what D′ → 0 tends to."""
    spec = read_sweep(HERE / "sweep.toml")
    corpus, domains = gather(spec, HERE)
    exams = [heldout(d, spec.rule.context, spec.heldout_tokens) for d in domains]
    stops = [spec.whole(d) for d in spec.pretrain_tokens]
    for trunk in cells(spec, corpus.digest, tuple(d.name for d in domains)).trunks:
        for tokens in stops:
            file = HERE / "work" / trunk.key / f"{tokens}{SUFFIX}"
            state = load(file, start(spec.rule, trunk.width, 0))
            loss = [evaluate(state.model, exam)[0] for exam in exams]
            print(f"width {trunk.width}  D {tokens}  " + "  ".join(f"{v:.4f}" for v in loss))


def _pool() -> ProcessPoolExecutor:
    return ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn"))


if __name__ == "__main__":
    {"rates": rates, "seeds": seeds, "limit": limit}[sys.argv[1]]()
