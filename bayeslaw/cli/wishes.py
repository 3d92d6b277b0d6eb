"""Wishes: the options that say what a plan is asked for beside its least risk."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from bayeslaw.cli.app import pairs

if TYPE_CHECKING:
    from bayeslaw.plan.architecture import Architecture

WIDEST = 512  # heads of a recipe's models

QUANTITY = "QUANTITY[.DOMAIN]="
Pins = Annotated[
    list[str] | None,
    typer.Option(
        "--pin",
        metavar=QUANTITY + "VALUE",
        help="Hold params, pretrain_tokens, specialize_tokens, tokens_per_param or split_ratio; "
        "again for more.",
    ),
]
Ranges = Annotated[
    list[str] | None,
    typer.Option(
        "--bound",
        metavar=QUANTITY + "LOW:HIGH",
        help="Bound one, as params=1B:20B or pretrain_tokens=:5T; again for more.",
    ),
]
Unique = Annotated[
    list[str] | None,
    typer.Option(
        "--unique",
        metavar="NAME=TOKENS",
        help="Distinct tokens of a domain or of `general`, as code=20B; again for more.",
    ),
]
Epochs = Annotated[
    float | None,
    typer.Option(help="How often they may be seen. Default: 4, or what a law of repetition says."),
]
Serve = Annotated[
    list[str] | None,
    typer.Option(
        "--serve",
        metavar="DOMAIN=TOKENS",
        help="Tokens to be served, 2N FLOPs of the budget each; again for more.",
    ),
]
ServePrice = Annotated[
    float | None,
    typer.Option(help="What a FLOP of serving counts in FLOPs of training. Default: 1."),
]
Architectures = Annotated[
    str | None,
    typer.Option(
        metavar="FILE|RECIPE",
        help="Models that can be built: CSV or TOML with params, or a sweep's recipe.",
    ),
]
Limits = Annotated[
    list[str] | None,
    typer.Option(
        "--limit",
        metavar="DOMAIN=LOSS:PROB",
        help="A loss to be kept with a probability, as code=1.10:0.9; again for more.",
    ),
]
AtLeast = Annotated[
    float | None,
    typer.Option(
        metavar="PROB", help="Probability with which no domain is worse than the generalist."
    ),
]

CostName = Annotated[
    Literal["6nd", "runs"],
    typer.Option("--cost", help="Of a training token: 6 N, or as the runs' own FLOPs say."),
]


Recipes = Annotated[
    list[str] | None,
    typer.Option(
        "--recipe",
        metavar="NAME",
        help="Of branches: plain, replay or distill; again for more. Default: all that were run.",
    ),
]


def wishing(command: Callable[..., None]) -> Callable[..., None]:
    """The command with the options of `asked_for` in the place of its `wishes`."""
    own = inspect.signature(command, eval_str=True).parameters
    ours = inspect.signature(asked_for, eval_str=True).parameters
    every = [q for name, p in own.items() for q in (ours.values() if name == "wishes" else (p,))]

    @wraps(command)
    def run(**given: Any) -> None:
        command(wishes=asked_for(**{name: given.pop(name) for name in ours}), **given)

    del run.__wrapped__
    run.__signature__ = inspect.Signature(every)  # type: ignore[attr-defined]
    run.__annotations__ = {p.name: p.annotation for p in every}
    return run


def asked_for(
    pins: Pins = None,
    bounds: Ranges = None,
    unique: Unique = None,
    epochs: Epochs = None,
    serve: Serve = None,
    serve_price: ServePrice = None,
    architectures: Architectures = None,
    limits: Limits = None,
    at_least_generalist: AtLeast = None,
    cost: CostName = "6nd",
    recipes: Recipes = None,
) -> dict[str, Any]:
    """What a plan is asked for beside its least risk."""
    given = {
        "pins": pairs(pins, "--pin"),
        "bounds": pairs(bounds, "--bound"),
        "unique": pairs(unique, "--unique"),
        "epochs": epochs,
        "serve": pairs(serve, "--serve"),
        "serve_price": serve_price,
        "architectures": None if architectures is None else _buildable(architectures),
        "limits": pairs(limits, "--limit"),
        "at_least_generalist": at_least_generalist,
        "cost": cost,
        "recipes": recipes,
    }
    return {name: value for name, value in given.items() if value or value == 0}


def _buildable(name: str) -> tuple[Architecture, ...]:
    """The models of a file, or of a recipe at every width that its heads divide."""
    from bayeslaw.plan.architecture import Architecture, read_architectures
    from bayeslaw.sweep.recipe import RECIPES

    if name not in RECIPES:
        return read_architectures(name)
    recipe = RECIPES[name]
    shapes = (recipe.shape(recipe.head_width * heads) for heads in range(1, WIDEST + 1))
    return tuple(
        Architecture(f"{name} {s.width}", s.params, {"width": s.width, "layers": s.layers})
        for s in shapes
    )
