"""From a law and a table of runs to a NumPyro model, and to its density on the real line."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from types import SimpleNamespace
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from numpyro.distributions import biject_to
from numpyro.handlers import mask, seed, substitute, trace
from numpyro.infer.util import potential_energy

from bayeslaw.laws import Anchor, Law, Param, Run
from bayeslaw.runs import Runs

Likelihood = Literal["student", "normal"]
STUDENT_DF = 4.0

# Noise of a new run. Repeat runs show .0006 to .04, differing 25-fold between mixtures.
SIGMA = Param(dist.HalfNormal(0.02), across="pooled", spread=0.5, symbol="σ")
# What the runs of one trunk share beyond the law.
LINEAGE_SD = Param(dist.LogNormal(math.log(0.003), 0.7), across="shared", symbol="τ")


SHEAR = "shear"  # beside the centring: by how much a coordinate moves with the lineages' effects


SPREAD_SD = 0.6  # of the log of a pooling sd, in its prior


def spread_prior(scale: float) -> dist.Distribution:
    """Prior of a pooling sd: median scale / 2, nine tenths of it between scale / 5.4 and 1.3 scale.

    It vanishes at 0, so that the hierarchy has no infinitely narrow neck for chains to miss.
    """
    return dist.LogNormal(math.log(scale / 2), SPREAD_SD)


class Rows(NamedTuple):
    """The training rows as arrays of shape (domain, row), padded; `kept` is False on the padding.

    Rectangular, so that a domain's parameters meet its rows by broadcasting: a gather would turn
    into a scatter in the gradient, which costs more than the law.
    """

    run: Run  # fields of shape (domain, row)
    lineage: Any  # (domain, row, lineage) one-hot; no lineage, or no effect: zeros
    log_loss: Any  # (domain, row)
    log_se: Any  # (domain, row) relative standard error of the loss; None where none was measured
    kept: Any  # (domain, row) bool
    at: Anchor  # loss has shape (domain,)


@dataclass(frozen=True)
class Spec:
    """What a compiled program depends on, besides array shapes. Hashable: the key of the cache."""

    law: Law
    likelihood: Likelihood
    domains: int
    lineages: int
    fixed: tuple[tuple[str, Any], ...] = ()  # name -> number, or nested tuples (see `held`)
    # Pooling sds at the medians of their priors instead of learnt: nearly a normal, for previews.
    steady: bool = False


def inputs_of(table: Any) -> Run:
    """The inputs of a law, from a table of runs. Where no replay was noted there was none."""
    return Run(
        *[table[c].fillna(Run._field_defaults.get(c, np.nan)).to_numpy(float) for c in Run._fields]
    )


def anchor_of(runs: Runs, domains: tuple[str, ...] = ()) -> Anchor:
    """Geometric means of the rows' positive inputs; the median loss of each domain.

    domains: those to anchor, if not the runs' own; one without rows gets the median of all.
    """
    t = runs.table

    def center(column: str) -> float:
        values = t[column].to_numpy(float)
        values = values[(values > 0) & np.isfinite(values)]
        return float(np.exp(np.log(values).mean())) if len(values) else 1.0

    loss, overall = t.groupby("domain")["loss"].median(), t["loss"].median()
    return Anchor(
        center("params"),
        center("pretrain_tokens"),
        center("specialize_tokens"),
        np.array([loss.get(d, overall) for d in domains or runs.domains]),
    )


def rows_of(runs: Runs, anchor: Anchor) -> tuple[Rows, tuple[str, ...], np.ndarray]:
    """The padded arrays of a table, the lineages that get an effect, and which table row each
    kept cell is (in the order of `array[kept]`).

    A lineage gets an effect when it has several rows in one domain: then they share a trunk.
    """
    t = runs.table
    counts = t.groupby(["sweep", "lineage", "domain"]).size().groupby(["sweep", "lineage"]).max()
    shared = {key: i for i, key in enumerate(counts.index[counts > 1])}
    lineage = np.array([shared.get(k, -1) for k in zip(t["sweep"], t["lineage"], strict=True)])
    members = [np.flatnonzero((t["domain"] == d).to_numpy()) for d in runs.domains]
    width = bucket(max(len(m) for m in members))
    # Padding repeats a row of the domain, so that the law stays finite there.
    cells = np.array([np.resize(m, width) for m in members])
    kept = np.array([np.arange(width) < len(m) for m in members])
    loss, se = t["loss"].to_numpy(float), np.nan_to_num(t["loss_se"].to_numpy(float))
    rows = Rows(
        Run(*[field[cells] for field in inputs_of(t)]),
        (lineage[cells][..., None] == np.arange(len(shared))).astype(float),
        np.log(loss)[cells],
        (se / loss)[cells] if se.any() else None,
        kept,
        anchor,
    )
    return rows, tuple("/".join(map(str, key)) for key in shared), cells[kept]


def every_kth(rows: Rows, k: int) -> Rows:
    """Every k-th row of every domain; the anchor stays, so that points mean the same."""
    run, lineage, log_loss, log_se, kept = jax.tree.map(lambda a: a[:, ::k], rows[:-1])
    return Rows(run, lineage, log_loss, log_se, kept, rows.at)


def bucket(n: int) -> int:
    """The padded length of n rows: eighths of a power of two, so that lengths rarely change.

    >>> bucket(1), bucket(240), bucket(245), bucket(2560)
    (16, 256, 256, 2560)
    """
    step = max(16, 2 ** (math.ceil(math.log2(max(n, 1))) - 3))
    return math.ceil(n / step) * step


def model(spec: Spec, rows: Rows, centring: Mapping[str, Any]) -> None:
    """The NumPyro model of a law on a table of runs.

        log loss ~ StudentT(4) or Normal(log L(x; θ_domain) + lineage effect, √(σ_domain² + se²))

    `centring` holds a number in 0..1 for every pooled parameter: 0 is non-centred (for thin data),
    1 centred (for rich data). It changes coordinates only, never the posterior.
    """
    theta, sigma, lineage = parameters(spec, centring)
    log_loss = predict(spec.law, rows.run, rows.at, theta)
    if lineage is not None:
        log_loss = log_loss + rows.lineage @ lineage
    scale = sigma[:, None]
    if rows.log_se is not None:
        scale = jnp.sqrt(scale**2 + rows.log_se**2)
    with mask(mask=rows.kept):
        numpyro.sample("log_loss", noise(spec.likelihood, log_loss, scale), obs=rows.log_loss)


def parameters(spec: Spec, centring: Mapping[str, Any]) -> tuple[dict[str, Any], Any, Any]:
    """The sites: the law's parameters (domain, …), σ (domain,), the lineages' effects or None."""
    fixed = dict(spec.fixed)
    theta = {
        name: jnp.asarray(held(fixed[name], q, spec.domains))
        if name in fixed
        else _over_domains(name, q, spec, centring)
        for name, q in spec.law.parameters.items()
    }
    sigma = _over_domains("sigma", SIGMA, spec, centring)
    if not spec.lineages:
        return theta, sigma, None
    usual = jnp.exp(LINEAGE_SD.prior.loc)
    sd = usual if spec.steady else numpyro.sample("lineage_spread", LINEAGE_SD.prior)
    return theta, sigma, _around("lineage", jnp.zeros(()), sd, (spec.lineages,), centring)


def held(value: Any, q: Param, domains: int) -> np.ndarray:
    """A fixed value of a parameter as (domain, …): given once for all domains, or for each."""
    array = np.asarray(value, float)
    every = (domains, *_shape(q))
    return np.broadcast_to(array if array.ndim == len(every) else array[None], every)


def noise(likelihood: Likelihood, loc: Any, scale: Any) -> dist.Distribution:
    """The distribution of a measured log loss around the law."""
    if likelihood == "student":
        return dist.StudentT(STUDENT_DF, loc, scale)
    return dist.Normal(loc, scale)


def predict(law: Law, run: Run, at: Anchor, theta: Mapping[str, Any]) -> jax.Array:
    """log L of every row under one draw. Fields of `run`: (domain, row); `theta`: (domain, …)."""

    def one(x: Run, loss: Any, values: dict[str, Any]) -> jax.Array:
        return law.log_loss(x, at._replace(loss=loss), SimpleNamespace(**values))

    over_rows = jax.vmap(one, in_axes=(0, None, None))
    return jax.vmap(over_rows)(run, at.loss, dict(theta))


def _over_domains(name: str, q: Param, spec: Spec, centring: Mapping[str, Any]) -> jax.Array:
    """One value per domain, by the parameter's rule; pooled in unconstrained space."""
    domains = spec.domains
    if q.across == "shared" or domains == 1:
        value = numpyro.sample(name, q.prior)
        return value[None] if domains == 1 else jnp.broadcast_to(value, (domains, *value.shape))
    if q.across == "free":
        return numpyro.sample(name, q.prior.expand([domains, *q.prior.batch_shape]).to_event())
    to_support = biject_to(q.prior.support)
    mean = to_support.inv(numpyro.sample(f"{name}_mean", q.prior))
    if spec.steady:
        spread = jnp.full(jnp.shape(mean), q.spread / 2)
    else:
        spread = numpyro.sample(
            f"{name}_spread", spread_prior(q.spread).expand(jnp.shape(mean)).to_event()
        )
    around = _around(name, mean, spread, (domains, *jnp.shape(mean)), centring)
    return numpyro.deterministic(name, to_support(around))


def _around(name: str, mean: Any, spread: Any, shape: tuple, centring: Mapping[str, Any]) -> Any:
    """Normal(mean, spread) values, partially centred:

    ζ ~ Normal(c mean, spread^c),   value = mean + spread^(1-c) (ζ - c mean)
    """
    c = centring[name]
    around = dist.Normal(c * mean, jnp.broadcast_to(spread**c, shape)).to_event()
    return mean + spread ** (1 - c) * (numpyro.sample(f"{name}_offset", around) - c * mean)


def pooled_shapes(spec: Spec) -> dict[str, tuple[int, ...]]:
    """The groups of values that are drawn around a mean, and the shape of each group."""
    fixed = dict(spec.fixed)
    shapes = {
        n: (spec.domains, *biject_to(q.prior.support).inverse_shape(_shape(q)))
        for n, q in {**spec.law.parameters, "sigma": SIGMA}.items()
        if q.across == "pooled" and spec.domains > 1 and n not in fixed
    }
    return {**shapes, **({"lineage": (spec.lineages,)} if spec.lineages else {})}


def steadied(spec: Spec) -> Spec:
    """The same with its pooling sds, where it has any, at the medians of their priors."""
    return replace(spec, steady=True) if pooled_shapes(spec) else spec


def _shape(q: Param) -> tuple[int, ...]:
    return tuple(q.prior.batch_shape) + tuple(q.prior.event_shape)


def non_centred(spec: Spec) -> dict[str, np.ndarray]:
    """The centring to start from: wholly non-centred, where the joint mode is proper."""
    shear = {SHEAR: np.zeros((density(spec).size, spec.lineages))} if spec.lineages else {}
    return {**_no_centring(spec), **shear}


def _no_centring(spec: Spec) -> dict[str, np.ndarray]:
    return {n: np.zeros(shape) for n, shape in pooled_shapes(spec).items()}


def recentre(
    spec: Spec, z: np.ndarray, centring: Mapping[str, np.ndarray]
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Choose the centring from draws z (…, dim), and express the draws in the new coordinates.

    c = 1 - Var(value - mean) / E(spread²): 0 where the data say nothing beyond the group, 1 where
    they say much more (the same ratio as in a normal hierarchy with known variances).
    """
    d = density(spec)
    flat = z.reshape(-1, z.shape[-1])
    values = {n: np.array(v) for n, v in jax.vmap(d.unravel, (0, None))(flat, centring).items()}
    chosen = {n: 0 * c for n, c in centring.items() if n in ("lineage", SHEAR)}
    for name, old in centring.items():
        if name in chosen:
            continue
        mean = values.get(f"{name}_mean", np.zeros(len(flat)))[:, None]
        spread = np.exp(values[f"{name}_spread"])[:, None]
        off = spread ** (1 - old) * (values[f"{name}_offset"] - old * mean)
        new = np.clip(1 - off.var(0) / (spread**2).mean(0), 0.0, 1.0)
        values[f"{name}_offset"] = new * mean + off / spread ** (1 - new)
        chosen[name] = new
    return np.asarray(jax.vmap(d.ravel, (0, None))(values, chosen)).reshape(z.shape), chosen


def sheared(
    spec: Spec, z: np.ndarray, centring: Mapping[str, np.ndarray], covariance: np.ndarray
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Draws z (…, dim), in coordinates without a shear, in such where the lineages' effects have
    left the others: each less its regression on the effects. Of a spec with lineages only.

    Rows of one trunk tell its effect and the levels of their domains apart by the priors alone.
    What they do tell is the sum, whatever τ is; with effect = τ ζ that is a curved ridge, and the
    more domains a trunk is measured on the more of them bend together.

    covariance: (dim, dim) of the coordinates around the mean of z.
    """
    sites = density(spec).sites
    of_lineages, spread = sites == "lineage_offset", sites == "lineage_spread"
    tau = np.exp(_log_tau(spec, z.reshape(-1, z.shape[-1]).mean(0)[spread]))
    shear = (
        np.linalg.solve(covariance[np.ix_(of_lineages, of_lineages)], covariance[of_lineages]).T
        / tau
    )
    shear[of_lineages | spread] = 0.0
    effects = np.exp(_log_tau(spec, z[..., spread])) * z[..., of_lineages]
    return z - effects @ shear.T, {**centring, SHEAR: shear}


def _log_tau(spec: Spec, spread: Any) -> Any:
    """Log of the lineages' sd, from its coordinate (…, 1) where it has one."""
    return LINEAGE_SD.prior.loc if spec.steady else spread


def spreads_of(spec: Spec) -> np.ndarray:
    """Which coordinates are logs of pooling sds."""
    pooled = [f"{n}_spread" for n in pooled_shapes(spec)]
    return np.isin(density(spec).sites, pooled)


def lifted(spec: Spec, z: np.ndarray) -> np.ndarray:
    """A point z of the steady posterior in the coordinates (not centred) of the whole one, with
    pooling sds at the medians of their priors."""
    sites, spreads = density(spec).sites, spreads_of(spec)
    params = {**spec.law.parameters, "sigma": SIGMA}
    usual = {f"{n}_spread": q.spread / 2 for n, q in params.items()}
    usual["lineage_spread"] = float(np.exp(LINEAGE_SD.prior.loc))
    whole = np.empty(len(sites))
    whole[~spreads] = z
    whole[spreads] = [math.log(usual[n]) for n in sites[spreads]]
    return whole


def bend(
    spec: Spec, values: dict[str, Any], centring: Mapping[str, Any], sign: float
) -> dict[str, Any]:
    """Shear the log exponents by their terms' log shares: sign +1 to slopes, -1 back.

    Rows near the anchor see an exponent only through share × exponent. In (floor, exponent) that
    is a curved ridge; in (floor, slope) it is straight. The map shifts some coordinates by a
    function of others, so its Jacobian is 1. Where a domain's value is not centred there is
    nothing to straighten: the shift is weighted by the centring.
    """
    slopes = {n: j for n, j in spec.law.slopes.items() if n not in dict(spec.fixed)}
    if not slopes or "shares" in dict(spec.fixed):
        return values
    q = spec.law.parameters["shares"]
    to_support = biject_to(q.prior.support)
    if spec.domains == 1:
        log_shares = jnp.log(to_support(values["shares"]))
        return {
            n: v + sign * log_shares[slopes[n]] if n in slopes else v for n, v in values.items()
        }
    mean = values["shares_mean"]
    spread = q.spread / 2 if spec.steady else jnp.exp(values["shares_spread"])
    c = centring["shares"]
    unconstrained = mean + spread ** (1 - c) * (values["shares_offset"] - c * mean)
    log_shares = jnp.log(to_support(unconstrained))
    bent = dict(values)
    for n, j in slopes.items():
        bent[f"{n}_offset"] = values[f"{n}_offset"] + sign * centring[n] * log_shares[:, j]
    return bent


class Described(NamedTuple):
    """One point of the posterior, in words: constrained values and log densities."""

    values: dict[str, Any]  # every site, constrained
    log_prior: dict[str, Any]  # site -> log prior density (scalar)
    log_likelihood: Any  # (domain, row)
    loc: Any  # (domain, row) predicted log loss
    scale: Any  # (domain, row)


@dataclass(frozen=True)
class Density:
    """The model as pure functions of a flat vector z on the real line.

    size: length of z. potential(z, rows, centring) = -log posterior density (Jacobian included).
    """

    size: int
    sites: np.ndarray  # coordinate -> name of its site
    blocks: np.ndarray  # coordinate -> its domain, or -1: two domains' never meet in one term
    # Slope that is added in a search for modes: -1 for every parameter, along log σ. Where rows are
    # few, parameters that pass through all of them let σ go to 0, a peak with no mass; their
    # volume shrinks with σ as fast, and this is its factor (as in restricted maximum likelihood).
    tilt: np.ndarray
    potential: Callable[..., Any]
    describe: Callable[..., Described]
    prior_noise: Callable[..., dict[str, Any]]  # rng, count -> site -> noise of prior draws
    from_prior: Callable[..., Any]  # noise of one draw, no centring -> z
    unravel: Callable[..., dict[str, Any]]  # z, centring -> site -> unconstrained value
    ravel: Callable[..., Any]  # its inverse
    transforms: dict[str, Any]
    fingerprint: Callable[[], str]  # differs between densities that differ in more than their rows


@lru_cache(maxsize=64)
def density(spec: Spec) -> Density:
    """The density of `spec`'s model. Cached, so that compiled programs are found again."""

    def with_rows(rows: Rows, centring: Mapping[str, Any]) -> None:
        model(spec, rows, centring)

    probe = trace(substitute(parameters, substitute_fn=_some)).get_trace(spec, _no_centring(spec))
    latent = {n: s for n, s in probe.items() if s["type"] == "sample"}
    transforms = {n: biject_to(s["fn"].support) for n, s in latent.items()}
    shapes = {
        n: transforms[n].inverse_shape(np.shape(s["value"])) for n, s in sorted(latent.items())
    }
    ends = np.cumsum([math.prod(shape) for shape in shapes.values()])
    sites = np.repeat(list(shapes), [math.prod(shape) for shape in shapes.values()])
    of_lineages, of_spread = (np.flatnonzero(sites == f"lineage_{n}") for n in ("offset", "spread"))

    def shift(z: Any, centring: Mapping[str, Any]) -> Any:
        """What the lineages' effects move the coordinates by."""
        effects = jnp.exp(_log_tau(spec, z[of_spread])) * z[of_lineages]
        return centring[SHEAR] @ effects

    def unravel(z: Any, centring: Mapping[str, Any]) -> dict[str, Any]:
        if SHEAR in centring:
            z = z + shift(z, centring)
        parts = zip(shapes.items(), jnp.split(z, ends[:-1]), strict=True)
        return bend(spec, {n: part.reshape(shape) for (n, shape), part in parts}, centring, -1.0)

    def ravel(values: dict[str, Any], centring: Mapping[str, Any]) -> jax.Array:
        straight = bend(spec, values, centring, 1.0)
        z = jnp.concatenate([jnp.ravel(straight[n]) for n in sorted(straight)])
        return z - shift(z, centring) if SHEAR in centring else z

    @jax.jit  # traced once, whoever differentiates it
    def potential(z: Any, rows: Rows, centring: Mapping[str, Any]) -> jax.Array:
        return potential_energy(with_rows, (rows, centring), {}, unravel(z, centring))

    def describe(z: Any, rows: Rows, centring: Mapping[str, Any]) -> Described:
        constrained = {n: transforms[n](u) for n, u in unravel(z, centring).items()}
        found = trace(substitute(seed(with_rows, 0), constrained)).get_trace(rows, centring)
        observed = found["log_loss"]["fn"].base_dist
        # A site that is pooled or shared is named once; broadcasting is the reader's business.
        values = {
            n: s["value"]
            for n, s in found.items()
            if s["type"] == "deterministic" or (s["type"] == "sample" and n in transforms)
        }
        log_prior = {n: jnp.sum(found[n]["fn"].log_prob(found[n]["value"])) for n in transforms}
        return Described(
            values,
            log_prior,
            observed.log_prob(rows.log_loss),
            observed.loc,
            jnp.broadcast_to(observed.scale, jnp.shape(observed.loc)),
        )

    # Without centring no site's prior depends on another's value: the probe's will do.
    priors = {n: s["fn"] for n, s in latent.items()}

    def prior_noise(rng: np.random.Generator, count: int) -> dict[str, np.ndarray]:
        return {n: _noise(fn, rng, count) for n, fn in priors.items()}

    def from_prior(noise: Mapping[str, Any], centring: Mapping[str, Any]) -> jax.Array:
        drawn = {n: _drawn(fn, noise[n]) for n, fn in priors.items()}
        return ravel({n: t.inv(drawn[n]) for n, t in transforms.items()}, centring)

    def fingerprint() -> str:
        # The density itself, in the compiler's words, and what its coordinates are called.
        one = np.ones((spec.domains, 1))
        at = Anchor(1.0, 1.0, 1.0, one[:, 0])
        lineage = np.zeros((spec.domains, 1, spec.lineages))
        rows = Rows(Run(*[one] * len(Run._fields)), lineage, one, None, one > 0, at)
        words = potential.lower(np.zeros(ends[-1]), rows, non_centred(spec)).as_text()
        return f"{shapes} {words}"

    of_noise = np.char.startswith(sites, "sigma")
    tilt = np.where(np.isin(sites, ("sigma", "sigma_mean")), -float((~of_noise).sum()), 0.0)
    blocks = [_block(n, shape, spec) for n, shape in shapes.items()]
    return Density(
        int(ends[-1]), sites,
        np.concatenate(blocks), tilt, potential, describe, prior_noise, from_prior, unravel, ravel,
        transforms, fingerprint,
    )  # fmt: skip


def _block(name: str, shape: tuple[int, ...], spec: Spec) -> np.ndarray:
    """The domain of every coordinate of a site; -1 where it is of all."""
    law = spec.law.parameters
    of_domains = name.endswith("_offset") and name != "lineage_offset"
    of_domains |= name in law and law[name].across == "free"
    if spec.domains == 1 or not of_domains:
        return np.full(math.prod(shape), -1)
    return np.repeat(np.arange(spec.domains), math.prod(shape[1:]))


def _noise(fn: dist.Distribution, rng: np.random.Generator, count: int) -> np.ndarray:
    """What `_drawn` makes `count` draws of: uniforms, or the draws themselves.

    jax's own samplers take seconds to compile (gamma variates above all).
    """
    if isinstance(fn, dist.Dirichlet):
        return rng.dirichlet(np.asarray(fn.concentration), count)
    if _inverse_cdf(fn) is not None:
        return rng.random((count, *fn.shape()))
    key = jax.random.key(int(rng.integers(2**31)))
    return np.asarray(fn.sample(key, (count,)))


def _drawn(fn: dist.Distribution, noise: Any) -> Any:
    inverse = _inverse_cdf(fn)
    return noise if inverse is None else inverse(noise)


def _inverse_cdf(fn: dist.Distribution) -> Callable[[Any], Any] | None:
    while isinstance(fn, dist.Independent | dist.ExpandedDistribution):
        fn = fn.base_dist
    known = dist.Normal | dist.LogNormal | dist.HalfNormal | dist.Uniform
    return fn.icdf if isinstance(fn, known) else None


def _some(site: dict[str, Any]) -> Any:
    """Some value for every site: it is for names and shapes only, and nothing is drawn."""
    return np.full(site["fn"].shape(), 0.5) if site["type"] == "sample" else None
