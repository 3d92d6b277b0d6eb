"""A posterior over one law: draws, anchor, data it came from, and how far it can be trusted."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from importlib.metadata import version
from types import SimpleNamespace
from typing import Any

import jax
import numpy as np
import pandas as pd
import xarray as xr

from bayeslaw.card import card
from bayeslaw.infer.diagnose import Diagnostics
from bayeslaw.infer.model import LINEAGE_SD, SIGMA, STUDENT_DF, Likelihood, held
from bayeslaw.laws import Anchor, Law, find_law

# A steep term of a fit that does not identify it, read at one token, may be larger than any float.
HUGE = 1e100

SCHEMA = 1


@dataclass(frozen=True, eq=False)
class Posterior:
    """Draws of one law's parameters, and everything needed to use and to judge them.

    `tree` holds the ArviZ groups: `posterior` (variables over chain, draw and, where a parameter
    differs between domains, domain), `sample_stats`, `log_likelihood`, `log_prior`, `prior`,
    `posterior_predictive`, `observed_data`.
    """

    law: Law
    likelihood: Likelihood
    method: str
    anchor: Anchor  # inputs are floats; loss has shape (domain,)
    domains: tuple[str, ...]
    ranges: Mapping[str, tuple[float, float]]  # smallest and largest training value of each input
    runs_digest: str
    counts: Mapping[str, int]
    diagnostics: Diagnostics
    tree: xr.DataTree
    weight: float = 1.0
    fixed: Mapping[str, Any] | None = None  # parameter -> the value it was held at

    @property
    def passed(self) -> bool:
        return self.diagnostics.passed

    @cached_property
    def theta(self) -> dict[str, np.ndarray]:
        """Law parameter -> (draw, domain, …), chains joined."""
        return {name: self._values(name) for name in self.law.parameters}

    @cached_property
    def sigma(self) -> np.ndarray:
        """Noise of log loss, (draw, domain)."""
        return self._values("sigma")

    @cached_property
    def lineage_sd(self) -> np.ndarray | None:
        """sd of what the runs of one trunk share, (draw,); None where every run stands alone."""
        posterior, name = self.tree["posterior"], "lineage_spread"
        return np.asarray(posterior[name]).reshape(-1) if name in posterior else None

    def _values(self, name: str) -> np.ndarray:
        posterior = self.tree["posterior"]
        if self.fixed and name in self.fixed:
            draws = posterior.sizes["chain"] * posterior.sizes["draw"]
            every = held(self.fixed[name], self.law.parameters[name], len(self.domains))
            return np.repeat(every[None], draws, axis=0)
        array = posterior[name]
        values = np.asarray(array).reshape(-1, *array.shape[2:])
        if "domain" not in array.dims:
            values = np.repeat(values[:, None], len(self.domains), axis=1)
        return values

    def to_dataframe(self) -> pd.DataFrame:
        """A row for every draw (chains joined), a column for every parameter, by its name in the
        law; `name[domain]` where domains differ, `name[domain,term]` of a vector. Then sigma."""
        columns: dict[str, np.ndarray] = {}
        for name, values in {**self.theta, "sigma": self.sigma}.items():
            param = self.law.parameters.get(name)
            shared = param is not None and param.across == "shared"
            for at in np.ndindex(*values.shape[1:]):
                if shared and at[0]:
                    continue
                said = [] if shared else [self.domains[at[0]]]
                said += [str(i) for i in at[1:]]
                key = f"{name}[{','.join(said)}]" if said else name
                columns[key] = values[(slice(None), *at)]
        return pd.DataFrame(columns)

    def _repr_html_(self) -> str:
        d = self.diagnostics
        facts = [self.law.formula, f"{len(self.domains)} domains: {', '.join(self.domains)}"]
        if self.method == "nuts":
            facts.append(
                f"R-hat {d.r_hat:.3f}, ESS {d.ess_bulk:.0f} bulk and {d.ess_tail:.0f} tail, "
                f"{d.divergences} divergences"
            )
        draws = self.to_dataframe()
        rows = []
        for name in draws:
            low, middle, high = (float(v) for v in np.quantile(draws[name], [0.05, 0.5, 0.95]))
            rows.append({"parameter": str(name), "median": middle, "90 %": [low, high]})
        title = f"Posterior of {self.law.name}: {len(draws)} draws ({self.method})"
        return card(title, [f for f in facts if f], rows, d.failures)

    def published(self) -> xr.Dataset:
        """The draws in the published parametrisation (E, A, B, …), over (draw, domain), of `HUGE`
        at most."""
        theta = SimpleNamespace(
            **{
                n: np.moveaxis(v, range(2, v.ndim), range(v.ndim - 2))
                for n, v in self.theta.items()
            }
        )
        with np.errstate(over="ignore"):
            values = self.law.published(self.anchor, theta)
        return xr.Dataset(
            {n: (("draw", "domain"), np.minimum(v, HUGE)) for n, v in values.items()},
            coords={"domain": list(self.domains)},
        )

    def attributes(self) -> dict[str, Any]:
        """What the file says beside the draws, as netCDF attributes."""
        about = {
            "law": self.law.name,
            "law_spec": getattr(self.law, "spec", self.law.name),
            "formula": self.law.formula,
            "likelihood": self.likelihood,
            "method": self.method,
            "domains": list(self.domains),
            "anchor": {n: np.asarray(v).tolist() for n, v in self.anchor._asdict().items()},
            "ranges": {n: list(r) for n, r in self.ranges.items()},
            "runs_digest": self.runs_digest,
            "counts": dict(self.counts),
            "diagnostics": self.diagnostics.as_dict(),
            "weight": self.weight,
            "fixed": dict(self.fixed or {}),
            "versions": {n: version(n) for n in ("bayeslaw", "numpyro", "jax", "numpy")},
        }
        return {"bayeslaw_schema": SCHEMA, "bayeslaw": json.dumps(about), "law": self.law.name,
                "weight": self.weight}  # fmt: skip

    @classmethod
    def from_tree(cls, tree: xr.DataTree) -> Posterior:
        """The inverse of `attributes` and `tree`."""
        about = json.loads(tree.attrs["bayeslaw"])
        anchor = about["anchor"]
        known = {f.name for f in fields(Diagnostics)}
        diagnostics = {n: v for n, v in about["diagnostics"].items() if n in known}
        for name in ("modes", "failures"):
            diagnostics[name] = tuple(diagnostics[name])
        return cls(
            law=find_law(about["law_spec"]),
            likelihood=about["likelihood"],
            method=about["method"],
            anchor=Anchor(**{**anchor, "loss": np.array(anchor["loss"])}),
            domains=tuple(about["domains"]),
            ranges={n: tuple(r) for n, r in about["ranges"].items()},
            runs_digest=about["runs_digest"],
            counts=about["counts"],
            diagnostics=Diagnostics(**diagnostics),
            tree=tree,
            weight=about["weight"],
            fixed=about["fixed"],
        )

    def noise(self, rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        """Standard noise of the likelihood: a new run's log loss is log L + σ · noise."""
        if self.likelihood == "student":
            return rng.standard_t(STUDENT_DF, shape)
        return rng.standard_normal(shape)


def symbols(law: Law) -> dict[str, str]:
    """Parameter -> how the field writes it, for labels of plots and tables."""
    every = {**law.parameters, "sigma": SIGMA, "lineage_spread": LINEAGE_SD}
    return {n: q.symbol for n, q in every.items() if q.symbol}


def theta_tree(values: Mapping[str, Any]) -> Any:
    """Arrays on the device, for a jitted function."""
    return jax.tree.map(jax.numpy.asarray, dict(values))
