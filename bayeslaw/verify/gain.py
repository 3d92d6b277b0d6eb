"""What one arm was better than another by, its seeds paired."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy.stats import t as student

PROB = 0.9


@dataclass(frozen=True)
class Gain:
    """Nats by which `of` is below `over`, mean over the seeds that both have.

    interval90: of that mean, from Student's t with one degree of freedom less than seeds; None for
    one seed. It covers other seeds (weights and order of text) at these designs and this held-out
    text, and no other corpus or budget. per_seed: in the order of `seeds`. domains: the mean on
    each. forecast: of the expected losses at the measured designs, without the noise of runs; None
    where the laws do not speak of an arm.
    """

    of: str
    over: str
    mean: float
    interval90: tuple[float, float] | None
    seeds: tuple[int, ...]
    per_seed: tuple[float, ...]
    domains: Mapping[str, float]
    forecast: Mapping[str, Any] | None = None

    @property
    def better(self) -> int:
        """How many seeds gained."""
        return sum(g > 0 for g in self.per_seed)

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "better_seeds": self.better}


def gain(
    of: str,
    over: str,
    losses: Mapping[str, Mapping[int, np.ndarray]],
    weights: np.ndarray,
    domains: Sequence[str],
    forecast: Mapping[str, Any] | None = None,
) -> Gain | None:
    """losses: arm -> seed -> (domain,), NaN where it was not measured. Only domains with a weight
    count. None where the two arms have no complete seed in common."""
    wanted = weights > 0
    each = {
        seed: losses[over][seed] - losses[of][seed]
        for seed in sorted(set(losses.get(of, {})) & set(losses.get(over, {})))
    }
    each = {s: d for s, d in each.items() if np.isfinite(d[wanted]).all()}
    if not each:
        return None
    by_domain = np.stack(list(each.values()))
    totals = by_domain[:, wanted] @ weights[wanted]
    mean = float(totals.mean())
    means = {d: float(m) for d, m in zip(domains, by_domain.mean(0), strict=True) if np.isfinite(m)}
    return Gain(
        of, over, mean, _interval(totals), tuple(each), tuple(map(float, totals)), means, forecast
    )


def _interval(values: np.ndarray) -> tuple[float, float] | None:
    """Of the mean of independent values."""
    count = len(values)
    if count < 2:
        return None
    half = float(student.ppf((1 + PROB) / 2, count - 1) * values.std(ddof=1) / np.sqrt(count))
    return float(values.mean() - half), float(values.mean() + half)
