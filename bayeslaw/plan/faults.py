"""Faults: what is wrong with a call's arguments, told all at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from bayeslaw.errors import PlanError

T = TypeVar("T")


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
