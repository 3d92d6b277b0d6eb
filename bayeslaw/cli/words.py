"""What people read: lines for a terminal of 80 columns, made from results."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bayeslaw.quantity import format_quantity, plain

if TYPE_CHECKING:
    from bayeslaw.infer.ensemble import Ensemble
    from bayeslaw.infer.posterior import Posterior

WIDTH = 80
LOPSIDED = 2.0  # one side of the 90 % interval over the other: beyond it `mean ± sd` misleads
GREEK = {"alpha": "α", "beta": "β", "gamma": "γ", "kappa": "κ"}


def table(header: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1) -> list[str]:
    """Columns as wide as they need; the first `left` of them flush left, the others right."""
    every = [header, *rows]
    widths = [max(len(r[j]) for r in every) for j in range(len(header))]
    return [
        "  ".join(
            c.ljust(w) if j < left else c.rjust(w)
            for j, (c, w) in enumerate(zip(r, widths, strict=True))
        ).rstrip()
        for r in every
    ]


def failures(fitted: Ensemble) -> list[str]:
    """What is wrong with a fit."""
    lines = [
        f"{m.law.name} FAILED its checks: {'; '.join(m.diagnostics.failures)}"
        for m in fitted.members
        if not m.passed
    ]
    if lines and not fitted.passed:
        lines.append("no law passed: this fit is not to be relied on")
    return [part for line in lines for part in folded(line)]


def laws(entries: Sequence[dict[str, Any]]) -> list[str]:
    lines = []
    for entry in entries:
        lines += folded(f"{entry['law']}: {entry['formula']}")
        lines += ["  " + part for part in folded(f"of {', '.join(entry['inputs'])}")]
        lines += ["  " + part for part in folded(entry["source"])]
    return [*lines, "", *folded("coupled(LAW) joins the size and data terms of any sum; "
            "repeated(LAW, of=pretrain_tokens) discounts repeated tokens; FILE.py:CLASS is your "
            "own")]  # fmt: skip


def compare(entries: Sequence[dict[str, Any]]) -> list[str]:
    """A row for every law that was looked at."""
    if not any(e["score"] is not None for e in entries):
        return ["the laws were not compared: one row of the table for each", *_ranked(entries)]
    return [
        *_ranked(entries),
        "",
        *folded("score: mean log density of the runs left out, the largest lineages; behind: "
                 "below the best law's; k-hat above .7: that score is rough; elpd: PSIS, leaving "
                 "out one lineage at a time"),
    ]  # fmt: skip


def _ranked(entries: Sequence[dict[str, Any]]) -> list[str]:
    def number(value: float | None, digits: int = 2) -> str:
        return "" if value is None else f"{value:.{digits}f}"

    rows = [
        [
            e["law"],
            f"{e['weight']:.2f} ± {e['weight_sd']:.2f}",
            number(e["score"]),
            f"{e['behind']:.2f} ± {e['behind_se']:.2f}",
            number(e["k_hat"]),
            number(e["elpd"], 0),
            number(e["loo_k_hat"]),
        ]
        for e in sorted(entries, key=lambda e: -e["weight"])
    ]
    return table(["law", "weight", "score", "behind", "k-hat", "elpd", "k-hat"], rows)


def backtest(said: dict[str, Any]) -> list[str]:
    """A row for every cut and kind of interval."""
    rows = [
        [
            f"{r['cut']:g}" if i % 4 == 0 else "",
            r["kind"],
            f"{r['n_train']}/{r['n_test']}" if i % 4 == 0 else "",
            *(f"{100 * r[c]:.0f}%" for c in ("cov50", "cov90")),
            f"{r['width90']:.4f}",
            f"{r['crps']:.4f}",
            f"{r['log_score']:.2f}",
            f"{100 * r['error']:.2f}%",
        ]
        for i, r in enumerate(said["rows"])
    ]
    header = ["cut", "kind", "fit/test", "in 50%", "in 90%", "width", "CRPS", "log score", "error"]
    lines = table(header, rows, left=2)
    lines += [f"cut {cut} left out: {why}" for cut, why in said["skipped"].items()]
    weights = {
        cut: ", ".join(f"{law} {w:.2f}" for law, w in found.items())
        for cut, found in said["laws"].items()
    }
    lines += ["", *(p for cut, w in weights.items() for p in folded(f"laws at {cut}: {w}"))]
    return lines


def calibrate(said: dict[str, Any]) -> list[str]:
    """A row for every coordinate of the posterior."""
    rows = [
        [
            p["name"],
            *(f"{100 * p[c]:.1f}%" for c in ("cov50", "cov90", "cov95")),
            f"{p['p_value']:.2f}",
        ]
        for p in said["parameters"]
    ]
    return [
        *folded(f"{said['law']}: {said['simulations']} simulated sweeps; {said['refused']} fits "
                 "did not pass the gate and are counted all the same"),
        *table(["parameter", "in 50%", "in 90%", "in 95%", "p (uniform)"], rows),
        "",
        f"Monte Carlo sd of the 90% column: {100 * said['monte_carlo_sd90']:.1f} points",
    ]  # fmt: skip


def fit(
    fitted: Ensemble, summary: Sequence[str], others: dict[str, str], out: Path, seconds: float
) -> list[str]:
    lines = [part for line in summary for part in folded(line)]
    lines += ["", *diagnostics(fitted), *_not_sampled(fitted, others), "", KEY]
    for member in fitted.members:
        lines += ["", *estimates(member)]
    return [*lines, "", f"wrote {out} ({seconds:.1f} s)"]


def _not_sampled(fitted: Ensemble, others: dict[str, str]) -> list[str]:
    """Laws that came to nothing, and laws that the table does not allow."""
    members = {m.law.name for m in fitted.members}
    behind = [s.law for s in fitted.standings if s.law not in members]
    lines = [f"of no weight (see `bayeslaw compare`): {', '.join(behind)}"] if behind else []
    reasons: dict[str, list[str]] = {}
    for law, why in others.items():
        reasons.setdefault(why, []).append(law)
    lines += [f"left out: {', '.join(names)} ({why})" for why, names in reasons.items()]
    return ["", *(part for line in lines for part in folded(line))] if lines else []


def minded(found: Sequence[Any]) -> list[str]:
    """Warnings by their codes, a line or two for each."""
    lines = []
    for c in found:
        of = f" ({c.law})" if c.law else ""
        lines += folded(f"{c.code}{of}: {c.message}")
    return [*lines, ""] if lines else []


def check(fitted: Ensemble) -> list[str]:
    first = fitted.members[0]
    counts = ", ".join(f"{c} {n.replace('_', ' ')}" for n, c in first.counts.items() if c)
    spans = [
        f"  {name}  {format_quantity(lo)} … {format_quantity(hi)}"
        for name, (lo, hi) in fitted.ranges.items()
    ]
    lines = [*diagnostics(fitted), ""]
    for member in fitted.members:
        lines += sampling(member)
    return [*lines, f"method {first.method}, likelihood {first.likelihood}",
            f"rows: {counts}", f"domains: {', '.join(fitted.domains)}",
            "ranges of the runs:", *spans]  # fmt: skip


def sampling(m: Posterior) -> list[str]:
    """How the draws were made, and the modes that were found."""
    if m.method == "huber":
        return _optima(m)
    d, draws = m.diagnostics, m.tree["posterior"].sizes
    effort = f", {format_quantity(d.gradients)} gradients" if d.gradients else ""
    energy = f", BFMI {d.bfmi:.2f}" if m.method == "nuts" else ""
    lines = [f"{m.law.name}: {draws['chain']} x {draws['draw']} draws{effort}{energy}"]
    if len(d.modes) > 1:
        mass = ", ".join(f"{p:.2g}" for p in d.modes)
        lines.append(f"  {len(d.modes)} separated modes, of mass {mass}")
    return lines


def _optima(m: Posterior) -> list[str]:
    """The separated optima of a point fit, where there are several."""
    group = m.tree["constant_data"]
    found = list(zip(group["optimum"].to_numpy(), group["optimum_starts"].to_numpy(), strict=True))
    if len(found) < 2:
        return []
    each = ", ".join(f"{objective:.6g} ({starts} starts)" for objective, starts in found)
    return folded(f"{m.law.name}: {len(found)} optima, of objective {each}")


def sensitivity(moved: Mapping[str, Mapping[str, tuple[float, float]]]) -> list[str]:
    """The parameters of every law that move most with their priors."""
    rows = []
    for law, found in moved.items():
        worst = sorted(found, key=lambda n: -found[n][0])[:3]
        rows += [
            [law if i == 0 else "", GREEK.get(n, n), f"{found[n][0]:.2f}", f"{found[n][1]:.2f}"]
            for i, n in enumerate(worst)
        ]
    if not rows:
        return []
    head = ["", *folded("sensitivity to power scaling; above .05 what is scaled matters:")]
    return [*head, *table(["law", "", "prior", "likelihood"], rows, left=2)]


def diagnostics(fitted: Ensemble) -> list[str]:
    """A row for every law: its weight, what the gate saw, and the verdict."""
    weights = fitted.weights() if fitted.passed else {}
    columns = _CHECKS[fitted.members[0].method]
    header = ["law", "weight", *columns, "verdict"]
    rows = [
        [
            m.law.name,
            f"{weights.get(m.law.name, 0.0):.2f}",
            *(show(m.diagnostics) for show in columns.values()),
            _VERDICT[m.method] if m.passed else "FAILED",
        ]
        for m in fitted.members
    ]
    return table(header, rows)


_STARTS = {"starts": lambda d: f"{d.agree}/{d.starts}"}
# method -> heading -> what stands under it
_CHECKS: dict[str, dict[str, Callable[[Any], str]]] = {
    "nuts": {
        **_STARTS,
        "R-hat": lambda d: f"{d.r_hat:.3f}",
        "ESS": lambda d: f"{d.ess_bulk:.0f}",
        "tail": lambda d: f"{d.ess_tail:.0f}",
        "div.": lambda d: str(d.divergences),
    },
    "laplace": {
        **_STARTS,
        "k-hat": lambda d: f"{d.k_hat:.2f}",
        "ESS": lambda d: f"{d.ess_bulk:.0f}",
    },
    "huber": _STARTS,
}
_VERDICT = {"nuts": "converged", "laplace": "preview", "huber": "point only"}


def estimates(m: Posterior) -> list[str]:
    """The published parameters of a law, a row each, with a column for every domain; domains that
    do not fit beside each other go below."""
    published = {GREEK.get(str(n), str(n)): v.to_numpy() for n, v in m.published().items()}
    trunks = "" if m.lineage_sd is None else f"; noise between trunks {_percent(m.lineage_sd)}"
    head = folded(f"{m.law.name}: L = {m.law.formula}{trunks}")
    for brief in (False, True):
        columns = [
            [d, *(_estimate(v[:, k], brief) for v in published.values()), _percent(m.sigma[:, k])]
            for k, d in enumerate(m.domains)
        ]
        blocks = _side_by_side(["", *published, "noise σ"], columns)
        if len(blocks) == 1:
            break
    return [*head, *(line for block in blocks for line in block)]


KEY = "parameters: mean ± sd [90 % interval]; the median for the mean where lopsided"


def _side_by_side(names: list[str], columns: list[list[str]]) -> list[list[str]]:
    """Tables of as many columns as fit in the width."""
    first = max(map(len, names))
    blocks: list[list[list[str]]] = [[]]
    room = WIDTH - first
    for column in columns:
        need = 2 + max(map(len, column))
        if blocks[-1] and need > room:
            blocks.append([])
            room = WIDTH - first
        blocks[-1].append(column)
        room -= need
    out = []
    for block in blocks:
        header, *rows = zip(names, *block, strict=True)
        out.append(table(header, rows, left=len(header)))
    return out


def _estimate(draws: Any, brief: bool) -> str:
    """`mean ± sd [5 %, 95 %]`, without the interval when brief; `median [5 %, 95 %]` of a lopsided
    quantity, whose mean and sd are those of its longest tail."""
    import numpy as np

    low, median, high = (float(q) for q in np.quantile(draws, [0.05, 0.5, 0.95]))
    mean, sd = float(draws.mean()), float(draws.std())
    if not sd > 1e-9 * abs(mean):
        return plain(mean)
    up, down = high - median, median - low
    if max(up, down) > LOPSIDED * min(up, down):
        return f"{plain(median)} [{plain(low)}, {plain(high)}]"
    places = min(6, max(0, 1 - math.floor(math.log10(sd))))

    def written(value: float, digits: int = 3) -> str:
        small = max(abs(mean), sd) < 1000
        return f"{value:.{places}f}" if small else plain(value, digits)

    both = f"{written(mean)} ± {written(sd, 2)}"
    return both if brief else f"{both} [{written(low)}, {written(high)}]"


def _percent(draws: Any) -> str:
    return f"{100 * float(draws.mean()):.2f} %"


def folded(line: str) -> list[str]:
    return textwrap.wrap(line, WIDTH, subsequent_indent="  ", break_on_hyphens=False)


def forecast(answer: dict[str, Any]) -> list[str]:
    rows = answer["rows"]
    beyond = max((r["extrapolation"] for r in rows), default=1.0)
    lines = []
    if beyond > 1:
        lines.append(f"extrapolates up to {beyond:.3g}x beyond the sweep")
    lines += table(
        ["domain", "N", "D", "D′", "loss", heading(rows[0]), "beyond"],
        [
            [
                r["domain"],
                *(
                    format_quantity(r[n])
                    for n in ("params", "pretrain_tokens", "specialize_tokens")
                ),
                f"{r['mean']:.4f}",
                interval(r["interval"]),
                f"{r['extrapolation']:.3g}x",
            ]
            for r in rows
        ],
    )
    return lines


def heading(said: dict[str, Any]) -> str:
    """Over a column of intervals: their probability, and what they are intervals of."""
    return f"{100 * said['prob']:g}% ({said['kind']})"


def interval(ends: Sequence[float]) -> str:
    return f"[{ends[0]:.4f}, {ends[1]:.4f}]"


def sweep(done: Any) -> list[str]:
    if done.dry_run:
        return [
            *_prices(done.prices),
            f"{done.trained} cells to train, {done.kept} there already",
            f"{format_quantity(done.flops)} FLOPs, about {_duration(done.seconds)} here",
        ]
    lines = [f"{done.diverged} cells DIVERGED"] if done.diverged else []
    return [
        *lines,
        f"{done.trained} cells trained, {done.kept} there already",
        f"wrote {done.csv}: {done.rows} rows ({_duration(done.seconds)})",
    ]


def domains(found: Sequence[Any]) -> list[str]:
    """A row for every cluster, with as many of its words as fit."""
    rows = [
        [c.name, format_quantity(c.documents), f"{format_quantity(c.bytes)}B", ", ".join(c.terms)]
        for c in found
    ]
    lines = table(["domain", "documents", "size"], [r[:3] for r in rows])
    room = max(map(len, lines))
    last = ["words", *(r[3] for r in rows)]
    return [
        f"{line.ljust(room)}  {words}"[:WIDTH].rstrip(", ")
        for line, words in zip(lines, last, strict=True)
    ]


def _prices(prices: Sequence[Any]) -> list[str]:
    """A row for every kind of run: what differs only in domain or seed costs the same."""
    kinds: dict[tuple[Any, ...], list[Any]] = {}
    for p in prices:
        c = p.cell
        what = c.second_stage.label or "branch" if c.branch else c.stage
        tokens = (c.pretrain_tokens, c.specialize_tokens)
        kinds.setdefault((what, p.params, *tokens), []).append(p)
    rows = [
        [
            what,
            str(len(found)),
            *(format_quantity(v) for v in sizes),
            format_quantity(float(f"{found[0].flops:.3g}")),
            _duration(found[0].seconds),
            f"{found[0].memory / 1e6:.0f} MB",
            "there" if all(p.there for p in found) else "",
        ]
        for (what, *sizes), found in kinds.items()
    ]
    header = ["each", "runs", "N", "D", "D′", "FLOPs", "time", "memory", ""]
    return [*table(header, rows), ""] if rows else []


def _duration(seconds: float) -> str:
    if seconds < 10:
        return f"{seconds:.1f} s"
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} minutes"
