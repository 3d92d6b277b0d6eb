"""Priors by the user: a TOML table for every parameter."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpyro.distributions as dist
from numpyro.distributions import biject_to

from bayeslaw.errors import FitError
from bayeslaw.laws import Law
from bayeslaw.toml import read_toml

# Family -> (its numbers, what makes it).
FAMILIES: dict[str, tuple[str, Callable[..., dist.Distribution]]] = {
    "lognormal": ("[median, sd of the log]", lambda m, s: dist.LogNormal(math.log(m), s)),
    "normal": ("[mean, sd]", dist.Normal),
    "halfnormal": ("[scale]", dist.HalfNormal),
    "beta": ("[a, b]", dist.Beta),
    "gamma": ("[shape, rate]", dist.Gamma),
    "dirichlet": ("[a number for each term]", lambda *a: dist.Dirichlet(np.array(a))),
}


def read_priors(path: str | Path) -> dict[str, dist.Distribution]:
    """Parameter -> prior, from a TOML file with lines like

        a_size = { lognormal = [0.35, 0.2] }

    Raises `FitError` with all its faults at once.
    """
    path = Path(path)
    said = read_toml(path, FitError)
    priors, faults = {}, []
    for name, family in said.items():
        try:
            priors[name] = _prior(family)
        except (ValueError, TypeError, OverflowError) as error:
            faults.append(f"{name}: {error}")
    if faults:
        raise FitError(f"{path}: {len(faults)} faults\n  " + "\n  ".join(faults))
    return priors


def _prior(said: Any) -> dist.Distribution:
    one = ", ".join(f"{n} = {numbers}" for n, (numbers, _) in FAMILIES.items())
    if not isinstance(said, dict) or len(said) != 1 or next(iter(said)) not in FAMILIES:
        raise ValueError(f"give one of {one}")
    ((family, values),) = said.items()
    values = values if isinstance(values, list) else [values]
    needs, make = FAMILIES[family]
    if not all(isinstance(v, int | float) and math.isfinite(v) for v in values):
        raise ValueError(f"{family} takes numbers, {needs}")
    positive = values[1:] if family == "normal" else values
    if not all(v > 0 for v in positive):
        raise ValueError(f"{family} takes numbers above 0, {needs}")
    try:
        return make(*map(float, values))
    except TypeError:
        raise ValueError(f"{family} takes {needs}, got {len(values)} numbers") from None


def with_priors(laws: Sequence[Law], priors: Mapping[str, dist.Distribution]) -> tuple[Law, ...]:
    """The laws with these priors; each takes those of its own parameters.

    Raises `FitError` with every prior that no law has the parameter of, or of another support or
    shape than the parameter's.
    """
    known = {name: q for law in laws for name, q in law.parameters.items()}
    faults = []
    for name, prior in priors.items():
        if name not in known:
            faults.append(f"no law has a parameter {name}; there is {', '.join(sorted(known))}")
            continue
        ours = known[name].prior
        shape = tuple(ours.batch_shape) + tuple(ours.event_shape)
        if tuple(prior.batch_shape) + tuple(prior.event_shape) != shape:
            faults.append(f"{name}: needs {shape[0] if shape else 1} numbers")
        elif type(biject_to(prior.support)) is not type(biject_to(ours.support)) or not _same(
            prior, ours
        ):
            faults.append(
                f"{name}: the prior's support is {prior.support}, the parameter's {ours.support}"
            )
    if faults:
        raise FitError("priors that do not fit: " + "; ".join(faults))
    return tuple(
        law.with_priors({n: p for n, p in priors.items() if n in law.parameters}) for law in laws
    )


def _same(a: dist.Distribution, b: dist.Distribution) -> bool:
    """Whether two supports map the real line alike."""
    probe = np.zeros(
        biject_to(a.support).inverse_shape(tuple(a.batch_shape) + tuple(a.event_shape))
    )
    return np.allclose(biject_to(a.support)(probe), biject_to(b.support)(probe))
