"""What `compare` says of every law that was looked at."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

from bayeslaw.infer.ensemble import Ensemble
from bayeslaw.infer.stack import leave_one_out


def comparison(fitted: Ensemble) -> list[dict[str, Any]]:
    """For each law its `Standing`, and where it was sampled its PSIS-LOO by lineage (`elpd`,
    `elpd_se`, `loo_k_hat`) and whether it passed the gate; None where there is no such number."""
    members = {m.law.name: m for m in fitted.members}
    entries = []
    for s in fitted.standings:
        m = members.get(s.law)
        loo = leave_one_out(m) if m else None
        said = {n: _or_none(v) for n, v in asdict(s).items()}
        entries.append(
            {
                **said,
                "weight": fitted.weights().get(s.law, 0.0) if fitted.passed else 0.0,
                "sampled": m is not None,
                "passed": m.passed if m else None,
                "elpd": loo and loo.elpd,
                "elpd_se": loo and loo.se,
                "loo_k_hat": loo and loo.k_hat,
            }
        )
    return entries


def _or_none(value: Any) -> Any:
    return None if isinstance(value, float) and math.isnan(value) else value
