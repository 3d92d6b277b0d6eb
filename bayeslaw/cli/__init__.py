"""The command line: laws, fit, check, compare, backtest, forecast, plan, frontier,
suggest, sweep, export, domains.

Commands read their arguments, call one function of the library and say what came of it. What is
heavy is imported by the command that needs it, so that `--help` answers at once.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from bayeslaw.cli import planned, words
from bayeslaw.cli.answer import fit_answer, print_answer
from bayeslaw.cli.bar import progress
from bayeslaw.errors import BayeslawError, FitError
from bayeslaw.quantity import parse_quantity

if TYPE_CHECKING:
    from bayeslaw.infer.ensemble import Ensemble

DONE, USER_ERROR, FAILED_CHECKS, INTERRUPTED = 0, 1, 2, 130

app = typer.Typer(
    name="bayeslaw",
    help="Bayesian scaling laws: fit a sweep, forecast losses, plan the split.",
    epilog="Exit codes: 0 done; 1 wrong input or usage; 2 the result failed its own checks; "
    "130 interrupted.",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

# typer brings click, or a copy of it: its base of usage errors is found rather than imported.
UsageError: type[Exception] = next(
    c for c in typer.BadParameter.__mro__ if c.__name__ == "ClickException"
)


@dataclass
class Session:
    """What one call of the command line keeps beside its arguments."""

    debug: bool = False


class Refused(BayeslawError):
    """A posterior that failed its own checks, and no --accept."""


def quantity(text: str) -> float:
    """A number as people write it: 7B, 2.5T, 1e22."""
    try:
        return parse_quantity(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version as installed

        typer.echo(installed("bayeslaw"))
        raise typer.Exit()


Method = Literal["nuts", "laplace", "huber"]
Likelihood = Literal["student", "normal"]
Kind = Literal["mean", "run", "calibrated"]
By = Literal["flops", "params"]
On = Literal["loss", "regret"]
PlanKind = Literal["mean", "calibrated"]
Tables = Annotated[
    list[str], typer.Argument(metavar="RUNS...", help="Tables of runs: CSV, parquet, globs.")
]
LawNames = Annotated[
    list[str] | None,
    typer.Option("--law", help="additive, FILE.py:CLASS, ...; again for more. Default: all."),
]
Seed = Annotated[int, typer.Option(min=0, help="Same seed, same result.")]
Mapped = Annotated[
    list[str] | None,
    typer.Option("--map", metavar="OURS=THEIRS", help="As loss=val_loss; again for more."),
]
Unit = Annotated[
    str | None, typer.Option(help="Of the losses: nats/token, bits/token, nats/byte, bits/byte.")
]
Posterior = Annotated[Path, typer.Argument(help="What `bayeslaw fit` wrote.")]
Accept = Annotated[bool, typer.Option("--accept", help="Use a fit that failed its checks.")]
Weights = Annotated[
    list[str] | None,
    typer.Option("--weight", metavar="DOMAIN=NUMBER", help="Again for more. Default: equal."),
]
RiskName = Annotated[
    str,
    typer.Option(
        help="mean, quantile:0.9, cvar:0.1, entropic:20, mean+sd:1, reach:1.1, FILE.py:NAME."
    ),
]
Arrangements = Annotated[
    list[str] | None, typer.Option("--arrangement", help="Choose among these only; again for more.")
]
STRETCH = "How far D/N and D′/D may leave the sweep, as a factor; inf for any."
CALIBRATED = "With what laws get wrong beyond the sweep, or without."
Json = Annotated[bool, typer.Option("--json", help="One JSON object on stdout, nothing else.")]


def number(help: str) -> Any:
    return typer.Option(parser=quantity, metavar="NUMBER", help=help)


@app.callback()
def options(
    ctx: typer.Context,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
    _: Annotated[
        bool,
        typer.Option("--version", callback=version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    ctx.obj.debug = debug


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
    runs: Tables,
    laws: LawNames = None,
    method: Annotated[Method, typer.Option(help="Exact, a preview, or the usual point.")] = "nuts",
    likelihood: Annotated[Likelihood, typer.Option(help="Of log loss.")] = "student",
    seed: Seed = 0,
    out: Annotated[Path, typer.Option(help="Where the posterior goes.")] = Path("posterior.nc"),
    columns: Mapped = None,
    unit: Unit = None,
    fixed: Annotated[
        list[str] | None,
        typer.Option("--fix", metavar="NAME=NUMBER", help="Hold a parameter; again for more."),
    ] = None,
    priors: Annotated[
        Path | None, typer.Option(metavar="TOML", help="As a_size = { lognormal = [0.35, 0.2] }.")
    ] = None,
    json: Json = False,
) -> None:
    """Fit laws to tables of runs and write their posterior."""
    began = time.perf_counter()
    mapping = pairs(columns, "--map")
    held = {name: amount(v, "--fix") for name, v in pairs(fixed, "--fix").items()}
    writable(out)
    from bayeslaw.runs import read_runs

    table = read_runs(*runs, map=mapping, unit=unit)
    from bayeslaw.infer.allowed import left_out
    from bayeslaw.infer.fit import fit as fit_laws

    ours = None
    if priors is not None:
        from bayeslaw.infer.priors import read_priors

        ours = read_priors(priors)
    with progress("fitting") as step:
        fitted = fit_laws(table, laws or None, method, seed, likelihood, held, ours, progress=step)
    fitted.save(out)
    others = {} if laws else left_out(table)
    took = time.perf_counter() - began
    if json:
        print_answer({**fit_answer(fitted, out), "left_out": others, "seconds": took})
    else:
        warn(words.failures(fitted))
        say(words.fit(fitted, table.summary(), others, out, took))
    leave(fitted)


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
    seed: Seed = 0,
    columns: Mapped = None,
    unit: Unit = None,
    json: Json = False,
) -> None:
    """Fit the smaller runs, predict the larger: how often would the intervals have held?"""
    mapping = pairs(columns, "--map")
    from bayeslaw.backtest import CUTS
    from bayeslaw.backtest import backtest as test_back
    from bayeslaw.runs import read_runs

    table = read_runs(*runs, map=mapping, unit=unit)
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
    if plot is not None:
        writable(plot)
        os.environ["MPLBACKEND"] = "agg"
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


@app.command()
def forecast(
    posterior: Posterior,
    params: Annotated[float | None, number("N, as 7B.")] = None,
    pretrain_tokens: Annotated[float | None, number("D, as 1T.")] = None,
    specialize_tokens: Annotated[float | None, number("D′, as 50B. Default: 0.")] = None,
    domain: Annotated[str | None, typer.Option(help="Default: every domain.")] = None,
    designs: Annotated[
        Path | None, typer.Option(metavar="TABLE", help="Designs in a CSV with the runs' columns.")
    ] = None,
    kind: Annotated[
        Kind, typer.Option(help="Of the law's curve; of a new run; with what laws get wrong.")
    ] = "calibrated",
    prob: Annotated[float, typer.Option(help="Probability inside the interval.")] = 0.9,
    accept: Accept = False,
    json: Json = False,
) -> None:
    """Forecast the loss of designs, with intervals."""
    asked = design(params, pretrain_tokens, specialize_tokens, domain, designs)
    from bayeslaw.forecast import forecast as forecast_losses
    from bayeslaw.forecast import read_designs
    from bayeslaw.infer.ensemble import read_posterior
    from bayeslaw.infer.warn import far

    fitted = usable(read_posterior(posterior), accept)
    answer = forecast_losses(fitted, asked or read_designs(designs), kind, prob, accept)  # type: ignore[arg-type]
    said = answer.to_json()
    minded = far({"design": max((r["extrapolation"] for r in said["rows"]), default=1.0)})
    if json:
        print_answer({**said, "warnings": [c.to_json() for c in minded]})
    else:
        warn(words.failures(fitted))
        say(words.minded(minded))
        say(words.forecast(said))


@app.command()
def plan(
    posterior: Posterior,
    flops: Annotated[float | None, number("The budget, as 1e22.")] = None,
    targets: Annotated[
        list[str] | None,
        typer.Option(
            "--target",
            metavar="DOMAIN=LOSS",
            help="Find the least budget that reaches it; again for more. `weighted`: of all.",
        ),
    ] = None,
    prob: Annotated[
        float, typer.Option(help="Of the intervals; with --target, of reaching it.")
    ] = 0.9,
    gpu_hours: Annotated[float | None, number("The budget in hours of --device.")] = None,
    money: Annotated[float | None, number("The budget in money, at --device's price.")] = None,
    days: Annotated[float | None, number("The budget in days on --count devices.")] = None,
    device: Annotated[
        str | None, typer.Option(help="h100, a100, ... or one of --devices. Default: h100.")
    ] = None,
    devices: Annotated[Path | None, typer.Option(metavar="TOML", help="Your own devices.")] = None,
    precision: Annotated[
        str | None, typer.Option(help="That sets the peak. Default: bf16.")
    ] = None,
    mfu: Annotated[
        float | None, typer.Option(help="Share of the peak that is reached. Default: 0.4.")
    ] = None,
    count: Annotated[int | None, typer.Option(help="Devices at once. Default: 1.")] = None,
    designs: Annotated[
        Path | None, typer.Option(metavar="TABLE", help="Your own designs, scored beside it: CSV.")
    ] = None,
    weights: Weights = None,
    risk: RiskName = "mean",
    arrangements: Arrangements = None,
    stretch: Annotated[float, number(STRETCH)] = "4",  # type: ignore[assignment]
    on: Annotated[On, typer.Option(help="What the risk is of.")] = "loss",
    kind: Annotated[PlanKind, typer.Option(help=CALIBRATED)] = "calibrated",
    epsilon: Annotated[float, typer.Option(help="Nats within which designs are as good.")] = 0.01,
    accept: Accept = False,
    out: Annotated[Path | None, typer.Option(help="Where the plan goes, as plan.json.")] = None,
    json: Json = False,
) -> None:
    """Choose N, D and every D′ under a budget."""
    shares = {d: amount(w, "--weight") for d, w in pairs(weights, "--weight").items()}
    losses = {d: amount(t, "--target") for d, t in pairs(targets, "--target").items()}
    hours = (gpu_hours, money, days)
    timed = any(amount is not None for amount in hours)
    if (flops is not None) + timed + bool(losses) != 1:
        raise BayeslawError(
            "give a budget, --flops NUMBER or --gpu-hours, --money, --days; or what it is for, "
            "--target DOMAIN=LOSS"
        )
    if losses and (risk, on) != ("mean", "loss"):
        raise BayeslawError("--target is a risk of its own: leave out --risk and --on")
    about = {"precision": precision, "mfu": mfu, "count": count}
    about = {name: value for name, value in about.items() if value is not None}
    of_device = [*about, *(["devices"] if devices is not None else [])]
    if of_device and not timed and device is None:
        named = ", ".join("--" + name for name in of_device)
        raise BayeslawError(f"{named} would change nothing: give --device, or a budget in time")
    if out is not None:
        writable(out)
    from bayeslaw.infer.ensemble import read_posterior
    from bayeslaw.plan.devices import Hardware, find_device
    from bayeslaw.plan.inverse import reach
    from bayeslaw.plan.own import read_own
    from bayeslaw.plan.plan import plan as choose
    from bayeslaw.plan.written import write_json

    hardware = None
    if timed or device is not None:
        hardware = Hardware(find_device(device or "h100", devices), **about)  # type: ignore[arg-type]
    if timed:
        assert hardware is not None
        flops = hardware.flops(*hours)
    fitted = usable(read_posterior(posterior), accept)
    mine = read_own(designs, fitted.domains) if designs is not None else None
    with progress("planning"):
        if losses:
            chosen = reach(
                fitted, losses, prob, shares or None, arrangements or None, stretch,
                accept=accept, designs=mine, kind=kind, epsilon=epsilon, hardware=hardware,
            )  # fmt: skip
        else:
            assert flops is not None
            chosen = choose(
                fitted, flops, shares or None, risk, arrangements or None, stretch, prob,
                accept=accept, designs=mine, kind=kind, on=on, epsilon=epsilon, hardware=hardware,
            )  # fmt: skip
        said = chosen.to_json()
    if out is not None:
        write_json(said, out)
    if json:
        print_answer(said)
    else:
        warn([*words.failures(fitted), *planned.cautions(said)])
        say(planned.plan(said))
        say([f"\nwrote {out}"] if out is not None else [])


@app.command()
def frontier(
    posterior: Posterior,
    flops: Annotated[str, typer.Option(metavar="LOW:HIGH", help="Budgets, as 1e19:1e23.")],
    points: Annotated[int, typer.Option(min=2, help="Budgets, evenly spaced in their logs.")] = 9,
    weights: Weights = None,
    risk: RiskName = "mean",
    arrangements: Arrangements = None,
    stretch: Annotated[float, number(STRETCH)] = "4",  # type: ignore[assignment]
    prob: Annotated[float, typer.Option(help="Probability inside the interval.")] = 0.9,
    on: Annotated[On, typer.Option(help="What the risk is of.")] = "loss",
    kind: Annotated[PlanKind, typer.Option(help=CALIBRATED)] = "calibrated",
    plot: Annotated[Path | None, typer.Option(metavar="FILE", help="Draw it, as a PNG.")] = None,
    accept: Accept = False,
    json: Json = False,
) -> None:
    """The best plan of every budget in a range."""
    shares = {d: amount(w, "--weight") for d, w in pairs(weights, "--weight").items()}
    ends = tuple(amount(end, "--flops") for end in flops.split(":"))
    if len(ends) != 2:
        raise BayeslawError(f"--flops takes LOW:HIGH, as 1e19:1e23, got '{flops}'")
    if plot is not None:
        writable(plot)
        os.environ["MPLBACKEND"] = "agg"
    from bayeslaw.infer.ensemble import read_posterior
    from bayeslaw.plan.frontier import frontier as trace

    fitted = usable(read_posterior(posterior), accept)
    with progress("planning"):
        said = trace(
            fitted, ends, points, shares or None, risk, arrangements or None, stretch, prob,
            accept=accept, kind=kind, on=on,
        ).to_json()  # fmt: skip
    if plot is not None:
        from bayeslaw.plots import draw_frontier

        draw_frontier(said, plot)
    if json:
        print_answer({**said, "plot": plot and str(plot)})
    else:
        warn(words.failures(fitted))
        say(planned.frontier(said))
        say([f"\nwrote {plot}"] if plot is not None else [])


@app.command()
def suggest(
    posterior: Posterior,
    plan_flops: Annotated[float, number("The budget of the plan that is to improve.")],
    spend: Annotated[float, number("What the next runs may cost together, FLOPs.")],
    runs: Annotated[int, typer.Option(min=1, help="How many at most.")] = 4,
    pool: Annotated[
        Path | None,
        typer.Option(metavar="TABLE", help="Runs to choose from: CSV. Default: a grid."),
    ] = None,
    weights: Weights = None,
    arrangements: Arrangements = None,
    stretch: Annotated[float, number(STRETCH)] = "4",  # type: ignore[assignment]
    kind: Annotated[PlanKind, typer.Option(help=CALIBRATED)] = "calibrated",
    draws: Annotated[int, typer.Option(min=1, help="More: a smaller simulation error.")] = 1500,
    seed: Seed = 0,
    accept: Accept = False,
    json: Json = False,
) -> None:
    """Rank the next runs by what they would improve the plan, per FLOP."""
    shares = {d: amount(w, "--weight") for d, w in pairs(weights, "--weight").items()}
    from bayeslaw.infer.ensemble import read_posterior
    from bayeslaw.plan.pool import read_pool
    from bayeslaw.plan.suggest import suggest as rank

    fitted = usable(read_posterior(posterior), accept)
    ours = None if pool is None else read_pool(pool, fitted)
    with progress("ranking"):
        said = rank(
            fitted, plan_flops, spend, runs, shares or None, arrangements or None, stretch, ours,
            draws, accept=accept, kind=kind, seed=seed,
        ).to_json()  # fmt: skip
    if json:
        print_answer(said)
    else:
        warn(words.failures(fitted))
        say(planned.suggest(said))


@app.command()
def sweep(
    settings: Annotated[Path, typer.Argument(metavar="SWEEP.toml", help="What to train.")],
    out: Annotated[Path | None, typer.Option(help="Folder for runs.csv and all beside it.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Price it; train nothing.")] = False,
    executor: Annotated[str, typer.Option(help="local, ray or slurm.")] = "local",
) -> None:
    """Train a sweep of real models and write its table of runs."""
    with torch_for("sweep"):
        from bayeslaw.train.study import run_sweep
    with progress("training") as step:
        done = run_sweep(
            settings,
            out,
            dry_run,
            lambda cell, total: step(f"{cell} of {total}", cell / total),
            executor,
        )
    say(words.sweep(done))


@app.command()
def export(
    checkpoint: Annotated[Path, typer.Argument(help="A .safetensors under work/ of a sweep.")],
    out: Annotated[Path, typer.Argument(metavar="FOLDER", help="A new folder.")],
) -> None:
    """Write a model as Hugging Face reads it: LlamaForCausalLM.from_pretrained(FOLDER)."""
    with torch_for("export"):
        from bayeslaw.train.export import export as write
    s = write(checkpoint, out)
    say([f"wrote {out}: {s.params} non-embedding parameters, width {s.width}"])


@app.command()
def domains(
    corpus: Annotated[Path, typer.Argument(metavar="FOLDER", help=".txt, .jsonl, .parquet.")],
    k: Annotated[int, typer.Option("--k", min=2, help="How many domains.")] = 16,
    out: Annotated[Path, typer.Option(help="A new folder, for the domains.")] = Path("domains"),
    router: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Assign to these domains: router.npz.")
    ] = None,
    column: Annotated[str, typer.Option(help="The field or column with the text.")] = "text",
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Turn an unlabelled corpus into domains: clusters of its documents."""
    from bayeslaw.corpus.split import split

    with progress("clustering"):
        found = split(corpus, k, out, seed, column, router)
    if json:
        print_answer({"schema": 1, "out": str(out), "clusters": [vars(c) for c in found]})
    else:
        say(words.domains(found))
        say([f'\nwrote {out}: corpus = "folder" reads it'])


def main() -> None:
    """The entry point."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace")  # type: ignore[union-attr]
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """One call of the command line: its exit code, with errors told and not raised."""
    session = Session()
    command = typer.main.get_command(app)
    try:
        code = command.main(arguments, "bayeslaw", standalone_mode=False, obj=session)
    except typer.Exit as stop:
        code = stop.exit_code
    except UsageError as usage:
        usage.show()  # type: ignore[attr-defined]
        return USER_ERROR
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    except (BayeslawError, OSError) as error:
        if session.debug:
            raise
        typer.echo(f"error: {error}", err=True)
        return FAILED_CHECKS if isinstance(error, Refused) else USER_ERROR
    # Some releases of typer turn Ctrl-C into this code themselves.
    if code == INTERRUPTED:
        typer.echo("interrupted", err=True)
    return code if isinstance(code, int) else DONE


def say(lines: Iterable[str]) -> None:
    for line in lines:
        typer.echo(line)


def warn(lines: Iterable[str]) -> None:
    """Lines that must not be overlooked: before everything else, red where there is colour."""
    first = list(lines)
    for line in first:
        typer.secho(line, fg="red")
    if first:
        typer.echo()


def leave(fitted: Ensemble) -> None:
    if not fitted.passed:
        raise typer.Exit(FAILED_CHECKS)


def usable(fitted: Ensemble, accept: bool) -> Ensemble:
    try:
        return fitted.accept(accept)
    except FitError as error:
        raise Refused(str(error)) from error


@contextmanager
def torch_for(command: str) -> Iterator[None]:
    """Imports of the torch wing, or what to install for them."""
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name not in ("torch", "safetensors", "filelock"):
            raise
        raise BayeslawError(f"{command} needs torch: pip install 'bayeslaw[train]'") from None


def writable(path: Path) -> None:
    """Raise at once, not after minutes of work, where a file cannot be written."""
    if path.is_dir():
        raise BayeslawError(f"{path} is a folder; name a file in it")
    folder = next(p for p in path.absolute().parents if p.exists())
    if not folder.is_dir():
        raise BayeslawError(f"{path} cannot be written: {folder} is no folder")
    if not os.access(folder, os.W_OK):
        raise BayeslawError(f"{path} cannot be written: no permission in {folder}")


def pairs(items: list[str] | None, option: str) -> dict[str, str]:
    """NAME=VALUE, several times."""
    found: dict[str, str] = {}
    for item in items or []:
        name, equals, value = item.rpartition("=") if option == "--weight" else item.partition("=")
        if not (name and equals and value):
            raise BayeslawError(f"{option} takes NAME=VALUE, got '{item}'")
        if name in found:
            raise BayeslawError(f"{option} names '{name}' twice")
        found[name] = value
    return found


def amount(text: str, option: str) -> float:
    try:
        return parse_quantity(text)
    except ValueError as error:
        raise BayeslawError(f"{option}: {error}") from None


def design(
    params: float | None,
    pretrain_tokens: float | None,
    specialize_tokens: float | None,
    domain: str | None,
    designs: Path | None,
) -> list[dict[str, Any]]:
    """The one design that the options describe; empty where a table holds them."""
    given = {
        "params": params,
        "pretrain_tokens": pretrain_tokens,
        "specialize_tokens": specialize_tokens,
        "domain": domain,
    }
    one = {name: value for name, value in given.items() if value is not None}
    if designs is not None and one:
        named = ", ".join("--" + name.replace("_", "-") for name in one)
        raise BayeslawError(f"--designs holds the designs: leave out {named}")
    if designs is None and not {"params", "pretrain_tokens"} <= set(one):
        raise BayeslawError("give --params and --pretrain-tokens, or --designs TABLE")
    return [one] if one else []
