"""Ensembles of draws that a test has chosen: nothing is sampled."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from bayeslaw.infer.diagnose import Diagnostics
from bayeslaw.infer.discrepancy import Discrepancy, Hull
from bayeslaw.infer.ensemble import Ensemble
from bayeslaw.infer.posterior import Posterior
from bayeslaw.infer.stack import Standing
from bayeslaw.laws import Anchor, Run, find_law

OPEN = Diagnostics(1.0, 4000.0, 4000.0, 0, 1.0, 0.1, 1, 8, 8, (1.0,), ())
AT = Anchor(1e8, 1e10, 1e9, 3.0)
RANGES = {
    "params": (1e7, 1e9),
    "pretrain_tokens": (1e9, 1e11),
    "specialize_tokens": (1e8, 1e10),
    "tokens_per_param": (5.0, 200.0),
    "split_ratio": (0.01, 1.0),
    "flops": (1e17, 1e20),
}
HULL = Hull.of(Run(*map(np.array, list(RANGES.values())[:3])))
MIDDLE = {
    "level": 1.0,
    "a_size": 0.35,
    "b_data": 0.3,
    "c_branch": 0.4,
    "b_branch": 0.15,
    "b_decay": 0.1,
    "s_branch": 0.3,
    "g_transfer": 0.6,
    "d_transfer": 0.0,
    "w_transfer": 1.0,
}
SHARES = {"chinchilla": (0.5, 0.3, 0.2), "transfer": (0.5, 0.2, 0.3),
          "interaction": (0.5, 0.2, 0.3)}  # fmt: skip


def of(
    law: str,
    theta: Mapping[str, np.ndarray],
    ranges: Mapping[str, tuple[float, float]] = RANGES,
    domains: tuple[str, ...] | None = None,
    at: Anchor = AT,
) -> Ensemble:
    """One law with these draws: values of shape (draw, domain), `shares` (draw, domain, term)."""
    count = theta["level"].shape[1]
    domains = domains or tuple(f"d{k}" for k in range(count))
    theta = {"sigma": np.full(theta["level"].shape, 0.01), **theta}
    groups = {
        n: (("chain", "draw", "domain", "term")[: v.ndim + 1], v[None]) for n, v in theta.items()
    }
    return Ensemble(
        (
            Posterior(
                law=find_law(law),
                likelihood="student",
                method="nuts",
                anchor=at._replace(loss=np.broadcast_to(np.asarray(at.loss, float), (count,))),
                domains=domains,
                ranges=dict(ranges),
                runs_digest="",
                counts={},
                diagnostics=OPEN,
                tree=xr.DataTree.from_dict({"posterior": xr.Dataset(groups)}),
            ),
        ),
        (Standing(law, 1.0),),
        Discrepancy(HULL, 0.3, 0.05, 0.5),
    )


def draws(law: str, domains: int = 2, count: int = 200, seed: int = 0) -> dict[str, Any]:
    """Draws around plausible values; domains differ by more than draws of one domain."""
    rng = np.random.default_rng(seed)

    def around(value: float) -> np.ndarray:
        own = 0.3 * rng.standard_normal(domains)
        return value * np.exp(own + 0.1 * rng.standard_normal((count, domains)))

    found = find_law(law)
    shares = np.stack([around(s) for s in SHARES.get(law, (0.5, 0.2, 0.15, 0.15))], -1)
    theta = {n: around(MIDDLE[n]) for n in found.parameters if n != "shares"}
    if "g_transfer" in theta:
        theta["g_transfer"] = np.minimum(theta["g_transfer"], 0.9)
    return {**theta, "shares": shares / shares.sum(-1, keepdims=True)}


def ensemble(law: str = "additive", domains: int = 2, count: int = 200, **ranges: Any) -> Ensemble:
    return of(law, draws(law, domains, count), {**RANGES, **ranges})


def additive_loss(theta: Mapping[str, np.ndarray], n: Any, d: Any, split: Any) -> np.ndarray:
    """The law's published formula in NumPy, (…, draw, domain). Designs (…, domain)."""
    n, d, split = (np.asarray(v, float)[..., None, :] for v in (n, d, split))
    level, scale = theta["level"] * AT.loss, theta["s_branch"]
    floor, a, b, c = np.moveaxis(theta["shares"], -1, 0)
    return level * (
        floor
        + a * (n / AT.params) ** -theta["a_size"]
        + b * (d / AT.pretrain_tokens) ** -theta["b_data"]
        + c * ((split / AT.specialize_tokens + scale) / (1 + scale)) ** -theta["c_branch"]
    )
