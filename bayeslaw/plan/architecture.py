"""Architectures: the models that can be built, by their numbers of parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bayeslaw.errors import PlanError
from bayeslaw.quantity import parse_quantity
from bayeslaw.toml import read_toml


@dataclass(frozen=True)
class Architecture:
    """params: non-embedding parameters. shape: what else is known of it, as layers and width."""

    name: str
    params: float
    shape: Mapping[str, Any] = field(default_factory=dict)


def read_architectures(path: str | Path) -> tuple[Architecture, ...]:
    """Of a CSV with `params`, `name` (default: the parameters) and columns of the shape, or of a
    TOML with a table for each:

        [small]
        params = "125M"
        layers = 12

    Raises `PlanError` with all faults of the file.
    """
    if Path(path).suffix == ".toml":
        rows = [(f"[{n}]", n, about) for n, about in read_toml(path, PlanError).items()]
    else:
        try:
            table = pd.read_csv(path, dtype=str, keep_default_na=False).to_dict("records")
        except (OSError, ValueError) as error:  # those of pandas are ValueErrors
            raise PlanError(f"{path}: not readable as CSV or TOML: {error}") from None
        rows = [(f"row {i + 2}", row.get("name", ""), row) for i, row in enumerate(table)]
    found, faults = [], []
    for where, name, about in rows:
        if not isinstance(about, dict) or "params" not in about:
            faults.append(f"{where} has no params")
            continue
        try:
            params = parse_quantity(about["params"])
        except ValueError as error:
            faults.append(f"{where}: params: {error}")
            continue
        shape = {str(k): v for k, v in about.items() if k not in ("name", "params")}
        found.append(Architecture(str(name or about["params"]), params, shape))
    faults += [] if rows else ["there is none"]
    if faults:
        raise PlanError(f"{path}: the architectures cannot be used:\n  " + "\n  ".join(faults))
    return checked(found)


def checked(architectures: Sequence[Architecture]) -> tuple[Architecture, ...]:
    """By size. Raises `PlanError` where one has none, or two have one name."""
    names = [a.name for a in architectures]
    faults = [
        f"params of '{a.name}' is {a.params:g}; it must be more than 0, and finite"
        for a in architectures if not 0 < a.params < np.inf
    ]  # fmt: skip
    faults += [f"two are called '{n}'" for n in dict.fromkeys(names) if names.count(n) > 1]
    if faults:
        raise PlanError("the architectures cannot be used: " + "; ".join(faults))
    return tuple(sorted(architectures, key=lambda a: a.params))
