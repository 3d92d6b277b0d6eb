"""Counts and compute as sweep.toml writes them: `1.6M`, `32k`, 2048, `1e13`."""

from __future__ import annotations

import math
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from bayeslaw.quantity import parse_quantity


def _tokens(written: Any) -> int:
    value = parse_quantity(written)
    if not math.isfinite(value):
        raise ValueError("must be finite")
    return int(value)


def _flops(written: Any) -> float:
    value = parse_quantity(written)
    if not math.isfinite(value):
        raise ValueError("must be finite")
    return value


Flops = Annotated[float, BeforeValidator(_flops), Field(gt=0)]
Count = Annotated[int, Field(gt=0)]
Tokens = Annotated[int, BeforeValidator(_tokens), Field(gt=0)]
