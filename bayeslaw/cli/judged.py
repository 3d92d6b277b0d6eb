"""What people read about tasks and routing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from bayeslaw.cli.words import folded, heading, table
from bayeslaw.quantity import format_quantity

if TYPE_CHECKING:
    from bayeslaw.evaluate.accuracy import TaskRow


def evaluation(rows: Sequence[TaskRow]) -> list[str]:
    """A row for every model and task; systems are named by their router."""
    lines = table(
        ["task", "model", "N", "branch", "accuracy", "per byte"],
        [
            [
                r.task,
                f"{r.run_id} by {r.router}" if r.router else r.run_id,
                "" if r.params != r.params else format_quantity(r.params),
                "split" if r.router else r.branch,
                f"{r.accuracy:.3f} ± {r.se:.3f}",
                f"{r.per_byte:.3f} ± {r.per_byte_se:.3f}",
            ]
            for r in rows
        ],
        left=2,
    )
    chances = sorted({f"{r.chance:.3g}" for r in rows})
    return [*lines, "", f"guessing would get {', '.join(chances)}; ± one standard error over items"]


def routing(said: dict[str, Any]) -> list[str]:
    """A row for every router, and where text of each domain went."""
    rows = [
        [
            r["router"],
            "" if r["accuracy"] is None else f"{r['accuracy']:.3f}",
            f"{r['loss']:.4f} ± {r['se']:.4f}",
            f"{r['costs']:+.4f}",
        ]
        for r in said["routers"]
    ]
    names = list(said["losses"])
    rho = said["confusion"]
    return [
        *folded(
            f"{said['system']}: {len(names)} branches; routers see {said['prefix']} tokens, losses "
            f"are of the rest of {said['pieces']} pieces of each domain"
        ),
        *table(["router", "right", "loss", "above label"], rows),
        "",
        *folded(f"where text of a domain goes, by {said['by']}:"),
        *table(["domain", *names], [[d, *(f"{rho[d][j]:.3f}" for j in names)] for d in names]),
        "",
        *folded("loss of a branch on a domain, nats/token:"),
        *table(
            ["domain", *names],
            [[d, *(f"{said['losses'][d][j]:.4f}" for j in names)] for d in names],
        ),
    ]


def sent(said: dict[str, Any]) -> list[str]:
    return table(
        ["document", "branch"],
        [[str(i + 1), r["branch"]] for i, r in enumerate(said["routes"])],
        left=2,
    )


def ladder(said: dict[str, Any]) -> list[str]:
    """A row for every task: the map's parameters, and the losses that it was fitted to."""
    rows = []
    for t in said["tasks"]:
        each = [t["parameters"][n] for n in ("e_ceiling", "k_steep", "m_middle")]
        low, high = t["losses"]
        cells = [f"{v['mean']:.2f} ± {v['sd']:.2f}" for v in each]
        ends = f"{low:.3f} … {high:.3f}"
        rows.append([t["task"], t["domain"], f"{t['chance']:.2f}", *cells, ends])
    lost = said["left_out"]
    left = f"; {lost} rows of systems or without a loss left out" if lost else ""
    return [
        *folded(f"accuracy = {said['formula']}, {said['rows']} rows{left}"),
        *table(["task", "domain", "c", "ε", "k", "m", "losses"], rows, left=2),
    ]


def forecast(said: dict[str, Any]) -> list[str]:
    """A row for every design and task."""
    rows = [
        [
            r["task"],
            *(format_quantity(r[n]) for n in ("params", "pretrain_tokens", "specialize_tokens")),
            f"{r['loss']:.4f}",
            f"{r['mean']:.3f}",
            f"[{r['interval'][0]:.3f}, {r['interval'][1]:.3f}]",
            f"{r['beyond']:.3f}",
        ]
        for r in said["rows"]
    ]
    head = ["task", "N", "D", "D′", "loss", "accuracy", heading(said["rows"][0]), "beyond"]
    return [*table(head, rows), "", *folded("beyond: nats by which the loss leaves those that the "
            "map to accuracy was fitted to")]  # fmt: skip


def backtest(said: dict[str, Any]) -> list[str]:
    """A row for every way the loss of the larger models was known."""
    rows = [
        [
            r["kind"],
            f"{r['n_train']}/{r['n_test']}",
            *(f"{100 * r[c]:.0f}%" for c in ("cov50", "cov80", "cov90")),
            *(f"{r[c]:.4f}" for c in ("width90", "crps", "error", "constant")),
        ]
        for r in said["rows"]
    ]
    head = ["loss", "fit/test", "in 50%", "in 80%", "in 90%", "width", "CRPS", "error", "constant"]
    words = (
        "measured: from the larger models' own losses; run, calibrated: from forecasts of them; "
        "constant: the error of the mean of the smaller"
    )
    return [*table(head, rows), "", *folded(words)]
