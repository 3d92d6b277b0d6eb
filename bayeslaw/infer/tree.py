"""The ArviZ groups of a fit: what `posterior.nc` holds for one law."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from arviz_base import from_dict

from bayeslaw.infer.model import SIGMA, Described, Rows, Spec, non_centred
from bayeslaw.infer.point import PointFit
from bayeslaw.infer.sample import Draws, Programs, Settings, compiled, prior_draws
from bayeslaw.runs import Runs, lineages_of

_INPUTS = ("params", "pretrain_tokens", "specialize_tokens")
PREDICTIVE_DRAWS = 500
PRIOR_DRAWS = 200
KEPT_DRAWS = 6400  # of all chains; longer runs are thinned evenly when they are kept
KEPT_DENSITIES = 20_000_000  # draws × rows: what is kept of very large tables, 800 draws at least
PREDICTED = 4_000_000  # draws × rows of the predictive groups, 100 and 200 draws at least
DESCRIBED = 800  # points described by one call of a program; of very large tables a quarter


def tree_of(
    spec: Spec,
    rows: Rows,
    draws: Draws,
    runs: Runs,
    lineages: tuple[str, ...],
    seed: int,
    settings: Settings,
) -> Any:
    """The ArviZ groups of a set of draws; `runs` are in the order of the kept cells."""
    p = compiled(spec, settings)
    most = min(KEPT_DRAWS, max(DESCRIBED, KEPT_DENSITIES // len(runs)))
    draws = draws.thinned(-(-draws.z.shape[0] * draws.z.shape[1] // most))
    chain, draw, dim = draws.z.shape
    centring = draws.centring
    kept = np.asarray(rows.kept)
    rng = np.random.default_rng(seed + 1)

    said = _described(p, draws.z.reshape(-1, dim), rows, centring)
    values = {n: np.asarray(v).reshape(chain, draw, *v.shape[1:]) for n, v in said.values.items()}
    loglik = np.asarray(said.log_likelihood)[:, kept].reshape(chain, draw, -1)
    predicted = min(PREDICTIVE_DRAWS, chain * draw, max(100, PREDICTED // len(runs)))
    some = np.linspace(0, chain * draw - 1, predicted).astype(int)
    loc, scale = (np.asarray(a)[some][:, kept] for a in (said.loc, said.scale))
    shape = loc.shape
    noise = rng.standard_t(4, shape) if spec.likelihood == "student" else rng.standard_normal(shape)

    before = prior_draws(spec, seed + 2, settings)[: max(PRIOR_DRAWS, PREDICTED // len(runs))]
    prior = _described(p, before, rows, non_centred(spec))
    prior_values = {n: np.asarray(v)[None] for n, v in prior.values.items()}
    # Without σ's noise: what the law expects before it has seen a loss, but for the median's level.
    expected = np.asarray(prior.loc)[:PRIOR_DRAWS, kept]

    names, dims = _named(spec, values), _dims(spec)
    groups = {
        "posterior": names,
        "log_likelihood": {"log_loss": loglik.astype(np.float32)},
        "prior": _named(spec, prior_values),
        "posterior_predictive": {"log_loss": (loc + scale * noise)[None].astype(np.float32)},
        "prior_predictive": {"log_loss": expected[None].astype(np.float32)},
        "observed_data": {"log_loss": np.asarray(rows.log_loss)[kept]},
        "constant_data": _design(runs),
        "sample_stats": {
            "energy": draws.energy,
            "diverging": draws.diverging.astype(bool),
            "n_steps": draws.steps.astype(int),
            "acceptance_rate": draws.accept,
        },
    }
    coords: dict[str, Any] = {
        "domain": list(runs.domains),
        "lineage": list(lineages),
        "run": runs.table["run_id"].to_numpy(str),
        **_terms(spec),
    }
    tree = from_dict(groups, coords=coords, dims=dims)
    # Its variables have the parameters' names but one number a draw: apart, without their dims.
    log_prior = {n: np.asarray(v).reshape(chain, draw) for n, v in said.log_prior.items()}
    tree["log_prior"] = from_dict({"log_prior": log_prior})["log_prior"]
    return tree


def point_tree(spec: Spec, point: PointFit, runs: Runs) -> Any:
    """The groups of a point fit: a posterior of one draw."""
    fixed = dict(spec.fixed)
    values = {
        n: (v[0] if spec.law.parameters[n].across == "shared" else v)[None, None]
        for n, v in point.theta.items()
        if n not in fixed
    }
    return from_dict(
        {
            "posterior": {**values, "sigma": point.sigma[None, None]},
            "observed_data": {"log_loss": np.log(runs.table["loss"].to_numpy(float))},
            "sample_stats": {"objective": np.array([[point.objective]])},
            "constant_data": {
                **_design(runs),
                "optimum": np.array([o.objective for o in point.optima]),
                "optimum_starts": np.array([o.starts for o in point.optima]),
            },
        },
        coords={"domain": list(runs.domains), "run": np.arange(len(runs)), **_terms(spec)},
        dims=_dims(spec),
    )


def _design(runs: Runs) -> dict[str, np.ndarray]:
    """What was trained: the inputs and the trunk of every run, and the number of the domain that it
    was measured on."""
    inputs = {n: runs.table[n].to_numpy(float) for n in _INPUTS}
    measured = np.array([runs.domains.index(d) for d in runs.table["domain"]])
    return {**inputs, "trunk": lineages_of(runs), "measured_on": measured}


def _terms(spec: Spec) -> dict[str, list[str]]:
    """The names of a law's terms, as the coordinate of its shares."""
    names = getattr(spec.law, "term_names", ())
    return {"shares_term": list(names)} if names else {}


def _described(p: Programs, z: np.ndarray, rows: Rows, centring: Mapping[str, Any]) -> Described:
    """`describe` in pieces of one size: one program for any number of points, in little memory."""
    count = DESCRIBED // 4 if DESCRIBED * np.size(rows.kept) > KEPT_DENSITIES else DESCRIBED
    pieces = [
        p.describe(np.resize(z[i : i + count], (count, z.shape[1])), rows, centring)
        for i in range(0, len(z), count)
    ]
    return jax.tree.map(lambda *parts: np.concatenate(parts)[: len(z)], *pieces)


def _named(spec: Spec, values: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Site values with the domain axis that a single-domain fit leaves out."""
    every = {**spec.law.parameters, "sigma": SIGMA}
    single = {n for n, q in every.items() if spec.domains == 1 and q.across != "shared"}
    return {n: v[:, :, None] if n in single else v for n, v in values.items()}


def _dims(spec: Spec) -> dict[str, list[str]]:
    dims: dict[str, list[str]] = {
        "log_loss": ["run"],
        "trunk": ["run"],
        "measured_on": ["run"],
        **{n: ["run"] for n in _INPUTS},
        "lineage_offset": ["lineage"],
    }
    for n, q in {**spec.law.parameters, "sigma": SIGMA}.items():
        inner = [f"{n}_term"] if q.prior.event_shape else []
        per_domain = [] if q.across == "shared" else ["domain"]
        dims[n] = per_domain + inner
        unconstrained = [f"{n}_coordinate"] if inner else []
        dims[f"{n}_mean"] = inner
        dims[f"{n}_spread"] = unconstrained
        dims[f"{n}_offset"] = ["domain", *unconstrained]
    return dims
