"""The command that writes for people: report."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from bayeslaw.cli.app import Accept, Posterior, app, number, say, usable, warn, writable
from bayeslaw.cli.bar import progress


@app.command()
def report(
    posterior: Posterior,
    plans: Annotated[
        list[Path] | None,
        typer.Argument(metavar="PLAN.json...", help="What `plan --out` wrote with it."),
    ] = None,
    out: Annotated[Path, typer.Option(help="The page to write.")] = Path("report.html"),
    spend: Annotated[
        float | None,
        number("What the next runs may cost together. Default: 1 % of each plan's budget."),
    ] = None,
    accept: Accept = False,
) -> None:
    """Write a page that anyone can read: the decision, how sure it is, what would change it."""
    writable(out)
    os.environ["MPLBACKEND"] = "agg"
    from bayeslaw.cli import words
    from bayeslaw.infer.ensemble import read_posterior
    from bayeslaw.infer.source import Source
    from bayeslaw.report import report as tell

    fitted, source = read_posterior(posterior), Source.of(posterior)
    usable(fitted, accept)
    with progress("report") as step:
        made = tell(fitted, plans or (), accept, spend, step, source)
    made.write(out)
    warn(words.failures(fitted))
    say([f"wrote {out} ({len(made.html.encode()) / 1e6:.2f} MB)"])
