"""Draws from a posterior: whitened at its mode, many short vectorised HMC chains, long NUTS behind.

The whitening z = shift + scale u makes the posterior nearly a standard normal in u, where HMC with
a trajectory of a quarter turn (π/2) gives nearly independent draws for two or three gradients.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import random
from numpyro.infer import MCMC, NUTS
from numpyro.infer.hmc import hmc
from numpyro.infer.util import ParamInfo

from bayeslaw.infer.diagnose import Diagnostics, diagnose, with_mass
from bayeslaw.infer.model import (
    SPREAD_SD,
    Rows,
    Spec,
    density,
    lifted,
    non_centred,
    pooled_shapes,
    recentre,
    sheared,
    spreads_of,
    steadied,
)
from bayeslaw.infer.modes import Mode, find_modes, hessians
from bayeslaw.infer.precision import double
from bayeslaw.infer.program import Program, argument


@dataclass(frozen=True)
class Settings:
    """How long to look and to sample."""

    starts: int = 16  # prior draws from which the mode is sought
    prior_draws: int = 500  # of them all; kept for reviews
    chains: int = 32
    threads: int = 2  # that share the chains; XLA alone would leave one core idle
    block: int = 50  # iterations in one compiled program; the counts below are in blocks
    warmup: int = 1
    draws: int = 4  # doubled while the gate fails for want of length, up to `longest`
    longest: int = 64
    attempts: int = 3
    meeting: float = 1.1  # R-hat of chains that are worth prolonging
    caution: float = 0.7  # factor on the step size after a run with divergent transitions
    # A hierarchical posterior mixes more slowly and costs more a step: fewer chains, longer, after
    # short rounds (in blocks) that only find its shape.
    pilots: tuple[int, ...] = (1, 4)
    hierarchy_starts: int = 4  # of a steady one, which is nearly normal
    hierarchy_chains: int = 4
    hierarchy_draws: int = 10
    few: int = 1024  # rows, padded, that sixteen points at once cost little more on than four
    nuts_chains: int = 4  # of the last resort; 0 for none
    nuts_warmup: int = 600
    nuts_draws: int = 1000


_threads = ThreadPoolExecutor(4, thread_name_prefix="chains")
INFORMED = 2  # rounds in which that is counted anew
WORTH = 0.5  # coordinates whose covariance a pilot's draw tells as well as the curvature does


@argument
class Whitening(NamedTuple):
    """z = shift + scale @ u"""

    shift: Any
    scale: Any


@dataclass(frozen=True)
class Draws:
    """What a sampler returns: points on the real line, their energies, and how well it went."""

    z: np.ndarray  # (chain, draw, dim)
    energy: np.ndarray  # (chain, draw)
    diverging: np.ndarray  # (chain, draw)
    steps: np.ndarray  # (chain, draw) gradients per draw
    accept: np.ndarray  # (chain, draw)
    centring: dict[str, np.ndarray]  # the coordinates that z is in
    diagnostics: Diagnostics
    sampler: str

    def thinned(self, step: int) -> Draws:
        """Every `step`-th draw of each chain; the diagnostics stay those of all."""
        fields = ("z", "energy", "diverging", "steps", "accept")
        return replace(self, **{f: getattr(self, f)[:, ::step] for f in fields})


class Programs(NamedTuple):
    """The compiled programs of one spec; array shapes pick the variant."""

    from_prior: Program  # noise, centring -> z (start, dim), drawn from the prior
    gradients: Program  # z (start, dim), rows, centring -> potential, gradient
    begin: Program  # keys, u, potential, gradient in u, step size -> state of every chain
    block: Program  # state, whitening, rows, centring -> state, Trace of `length` iterations
    describe: Program  # z (point, dim), rows, centring -> Described, batched


@argument
class Trace(NamedTuple):
    u: Any
    energy: Any
    diverging: Any
    steps: Any
    accept: Any


@lru_cache(maxsize=64)
def programs(spec: Spec, length: int, warmup: int) -> Programs:
    """Everything that is compiled for a spec; jax compiles each at its first call.

    length: iterations of one block. warmup: iterations during which step sizes adapt.
    """
    d = density(spec)

    def white(whitening: Whitening, rows: Rows, centring: Any) -> Any:
        return lambda u: d.potential(whitening.shift + whitening.scale @ u, rows, centring)

    init, kernel = hmc(potential_fn_gen=white, algo="HMC")

    def begin(key: Any, u: Any, potential: Any, gradient: Any, step_size: Any) -> Any:
        return init(
            ParamInfo(u, potential, gradient),
            warmup,
            step_size=step_size,
            adapt_mass_matrix=False,
            trajectory_length=math.pi / 2,
            # A hierarchy's curvature varies, and one divergence closes the gate.
            target_accept_prob=0.9 if pooled_shapes(spec) else 0.8,
            model_args=(None, None, None),  # the potential is given: nothing is evaluated
            rng_key=key,
        )

    @lru_cache(maxsize=1)
    def set_up() -> None:
        # NumPyro's kernel works only after its init has run, or was traced. A `begin` that came
        # from the cache of programs was not.
        u, one = np.zeros(d.size), np.zeros(())
        jax.eval_shape(begin, _keys(np.random.default_rng(0), 1)[0], u, one, u, one)

    def block(state: Any, *args: Any) -> tuple[Any, Trace]:
        set_up()
        every_chain = jax.vmap(lambda state: kernel(state, args, {}))

        def step(state: Any, _: Any) -> tuple[Any, Trace]:
            state = every_chain(state)
            seen = (state.z, state.energy, state.diverging, state.num_steps, state.accept_prob)
            return state, Trace(*seen)

        state, trace = jax.lax.scan(step, state, None, length=length)
        return state, Trace(*[jnp.swapaxes(field, 0, 1) for field in trace])

    over_points = (0, None, None)
    functions = {
        "from_prior": jax.vmap(d.from_prior, (0, None)),
        "gradients": jax.vmap(jax.value_and_grad(d.potential), over_points),
        "begin": jax.vmap(begin, (0, 0, 0, 0, None)),
        "block": block,
        "describe": jax.vmap(d.describe, over_points),
    }
    about = f"{length} {warmup} {d.fingerprint()}"
    return Programs(**{name: Program(fn, f"{name} {about}") for name, fn in functions.items()})


def compiled(spec: Spec, settings: Settings) -> Programs:
    return programs(spec, settings.block, settings.warmup * settings.block)


def prepare(spec: Spec, rows: Rows, settings: Settings) -> None:
    """Begin to compile the sampler, while the modes are sought."""
    p, centring = compiled(spec, settings), non_centred(spec)
    u = np.zeros((_chains(spec, settings) // settings.threads, density(spec).size))
    begin = (_keys(np.random.default_rng(0), len(u)), u, u[:, 0], u, 0.5)
    p.begin.prepare(*begin)
    whitening = Whitening(u[0], np.eye(u.shape[1]))
    p.block.prepare(p.begin.shapes(*begin), whitening, rows, centring)
    if centring:
        p.gradients.prepare(np.zeros((lanes(rows, settings), u.shape[1])), rows, centring)


def _keys(rng: np.random.Generator, count: int) -> Any:
    # This generator compiles and runs faster than jax's default.
    return random.wrap_key_data(rng.integers(2**32, size=(count, 4), dtype=np.uint32), impl="rbg")


def _chains(spec: Spec, settings: Settings) -> int:
    return settings.hierarchy_chains if pooled_shapes(spec) else settings.chains


def modes(
    spec: Spec, rows: Rows, seed: int, settings: Settings, starts: np.ndarray | None = None
) -> tuple[Mode, ...]:
    """The posterior's modes, from `starts` (start, dim) or draws of the prior.

    Those of a hierarchy are sought with its pooling sds at the medians of their priors: with them
    free, the joint mode lies in a neck where little of the mass is.
    """
    steady = steadied(spec)
    p, centring = compiled(steady, settings), non_centred(steady)
    if starts is None:
        starts = prior_draws(steady, seed, settings)
        starts = starts[: settings.hierarchy_starts if centring else settings.starts]
    d = density(steady)

    def gradients(z: np.ndarray) -> tuple[Any, Any]:
        return at_points(p, z, rows, centring, settings)

    found = find_modes(gradients, starts, d.blocks, d.tilt)
    if centring:
        found = tuple(_informed(steady, gradients, m) for m in found)
    return found if steady == spec else tuple(_lifted(spec, m) for m in found)


def _informed(spec: Spec, gradients: Any, m: Mode) -> Mode:
    """A hierarchy's mode where the tilt counts parameters as far as the data inform them: an offset
    as much as its variance is below its prior's, which is 1."""
    d, best = density(spec), m
    for _ in range(INFORMED):
        known = 1 - np.clip((best.scale**2).sum(1), 0, 1)
        known = np.where(np.char.endswith(d.sites, "_offset"), known, 1.0)
        tilt = np.where(d.tilt, -known[~np.char.startswith(d.sites, "sigma")].sum(), 0.0)
        nearer = find_modes(gradients, best.z[None], d.blocks, tilt)
        if not nearer:
            break
        best = nearer[0]
    return replace(best, starts=m.starts, agree=m.agree)


def lanes(rows: Rows, settings: Settings) -> int:
    """How many points the program of gradients takes at once: where rows are few a call costs as
    much as what it computes; where they are many, lanes that repeat a point cost more."""
    few = np.size(rows.kept) <= settings.few
    return settings.starts if few else settings.hierarchy_starts


def _lifted(spec: Spec, m: Mode) -> Mode:
    z, spreads = lifted(spec, m.z), spreads_of(spec)
    scale = SPREAD_SD * np.eye(len(z))
    scale[np.ix_(~spreads, ~spreads)] = m.scale
    return replace(m, z=z, scale=scale)


def prior_draws(spec: Spec, seed: int, settings: Settings) -> np.ndarray:
    """Points (draw, dim) from the prior, not centred."""
    noise = density(spec).prior_noise(np.random.default_rng(seed), settings.prior_draws)
    return np.asarray(compiled(spec, settings).from_prior(noise, non_centred(spec)))


def sample(
    spec: Spec,
    rows: Rows,
    found: tuple[Mode, ...],
    seed: int,
    settings: Settings,
) -> Draws:
    """Draws that pass the gate, or the longest tried, whose diagnostics say why they do not.

    Chains start in every mode, in proportion to its Laplace mass (at least one chain each), in
    coordinates whitened at the best mode. The joint mode of a hierarchy is far from where its mass
    lies, so there short pilot rounds come first, each followed by a new centring and whitening
    taken from all chains. A run is doubled while only its length is at fault; chains that diverge
    or do not meet start again from where they are, better whitened; last, long NUTS chains.
    """
    rng = np.random.default_rng(seed)
    centring = non_centred(spec)
    z = _starts(found, _chains(spec, settings), rng)
    whitening, step = Whitening(found[0].z, found[0].scale), 0.7
    # The sd of the lineages' effects goes where few steps of the usual size hold.
    caution = settings.caution if spec.lineages else 1.0
    if centring:
        whitening, z, centring = _settle(spec, rows, found[0], z, rng, settings)
    length = settings.hierarchy_draws if centring else settings.draws
    pilots = settings.pilots if centring else ()
    best = None
    for attempt in range(len(pilots) + settings.attempts):
        pilot = attempt < len(pilots)
        args = (whitening, rows, centring)
        blocks, most = (pilots[attempt], 1) if pilot else (length, settings.longest)
        draws, step = _run(spec, args, z, blocks, most, step, caution, found, rng, settings)
        if not pilot and draws.diagnostics.passed:
            return draws
        caution *= settings.caution if draws.diagnostics.divergences else 1.0
        best = draws
        z, centring = _straight(spec, draws.z, rows, centring, settings)
        whitening, z = _whiten(spec, z, rows, centring, settings), z[:, -1]
    if best is not None and not settings.nuts_chains:
        return best
    longer = _nuts(spec, (whitening, rows, centring), z, found, rng, settings)
    if longer.diagnostics.passed or best is None:
        return longer
    return max(best, longer, key=_quality)


def _run(spec, args, z, blocks, most, step, caution, found, rng, settings) -> tuple[Draws, float]:
    """Warm-up and `blocks` blocks of draws from chains that start at z (chain, dim), doubled up to
    `most` while that may help; and the step size that they came to."""
    p = compiled(spec, settings)
    whitening, rows, centring = args
    u = _to_white(z, whitening)
    potential, gradient = at_points(p, z, rows, centring, settings)
    gradient = gradient @ np.asarray(whitening.scale)
    keys, each = _keys(rng, len(z)), len(z) // settings.threads
    parts = [slice(i, i + each) for i in range(0, len(z), each)]
    states = [p.begin(keys[i], u[i], potential[i], gradient[i], step) for i in parts]
    for _ in range(settings.warmup):
        states, _ = _advance(p, states, args)
    # Chains of one posterior share a step size: alone, each has only its own warm-up.
    steps = np.concatenate([np.asarray(state.adapt_state.step_size) for state in states])
    step = float(np.exp(np.log(steps).mean()))
    for k, state in enumerate(states):
        adapted = state.adapt_state._replace(step_size=np.full(each, caution * step))
        states[k] = state._replace(adapt_state=adapted)
    traces: list[Trace] = []
    while True:
        for _ in range(blocks):
            states, trace = _advance(p, states, args)
            traces.append(trace)
        draws = _collect(traces, args, found, "hmc")
        d, blocks = draws.diagnostics, len(traces)
        if d.passed or d.divergences or not d.r_hat < settings.meeting or 2 * blocks > most:
            return draws, step


def _advance(p: Programs, states: list[Any], args: tuple) -> tuple[list[Any], Trace]:
    """One block of every chain, a thread for each part of them."""

    def advance(state: Any) -> tuple[Any, Trace]:
        with double():  # of this thread
            state, trace = p.block(state, *args)
            return state, jax.tree.map(np.asarray, trace)

    done = list(_threads.map(advance, states)) if len(states) > 1 else [advance(states[0])]
    trace = jax.tree.map(lambda *parts: np.concatenate(parts), *[trace for _, trace in done])
    return [state for state, _ in done], trace


def _to_white(z: np.ndarray, whitening: Whitening) -> np.ndarray:
    return np.linalg.solve(whitening.scale, (z - whitening.shift).T).T


def at_points(
    p: Programs, z: np.ndarray, rows: Rows, centring: Any, settings: Settings
) -> tuple[Any, Any]:
    """Potential and gradient at z, through the program that the mode search has compiled."""
    count = lanes(rows, settings)
    parts = [
        p.gradients(np.resize(z[i : i + count], (count, z.shape[1])), rows, centring)
        for i in range(0, len(z), count)
    ]
    potential, gradient = (np.concatenate([np.asarray(q[j]) for q in parts]) for j in (0, 1))
    return potential[: len(z)], gradient[: len(z)]


def _quality(draws: Draws) -> float:
    return -draws.diagnostics.r_hat


def _starts(found: tuple[Mode, ...], chains: int, rng: np.random.Generator) -> np.ndarray:
    """Overdispersed Laplace draws: chains that start too close agree too soon."""
    found = with_mass(found)
    mass = np.array([m.log_evidence for m in found])
    share = np.exp(mass - mass.max())
    share /= share.sum()
    counts = np.maximum(1, np.floor(share * chains).astype(int))[:chains]
    counts[0] = max(1, chains - counts[1:].sum())
    z = [
        mode.z + 1.3 * rng.standard_normal((n, len(mode.z))) @ mode.scale.T
        for mode, n in zip(found, counts, strict=False)
    ]
    return np.concatenate(z)[:chains]


def _settle(
    spec: Spec,
    rows: Rows,
    mode: Mode,
    z: np.ndarray,
    rng: np.random.Generator,
    settings: Settings,
) -> tuple[Whitening, np.ndarray, dict[str, np.ndarray]]:
    """The first coordinates of a hierarchy, and its chains' starts z (chain, dim) in them: centred
    as the Laplace draws of the steady posterior say, their pooling sds spread out afterwards."""
    spreads = spreads_of(spec)
    spread = (z - mode.z) * spreads
    around = rng.standard_normal((256, len(mode.z))) @ mode.scale.T * ~spreads
    steady = np.concatenate([z - spread, mode.z + around])
    every, centring = _straight(spec, steady, rows, non_centred(spec), settings)
    return _around_mean(spec, every, rows, centring, settings), every[: len(z)] + spread, centring


def _straight(
    spec: Spec, z: np.ndarray, rows: Rows, centring: Mapping[str, Any], settings: Settings
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Draws z (…, dim) of a hierarchy in new coordinates: centred as they say, then sheared."""
    if not centring:
        return z, {}
    z, centring = recentre(spec, z, centring)
    if not spec.lineages:
        return z, centring
    scale = _around_mean(spec, z.reshape(-1, z.shape[-1]), rows, centring, settings).scale
    return sheared(spec, z, centring, scale @ scale.T)


def _whiten(
    spec: Spec, z: np.ndarray, rows: Rows, centring: Mapping[str, Any], settings: Settings
) -> Whitening:
    """Mean and covariance over all chains. In a hierarchy there may be fewer draws than
    coordinates: there the curvature at the mean says the rest."""
    flat = z.reshape(-1, z.shape[-1])
    dim = z.shape[-1]
    covariance = np.cov(flat, rowvar=False).reshape(dim, dim)
    if centring:
        weight = dim / (dim + WORTH * len(flat))
        other = _around_mean(spec, flat, rows, centring, settings).scale
        target = other @ other.T
    else:
        weight, target = min(0.5, 0.1 * dim / len(flat)), np.diag(np.diag(covariance))
    covariance = (1 - weight) * covariance + weight * target
    return Whitening(flat.mean(0), np.linalg.cholesky(covariance))


def _around_mean(
    spec: Spec, z: np.ndarray, rows: Rows, centring: Mapping[str, Any], settings: Settings
) -> Whitening:
    """The Laplace approximation at the mean of z (point, dim), in a hierarchy's coordinates."""
    p, mean = compiled(spec, settings), z.mean(0)
    (curvature,) = hessians(
        lambda u: at_points(p, u, rows, centring, settings), mean[None], density(spec).blocks
    )
    values, vectors = np.linalg.eigh(curvature)
    # Coordinates are about as wide as their priors: 1, or less.
    values = np.maximum(np.abs(values), 1.0)
    return Whitening(mean, np.linalg.cholesky((vectors / values) @ vectors.T))


def _collect(traces: list[Trace], args: tuple, found: tuple[Mode, ...], sampler: str) -> Draws:
    whitening, _, centring = args
    u, energy, diverging, steps, accept = (
        np.concatenate([np.asarray(t[i]) for t in traces], axis=1) for i in range(5)
    )
    z = u @ np.asarray(whitening.scale).T + whitening.shift
    diagnostics = diagnose(z, energy, diverging, steps, found)
    return Draws(z, energy, diverging, steps, accept, centring, diagnostics, sampler)


def _nuts(spec, args, z, found, rng, settings) -> Draws:
    whitening, rows, centring = args
    d = density(spec)
    scale, shift = jnp.asarray(whitening.scale), jnp.asarray(whitening.shift)
    mcmc = MCMC(
        NUTS(
            potential_fn=lambda u: d.potential(shift + scale @ u, rows, centring),
            dense_mass=True,
            regularize_mass_matrix=False,
            target_accept_prob=0.95,
        ),
        num_warmup=settings.nuts_warmup,
        num_samples=settings.nuts_draws,
        num_chains=settings.nuts_chains,
        chain_method="vectorized",
        progress_bar=False,
    )
    u = _to_white(z[:: max(1, len(z) // settings.nuts_chains)][: settings.nuts_chains], whitening)
    fields = ("energy", "diverging", "num_steps", "accept_prob")
    mcmc.run(random.key(int(rng.integers(2**31))), init_params=jnp.asarray(u), extra_fields=fields)
    extra = mcmc.get_extra_fields(group_by_chain=True)
    trace = Trace(mcmc.get_samples(group_by_chain=True), *(extra[f] for f in fields))
    return _collect([trace], args, found, "nuts")
