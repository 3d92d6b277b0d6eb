"""backtest: fit the smaller runs, predict the larger ones, and say how often the intervals held."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from scipy.stats import gaussian_kde

from bayeslaw.card import card
from bayeslaw.errors import FitError
from bayeslaw.infer.allowed import allowed
from bayeslaw.infer.assess import Assessment, assess, kept, mixed
from bayeslaw.infer.discrepancy import Discrepancy
from bayeslaw.infer.fit import usable
from bayeslaw.infer.model import STUDENT_DF, inputs_of, predict
from bayeslaw.infer.point import bootstrap, minimise
from bayeslaw.infer.precision import double
from bayeslaw.infer.refit import Table, preview
from bayeslaw.infer.stack import MIN_TRAIN
from bayeslaw.laws import Law, find_law
from bayeslaw.runs import Runs, compute_of

SCHEMA = 1
CUTS = (0.5, 0.6, 0.7, 0.8, 0.9)
KINDS = ("mean", "run", "calibrated", "huber")
BOOTSTRAPS = 1000
DRAWS = 4000  # of the predictive distribution that is scored
FAR = 1e-12  # least density: a score of -28 nats, where a kernel estimate says nothing

By = Literal["flops", "params"]


@dataclass(frozen=True)
class BacktestRow:
    """How one kind of interval did at one cut; averages over the runs beyond it.

    cov…: share of the runs inside the central interval of that probability. width90: of that
    interval. interval_score: that width, and 20 times what misses it. crps: continuous ranked
    probability score. log_score: log density of the measured loss (kernel estimate). All in nats
    per token. error: mean |median prediction / loss - 1|.
    """

    cut: float
    kind: str
    n_train: int
    n_test: int
    cov50: float
    cov80: float
    cov90: float
    cov95: float
    width90: float
    interval_score: float
    crps: float
    log_score: float
    error: float


@dataclass(frozen=True)
class Backtest:
    """Rows by cut and kind. laws: cut -> law -> weight. skipped: cuts that could not be made."""

    by: str
    rows: tuple[BacktestRow, ...]
    laws: dict[float, dict[str, float]]
    skipped: dict[float, str]

    def to_json(self) -> dict[str, Any]:
        return {
            "schema": SCHEMA,
            "by": self.by,
            "rows": [asdict(row) for row in self.rows],
            "laws": {f"{cut:g}": weights for cut, weights in self.laws.items()},
            "skipped": {f"{cut:g}": why for cut, why in self.skipped.items()},
        }

    def table(self) -> pd.DataFrame:
        return pd.DataFrame([asdict(row) for row in self.rows])

    def to_dataframe(self) -> pd.DataFrame:
        """A row for every cut and kind of interval."""
        return self.table()

    def _repr_html_(self) -> str:
        shown = ("cut", "kind", "n_test", "cov50", "cov90", "width90", "crps", "error")
        rows = [{n: getattr(r, n) for n in shown} for r in self.rows]
        skipped = [f"cut {cut:g} left out: {why}" for cut, why in self.skipped.items()]
        return card(f"Backtest by {self.by}", skipped, rows)


def backtest(
    runs: Runs,
    laws: Sequence[str | Law] | None = None,
    by: By = "flops",
    cuts: Sequence[float] = CUTS,
    seed: int = 0,
    progress: Callable[[str], None] = lambda _: None,
) -> Backtest:
    """Fit the share `cut` of the runs that is smallest by compute or size, predict the others.

    Everything is as in `fit` and `forecast`, from the smaller runs alone: weights of the laws,
    their posteriors (by importance-weighted draws around the mode), the scale of the discrepancy.
    Kinds: `mean`, `run`, `calibrated`, and `huber`: the point fit of the first law with 1000
    bootstraps and its own residuals as noise.

    laws: names or `Law`s; None takes all that the table allows. Raises `FitError` when no cut
    leaves enough runs on both sides.
    """
    refuse_cuts(by, cuts)
    chosen = [find_law(law) for law in laws] if laws else allowed(runs)
    used = usable(runs, chosen)
    if len({rows.digest for rows in used}) > 1:
        raise FitError("these laws are fitted to different rows: backtest them apart")
    with double():
        tables = {law.name: Table.of(used[0], law) for law in chosen}
    size = compute_of(used[0]) if by == "flops" else used[0].table["params"].to_numpy(float)
    rows: list[BacktestRow] = []
    weights, skipped = {}, {}
    for cut in cuts:
        progress(f"the smaller {100 * cut:g} %")
        train = size <= np.quantile(size, cut)
        test = ~train & _known(used[0], train)
        if train.sum() < MIN_TRAIN or not test.any():
            skipped[cut] = f"{train.sum()} runs to fit, {test.sum()} to predict"
            continue
        found = cut_at(tables, train, test, seed)
        weights[cut] = found.weights
        draws = found.kinds(used[0], test, seed)
        loss = used[0].table["loss"].to_numpy(float)[test]
        rows += [
            BacktestRow(cut, kind, int(train.sum()), int(test.sum()), **scores(draws[kind], loss))
            for kind in KINDS
        ]
    if not rows:
        said = "; ".join(f"{cut:g}: {why}" for cut, why in skipped.items())
        raise FitError(f"no cut leaves enough runs on both sides ({said}); at least {MIN_TRAIN}")
    return Backtest(by, tuple(rows), weights, skipped)


def _known(runs: Runs, train: np.ndarray) -> np.ndarray:
    """Runs on domains that the part to be fitted has."""
    domain = runs.table["domain"]
    return domain.isin(set(domain[train])).to_numpy()


@dataclass(frozen=True)
class Cut:
    """What the runs in `train` say of those in `test`: draws (draw, run) of log loss."""

    mean: np.ndarray
    run: np.ndarray
    huber: np.ndarray
    assessment: Assessment
    weights: dict[str, float]

    def kinds(self, runs: Runs, test: np.ndarray, seed: int) -> dict[str, np.ndarray]:
        """Kind of interval -> draws (draw, run) of the loss."""
        beyond = discrepancies(self.assessment.discrepancy, runs, test, len(self.run), seed)
        every = (self.mean, self.run, self.run + beyond, self.huber)
        return {kind: np.exp(draws) for kind, draws in zip(KINDS, every, strict=True)}


def refuse_cuts(by: str, cuts: Sequence[float]) -> None:
    """Raise `FitError` for what runs cannot be ordered by, and for shares that leave none."""
    if by not in ("flops", "params"):
        raise FitError(f"by is flops or params, got '{by}'")
    if not cuts or not all(0 < cut < 1 for cut in cuts):
        raise FitError(f"cuts lie between 0 and 1, got {', '.join(f'{c:g}' for c in cuts)}")


def cut_at(tables: dict[str, Table], train: np.ndarray, test: np.ndarray, seed: int) -> Cut:
    """Fit the runs in `train` (masks) as `fit` would, and predict those in `test`."""
    found = assess(tables, train, seed)
    good = kept(found.standings)
    predicted = [preview(tables[s.law], train, seed) for s in good]
    rng = np.random.default_rng(seed)
    mean, run, scale = (
        _resampled(mixed([part[:, test] for part in parts], good))
        for parts in (
            [p.mean for p in predicted],
            [p.run for p in predicted],
            [p.scale for p in predicted],
        )
    )
    noisy = run + scale * rng.standard_t(STUDENT_DF, run.shape)
    huber = _huber(next(iter(tables.values())), train, test, seed, rng)
    return Cut(mean, noisy, huber, found, {s.law: s.weight for s in good})


def _resampled(draws: np.ndarray) -> np.ndarray:
    return draws[np.linspace(0, len(draws) - 1, DRAWS).astype(int)]


def discrepancies(
    discrepancy: Discrepancy, runs: Runs, test: np.ndarray, draws: int, seed: int
) -> np.ndarray:
    """Draws (draw, run) of the discrepancy at the runs in `test`, each on its own domain."""
    t = runs.table[test]
    every = discrepancy.sample(inputs_of(t), len(runs.domains), draws, seed)
    domain = [runs.domains.index(d) for d in t["domain"]]
    return every[:, np.arange(len(t)), domain]


def _huber(
    table: Table, train: np.ndarray, test: np.ndarray, seed: int, rng: np.random.Generator
) -> np.ndarray:
    """What is done today: draws (draw, run) of log loss."""
    with double():
        rows = table.part(train)
        point = minimise(table.spec, rows, seed, starts=8)
        theta = bootstrap(table.spec, rows, point, BOOTSTRAPS, seed)
        curves = np.asarray(_every(table, rows, theta))
        residuals = table.in_order(
            np.asarray(rows.log_loss)
            - np.asarray(_every(table, rows, {n: v[None] for n, v in point.theta.items()})[0])
        )
    domain = table.runs.table["domain"].to_numpy()
    log_loss = _resampled(table.in_order(curves)[:, test])
    for name in set(domain[test]):
        here = np.flatnonzero(domain[test] == name)
        pool = residuals[train & (domain == name)]
        log_loss[:, here] += rng.choice(pool, (DRAWS, len(here)))
    return log_loss


def _every(table: Table, rows: Any, theta: dict[str, np.ndarray]) -> Any:
    import jax

    law = table.spec.law
    return jax.jit(jax.vmap(lambda t: predict(law, rows.run, rows.at, t)))(theta)


def scores(draws: np.ndarray, loss: np.ndarray) -> dict[str, float]:
    """Scores of predictive draws (draw, run) at the measured losses (run,)."""
    found: dict[str, float] = {}
    for prob in (50, 80, 90, 95):
        tail = (1 - prob / 100) / 2
        low, high = np.quantile(draws, [tail, 1 - tail], axis=0)
        found[f"cov{prob}"] = float(((loss >= low) & (loss <= high)).mean())
        if prob == 90:
            missed = np.maximum(low - loss, 0) + np.maximum(loss - high, 0)
            found["width90"] = float((high - low).mean())
            found["interval_score"] = float((high - low + 20 * missed).mean())
    found["crps"] = float(crps(draws, loss).mean())
    density = [_density(d, y) for d, y in zip(draws.T, loss, strict=True)]
    found["log_score"] = float(np.log(np.maximum(density, FAR)).mean())
    found["error"] = float(np.abs(np.median(draws, axis=0) / loss - 1).mean())
    return found


def crps(draws: np.ndarray, loss: np.ndarray) -> np.ndarray:
    """Continuous ranked probability score of each run, E|X - y| - E|X - X'| / 2; (draw, run) and
    (run,)."""
    ordered = np.sort(draws, axis=0)
    rank = (2 * np.arange(1, len(draws) + 1) - len(draws) - 1)[:, None]
    return np.abs(draws - loss).mean(0) - (rank * ordered).sum(0) / len(draws) ** 2


def _density(draws: np.ndarray, at: float) -> float:
    # A few draws far out would widen the kernel of all: those beyond 8 times the middle half go.
    low, middle, high = np.quantile(draws, [0.25, 0.5, 0.75])
    inner = draws[np.abs(draws - middle) <= 8 * (high - low) + 1e-12]
    if not inner.std() > 1e-9 * abs(middle):
        return float(abs(at - middle) <= 1e-9 * abs(middle))
    return float(gaussian_kde(inner)(at)[0])
