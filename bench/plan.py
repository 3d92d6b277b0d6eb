"""How fast a decision is: first call, and again with another budget, over domains and draws.

python bench/plan.py
"""

from __future__ import annotations

import time

import jax
import numpy as np

from bayeslaw.infer.curves import Curves
from bayeslaw.infer.precision import double
from bayeslaw.laws import Anchor, find_law
from bayeslaw.plan.bounds import Bounds
from bayeslaw.plan.optimum import Question
from bayeslaw.plan.outlook import Outlook
from bayeslaw.plan.plan import decide
from bayeslaw.plan.risk import parse_risk

REPEATS = 9
PROMISED = {(8, 1000): 0.030, (1024, 1000): 2.0}
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


def main() -> None:
    print(f"{'domains':>8}{'draws':>8}{'first, s':>10}{'again, ms':>11}{'promised':>10}")
    for domains, draws in ((1, 1000), (8, 1000), (8, 4000), (64, 1000), (1024, 1000)):
        names = tuple(f"d{k}" for k in range(domains))
        weights, risk = np.full(domains, 1 / domains), parse_risk("mean")
        arrangements = ["trunk", "generalist"] + (["independent"] if domains > 1 else [])
        with double():
            curves = jax.device_put(Outlook(made_up(domains, draws)))
            times = []
            for i in range(REPEATS + 1):
                began = time.perf_counter()
                decide(Question(curves, 1e17 * 1.1**i, weights, risk, BOUNDS, names), arrangements)
                times.append(time.perf_counter() - began)
        promised = PROMISED.get((domains, draws))
        print(
            f"{domains:8d}{draws:8d}{times[0]:10.2f}{np.median(times[1:]) * 1e3:11.1f}"
            + (f"{promised * 1e3:10.0f}" if promised else "")
        )


if __name__ == "__main__":
    main()
