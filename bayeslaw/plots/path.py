"""Paths: which design stands for a compute, where a plot has compute alone on its axis."""

from __future__ import annotations

import numpy as np

from bayeslaw.errors import BayeslawError
from bayeslaw.infer.ensemble import Ensemble
from bayeslaw.laws import Run

COARSE = 9  # computes at which the best ratios are looked for
TOKENS, SPLITS = 25, 13  # ratios D/N and D′/D that are looked at
DRAWS = 200  # for the choice of ratios alone


def domains_of(fitted: Ensemble, domain: str | None) -> list[int]:
    """The numbers of the domains to be shown: one, or all. Raises `BayeslawError`."""
    if domain is None:
        return list(range(len(fitted.domains)))
    if domain not in fitted.domains:
        known = ", ".join(fitted.domains)
        raise BayeslawError(f"domain '{domain}' is not one of the fit's: {known}")
    return [fitted.domains.index(domain)]


def split_ratio(fitted: Ensemble) -> float:
    """D′/D in the middle of the sweep's, by their logs; 0 where nothing was split."""
    low, high = fitted.ranges.get("split_ratio", (0.0, 0.0))
    return float(np.sqrt(low * high)) if fitted.two_stage and low > 0 else 0.0


def sized(flops: np.ndarray, tokens_per_param: np.ndarray, split: np.ndarray) -> Run:
    """The design that costs 6 N (D + D′) = C at ratios D/N and D′/D."""
    n = np.sqrt(flops / (6 * tokens_per_param * (1 + split)))
    d = tokens_per_param * n
    return Run(n, d, d * split)


def best_paths(fitted: Ensemble, flops: np.ndarray, draws: int = DRAWS) -> list[Run]:
    """For every domain: at every compute the design of least expected loss on it, within the ratios
    D/N and D′/D of the sweep. Ratios are looked for on a grid, and drawn through what was found."""
    r_low, r_high = fitted.ranges.get("tokens_per_param", (20.0, 20.0))
    s_low, s_high = fitted.ranges.get("split_ratio", (0.0, 0.0)) if fitted.two_stage else (0, 0)
    tokens = np.geomspace(r_low, r_high, TOKENS) if r_high > r_low else np.array([r_low])
    splits = np.geomspace(s_low, s_high, SPLITS) if s_high > s_low > 0 else np.array([s_high])
    places = np.geomspace(flops.min(), flops.max(), COARSE)
    grid = [a.ravel() for a in np.meshgrid(places, tokens, splits, indexing="ij")]
    losses = fitted.losses(sized(*grid), "mean", draws).mean(0)
    at, found = (np.log(flops), np.log(places)), []
    for loss in losses.T:
        best = loss.reshape(len(places), -1).argmin(1)
        r, s = tokens[best // len(splits)], splits[best % len(splits)]
        r = np.exp(np.interp(*at, np.log(r)))
        s = np.exp(np.interp(*at, np.log(s))) if (s > 0).all() else np.interp(*at, s)
        found.append(sized(flops, r, s))
    return found
