"""Which term of the laws limits a design: its size, its data, or the gap to its domain."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bayeslaw.infer.curves import Curves
from bayeslaw.laws import Run, SumLaw


@dataclass(frozen=True)
class Term:
    """A term of the laws. nats: what it contributes to the weighted loss, on average. p_largest:
    probability that of all terms but the floor it is the largest."""

    name: str
    nats: float
    p_largest: float


def limits(curves: Curves, run: Run, weights: np.ndarray) -> tuple[Term, ...]:
    """The terms of a design's weighted loss, largest first; the floor last. Over the draws of those
    laws that are sums of terms; empty where none is. Within `double()`.

    Terms of one name are one term, whichever law they are of: `size` and `data` mean the same in
    all. What a law does not have counts 0 in it.
    """
    found: list[dict[str, np.ndarray]] = []
    for law, theta, at in zip(curves.laws, curves.thetas, curves.ats, strict=True):
        if isinstance(law, SumLaw):
            terms = _terms(law)(run, theta, at, weights)
            found.append({n: np.asarray(v) for n, v in terms.items()})
    if not found:
        return ()
    names = list(dict.fromkeys(n for terms in found for n in terms))
    each = {
        n: np.concatenate([t.get(n, np.zeros(len(next(iter(t.values()))))) for t in found])
        for n in names
    }
    reducible = [n for n in names if n != "floor"]
    largest = np.argmax([each[n] for n in reducible], axis=0)
    said = [
        Term(n, float(each[n].mean()), float((largest == j).mean()))
        for j, n in enumerate(reducible)
    ]
    said.sort(key=lambda t: -t.nats)
    return (*said, *(Term(n, float(each[n].mean()), 0.0) for n in names if n == "floor"))


def floors(curves: Curves) -> np.ndarray | None:
    """The floor of every law that has one, (draw, domain); None where none has. Within
    `double()`."""
    found = []
    for law, theta, at in zip(curves.laws, curves.thetas, curves.ats, strict=True):
        if isinstance(law, SumLaw) and "floor" in law.term_names:
            share = np.asarray(theta["shares"])[..., law.term_names.index("floor")]
            found.append(np.asarray(theta["level"]) * np.asarray(at.loss) * share)
    return np.concatenate(found) if found else None


@lru_cache(maxsize=32)
def _terms(law: SumLaw) -> Any:
    """Compiled: name -> Σ wₖ times the term, (draw,)."""

    def one(x: Run, at: Any, loss: Any, p: dict[str, Any]) -> Any:
        terms = law.log_terms(x, at._replace(loss=loss), SimpleNamespace(**p))
        return {n: jnp.exp(t) for n, t in terms.items()}

    def all_of_them(run: Run, theta: Any, at: Any, weights: Any) -> Any:
        full = Run(*[jnp.broadcast_to(f, jnp.shape(weights)) for f in run])
        over_domains = jax.vmap(one, in_axes=(0, None, 0, 0))
        terms = jax.vmap(over_domains, in_axes=(None, None, None, 0))(full, at, at.loss, theta)
        return {n: t @ weights for n, t in terms.items()}

    return jax.jit(all_of_them)
