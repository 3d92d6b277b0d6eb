"""What people read about tasks and routing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from bayeslaw.cli.words import folded, table
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
