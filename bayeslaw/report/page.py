"""The page: templates filled in, everything in them escaped."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from bayeslaw.plan.written import named
from bayeslaw.quantity import chance, format_quantity
from bayeslaw.report.told import mean


def page(contents: Mapping[str, Any]) -> str:
    """One HTML file. Every word of `contents` is text, but for pictures."""
    environment = Environment(
        loader=PackageLoader("bayeslaw.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= FILTERS
    return environment.get_template("page.html").render(contents) + "\n"


def nats(value: float, digits: int = 4) -> str:
    return f"{value:.{digits}f}"


def signed(value: float, digits: int = 4) -> str:
    return f"{value:+.{digits}f}"


def percent(value: float) -> str:
    return f"{100 * value:.3g} %"


def factor(value: float) -> str:
    return f"{value:.3g}x"


FILTERS: dict[str, Any] = {
    "quantity": format_quantity,
    "mean": mean,
    "nats": nats,
    "signed": signed,
    "percent": percent,
    "chance": chance,
    "factor": factor,
    "named": named,
}
