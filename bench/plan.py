"""How fast a decision is: first call, and again with another budget, over domains and draws.

python bench/plan.py          # all that has up to a million draws x domains
python bench/plan.py --all    # and 1024 domains with 4000 and 16000 draws: 16 GB
"""

from __future__ import annotations

import resource
import sys
import time

import jax
import numpy as np

from bayeslaw.infer.curves import Curves
from bayeslaw.infer.discrepancy import Discrepancy, Hull
from bayeslaw.infer.precision import double
from bayeslaw.laws import Anchor, Run, find_law
from bayeslaw.plan.bounds import Bounds
from bayeslaw.plan.decision import decide
from bayeslaw.plan.outlook import Beyond, Outlook
from bayeslaw.plan.question import Question
from bayeslaw.plan.risk import parse_risk

REPEATS = 9
PROMISED = {(8, 1000): 0.015, (1024, 1000): 1.0}
CASES = [
    *((k, n, "mean") for k in (1, 8, 64, 1024) for n in (500, 1000, 4000, 16000)),
    (8, 1000, "cvar:0.1"),
    (8, 1000, "quantile:0.9"),
    (8, 1000, "entropic:20"),
]
BOUNDS = Bounds((5.0, 500.0), (0.002, 2.0))


def made_up(domains: int, draws: int) -> Curves:
    """Draws of an additive law around plausible values, every domain its own."""
    rng = np.random.default_rng(0)

    def around(value: float, sd: float) -> np.ndarray:
        domain = sd * rng.standard_normal((1, domains))
        return value * np.exp(domain + 0.3 * sd * rng.standard_normal((draws, domains)))

    shares = np.stack([around(v, 0.2) for v in (0.5, 0.2, 0.15, 0.15)], -1)
    theta = {
        "level": around(1.0, 0.1),
        "shares": shares / shares.sum(-1, keepdims=True),
        "a_size": around(0.3, 0.2),
        "b_data": around(0.3, 0.2),
        "c_branch": around(0.35, 0.3),
        "s_branch": around(0.3, 0.3),
    }
    at = Anchor(1e7, 3e8, 3e7, np.ones(domains))
    return Curves((find_law("additive"),), (theta,), (at,))


def outlook_of(domains: int, draws: int) -> Outlook:
    """Those draws, with a discrepancy beyond a small sweep."""
    levels = np.array([1e6, 1e8]), np.array([3e7, 3e9]), np.array([3e6, 3e8])
    discrepancy = Discrepancy(Hull.of(Run(*levels)), 0.3, 0.035, 0.3)
    return Outlook(made_up(domains, draws), Beyond.of(discrepancy, domains, [draws], 0))


def timed(domains: int, draws: int, risk: str) -> tuple[float, float, float]:
    """Seconds of the first decision, median of the next ones, and peak memory, GB."""
    names = tuple(f"d{k}" for k in range(domains))
    weights = np.full(domains, 1 / domains)
    arrangements = ["trunk", "generalist"] + (["independent"] if domains > 1 else [])
    with double():
        outlook = jax.device_put(outlook_of(domains, draws))
        times = []
        for i in range((REPEATS if domains * draws <= 1_100_000 else 2) + 1):
            began = time.perf_counter()
            asked = Question(outlook, 1e17 * 1.1**i, weights, parse_risk(risk), BOUNDS, names)
            decide(asked, arrangements)
            times.append(time.perf_counter() - began)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    return times[0], float(np.median(times[1:])), peak


def main() -> None:
    reduced = "--all" not in sys.argv
    print("memory: the largest of the process so far")
    print(
        f"{'domains':>8}{'draws':>8}{'risk':>10}{'first, s':>10}{'again, ms':>11}{'promised':>10}"
        f"{'GB':>6}"
    )
    for domains, draws, risk in CASES:
        if reduced and domains * draws > 1_100_000:
            continue
        first, again, peak = timed(domains, draws, risk)
        promised = PROMISED.get((domains, draws)) if risk == "mean" else None
        print(
            f"{domains:8d}{draws:8d}{risk:>10}{first:10.2f}{again * 1e3:11.1f}"
            f"{promised * 1e3 if promised else '':>10}{peak:6.1f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
