"""The command line: fit, check, forecast, plan, sweep. Heavy rooms are imported by the command."""

from __future__ import annotations

import json as jsonlib
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from bayeslaw.errors import BayeslawError, FitError
from bayeslaw.quantity import format_quantity, parse_quantity

if TYPE_CHECKING:
    from bayeslaw.infer.ensemble import Ensemble

DONE, USER_ERROR, FAILED_CHECKS, INTERRUPTED = 0, 1, 2, 130
SLOW = 2.0  # seconds after which a progress bar appears

app = typer.Typer(
    name="bayeslaw",
    help="Bayesian scaling laws: fit a sweep, forecast losses, plan the split.",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
_debug = False


# typer brings click, or a copy of it: its base of usage errors is found rather than imported.
_UsageError = next(c for c in typer.BadParameter.__mro__ if c.__name__ == "ClickException")


def _number(text: str) -> float:
    """A quantity as people write it: 7B, 2.5T, 1e22."""
    try:
        return parse_quantity(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


Posterior = Annotated[Path, typer.Argument(help="What `bayeslaw fit` wrote.")]
Accept = Annotated[bool, typer.Option("--accept", help="Use laws that failed the gate.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")]


@app.callback(invoke_without_command=True)
def _options(
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    global _debug
    _debug = debug
    if version:
        from importlib.metadata import version as installed

        typer.echo(installed("bayeslaw"))
        raise typer.Exit()


@app.command()
def fit(
    runs: Annotated[list[str], typer.Argument(help="Tables of runs: CSV or parquet, globs.")],
    law: Annotated[Optional[list[str]], typer.Option(help="A law; again for several.")] = None,
    method: Annotated[str, typer.Option(help="nuts, laplace or huber.")] = "nuts",
    likelihood: Annotated[str, typer.Option(help="student or normal.")] = "student",
    seed: Annotated[int, typer.Option(help="Same seed, same result.")] = 0,
    out: Annotated[Path, typer.Option(help="Where the posterior goes.")] = Path("posterior.nc"),
    map: Annotated[Optional[list[str]], typer.Option(help="Our column = theirs.")] = None,
    unit: Annotated[Optional[str], typer.Option(help="Of the losses: bits/byte, ...")] = None,
    json: Json = False,
) -> None:
    """Fit the laws to tables of runs and write their posterior."""
    from bayeslaw.runs import read_runs

    began = time.perf_counter()
    table = read_runs(*runs, map=_pairs(map or [], "--map"), unit=unit)
    from bayeslaw.infer.fit import fit as run_fit

    with _progress("fitting") as step:
        fitted = run_fit(
            table, law or None, method, seed, likelihood, progress=lambda name: step(name)  # type: ignore[arg-type]
        )
    fitted.save(out)
    took = time.perf_counter() - began
    if json:
        _print_json(_fit_json(fitted, out, took))
    else:
        _print_fit(fitted, table.summary(), out, took)
    if not fitted.passed:
        raise typer.Exit(FAILED_CHECKS)


@app.command()
def check(
    posterior: Posterior,
    plots: Annotated[Optional[Path], typer.Option(help="Folder for the diagnostic plots.")] = None,
    json: Json = False,
) -> None:
    """Say how far a posterior can be trusted; draw its diagnostics."""
    from bayeslaw.infer.ensemble import read_posterior

    fitted = read_posterior(posterior)
    written: list[str] = []
    if plots is not None:
        from bayeslaw.plots import draw_all

        with _progress("drawing") as step:
            written = [str(p) for p in draw_all(fitted, plots, step)]
    if json:
        _print_json({**_fit_json(fitted, posterior, None), "plots": written})
    else:
        _print_diagnostics(fitted)
        if plots is not None:
            typer.echo(f"{len(written)} plots in {plots}/")
    if not fitted.passed:
        raise typer.Exit(FAILED_CHECKS)


@app.command()
def forecast(
    posterior: Posterior,
    params: Annotated[Optional[float], typer.Option(parser=_number, help="N, as 7B.")] = None,
    pretrain_tokens: Annotated[Optional[float], typer.Option(parser=_number, help="D, as 1T.")] = None,
    specialize_tokens: Annotated[float, typer.Option(parser=_number, help="D′, as 50B.")] = 0.0,
    domain: Annotated[Optional[str], typer.Option(help="Default: every domain.")] = None,
    designs: Annotated[Optional[Path], typer.Option(help="A table of designs instead.")] = None,
    kind: Annotated[str, typer.Option(help="mean (the curve) or run (a new run).")] = "run",
    prob: Annotated[float, typer.Option(help="Probability inside the interval.")] = 0.9,
    accept: Accept = False,
    json: Json = False,
) -> None:
    """Forecast the loss of designs, with intervals."""
    asked = _designs(params, pretrain_tokens, specialize_tokens, domain, designs)
    from bayeslaw.forecast import forecast as run_forecast
    from bayeslaw.infer.ensemble import read_posterior

    fitted = _usable(read_posterior(posterior), accept)
    answer = run_forecast(fitted, asked, kind, prob, accept)  # type: ignore[arg-type]
    if json:
        _print_json(answer.to_json())
        return
    rows = [
        [
            r.domain, format_quantity(r.params), format_quantity(r.pretrain_tokens),
            format_quantity(r.specialize_tokens), f"{r.mean:.4f}", f"[{r.lo:.4f}, {r.hi:.4f}]",
            f"{r.extrapolation:.3g}x",
        ]
        for r in answer.rows
    ]  # fmt: skip
    _table(["domain", "N", "D", "D′", "loss", f"{prob:.0%} ({kind})", "beyond"], rows)
    typer.echo("loss in nats; `beyond`: how far outside the sweep, at worst over its inputs")


@app.command()
def plan(
    posterior: Posterior,
    flops: Annotated[float, typer.Option(parser=_number, help="The budget, as 1e22.")],
    weight: Annotated[Optional[list[str]], typer.Option(help="DOMAIN=2; default: all equal.")] = None,
    risk: Annotated[str, typer.Option(help="mean, quantile:0.9 or cvar:0.1.")] = "mean",
    arrangement: Annotated[Optional[list[str]], typer.Option(help="Choose among these only.")] = None,
    stretch: Annotated[float, typer.Option(help="How far D/N and D′/D may leave the sweep.")] = 4.0,
    accept: Accept = False,
    out: Annotated[Optional[Path], typer.Option(help="Where the plan goes, as plan.json.")] = None,
    json: Json = False,
) -> None:
    """Choose N, D and every D′ under a budget."""
    weights = {d: _float(w, "--weight") for d, w in _pairs(weight or [], "--weight").items()}
    from bayeslaw.infer.ensemble import read_posterior
    from bayeslaw.plan.plan import plan as run_plan

    fitted = _usable(read_posterior(posterior), accept)
    with _progress("planning"):
        chosen = run_plan(
            fitted, flops, weights or None, risk, arrangement or None, stretch, accept=accept
        )
    if out is not None:
        chosen.write(out)
    if json:
        _print_json(chosen.to_json())
    else:
        _print_plan(chosen.to_json())
        if out is not None:
            typer.echo(f"\nwrote {out}")


@app.command()
def sweep(
    sweep: Annotated[Path, typer.Argument(metavar="SWEEP.toml", help="What to train.")],
    out: Annotated[Optional[Path], typer.Option(help="Folder for runs.csv instead.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Price it; train nothing.")] = False,
) -> None:
    """Train a sweep of real models and write its table of runs."""
    try:
        from bayeslaw.train.study import run_sweep
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise BayeslawError("sweep needs torch: pip install 'bayeslaw[train]'") from None
    with _progress("training") as step:
        done = run_sweep(sweep, out, dry_run, lambda n, total: step(f"cell {n} of {total}", n / total))
    if done.dry_run:
        typer.echo(
            f"{done.trained} cells to train, {done.kept} there already\n"
            f"{format_quantity(done.flops)} FLOPs, about {done.seconds / 60:.0f} minutes here"
        )
        return
    typer.echo(f"{done.trained} cells trained, {done.kept} there already, {done.diverged} diverged")
    typer.echo(f"{done.rows} rows in {done.csv} ({done.seconds:.0f} s)")


def main() -> None:
    """The entry point: errors without tracebacks, and the exit codes of the documentation."""
    sys.exit(_exit_code(sys.argv[1:]))


def _exit_code(arguments: list[str]) -> int:
    try:
        code = typer.main.get_command(app).main(arguments, "bayeslaw", standalone_mode=False)
        return code if isinstance(code, int) else DONE
    except typer.Exit as stop:
        return stop.exit_code
    except _UsageError as usage:
        usage.show()  # type: ignore[attr-defined]
        return USER_ERROR
    except (KeyboardInterrupt, typer.Abort):
        typer.echo("interrupted", err=True)
        return INTERRUPTED
    except _Refused as refused:
        typer.echo(f"error: {refused}", err=True)
        return FAILED_CHECKS
    except BayeslawError as error:
        if _debug:
            raise
        typer.echo(f"error: {error}", err=True)
        return USER_ERROR


class _Refused(BayeslawError):
    """A posterior that failed its own checks, and no --accept."""


def _usable(fitted: Ensemble, accept: bool) -> Ensemble:
    try:
        return fitted.accept(accept)
    except FitError as error:
        raise _Refused(str(error)) from error


def _pairs(items: list[str], option: str) -> dict[str, str]:
    broken = [i for i in items if "=" not in i or not i.split("=", 1)[0]]
    if broken:
        raise BayeslawError(f"{option} takes NAME=VALUE, got {', '.join(broken)}")
    return dict(i.split("=", 1) for i in items)  # type: ignore[misc]


def _float(text: str, option: str) -> float:
    try:
        return parse_quantity(text)
    except ValueError as error:
        raise BayeslawError(f"{option}: {error}") from None


def _designs(
    params: float | None, pretrain: float | None, specialize: float, domain: str | None,
    designs: Path | None,
) -> Any:  # fmt: skip
    one = params is not None or pretrain is not None
    if designs is not None and one:
        raise BayeslawError("give --designs, or --params and --pretrain-tokens, not both")
    if designs is None and (params is None or pretrain is None):
        raise BayeslawError("give --params and --pretrain-tokens, or --designs TABLE")
    if designs is None:
        design = {"params": params, "pretrain_tokens": pretrain, "specialize_tokens": specialize}
        return [{**design, "domain": domain} if domain else design]
    from bayeslaw.forecast import read_designs

    return read_designs(designs)


@contextmanager
def _progress(what: str) -> Iterator[Callable[..., None]]:
    """A bar on stderr for what takes longer than `SLOW`; nothing when that is no terminal."""
    if not sys.stderr.isatty():
        yield lambda *_: None
        return
    from threading import Timer

    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    bar = Progress(*columns, console=Console(stderr=True), transient=True)
    task = bar.add_task(what, total=None)
    timer = Timer(SLOW, bar.start)
    timer.daemon = True
    timer.start()

    def step(name: str = "", share: float | None = None) -> None:
        known = {} if share is None else {"total": 1.0, "completed": share}
        bar.update(task, description=f"{what} {name}", **known)  # type: ignore[arg-type]

    try:
        yield step
    finally:
        timer.cancel()
        bar.stop()


def _print_json(value: Any) -> None:
    typer.echo(jsonlib.dumps(value, allow_nan=False, default=float))


def _table(header: list[str], rows: list[list[str]]) -> None:
    """Columns as wide as they need, the first to the left, the others to the right."""
    widths = [max(len(r[j]) for r in [header, *rows]) for j in range(len(header))]

    def line(cells: list[str]) -> str:
        first = cells[0].ljust(widths[0])
        return "  ".join([first, *(c.rjust(w) for c, w in zip(cells[1:], widths[1:], strict=True))])

    typer.echo(line(header))
    for row in rows:
        typer.echo(line(row))


def _clean(value: float) -> float | None:
    return None if value != value else float(value)


def _fit_json(fitted: Ensemble, out: Path, seconds: float | None) -> dict[str, Any]:
    weights = fitted.weights() if fitted.passed else {m.law.name: 0.0 for m in fitted.members}
    laws = []
    for m in fitted.members:
        d = {
            n: _clean(v) if isinstance(v, float) else v for n, v in m.diagnostics.as_dict().items()
        }
        published = m.published()
        estimates = {
            str(n): {
                dom: {"mean": float(v.sel(domain=dom).mean()), "sd": float(v.sel(domain=dom).std())}
                for dom in m.domains
            }
            for n, v in published.items()
        }
        laws.append({
            "law": m.law.name, "weight": weights[m.law.name], "method": m.method,
            "diagnostics": d, "published": estimates,
            "sigma": {dom: float(m.sigma[:, k].mean()) for k, dom in enumerate(m.domains)},
        })  # fmt: skip
    first = fitted.members[0]
    return {
        "schema": 1, "posterior": str(out), "passed": fitted.passed, "laws": laws,
        "domains": list(fitted.domains), "counts": dict(first.counts), "seconds": seconds,
    }  # fmt: skip


def _print_failures(fitted: Ensemble) -> None:
    """What is wrong comes first."""
    for m in fitted.members:
        if m.diagnostics.failures:
            typer.echo(f"{m.law.name} FAILED its checks: {'; '.join(m.diagnostics.failures)}")
    if not fitted.passed:
        typer.echo("no law may be used; forecast and plan refuse this file without --accept")


def _print_diagnostics(fitted: Ensemble) -> None:
    _print_failures(fitted)
    weights = fitted.weights() if fitted.passed else dict.fromkeys([m.law.name for m in fitted.members], 0.0)
    rows = []
    for m in fitted.members:
        d = m.diagnostics
        rows.append([
            m.law.name, f"{weights[m.law.name]:.2f}", f"{d.agree}/{d.starts}", f"{d.r_hat:.3f}",
            f"{d.ess_bulk:.0f}", f"{d.ess_tail:.0f}", str(d.divergences),
            f"{100 * m.sigma.mean():.2f} %", "ok" if d.passed else "failed",
        ])  # fmt: skip
    header = ["law", "weight", "starts", "R-hat", "ESS", "tail", "div.", "noise", "gate"]
    _table(header, rows)


def _print_fit(fitted: Ensemble, summary: list[str], out: Path, took: float) -> None:
    for line in summary:
        typer.echo(line)
    typer.echo("")
    _print_diagnostics(fitted)
    for m in fitted.members:
        published = m.published()
        if not published:
            continue
        typer.echo(f"\n{m.law.name}: L = {m.law.formula}")
        rows = [
            [str(d), *(f"{_short(v.sel(domain=d))}" for v in published.values())]
            for d in m.domains
        ]
        _table(["mean (sd)", *map(str, published)], rows)
    typer.echo(f"\nwrote {out} ({took:.1f} s)")


def _short(draws: Any) -> str:
    mean, sd = float(draws.mean()), float(draws.std())
    if abs(mean) >= 1e4:
        return format_quantity(float(draws.median()))
    return f"{mean:.3g} ({sd:.1g})" if sd else f"{mean:.4g}"


def _print_plan(p: dict[str, Any]) -> None:
    if p["at_bound"]:
        typer.echo(f"at the edge of what the sweep supports: {', '.join(p['at_bound'])}")
    beyond = ", ".join(f"{n} {v:.3g}x" for n, v in p["extrapolation"].items() if v > 1)
    typer.echo(f"extrapolates beyond the sweep: {beyond or 'nowhere'}")
    typer.echo("")
    typer.echo(f"{p['arrangement']} for {format_quantity(p['flops'])} FLOPs, risk {p['risk']}")
    rows = []
    for name, said in p["domains"].items():
        n, d = p["params"], p["pretrain_tokens"]
        rows.append([
            name, format_quantity(n[name] if isinstance(n, dict) else n),
            format_quantity(d[name] if isinstance(d, dict) else d),
            format_quantity(p["specialize_tokens"][name]), f"{said['mean']:.4f}",
            "[{:.4f}, {:.4f}]".format(*said["interval"]),
        ])  # fmt: skip
    rows.append(["weighted", "", "", "", f"{p['loss']['mean']:.4f}",
                 "[{:.4f}, {:.4f}]".format(*p["loss"]["interval"])])  # fmt: skip
    _table(["domain", "N", "D", "D′", "loss", f"{p['prob']:.0%} ({p['kind']})"], rows)
    typer.echo("")
    typer.echo(f"best of the arrangements with probability {p['p_best']:.2f}; "
               f"expected regret {p['regret']:.4f} nats")  # fmt: skip
    if p["p_split_beats_generalist"] is not None:
        typer.echo(f"a split beats the generalist with probability {p['p_split_beats_generalist']:.2f}")
    if p["baselines"]:
        typer.echo("")
        rows = [
            [b["name"], f"{b['loss']['mean']:.4f}", "[{:.4f}, {:.4f}]".format(*b["loss"]["interval"]),
             f"{b['regret']:.4f}", f"{b['p_plan_beats']:.2f}"]
            for b in p["baselines"]
        ]  # fmt: skip
        _table(["instead", "loss", f"{p['prob']:.0%}", "regret", "P(plan better)"], rows)
    for item in p["not_assessable"]:
        typer.echo(f"not assessable: {item['arrangement']} ({item['reason']})")
