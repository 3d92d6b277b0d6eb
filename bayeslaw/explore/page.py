"""The page: an answer as HTML that is drawn at once, in the page's own colours."""

from __future__ import annotations

from html import escape

import numpy as np

from bayeslaw.explore.answer import Answer
from bayeslaw.quantity import format_quantity

PLAN, OTHER = "#0072B2", "#E69F00"  # Okabe and Ito's blue and orange
INNER = 0.5


def page(answer: Answer) -> str:
    """The plan, its bands by domain, and what every design loses."""
    return _card(answer) + _bands(answer) + _regrets(answer) + _took(answer)


def _card(answer: Answer) -> str:
    return answer.plan._repr_html_()


def _bands(answer: Answer) -> str:
    """A row for every domain and for the weighted loss: 50 % (thick) and `prob` (thin)."""
    p = answer.plan
    names = [*p.domains, "weighted"]
    every = np.concatenate([p.chosen.losses, p.chosen.totals[:, None]], 1)
    tail = (1 - p.prob) / 2
    ends = np.quantile(every, [tail, (1 - INNER) / 2, (1 + INNER) / 2, 1 - tail], axis=0)
    low, high = float(ends[0].min()), float(ends[3].max())
    room = 0.05 * (high - low) or 0.1
    low, high = low - room, high + room
    rows = []
    for k, name in enumerate(names):
        a, b, c, d = (100 * (v - low) / (high - low) for v in ends[:, k])
        mean = 100 * (every[:, k].mean() - low) / (high - low)
        said = f"{every[:, k].mean():.3f} [{ends[0, k]:.3f}, {ends[3, k]:.3f}]"
        bar = (
            f'<line x1="{a:.2f}%" x2="{d:.2f}%" y1="9" y2="9" stroke="{PLAN}" stroke-width="1.5"/>'
            f'<line x1="{b:.2f}%" x2="{c:.2f}%" y1="9" y2="9" stroke="{PLAN}" stroke-width="6"'
            f' opacity=".6"/><circle cx="{mean:.2f}%" cy="9" r="4" fill="{PLAN}"/>'
        )
        rows.append(_row(name, bar, said))
    title = f"loss, nats/token: 50 and {100 * p.prob:g} % ({p.kind})"
    return _table(title, rows)


def _regrets(answer: Answer) -> str:
    """Bars, least first."""
    ordered = sorted(answer.regrets.items(), key=lambda kv: kv[1])
    most = max(ordered[-1][1], 1e-12)
    rows = []
    for name, regret in ordered:
        color = PLAN if name == answer.plan.chosen.name else OTHER
        wide = max(0.5, 100 * regret / most)
        bar = f'<rect x="0" y="4" width="{wide:.2f}%" height="10" fill="{color}"/>'
        rows.append(_row(name, bar, f"{regret:.4f}"))
    return _table("expected regret against the best of these, nats", rows)


def _row(name: str, bar: str, said: str) -> str:
    cell = "padding:.1em .6em .1em 0;border:0;color:inherit;background:none"
    return (
        f'<tr><td style="{cell}">{escape(name)}</td>'
        f'<td style="{cell};width:60%"><svg width="100%" height="18">{bar}</svg></td>'
        f'<td style="{cell};text-align:right;white-space:nowrap">{escape(said)}</td></tr>'
    )


def _table(title: str, rows: list[str]) -> str:
    style = "width:100%;border-collapse:collapse;font-size:90%;color:inherit"
    return (
        f'<div style="margin-top:.8em"><strong>{escape(title)}</strong></div>'
        f'<table style="{style}">{"".join(rows)}</table>'
    )


def _took(answer: Answer) -> str:
    budget = format_quantity(answer.plan.flops)
    return (
        f'<div class="bayeslaw-took" data-flops="{answer.plan.flops:.6g}" '
        f'data-seconds="{answer.seconds:.4f}" style="opacity:.7;font-size:80%">'
        f"{escape(budget)} FLOPs, answered in {1000 * answer.seconds:.0f} ms</div>"
    )
