"""Commands that make tables of runs: import, schema."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bayeslaw.cli.answer import print_answer
from bayeslaw.cli.app import Json, Mapped, Unit, app, pairs, say, warn, writable
from bayeslaw.cli.words import folded, table

if TYPE_CHECKING:
    from bayeslaw.readers import Imported


@app.command("import")
def import_logs(
    files: Annotated[list[str], typer.Argument(metavar="FILE...", help="Logs, globs.")],
    out: Annotated[Path, typer.Option(help="The table of runs to write.")] = Path("runs.csv"),
    reader: Annotated[
        str | None,
        typer.Option(
            help="Of the logs, as trainer_state; a wrong name lists all. Default: by shape."
        ),
    ] = None,
    columns: Mapped = None,
    values: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="OURS=VALUE",
            help="For all rows, as params=124M, tokens_per_step=512k, branch=code; again for more.",
        ),
    ] = None,
    about: Annotated[
        Path | None,
        typer.Option(metavar="TABLE", help="CSV: run_id, and what differs between runs, as --set."),
    ] = None,
    unit: Unit = None,
    last: Annotated[bool, typer.Option("--last", help="The last loss of each run only.")] = False,
    json: Json = False,
) -> None:
    """Turn training logs of other tools into a table of runs: W&B, Hugging Face, lm_eval,
    Levanter, MLflow, TensorBoard, JSON lines."""
    mapping, given = pairs(columns, "--map"), pairs(values, "--set")
    writable(out)
    from bayeslaw.readers import import_runs

    found = import_runs(
        *files, reader=reader, map=mapping, set=given, about=about, unit=unit,
        sweep=out.stem, last=last,
    )  # fmt: skip
    found.runs.write(out)
    if json:
        print_answer(
            {
                "schema": 1,
                "out": str(out),
                "files": [asdict(s) for s in found.sources],
                "counts": dict(found.runs.counts),
                "domains": list(found.runs.domains),
                "warnings": list(found.warnings),
                "notes": list(found.notes),
            }
        )
        return
    warn(line for w in found.warnings for line in folded(w))
    say(_imported(found))
    say([f"\nwrote {out}"])


@app.command()
def schema(
    template: Annotated[
        Path | None, typer.Option(metavar="FILE.csv", help="Write a table to fill in; a new file.")
    ] = None,
    json: Json = False,
) -> None:
    """Print the columns of a table of runs."""
    if template is not None:
        writable(template)
    from bayeslaw.readers.template import describe, write_template

    columns = describe()
    if template is not None:
        write_template(template)
    if json:
        print_answer({"schema": 1, "columns": columns, "template": template and str(template)})
        return
    say(_schema(columns))
    if template is not None:
        say([f"\nwrote {template}: rows to write over; bayeslaw fit reads it"])


def _imported(found: Imported) -> list[str]:
    """Which file was read as what, what was taken from where, what was left out."""
    lines: list[str] = []
    before: tuple[str, ...] = ()
    for s in found.sources:
        how = f"read as {s.reader}" + (", by its shape" if s.guessed else "")
        lines += folded(f"{s.file}: {how}")
        taken = tuple(f"{ours} from {theirs}" for ours, theirs in s.taken.items() if ours != theirs)
        if taken != before:  # files of one sweep are alike
            lines += ["  " + part for part in folded("; ".join(taken))]
        before = taken
    lines += [part for note in found.notes for part in folded(note)]
    return [*lines, *(part for line in found.runs.summary() for part in folded(line))]


def _schema(columns: Sequence[dict[str, Any]]) -> list[str]:
    """A row a column; then what an absent one means."""
    rows = [
        [
            f"{c['name']} *" if c["required"] else c["name"],
            c["unit"],
            c["range"] if c["name"] != "unit" else "",
            c["meaning"],
        ]
        for c in columns
    ]
    lines = table(["column", "unit", "range", "meaning"], rows, 4)
    lines += ["", "* must be there; where another is not, it is taken as:"]
    for c in columns:
        if c["default"]:
            lines += folded(f"  {c['name']}: {c['default']}")
    lines.append("")
    units = next(c["range"] for c in columns if c["name"] == "unit")
    lines += folded(f"loss and loss_se are in {units}: --unit, or the column unit")
    return lines + folded(
        "losses of several domains may be columns loss/DOMAIN and loss_se/DOMAIN of one row"
    )
