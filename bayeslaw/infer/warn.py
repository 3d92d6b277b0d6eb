"""Warnings that a planner can act on: what a sweep cannot tell, in codes with numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpyro.distributions import biject_to

from bayeslaw.infer.diagnose import MAX_KHAT, pareto_k
from bayeslaw.infer.ensemble import Ensemble
from bayeslaw.infer.posterior import Posterior
from bayeslaw.infer.precision import double

SPAN = 0.5  # decades that a ratio must vary over, to tell the two sides apart
LEVELS = 3  # of each input
CONTRACTION = 0.3  # of the prior's variance (in log space) that data should take away
CONFLICT = 2.5  # prior sd between prior and posterior
NOISY = 3.0  # ratio of the domains' σ
SHORT = 2.0  # tokens per parameter
MANY = 0.1  # of the runs
SHARE = 0.05  # of mass


@dataclass(frozen=True)
class Caution:
    """One thing to mind. law: empty where it is of the sweep and not of a law."""

    code: str
    message: str
    numbers: dict[str, Any]
    law: str = ""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def cautions(fitted: Ensemble) -> list[Caution]:
    """All of a fit: of its sweep, then of each law with weight. Point fits have no draws to look
    at."""
    members = [m for m in fitted.members if m.weight > 0 or not fitted.passed]
    found = [c for check in _OF_SWEEP for c in check(fitted.members[0])]
    for m in members:
        if "prior" in m.tree:
            found += [c for check in _OF_LAW for c in check(m)]
    return found


def _inputs(m: Posterior) -> dict[str, np.ndarray]:
    if "constant_data" not in m.tree:
        return {}
    group = m.tree["constant_data"]
    names = ("params", "pretrain_tokens", "specialize_tokens")
    return {n: group[n].to_numpy() for n in names if n in group}


def _span(values: np.ndarray) -> float:
    return float(np.log10(values.max() / values.min())) if len(values) else 0.0


def collinear_design(m: Posterior) -> Iterator[Caution]:
    """One ratio D/N in all runs cannot tell α from β."""
    x = _inputs(m)
    if not x:
        return
    n, d = x["params"], x["pretrain_tokens"]
    ratio = d[d > 0] / n[d > 0]
    if len(ratio) and _span(ratio) < SPAN:
        yield Caution(
            "collinear_design",
            f"D/N spans {_span(ratio):.2f} decades: size and data cannot be told apart; vary D at "
            "fixed N",
            {"decades": _span(ratio)},
        )


def collinear_stages(m: Posterior) -> Iterator[Caution]:
    """One ratio D′/D in all branches cannot tell the stages apart."""
    x = _inputs(m)
    if not x or not (x["specialize_tokens"] > 0).any():
        return
    both = (x["specialize_tokens"] > 0) & (x["pretrain_tokens"] > 0)
    ratio = x["specialize_tokens"][both] / x["pretrain_tokens"][both]
    if _span(ratio) < SPAN:
        yield Caution(
            "collinear_stages",
            f"D′/D spans {_span(ratio):.2f} decades: the stages cannot be told apart; branch one "
            "trunk at several D′",
            {"decades": _span(ratio)},
        )


def few_levels(m: Posterior) -> Iterator[Caution]:
    """Two levels of an input fit any exponent."""
    for name, values in _inputs(m).items():
        positive = np.unique(np.round(np.log(values[values > 0]), 2))
        if 0 < len(positive) < LEVELS:
            yield Caution(
                "few_levels",
                f"{name} has {len(positive)} levels; {LEVELS} or more fix an exponent",
                {"input": name, "levels": len(positive)},
            )


def short_runs(m: Posterior) -> Iterator[Caution]:
    """Runs of few tokens a parameter hardly leave the warm-up: they follow no law."""
    x = _inputs(m)
    if not x:
        return
    share = float(((x["pretrain_tokens"] + x["specialize_tokens"]) < SHORT * x["params"]).mean())
    if share > MANY:
        yield Caution(
            "short_runs",
            f"{100 * share:.0f} % of the runs have fewer than {SHORT:g} tokens a parameter; such "
            "runs rarely finish their schedule's decay well: look at their residuals",
            {"share": share, "tokens_per_param": SHORT},
        )


def _both(m: Posterior, name: str) -> tuple[np.ndarray, np.ndarray] | None:
    """Posterior and prior draws of a parameter (of its mean over domains) on the real line."""
    site = f"{name}_mean" if f"{name}_mean" in m.tree["posterior"] else name
    if site not in m.tree["posterior"] or site not in m.tree["prior"]:
        return None
    q = m.law.parameters[name]
    inverse = biject_to(q.prior.support).inv
    draws = [np.asarray(m.tree[g][site], float) for g in ("posterior", "prior")]
    event = len(q.prior.event_shape)
    with double():
        real = [np.asarray(inverse(d.reshape(-1, *d.shape[d.ndim - event :]))) for d in draws]
    return real[0], real[1]


def weak_exponent(m: Posterior) -> Iterator[Caution]:
    """The posterior of an exponent is hardly narrower than its prior."""
    for name in m.law.slopes:
        both = _both(m, name)
        if both is None:
            continue
        contraction = float(1 - both[0].var() / both[1].var())
        if contraction < CONTRACTION:
            yield Caution(
                "weak_exponent",
                f"{name}: data took {100 * max(contraction, 0):.0f} % of the prior's variance; "
                "it is what the prior says",
                {"parameter": name, "contraction": contraction},
                m.law.name,
            )


def weak_floor(m: Posterior) -> Iterator[Caution]:
    """The floor may be anywhere."""
    terms = getattr(m.law, "term_names", ())
    if "floor" not in terms or "shares" not in m.theta:
        return
    share = m.theta["shares"][:, :, terms.index("floor")]
    low, high = (float(q) for q in np.quantile(share.mean(1), [0.05, 0.95]))
    if high - low > 0.4:
        yield Caution(
            "weak_floor",
            f"the floor is {100 * low:.0f} to {100 * high:.0f} % of the loss at the anchor: larger "
            "runs would tell",
            {"low": low, "high": high},
            m.law.name,
        )


def influential_runs(m: Posterior) -> Iterator[Caution]:
    """Runs without which the posterior would be another (PSIS leave-one-out)."""
    density = m.tree["log_likelihood"]["log_loss"].to_numpy().astype(float)
    density = density.reshape(-1, density.shape[-1])
    k = np.array([pareto_k(-row)[1] for row in density.T])
    high = np.flatnonzero(k > MAX_KHAT)
    if len(high):
        names = [str(r) for r in m.tree["log_likelihood"]["run"].to_numpy()[high]]
        yield Caution(
            "influential_runs",
            f"{len(high)} runs move the posterior (k-hat up to {k.max():.2f}): "
            + ", ".join(names[:5]),
            {"runs": names, "k_hat": float(k.max())},
            m.law.name,
        )


def modes_disagree(m: Posterior) -> Iterator[Caution]:
    """Several separated modes hold mass, or few starts found the best one."""
    d = m.diagnostics
    second = sorted(d.modes)[-2] if len(d.modes) > 1 else 0.0
    if second > SHARE or d.agree < d.starts / 4:
        yield Caution(
            "modes_disagree",
            f"{d.agree} of {d.starts} starts agree; {len(d.modes)} modes, the second with "
            f"{100 * second:.0f} % of the mass",
            {"agree": d.agree, "starts": d.starts, "second": second},
            m.law.name,
        )


def prior_conflict(m: Posterior) -> Iterator[Caution]:
    """The data put a parameter where the prior hardly goes."""
    for name in m.law.parameters:
        both = _both(m, name) if not (m.fixed and name in m.fixed) else None
        if both is None:
            continue
        away = np.abs(both[0].mean(0) - both[1].mean(0)) / both[1].std(0)
        if float(np.max(away)) > CONFLICT:
            yield Caution(
                "prior_conflict",
                f"{name} lies {float(np.max(away)):.1f} prior sd from the prior's centre: look at "
                "--priors, and at the runs",
                {"parameter": name, "prior_sd": float(np.max(away))},
                m.law.name,
            )


def noise_differs(m: Posterior) -> Iterator[Caution]:
    """One domain is much noisier than another."""
    sigma = m.sigma.mean(0)
    ratio = float(sigma.max() / sigma.min())
    if ratio > NOISY:
        worst = m.domains[int(sigma.argmax())]
        yield Caution(
            "noise_differs",
            f"noise differs {ratio:.1f}-fold between domains; {worst} is noisiest",
            {"ratio": ratio, "noisiest": worst},
            m.law.name,
        )


Check = Callable[[Posterior], Iterator[Caution]]
_OF_SWEEP: tuple[Check, ...] = (collinear_design, collinear_stages, few_levels, short_runs)
_OF_LAW: tuple[Check, ...] = (
    weak_exponent, weak_floor, influential_runs, modes_disagree, prior_conflict, noise_differs,
)  # fmt: skip


def far(factors: Mapping[str, float]) -> list[Caution]:
    """`far` where a design leaves the sweep more than tenfold along something."""
    return [
        Caution("far", f"{name} is {factor:.3g} times beyond the sweep", {name: factor})
        for name, factor in factors.items()
        if factor > 10
    ]
