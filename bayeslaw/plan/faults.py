"""Faults: what is wrong with a call's arguments, told all at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from bayeslaw.errors import PlanError
from bayeslaw.quantity import parse_quantity

T = TypeVar("T")


def quantity(what: str, value: Any) -> float:
    """A number as people write it. Raises `PlanError` that names what it is of."""
    try:
        return parse_quantity(value)
    except ValueError as error:
        raise PlanError(f"{what}: {error}") from None


class Faults(list[str]):
    """What checks have found so far."""

    def of(self, check: Callable[[], T]) -> T | None:
        """What a check gives; None where it raised `PlanError`, which is noted."""
        try:
            return check()
        except PlanError as error:
            self.append(str(error))
            return None

    def unless(self, holds: bool, otherwise: str) -> None:
        """Note a fault unless something holds."""
        if not holds:
            self.append(otherwise)

    def tell(self) -> None:
        """Raise `PlanError` with all of them, where there are any."""
        if self:
            raise PlanError("; ".join(self))
