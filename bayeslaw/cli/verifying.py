"""The command that closes the loop: verify."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bayeslaw.cli import verified, words
from bayeslaw.cli.answer import print_answer
from bayeslaw.cli.app import Accept, Json, Mapped, Unit, app, pairs, say, usable, warn, writable
from bayeslaw.cli.bar import progress
from bayeslaw.errors import BayeslawError


@app.command()
def verify(
    plan: Annotated[Path, typer.Argument(metavar="PLAN.json", help="What `plan --out` wrote.")],
    runs: Annotated[
        Path | None, typer.Option(metavar="TABLE", help="Results trained elsewhere: CSV.")
    ] = None,
    sweep: Annotated[
        Path | None, typer.Option(metavar="SWEEP.toml", help="Train them, as this sweep was.")
    ] = None,
    posterior: Annotated[
        Path | None, typer.Option(help="Default: the one that the plan was made with.")
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Models of each, by new seeds.")] = 3,
    without: Annotated[
        list[str] | None, typer.Option(metavar="ARM", help="Leave out; again for more.")
    ] = None,
    tolerance: Annotated[
        float, typer.Option(min=0, help="e-folds by which a row may differ from its arm.")
    ] = 0.25,
    out: Annotated[Path, typer.Option(help="Folder for verify.json and what is trained.")] = Path(
        "verify"
    ),
    append: Annotated[
        Path | None, typer.Option(metavar="TABLE", help="Add the rows to this sweep's CSV.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Price it; train nothing.")] = False,
    executor: Annotated[str, typer.Option(help="local, ray or slurm.")] = "local",
    columns: Mapped = None,
    unit: Unit = None,
    accept: Accept = False,
    json: Json = False,
) -> None:
    """Train a plan and its baselines, or read them; say what came true."""
    if (runs is None) == (sweep is None):
        raise BayeslawError("give --runs TABLE with results, or --sweep SWEEP.toml to train them")
    if dry_run and sweep is None:
        raise BayeslawError("--dry-run prices what --sweep would train")
    mapping = pairs(columns, "--map")
    if sweep is not None and (mapping or unit):
        raise BayeslawError("--map and --unit are of --runs")
    writable(out / "verify.json")
    from bayeslaw.infer.ensemble import read_posterior
    from bayeslaw.infer.source import Source
    from bayeslaw.sweep import read_sweep
    from bayeslaw.verify.append import append as add
    from bayeslaw.verify.append import takes
    from bayeslaw.verify.arm import arms_of
    from bayeslaw.verify.measured import read_measured
    from bayeslaw.verify.plan_file import read_plan
    from bayeslaw.verify.training import Training
    from bayeslaw.verify.verification import check_domains
    from bayeslaw.verify.verification import verify as compare

    asked = read_plan(plan)
    arms = arms_of(asked, without or ())
    if posterior is None and asked.posterior is None:
        raise BayeslawError(f"{plan} names no posterior; name it with --posterior")
    found = posterior or asked.posterior.found(plan.parent)  # type: ignore[union-attr]
    fitted = usable(read_posterior(found), accept)
    check_domains(fitted, asked)
    if append is not None:
        takes(append)
    table = runs
    if sweep is not None:
        training = Training.of(read_sweep(sweep), arms, asked.weights, seeds, out)
        arms, table = training.arms, training.table
        if not json:
            say(verified.arms(training))
        said = training.train(executor, dry_run)
        if not json:
            say([said])
        if dry_run:
            if json:
                print_answer(verified.priced(training, said))
            return
    assert table is not None
    measured, named = read_measured(table, mapping, unit)
    with progress("verifying"):
        seen = compare(
            fitted, asked, measured, arms, named, tolerance, accept, posterior=Source.of(found)
        )
    seen.write(out / "verify.json")
    added = None if append is None else add(measured, append)
    if json:
        print_answer({**seen.to_json(), "appended": added})
        return
    warn(words.failures(fitted))
    say(verified.verification(seen))
    if append is not None:
        say([f"{added} rows added to {append}"])
    say([f"wrote {out / 'verify.json'}"])
