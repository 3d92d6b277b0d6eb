"""Commands that learn from runs: laws, fit, check, compare, backtest, calibrate."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from bayeslaw.cli import judged, words
from bayeslaw.cli.answer import fit_answer, print_answer
from bayeslaw.cli.app import (
    By,
    Json,
    LawNames,
    Likelihood,
    Mapped,
    Method,
    Posterior,
    Seed,
    Sweep,
    Tables,
    Unit,
    amount,
    app,
    drawable,
    leave,
    number,
    pairs,
    say,
    warn,
    writable,
)
from bayeslaw.cli.bar import progress
from bayeslaw.errors import BayeslawError


@app.command()
def laws(json: Json = False) -> None:
    """List the laws: formula, inputs, source."""
    from bayeslaw.laws import catalogue

    entries = catalogue()
    if json:
        print_answer({"schema": 1, "laws": entries})
    else:
        say(words.laws(entries))


@app.command()
def fit(
    ctx: typer.Context,
    runs: Tables,
    laws: LawNames = None,
    method: Annotated[Method, typer.Option(help="Exact, a preview, or the usual point.")] = "nuts",
    likelihood: Annotated[Likelihood, typer.Option(help="Of log loss.")] = "student",
    seed: Seed = 0,
    out: Annotated[Path, typer.Option(help="Where the posterior goes.")] = Path("posterior.nc"),
    columns: Mapped = None,
    unit: Unit = None,
    sweep: Sweep = None,
    fixed: Annotated[
        list[str] | None,
        typer.Option("--fix", metavar="NAME=NUMBER", help="Hold a parameter; again for more."),
    ] = None,
    priors: Annotated[
        Path | None, typer.Option(metavar="TOML", help="As a_size = { lognormal = [0.35, 0.2] }.")
    ] = None,
    embeddings: Annotated[
        bool, typer.Option("--embeddings", help="N counts them: take total_params for params.")
    ] = False,
    largest_flops: Annotated[
        float | None, number("Hold out runs that took more, their trunk included.")
    ] = None,
    json: Json = False,
) -> None:
    """Fit laws to tables of runs and write their posterior."""
    began = time.perf_counter()
    mapping = pairs(columns, "--map")
    held = {name: amount(v, "--fix") for name, v in pairs(fixed, "--fix").items()}
    writable(out)
    if laws == ["accuracy"]:
        given: dict[str, Any] = {
            "--unit": unit, "--sweep": sweep, "--fix": fixed, "--priors": priors,
            "--embeddings": embeddings, "--method": method != "nuts",
            "--likelihood": likelihood != "student", "--largest-flops": largest_flops,
        }  # fmt: skip
        _fit_accuracy(runs, mapping, seed, out, [n for n, v in given.items() if v], json)
        return
    from bayeslaw.runs import read_runs

    table = read_runs(*runs, map=mapping, unit=unit, embeddings=embeddings)
    table = table if sweep is None else table.of_sweep(sweep)
    everything, table = table, table if largest_flops is None else table.up_to(largest_flops)
    from bayeslaw.infer.allowed import left_out
    from bayeslaw.infer.fit import fit as fit_laws

    ours = None
    if priors is not None:
        from bayeslaw.infer.priors import read_priors

        ours = read_priors(priors)
    with progress("fitting") as step:
        fitted = fit_laws(table, laws or None, method, seed, likelihood, held, ours, progress=step)
    fitted = replace(fitted, command=ctx.obj.command)
    fitted.save(out)
    others = {} if laws else left_out(table)
    took = time.perf_counter() - began
    if json:
        print_answer({**fit_answer(fitted, out), "left_out": others, "seconds": took})
    else:
        warn(words.failures(fitted))
        about = table.summary()
        if largest_flops is not None:
            held_out = len(everything) - len(table)
            about.insert(1, f"{held_out} rows held out: more than {largest_flops:g} FLOPs")
        say(words.fit(fitted, about, others, out, took))
    leave(fitted)


def _fit_accuracy(
    tables: list[str], mapping: dict[str, str], seed: int, out: Path, others: list[str], json: bool
) -> None:
    """The map from loss to accuracy, of what `evaluate --out` wrote."""
    if others:
        raise BayeslawError(f"{', '.join(others)} would change nothing with --law accuracy")
    if len(tables) != 1:
        raise BayeslawError("--law accuracy takes one table: what `bayeslaw evaluate --out` wrote")
    from bayeslaw.accuracy import fit_accuracy, read_scores
    from bayeslaw.accuracy.ladder import summary

    table = read_scores(tables[0], mapping)
    with progress("fitting"):
        ladder = fit_accuracy(table, seed)
    ladder.save(out)
    said = {
        "schema": 1, "ladder": str(out), "passed": ladder.passed, "failures": ladder.failures,
        **ladder.about, "tasks": summary(ladder),
    }  # fmt: skip
    if json:
        print_answer(said)
    else:
        warn(f"accuracy FAILED its checks: {failure}" for failure in ladder.failures)
        say([*judged.ladder(said), f"\nwrote {out}"])
    leave(ladder)


@app.command()
def check(
    posterior: Posterior,
    plots: Annotated[Path | None, typer.Option(help="Folder for the diagnostic plots.")] = None,
    json: Json = False,
) -> None:
    """Say how far a posterior can be trusted; draw its diagnostics."""
    if plots is not None:
        writable(plots / "plot.png")
    from bayeslaw.infer.ensemble import read_posterior
    from bayeslaw.infer.sensitivity import sensitivity
    from bayeslaw.infer.warn import cautions

    fitted = read_posterior(posterior)
    drawn: list[Path] = []
    if plots is not None:
        # This process draws into files only: no window system is asked for.
        os.environ["MPLBACKEND"] = "agg"
        from bayeslaw.plots import draw_all

        with progress("drawing") as step:
            drawn = draw_all(fitted, plots, step)
    minded = cautions(fitted)
    moved = {m.law.name: sensitivity(m) for m in fitted.members if m.weight > 0 or json}
    if json:
        answer = {
            **fit_answer(fitted, posterior),
            "warnings": [c.to_json() for c in minded],
            "sensitivity": {
                law: {n: {"prior": p, "likelihood": q} for n, (p, q) in found.items()}
                for law, found in moved.items()
            },
            "plots": list(map(str, drawn)),
        }
        print_answer(answer)
    else:
        warn(words.failures(fitted))
        say(words.minded(minded))
        say(words.check(fitted))
        say(words.sensitivity(moved))
        say([f"\n{len(drawn)} plots in {plots}"] if plots is not None else [])
    leave(fitted)


@app.command()
def compare(
    posterior: Posterior,
    plot: Annotated[Path | None, typer.Option(metavar="FILE", help="Draw it, as a PNG.")] = None,
    json: Json = False,
) -> None:
    """Compare the laws: how each predicted the larger runs from the smaller."""
    if plot is not None:
        writable(plot)
    from bayeslaw.infer.compare import comparison
    from bayeslaw.infer.ensemble import read_posterior

    fitted = read_posterior(posterior)
    entries = comparison(fitted)
    if plot is not None:
        os.environ["MPLBACKEND"] = "agg"
        from bayeslaw.plots import draw_comparison

        draw_comparison(fitted, plot)
    if json:
        print_answer({"schema": 1, "laws": entries, "plot": plot and str(plot)})
    else:
        warn(words.failures(fitted))
        say(words.compare(entries))
        say([f"\nwrote {plot}"] if plot is not None else [])


@app.command()
def backtest(
    runs: Tables,
    laws: LawNames = None,
    by: Annotated[By, typer.Option(help="What makes a run large.")] = "flops",
    cuts: Annotated[
        list[float] | None,
        typer.Option("--cut", help="Share of the runs to fit; again for more. Default: .5 to .9."),
    ] = None,
    tasks: Annotated[
        Path | None,
        typer.Option(metavar="TABLE", help="Predict accuracies: what `evaluate --out` wrote."),
    ] = None,
    seed: Seed = 0,
    columns: Mapped = None,
    unit: Unit = None,
    sweep: Sweep = None,
    json: Json = False,
) -> None:
    """Fit the smaller runs, predict the larger: how often would the intervals have held?"""
    mapping = pairs(columns, "--map")
    if tasks is not None and len(cuts or [0.7]) > 1:
        raise BayeslawError("with --tasks give one --cut")
    from bayeslaw.backtest import CUTS
    from bayeslaw.backtest import backtest as test_back
    from bayeslaw.runs import read_runs

    table = read_runs(*runs, map=mapping, unit=unit)
    table = table if sweep is None else table.of_sweep(sweep)
    if tasks is not None:
        from bayeslaw.accuracy import read_scores
        from bayeslaw.accuracy.back import backtest_accuracy

        with progress("backtest") as step:
            cut = (cuts or [0.7])[0]
            found = backtest_accuracy(
                table, read_scores(tasks), list(laws) if laws else None, by, cut, seed, step
            ).to_json()
        if json:
            print_answer(found)
        else:
            say(judged.backtest(found))
        return
    with progress("backtest") as step:
        done = test_back(table, laws or None, by, cuts or CUTS, seed, step)
    if json:
        print_answer(done.to_json())
    else:
        say(words.backtest(done.to_json()))


@app.command()
def calibrate(
    law: Annotated[str, typer.Argument(metavar="LAW", help="additive, FILE.py:CLASS, ...")],
    design: Annotated[
        list[str], typer.Option("--design", metavar="RUNS", help="Runs whose inputs to take.")
    ],
    simulations: Annotated[int, typer.Option(min=2, help="Sweeps to simulate.")] = 200,
    seed: Seed = 0,
    plot: Annotated[Path | None, typer.Option(metavar="FILE", help="Ranks, as a PNG.")] = None,
    columns: Mapped = None,
    unit: Unit = None,
    json: Json = False,
) -> None:
    """Simulate sweeps from a law's prior and fit them: are its intervals honest?"""
    mapping = pairs(columns, "--map")
    drawable(plot)
    from bayeslaw.calibrate import calibrate as simulate
    from bayeslaw.runs import read_runs

    runs = read_runs(*design, map=mapping, unit=unit)
    with progress("simulating") as step:
        done = simulate(law, runs, simulations, seed, step)
    if plot is not None:
        done.draw(plot)
    if json:
        print_answer({**done.to_json(), "plot": plot and str(plot)})
    else:
        say(words.calibrate(done.to_json()))
        say([f"\nwrote {plot}"] if plot is not None else [])
