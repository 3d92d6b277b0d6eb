"""The typer application and what its commands share: options, words to the terminal, errors."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

import typer

from bayeslaw.errors import BayeslawError, FitError
from bayeslaw.quantity import parse_quantity

if TYPE_CHECKING:
    from bayeslaw.accuracy import Ladder
    from bayeslaw.infer.ensemble import Ensemble

Accepted = TypeVar("Accepted", "Ensemble", "Ladder")  # what `accept` refuses or lets pass

DONE, USER_ERROR, FAILED_CHECKS, INTERRUPTED = 0, 1, 2, 130

app = typer.Typer(
    name="bayeslaw",
    help="Bayesian scaling laws: fit a sweep, forecast losses, plan the split.",
    epilog="Exit codes: 0 done; 1 wrong input or usage; 2 the result failed its own checks; "
    "130 interrupted.",
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
    """One call of the command line: its arguments, as they were typed."""

    arguments: tuple[str, ...] = ()
    debug: bool = False

    @property
    def command(self) -> tuple[str, ...]:
        """What makes the same again."""
        return ("bayeslaw", *self.arguments)


class Refused(BayeslawError):
    """A posterior that failed its own checks, and no --accept."""


def quantity(text: str) -> float:
    """A number as people write it: 7B, 2.5T, 1e22."""
    try:
        return parse_quantity(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


# What a report of a bug must name; the last ones are optional.
STACK = (
    "jax", "jaxlib", "numpyro", "numpy", "scipy", "pandas", "xarray", "arviz-base", "arviz-stats",
    "arviz-plots", "torch",
)  # fmt: skip


def version(asked: bool) -> None:
    """The version, and those of what it stands on; nothing of it is loaded for that."""
    if not asked:
        return
    import platform
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as installed

    def line(name: str) -> str:
        try:
            return f"{name} {installed(name)}"
        except PackageNotFoundError:
            return f"{name} not installed"

    say([line("bayeslaw"), f"python {platform.python_version()}", *map(line, STACK)])
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
Sweep = Annotated[
    str | None, typer.Option("--sweep", metavar="NAME", help="Of several, the one to look at.")
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
        typer.Option(
            "--version",
            callback=version,
            is_eager=True,
            help="Print the versions, of the stack too.",
        ),
    ] = False,
) -> None:
    ctx.obj.debug = debug


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


def leave(fitted: Ensemble | Ladder) -> None:
    if not fitted.passed:
        raise typer.Exit(FAILED_CHECKS)


def usable(fitted: Accepted, accept: bool) -> Accepted:
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


def drawable(path: Path | None) -> None:
    """As `writable`, for a plot, where one is asked for: it is drawn into a file only, and no
    window system is asked for."""
    if path is not None:
        writable(path)
        os.environ["MPLBACKEND"] = "agg"


def shares_of(weights: list[str] | None) -> dict[str, float] | None:
    """What --weight says; None where it says nothing."""
    return {d: amount(w, "--weight") for d, w in pairs(weights, "--weight").items()} or None


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
