"""calibrate: simulate sweeps from a law's prior, fit them, and see whether intervals are honest."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
from scipy.stats import chi2

from bayeslaw.errors import FitError
from bayeslaw.infer.fit import usable
from bayeslaw.infer.model import SHEAR, STUDENT_DF, Spec, density, non_centred
from bayeslaw.infer.precision import double
from bayeslaw.infer.refit import Table
from bayeslaw.infer.sample import Settings, compiled, modes, prior_draws, sample
from bayeslaw.laws import Law, find_law
from bayeslaw.runs import Runs

SCHEMA = 1
KEPT = 99  # draws that a truth is ranked among: 100 possible ranks
BINS = 10
QUICK = Settings(threads=1, starts=4, chains=8, draws=2, longest=20, attempts=2, nuts_chains=0)
LEVELS = (50, 90, 95)


@dataclass(frozen=True)
class Calibration:
    """Ranks of true parameters among posterior draws, simulation by simulation.

    ranks: (simulation, parameter), 0 to 99; uniform where the sampler is right (Talts et al. 2018,
    arXiv:1804.06788). refused: simulations whose fit did not pass the gate; they are counted among
    the ranks all the same, because leaving them out would flatter.
    """

    law: str
    parameters: tuple[str, ...]
    ranks: np.ndarray
    refused: int

    @property
    def simulations(self) -> int:
        return len(self.ranks)

    def coverage(self, level: int) -> np.ndarray:
        """(parameter,): how often the central interval of `level` % holds the truth."""
        tail = (100 - level) / 200 * (KEPT + 1)
        return ((self.ranks >= tail) & (self.ranks < KEPT + 1 - tail)).mean(0)

    def p_values(self) -> np.ndarray:
        """Of a χ² test that ranks are uniform over ten bins, (parameter,)."""
        counts = np.stack(
            [np.bincount(r * BINS // (KEPT + 1), minlength=BINS) for r in self.ranks.T]
        )
        expected = self.simulations / BINS
        return chi2.sf(((counts - expected) ** 2 / expected).sum(1), BINS - 1)

    def to_json(self) -> dict[str, Any]:
        p = self.p_values()
        cover = {level: self.coverage(level) for level in LEVELS}
        return {
            "schema": SCHEMA,
            "law": self.law,
            "simulations": self.simulations,
            "refused": self.refused,
            "parameters": [
                {
                    "name": name,
                    "p_value": float(p[j]),
                    **{f"cov{level}": float(cover[level][j]) for level in LEVELS},
                }
                for j, name in enumerate(self.parameters)
            ],
            "monte_carlo_sd90": float(np.sqrt(0.09 / self.simulations)),
        }

    def draw(self, file: str | Path) -> Path:
        """ECDFs of the ranks against their 99 % band (ArviZ), as a PNG."""
        import arviz_plots as azp
        import xarray as xr

        from bayeslaw.whole import whole

        pit = (self.ranks + 0.5) / (KEPT + 1)
        data = xr.Dataset(
            {n: (("chain", "draw"), pit[None, :, j]) for j, n in enumerate(self.parameters)}
        )
        tree = xr.DataTree.from_dict({"prior_sbc": data})
        drawn = azp.plot_ecdf_pit(tree, group="prior_sbc", ci_prob=0.99, backend="matplotlib")
        with whole(Path(file)) as beside:
            drawn.viz["figure"].item().savefig(beside, dpi=110, format="png")
        return Path(file)


def calibrate(
    law: str | Law,
    design: Runs,
    simulations: int = 200,
    seed: int = 0,
    progress: Callable[[str, float], None] = lambda *_: None,
) -> Calibration:
    """Simulation-based calibration of `law` on the inputs of `design`.

    Every simulation draws parameters and noise from the prior, makes the losses of `design`'s runs
    from them, fits, and ranks the truth among the posterior's draws, coordinate by coordinate on
    the real line. Anchor and prior centre are the design's own and stay fixed.

    Raises `FitError` when there is nothing to simulate, `RunsError` as `fit` does.
    """
    if simulations < 2:
        raise FitError(f"simulations must be 2 or more, got {simulations}")
    law = find_law(law)
    (used,) = usable(design, [law])
    with double():
        table = Table.of(used, law)
        spec, settings = table.spec, replace(QUICK, prior_draws=simulations)
        p, rows = compiled(spec, settings), jax.device_put(table.rows)
        truth = prior_draws(spec, seed, settings)
        centring = non_centred(spec)
        said = p.describe(truth, rows, centring)
        rng = np.random.default_rng([seed, 1])
        noise = rng.standard_t(STUDENT_DF, said.loc.shape)
        losses = np.asarray(said.loc) + np.asarray(said.scale) * noise

    def one(i: int) -> tuple[np.ndarray, bool]:
        with double():
            seen = jax.device_put(table.rows._replace(log_loss=losses[i]))
            others = [truth[(i + 1 + j) % simulations] for j in range(settings.starts - 1)]
            # The truth is a draw from the posterior: as good a start as there is.
            starts = np.stack([truth[i], *others])
            found = modes(spec, seen, seed, settings, None if centring else starts)
            if not found:
                return np.zeros(truth.shape[1], int), False
            draws = sample(spec, seen, found, seed + i, settings)
            flat = draws.z.reshape(-1, draws.z.shape[-1])
            thin = flat[np.linspace(0, len(flat) - 1, KEPT).astype(int)]
            # Coordinates that were chosen anew are compared in the old ones.
            if centring:
                thin = _old(spec, thin, draws.centring, centring)
        return (thin < truth[i]).sum(0), draws.diagnostics.passed

    first = one(0)  # compiles; after it, threads only run
    found = [first]
    with ThreadPoolExecutor(2) as pool:
        for i, result in enumerate(pool.map(one, range(1, simulations))):
            found.append(result)
            progress(f"{i + 2} of {simulations}", (i + 2) / simulations)
    ranks = np.array([r for r, _ in found])
    refused = sum(not passed for _, passed in found)
    return Calibration(law.name, _names(spec), ranks, refused)


def _old(spec: Spec, z: np.ndarray, chosen: Any, centring: Any) -> np.ndarray:
    """Points in the coordinates `chosen`, in those of `centring`."""
    d = density(spec)
    values = jax.vmap(d.unravel, (0, None))(z, chosen)
    values = {n: np.array(v) for n, v in values.items()}
    for name, c in chosen.items():
        if name == SHEAR:  # `unravel` has taken it out
            continue
        spread = np.exp(values[f"{name}_spread"])
        mean = values.get(f"{name}_mean", np.zeros(len(z)))
        extra = np.ndim(values[f"{name}_offset"]) - np.ndim(mean)
        mean, spread = (
            v.reshape(len(z), *([1] * extra), *v.shape[1:]) for v in (np.asarray(mean), spread)
        )
        off = spread ** (1 - c) * (values[f"{name}_offset"] - c * mean)
        values[f"{name}_offset"] = off / spread
    return np.asarray(jax.vmap(d.ravel, (0, None))(values, centring))


def _names(spec: Spec) -> tuple[str, ...]:
    """A name for every coordinate."""
    d = density(spec)
    parts = d.unravel(np.arange(d.size, dtype=float), non_centred(spec))
    names = []
    for site in sorted(parts):
        size = int(np.size(parts[site]))
        names += [site] if size == 1 else [f"{site} {i}" for i in range(size)]
    return tuple(names)
