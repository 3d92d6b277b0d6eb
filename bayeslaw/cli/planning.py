"""Commands that use a posterior: forecast, plan, frontier, pareto, suggest."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bayeslaw.cli import judged, planned, words
from bayeslaw.cli.answer import print_answer
from bayeslaw.cli.app import (
    CALIBRATED,
    STRETCH,
    Accept,
    Arrangements,
    Json,
    Kind,
    On,
    PlanKind,
    Posterior,
    RiskName,
    Seed,
    Weights,
    amount,
    app,
    design,
    drawable,
    number,
    pairs,
    say,
    shares_of,
    usable,
    warn,
    writable,
)
from bayeslaw.cli.bar import progress
from bayeslaw.cli.wishes import wishing
from bayeslaw.errors import BayeslawError

if TYPE_CHECKING:
    from bayeslaw.accuracy import Ladder
    from bayeslaw.infer.ensemble import Ensemble

AccuracyFile = Annotated[
    Path | None, typer.Option(metavar="FILE", help="A fit of --law accuracy to tasks.csv.")
]


def ladder_of(path: Path, accept: bool) -> Ladder:
    """The map to accuracy in a file; refused as a posterior is that failed its checks."""
    from bayeslaw.accuracy import read_ladder

    return usable(read_ladder(path), accept)


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
    task: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Of --accuracy; again for more. Default: all."),
    ] = None,
    accuracy: AccuracyFile = None,
    accept: Accept = False,
    json: Json = False,
) -> None:
    """Forecast the loss of designs, or with --accuracy their accuracy on tasks, with intervals."""
    asked = design(params, pretrain_tokens, specialize_tokens, domain, designs)
    if task and accuracy is None:
        raise BayeslawError("--task needs --accuracy FILE: `fit tasks.csv --law accuracy` makes it")
    from bayeslaw.forecast import forecast as forecast_losses
    from bayeslaw.forecast import read_designs
    from bayeslaw.infer.ensemble import read_posterior
    from bayeslaw.infer.warn import far

    fitted = usable(read_posterior(posterior), accept)
    wanted: Any = asked or read_designs(designs)  # type: ignore[arg-type]
    if accuracy is not None:
        from bayeslaw.accuracy.ahead import forecast_accuracy

        ladder = ladder_of(accuracy, accept)
        said = forecast_accuracy(fitted, ladder, wanted, task, kind, prob, accept).to_json()
    else:
        said = forecast_losses(fitted, wanted, kind, prob, accept).to_json()
    minded = far({"design": max((r["extrapolation"] for r in said["rows"]), default=1.0)})
    if json:
        print_answer({**said, "warnings": [c.to_json() for c in minded]})
    else:
        warn(words.failures(fitted))
        say(words.minded(minded))
        say(words.forecast(said) if accuracy is None else judged.forecast(said))


@app.command()
@wishing
def plan(
    ctx: typer.Context,
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
    timings: Annotated[
        Path | None,
        typer.Option(metavar="TABLE", help="Measure --mfu in a timings.csv: flops and seconds."),
    ] = None,
    count: Annotated[int | None, typer.Option(help="Devices at once. Default: 1.")] = None,
    designs: Annotated[
        Path | None, typer.Option(metavar="TABLE", help="Your own designs, scored beside it: CSV.")
    ] = None,
    forgetting: Annotated[
        Path | None, typer.Option(metavar="POSTERIOR", help="A fit of --law forgetting.")
    ] = None,
    routing: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Of `route --out`: decide on the whole system; with --forgetting."
        ),
    ] = None,
    objective: Annotated[
        list[str] | None,
        typer.Option(metavar="task:NAME[=WEIGHT]", help="Choose by accuracy; again for more."),
    ] = None,
    accuracy: AccuracyFile = None,
    weights: Weights = None,
    risk: RiskName = "mean",
    arrangements: Arrangements = None,
    wishes: Any = None,
    stretch: Annotated[float, number(STRETCH)] = "4",  # type: ignore[assignment]
    on: Annotated[On, typer.Option(help="What the risk is of.")] = "loss",
    kind: Annotated[PlanKind, typer.Option(help=CALIBRATED)] = "calibrated",
    epsilon: Annotated[float, typer.Option(help="Nats within which designs are as good.")] = 0.01,
    accept: Accept = False,
    out: Annotated[Path | None, typer.Option(help="Where the plan goes, as plan.json.")] = None,
    json: Json = False,
) -> None:
    """Choose N, D and every D′ under a budget."""
    shares = shares_of(weights)
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
    if losses and (forgetting is not None or objective):
        raise BayeslawError("--forgetting and --objective go with a budget, not with --target")
    if routing is not None and forgetting is None:
        raise BayeslawError("--routing needs --forgetting: what branches lose on other domains")
    if bool(objective) != (accuracy is not None):
        raise BayeslawError("--objective task:NAME and --accuracy FILE go together")
    about = {"precision": precision, "mfu": mfu, "count": count}
    about = {name: value for name, value in about.items() if value is not None}
    files = {"devices": devices, "timings": timings}
    of_device = [*about, *(name for name, file in files.items() if file is not None)]
    if of_device and not timed and device is None:
        named = ", ".join("--" + name for name in of_device)
        raise BayeslawError(f"{named} would change nothing: give --device, or a budget in time")
    if mfu is not None and timings is not None:
        raise BayeslawError("--mfu and --timings say the same thing: give one")
    if out is not None:
        writable(out)
    from bayeslaw.infer.ensemble import read_posterior
    from bayeslaw.infer.source import Source
    from bayeslaw.plan.devices import Hardware, find_device, measured_mfu
    from bayeslaw.plan.inverse import reach
    from bayeslaw.plan.own import read_own
    from bayeslaw.plan.plan import plan as choose
    from bayeslaw.plan.written import write_json

    hardware = None
    if timed or device is not None:
        found = find_device(device or "h100", devices)
        if timings is not None:
            about["mfu"] = measured_mfu(timings, found, precision or "bf16")
        hardware = Hardware(found, **about)  # type: ignore[arg-type]
    if timed:
        assert hardware is not None
        flops = hardware.flops(*hours)
    fitted = usable(read_posterior(posterior), accept)
    mine = read_own(designs, fitted.domains) if designs is not None else None
    lost = read_posterior(forgetting) if forgetting is not None else None
    if accuracy is not None:
        wishes |= {"objective": objective, "accuracy": ladder_of(accuracy, accept)}
    with progress("planning"):
        if losses:
            chosen = reach(
                fitted, losses, prob, shares, arrangements or None, stretch,
                accept=accept, designs=mine, kind=kind, epsilon=epsilon, hardware=hardware,
                **wishes,
            )  # fmt: skip
        else:
            assert flops is not None
            chosen = choose(
                fitted, flops, shares, risk, arrangements or None, stretch, prob,
                accept=accept, designs=mine, kind=kind, on=on, epsilon=epsilon, hardware=hardware,
                forgetting=lost, routing=routing, **wishes,
            )  # fmt: skip
        made = {"posterior": Source.of(posterior).to_json(), "command": ctx.obj.command}
        said = {**chosen.to_json(), **made}
    if out is not None:
        write_json(said, out)
    if json:
        print_answer(said)
    else:
        warn([*words.failures(fitted), *planned.cautions(said)])
        say(planned.plan(said))
        say([f"\nwrote {out}"] if out is not None else [])


@app.command()
@wishing
def frontier(
    posterior: Posterior,
    flops: Annotated[str, typer.Option(metavar="LOW:HIGH", help="Budgets, as 1e19:1e23.")],
    points: Annotated[int, typer.Option(min=2, help="Budgets, evenly spaced in their logs.")] = 9,
    weights: Weights = None,
    risk: RiskName = "mean",
    arrangements: Arrangements = None,
    wishes: Any = None,
    stretch: Annotated[float, number(STRETCH)] = "4",  # type: ignore[assignment]
    prob: Annotated[float, typer.Option(help="Probability inside the interval.")] = 0.9,
    on: Annotated[On, typer.Option(help="What the risk is of.")] = "loss",
    kind: Annotated[PlanKind, typer.Option(help=CALIBRATED)] = "calibrated",
    plot: Annotated[Path | None, typer.Option(metavar="FILE", help="Draw it, as a PNG.")] = None,
    accept: Accept = False,
    json: Json = False,
) -> None:
    """The best plan of every budget in a range."""
    shares = shares_of(weights)
    ends = tuple(amount(end, "--flops") for end in flops.split(":"))
    if len(ends) != 2:
        raise BayeslawError(f"--flops takes LOW:HIGH, as 1e19:1e23, got '{flops}'")
    drawable(plot)
    from bayeslaw.infer.ensemble import read_posterior
    from bayeslaw.plan.frontier import frontier as trace

    fitted = usable(read_posterior(posterior), accept)
    with progress("planning"):
        said = trace(
            fitted, ends, points, shares, risk, arrangements or None, stretch, prob,
            accept=accept, kind=kind, on=on, **wishes,
        ).to_json()  # fmt: skip
    _answer("frontier", fitted, said, plot, json)


@app.command()
@wishing
def pareto(
    posterior: Posterior,
    flops: Annotated[float, number("The budget, as 1e22.")],
    between: Annotated[
        tuple[str, str],
        typer.Option(
            metavar="ONE OTHER", help="Risks, as mean cvar:0.1; or domain:NAME domain:OTHER."
        ),
    ],
    points: Annotated[int, typer.Option(min=2, help="At most.")] = 9,
    weights: Weights = None,
    arrangements: Arrangements = None,
    wishes: Any = None,
    stretch: Annotated[float, number(STRETCH)] = "4",  # type: ignore[assignment]
    prob: Annotated[float, typer.Option(help="Probability inside the interval.")] = 0.9,
    kind: Annotated[PlanKind, typer.Option(help=CALIBRATED)] = "calibrated",
    plot: Annotated[Path | None, typer.Option(metavar="FILE", help="Draw it, as a PNG.")] = None,
    accept: Accept = False,
    json: Json = False,
) -> None:
    """Designs of one budget that trade one aim for another."""
    shares = shares_of(weights)
    drawable(plot)
    from bayeslaw.infer.ensemble import read_posterior
    from bayeslaw.plan.pareto import pareto as trade

    fitted = usable(read_posterior(posterior), accept)
    with progress("planning"):
        said = trade(
            fitted, flops, between, points, shares, arrangements or None, stretch, prob,
            accept=accept, kind=kind, **wishes,
        ).to_json()  # fmt: skip
    _answer("pareto", fitted, said, plot, json)


def _answer(
    name: str, fitted: Ensemble, said: dict[str, Any], plot: Path | None, json: bool
) -> None:
    """Say a frontier or a front, and draw it where that is asked for."""
    if plot is not None:
        from bayeslaw import plots

        getattr(plots, f"draw_{name}")(said, plot)
    if json:
        print_answer({**said, "plot": plot and str(plot)})
    else:
        warn(words.failures(fitted))
        say(getattr(planned, name)(said))
        say([f"\nwrote {plot}"] if plot is not None else [])


@app.command()
@wishing
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
    draws: Annotated[int, typer.Option(min=1, help="More: a smaller standard error.")] = 1500,
    wishes: Any = None,
    seed: Seed = 0,
    accept: Accept = False,
    json: Json = False,
) -> None:
    """Rank the next runs by what they would improve the plan, per FLOP."""
    shares = shares_of(weights)
    from bayeslaw.infer.ensemble import read_posterior
    from bayeslaw.plan.pool import read_pool
    from bayeslaw.plan.suggest import suggest as rank

    fitted = usable(read_posterior(posterior), accept)
    ours = None if pool is None else read_pool(pool, fitted)
    with progress("ranking"):
        said = rank(
            fitted, plan_flops, spend, runs, shares, arrangements or None, stretch, ours,
            draws, accept=accept, kind=kind, seed=seed, **wishes,
        ).to_json()  # fmt: skip
    if json:
        print_answer(said)
    else:
        warn(words.failures(fitted))
        say(planned.suggest(said))
