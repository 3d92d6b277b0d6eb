"""Worlds whose truth is known, and posteriors of one shape: hundreds of them compile once."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd

from bayeslaw import Posterior
from bayeslaw.infer import model
from bayeslaw.infer.curves import Curves
from bayeslaw.infer.ensemble import Ensemble
from bayeslaw.laws import Anchor, Law, Param, Run, SumLaw, exponent, find_law

FITTED = (
    "additive", "transfer", "gap", "interaction", "multiplicative", "discount", "mixture"
)  # fmt: skip
NOISE = 0.005  # sd of log loss
SIZES, TOKENS = np.geomspace(1e6, 1.6e7, 4), np.geomspace(3e7, 4e8, 3)
RATIOS = (0.0, 0.03, 0.15, 0.6)  # D'/D
DRAWS = 1000  # that a decision is made on


class Broken(SumLaw):
    """A data term whose exponent halves beyond some tokens: no law of the catalogue."""

    name = "broken"
    inputs = ("params", "pretrain_tokens", "specialize_tokens")
    may_be_zero = ("specialize_tokens",)
    a_size = Param(exponent(), of="size")
    b_data = Param(exponent())
    c_branch = Param(exponent())

    def terms(self, x: Run, at: Anchor, p: Any) -> dict[str, Any]:
        d = x.pretrain_tokens / at.pretrain_tokens
        bend = 0.5 * p.b_data * (jnp.log1p(d / 10) - jnp.log1p(1 / 10))
        split = jnp.log1p(x.specialize_tokens / at.specialize_tokens / 0.3) - jnp.log1p(1 / 0.3)
        return {
            "floor": 0.0,
            "size": -p.a_size * jnp.log(x.params / at.params),
            "data": -p.b_data * jnp.log(d) + bend,
            "branch": -p.c_branch * split,
        }


class Slowing(SumLaw):
    """A second stage that is worth less the larger the model: no law of the catalogue."""

    name = "slowing"
    inputs = ("params", "pretrain_tokens", "specialize_tokens")
    may_be_zero = ("specialize_tokens",)
    a_size = Param(exponent(), of="size")
    b_data = Param(exponent(), of="data")
    c_branch = Param(exponent())

    def terms(self, x: Run, at: Anchor, p: Any) -> dict[str, Any]:
        n = x.params / at.params
        scale = 0.3 * n**0.3
        split = jnp.log1p(x.specialize_tokens / at.specialize_tokens / scale) - jnp.log1p(1 / 0.3)
        return {
            "floor": 0.0,
            "size": -p.a_size * jnp.log(n),
            "data": -p.b_data * jnp.log(x.pretrain_tokens / at.pretrain_tokens),
            "branch": -p.c_branch * split,
        }


TRUTHS = (*(find_law(n) for n in FITTED), Broken(), Slowing())


def truth_of(law: Law, rng: np.random.Generator, domains: int = 1) -> Curves:
    """One draw of plausible parameters, domains alike: shares around .45, .25, .2, .1."""
    key = jax.random.key(int(rng.integers(2**31)))
    theta = {}
    for i, (name, q) in enumerate(law.parameters.items()):
        if name == "shares":
            center = np.array([0.45, 0.25, 0.2, 0.1])[: len(getattr(law, "term_names", ()))]
            draw = rng.dirichlet(60 * center / center.sum())
            theta[name] = np.tile(draw, (1, domains, 1))
            continue
        one = np.asarray(q.prior.sample(jax.random.fold_in(key, i)), float)
        middle = np.median(np.asarray(q.prior.sample(key, (999,)), float), 0)
        # Half of the prior's spread: worlds that people would meet.
        value = 0.5 * one + 0.5 * middle
        theta[name] = value * np.exp(0.05 * rng.standard_normal((1, domains)))
    return Curves((law,), (theta,), (Anchor(4e6, 1.2e8, 1.2e7, np.full(domains, 3.0)),))


def factorial(
    truth: Curves,
    rng: np.random.Generator,
    domains: Sequence[str] = ("a",),
    sizes: Sequence[float] = tuple(SIZES),
    tokens: Sequence[float] = tuple(TOKENS),
) -> pd.DataFrame:
    """A pilot: every size at every D, not split and with every D'/D of `RATIOS`."""
    grid = [(n, d, d * r) for n in sizes for d in tokens for r in RATIOS]
    log_loss = jax.vmap(lambda n, d, s: truth.log_loss(Run(n, d, s))[0])(*np.array(grid).T)
    noise = NOISE * rng.standard_normal(log_loss.shape)
    return pd.DataFrame([
        {"run_id": f"{n:.0f}-{d:.0f}-{s:.0f}-{domain if s else ''}", "sweep": "pilot",
         "params": n, "pretrain_tokens": d, "specialize_tokens": s,
         "branch": domain if s else "", "domain": domain,
         "loss": float(np.exp(log_loss[i, k] + noise[i, k]))}
        for i, (n, d, s) in enumerate(grid) for k, domain in enumerate(domains)
    ])  # fmt: skip


def pilot(truth: Curves, rng: np.random.Generator, domains: Sequence[str]) -> pd.DataFrame:
    """24 to 48 runs a domain: three or four sizes, two or three D, every D'/D."""
    sizes = np.geomspace(SIZES[0], SIZES[-1], int(rng.integers(3, 5)))
    tokens = np.geomspace(TOKENS[0], TOKENS[-1], int(rng.integers(2, 4)))
    return factorial(truth, rng, domains, tuple(sizes), tuple(tokens))


def flops_of(table: pd.DataFrame) -> pd.Series:
    """6 N (D + D'), of each row."""
    return 6 * table["params"] * (table["pretrain_tokens"] + table["specialize_tokens"])


def one_shape(rows: int) -> None:
    """Pad every table to so many rows a domain: one shape, compiled once."""
    model.bucket = lambda n: rows


@dataclass(frozen=True)
class OneOf:
    """Several laws as one, of which every draw names one: an ensemble whose shape does not depend
    on the laws' weights. It costs the evaluation of all of them for each draw."""

    laws: tuple[Law, ...]
    name = "one of several"
    rows = "own branch"
    two_stage = True
    may_be_zero = ("specialize_tokens",)

    @property
    def inputs(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(i for law in self.laws for i in law.inputs))

    def log_loss(self, x: Run, at: Anchor, p: Any) -> jax.Array:
        values = jnp.stack([
            law.log_loss(x, at, SimpleNamespace(
                **{n: getattr(p, f"{law.name}:{n}") for n in law.parameters}
            )) for law in self.laws
        ])  # fmt: skip
        return jnp.sum(jnp.where(p.which == jnp.arange(len(self.laws)), values, 0.0))


class Blend(Posterior):
    """An ensemble's joint draws as one posterior of `OneOf`."""

    parts: Any

    @cached_property
    def theta(self) -> dict[str, np.ndarray]:
        return self.parts[0]

    @cached_property
    def sigma(self) -> np.ndarray:
        return self.parts[1]

    @cached_property
    def lineage_sd(self) -> None:
        return None


def blended(fitted: Ensemble, draws: int = DRAWS) -> Ensemble:
    """The same ensemble with one member: its members' draws, as many of each as its weight."""
    first = fitted.members[0]
    counts = fitted.allotment(draws)
    which = np.repeat(np.arange(len(counts)), counts)
    theta = {"which": np.tile(which[:, None], (1, len(fitted.domains)))}
    sigma = np.empty((draws, len(fitted.domains)))
    for k, m in enumerate(fitted.members):
        # A law's own draws stand also where another law has its say: finite, and of no account.
        rows = np.linspace(0, len(m.sigma) - 1, draws).astype(int)
        mine = which == k
        rows[mine] = np.linspace(0, len(m.sigma) - 1, mine.sum()).astype(int)
        theta |= {f"{m.law.name}:{n}": v[rows] for n, v in m.theta.items()}
        sigma[mine] = m.sigma[rows[mine]]
    law = OneOf(tuple(m.law for m in fitted.members))
    kept = {f.name: getattr(first, f.name) for f in fields(Posterior)}
    passed = replace(first.diagnostics, failures=())
    one = Blend(**{**kept, "law": law, "weight": 1.0, "diagnostics": passed})
    object.__setattr__(one, "parts", (theta, sigma))
    return replace(fitted, members=(one,))


def taken(fitted: Ensemble) -> Ensemble:
    """Previews as if they had passed the gate, with the weights that predicting larger runs gave
    them."""
    worth = {s.law: s.weight for s in fitted.standings}
    members = [
        replace(m, weight=worth[m.law.name], diagnostics=replace(m.diagnostics, failures=()))
        for m in fitted.members
    ]
    return replace(fitted, members=tuple(members))


def options_of(worlds: int) -> argparse.ArgumentParser:
    """Which worlds: so many from the first on, and the file that their rows go to."""
    options = argparse.ArgumentParser()
    options.add_argument("--worlds", type=int, default=worlds)
    options.add_argument("--first", type=int, default=0)
    options.add_argument("--out", default="")
    return options


def over_worlds(
    asked: argparse.Namespace, world: Callable[[Law, int], list[dict[str, Any]]]
) -> list[dict[str, Any]]:
    """The rows of all worlds, written after each; their truths take turns."""
    rows: list[dict[str, Any]] = []
    for seed in range(asked.first, asked.first + asked.worlds):
        began, law = time.perf_counter(), TRUTHS[seed % len(TRUTHS)]
        rows += world(law, seed)
        print(f"world {seed} ({law.name}): {time.perf_counter() - began:.0f} s", flush=True)
        if asked.out:
            Path(asked.out).write_text(json.dumps(rows))
    return rows
