"""What a law is: parameters with priors beside a formula for one run and one draw.

A law never sees a batch, a domain axis or a sampler. It is a pure jax function of one `Run`, one
`Anchor` and one draw of its parameters; whoever calls it does the batching.
"""

from __future__ import annotations

import abc
import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from types import SimpleNamespace
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist

Across = Literal["shared", "pooled", "free"]
Rows = Literal["own branch", "other branches"]


class Run(NamedTuple):
    """The inputs of a law: one model's size and tokens, or arrays of them.

    Units: `params` in weights, `replay` a share in 0..1, everything else in tokens. Field names are
    the column names of a table of runs.
    """

    params: Any
    pretrain_tokens: Any
    specialize_tokens: Any = 0.0
    unique_tokens: Any = math.inf
    unique_specialize_tokens: Any = math.inf
    replay: Any = 0.0


class Anchor(NamedTuple):
    """The point that a law's terms are measured from: where every term's log is zero.

    Each input is the geometric mean of the training rows' positive values; `loss` is the median
    training loss of the domain. Computed once, stored with the fit, never recomputed.
    """

    params: Any
    pretrain_tokens: Any
    specialize_tokens: Any
    loss: Any


@dataclass(frozen=True)
class Param:
    """One parameter of a law.

    prior: a NumPyro distribution. Its support fixes the transform to the real line (`biject_to`).
    across: over domains, `shared` (one value), `pooled` (partially, in unconstrained space) or
        `free` (each domain its own).
    spread: scale of the prior of the pooling sd in unconstrained space (`spread_prior`).
    of: for an exponent of a `SumLaw`, the term that it bends. Data pin down the slope at the
        anchor, exponent times share; the sampler takes that as its coordinate.
    symbol: how reviews show it (`α`), when the name itself is not how the field writes it.
    """

    prior: Any
    across: Across = "pooled"
    spread: float = 0.3
    of: str = ""
    symbol: str = ""


def exponent(center: float = 0.35, sd: float = 0.4) -> dist.Distribution:
    """Log-normal prior of a scaling exponent: median `center`, `sd` of its log."""
    return dist.LogNormal(math.log(center), sd)


def power(base: jax.Array, exponent: jax.Array) -> jax.Array:
    """base ** exponent for base >= 0, with finite gradients at base = 0 (where it is 0)."""
    positive = base > 0
    return jnp.where(positive, jnp.exp(exponent * jnp.log(jnp.where(positive, base, 1.0))), 0.0)


class Law(abc.ABC):
    """A family of curves L(run): inputs, parameters and a formula, checked against each other.

    A subclass declares `name`, `inputs`, `may_be_zero`, its `Param`s as class attributes, and
    `log_loss`. Names used in the body must be declared, and declared names used: a class that
    breaks this raises `TypeError` when it is defined.

    rows: which rows of a branch the law speaks of: those measured on its `own branch`, or on
        `other branches`. Rows before the split belong to both.
    """

    name: str
    rows: Rows = "own branch"
    inputs: tuple[str, ...]
    may_be_zero: tuple[str, ...] = ()
    formula: str = ""
    source: str = ""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        # Wrappers hold a law as a field: they are checked when they are made (`__post_init__`).
        if "inputs" in vars(cls) and not isinstance(vars(cls)["inputs"], property):
            cls().check()

    @cached_property
    def parameters(self) -> dict[str, Param]:
        """Name -> Param, in the order of declaration."""
        return self.declared()

    @classmethod
    def declared(cls) -> dict[str, Param]:
        """The `Param`s among the class attributes."""
        return {
            name: value
            for base in reversed(cls.__mro__)
            for name, value in vars(base).items()
            if isinstance(value, Param)
        }

    @abc.abstractmethod
    def log_loss(self, x: Run, at: Anchor, p: Any) -> jax.Array:
        """Log of the predicted loss (nats) of one run under one draw `p`. Pure jax, scalar."""

    def published(self, at: Anchor, p: Any) -> dict[str, Any]:
        """The draw in the published parametrisation (E, A, B, …); empty where there is none."""
        return {}

    def with_priors(self, priors: Mapping[str, Any]) -> Law:
        """This law with other priors: parameter -> NumPyro distribution of the same support."""
        if not priors:
            return self
        law = copy.copy(self)
        changed = {n: replace(self.parameters[n], prior=p) for n, p in priors.items()}
        # Laws that compare by their fields (the wrappers) must tell these apart.
        object.__setattr__(law, "priors", tuple(sorted(priors.items(), key=lambda kv: kv[0])))
        law.__dict__["parameters"] = {**self.parameters, **changed}
        return law

    def from_published(self, at: Anchor, values: Mapping[str, Any]) -> dict[str, Any]:
        """Values by the names of the parameters, from those and, where the law knows how, by those
        of `published`. Inputs of `at` are floats; its loss has shape (domain,)."""
        return dict(values)

    def closed_form(self, flops: float, at: Anchor, p: Any) -> Run | None:
        """The compute-optimal run at 6 N D = `flops`, where it is known exactly."""
        return None

    def optimal_params(self, tokens: Any, at: Anchor, p: Any, power: Any = 1.0) -> Any:
        """The compute-optimal size for `tokens` tokens, of a law that knows it. Pure jax.

        power: what a wrapper raises the terms of size and data to before it adds them.
        """
        raise TypeError(f"the optimal size under '{self.name}' is not known")

    @property
    def slopes(self) -> dict[str, int]:
        """Exponent -> index in `shares` of the term that it bends."""
        return {}

    @property
    def family(self) -> str:
        """Laws of one family are one shape with more or less freedom: a stack has one of them."""
        return self.name

    @property
    def two_stage(self) -> bool:
        return "specialize_tokens" in self.inputs

    def check(self) -> None:
        """Inputs, parameters and the names that the body uses agree, or `TypeError`."""
        used_inputs, used_params = _Recorder(Run._fields), _Recorder(self.parameters)
        values = {
            name: jax.ShapeDtypeStruct(_shape(q), float) for name, q in self.parameters.items()
        }
        scalar = jax.ShapeDtypeStruct((), float)
        at = Anchor(*[scalar] * len(Anchor._fields))
        x = Run(*[scalar] * len(Run._fields))

        def body(x: Run, at: Anchor, values: dict[str, Any]) -> Any:
            return self.log_loss(used_inputs.watch(x._asdict()), at, used_params.watch(values))

        shape = jax.eval_shape(body, x, at, values).shape
        faults = []
        if shape != ():
            faults.append(f"log_loss must be a scalar for one run and one draw, got shape {shape}")
        for what, used, declared in (
            ("input", used_inputs.names, set(self.inputs)),
            ("parameter", used_params.names, set(self.parameters)),
        ):
            faults += [f"{what} '{n}' is used but not declared" for n in sorted(used - declared)]
            faults += [f"{what} '{n}' is declared but not used" for n in sorted(declared - used)]
        if faults:
            raise TypeError(f"law '{self.name}': " + "; ".join(faults))


class _Recorder:
    """Hands out attributes of a namespace and remembers which were asked for."""

    def __init__(self, allowed: Any):
        self.allowed = set(allowed)
        self.names: set[str] = set()

    def watch(self, values: Mapping[str, Any]) -> Any:
        recorder = self

        class Watched(SimpleNamespace):
            def __getattribute__(self, name: str) -> Any:
                if not name.startswith("_"):
                    recorder.names.add(name)
                    if name not in values:
                        raise TypeError(
                            f"a law's body asks for '{name}'; there is {', '.join(sorted(values))}"
                        )
                return super().__getattribute__(name)

            def _replace(self, **changes: Any) -> Any:
                return recorder.watch({**values, **changes})

        return Watched(**values)


def _shape(q: Param) -> tuple[int, ...]:
    return tuple(q.prior.batch_shape) + tuple(q.prior.event_shape)


class SumLaw(Law):
    """A law that is a sum of positive terms:

        L(x) = L₀ Σⱼ sⱼ exp(tⱼ(x)),   tⱼ(anchor) = 0,   Σⱼ sⱼ = 1

    A subclass gives `terms`: name -> tⱼ, the term's log relative to the anchor. L₀ (`level` times
    the anchor's loss) and the `shares` come with it: unit-free, so that one weak prior serves
    every tokeniser and domain, and nearly round in the posterior.
    """

    @abc.abstractmethod
    def terms(self, x: Run, at: Anchor, p: Any) -> dict[str, Any]:
        """Name -> log of the term relative to its value at the anchor. `floor` is constant."""

    @cached_property
    def term_names(self) -> tuple[str, ...]:
        scalar = jax.ShapeDtypeStruct((), float)
        values = {n: jax.ShapeDtypeStruct(_shape(q), float) for n, q in self.own_parameters.items()}
        keys: list[str] = []

        def body(x: Run, at: Anchor, values: dict[str, Any]) -> Any:
            terms = self.terms(x, at, SimpleNamespace(**values))
            keys.extend(terms)
            return list(terms.values())

        x, at = Run(*[scalar] * len(Run._fields)), Anchor(*[scalar] * len(Anchor._fields))
        jax.eval_shape(body, x, at, values)
        return tuple(keys)

    @cached_property
    def own_parameters(self) -> dict[str, Param]:
        """The parameters that the terms use, without level and shares."""
        return self.declared()

    @cached_property
    def parameters(self) -> dict[str, Param]:
        favour_floor = np.array([3.0 if n == "floor" else 1.0 for n in self.term_names])
        return {
            "level": Param(dist.LogNormal(0.0, 0.3), across="free"),
            "shares": Param(dist.Dirichlet(favour_floor), across="pooled", spread=1.0),
            **self.own_parameters,
        }

    @property
    def slopes(self) -> dict[str, int]:
        return {n: self.term_names.index(q.of) for n, q in self.own_parameters.items() if q.of}

    def log_terms(self, x: Run, at: Anchor, p: Any) -> dict[str, jax.Array]:
        """Name -> log of what the term contributes to the loss; they sum to the loss."""
        level = jnp.log(p.level) + jnp.log(at.loss)
        terms = self.terms(x, at, p)
        return {n: level + jnp.log(p.shares[j]) + t for j, (n, t) in enumerate(terms.items())}

    def log_loss(self, x: Run, at: Anchor, p: Any) -> jax.Array:
        if type(self).log_terms is not SumLaw.log_terms:
            return jnp.log(sum(jnp.exp(t) for t in self.log_terms(x, at, p).values()))
        # The same sum, with half as many logs and exponentials.
        terms = self.terms(x, at, p)
        total = sum(p.shares[j] * jnp.exp(t) for j, t in enumerate(terms.values()))
        return jnp.log(p.level * at.loss * total)
