"""Constraints: what the caller asks of a plan beside its least risk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

from bayeslaw.cost import COSTS, SIX_ND, CostLaw
from bayeslaw.errors import PlanError
from bayeslaw.infer.ensemble import Ensemble
from bayeslaw.plan.architecture import Architecture, checked
from bayeslaw.plan.arrangement import RECIPES
from bayeslaw.plan.bounds import Bound, own_bounds
from bayeslaw.plan.chance import Limit, limits_of
from bayeslaw.plan.data import Data
from bayeslaw.plan.faults import Faults
from bayeslaw.plan.serving import Serving


class Wishes(TypedDict, total=False):
    """Arguments that `plan`, `frontier`, `reach` and `evaluate_plan` share.

    pins: quantity -> value; bounds: quantity -> (low, high) or `LOW:HIGH`, see `own_bounds`.
    unique: `general` or a domain -> its distinct tokens; epochs: how often they may be seen, see
    `Data`. serve: domain -> tokens to be served, of which the budget pays 2 N FLOPs each, times
    serve_price (default 1), see `Serving`. architectures: the only sizes that can be chosen.
    limits: domain -> (loss, probability) or `1.10:0.9`, a loss to be kept with a probability;
    at_least_generalist: with which probability no domain is to be worse than the generalist. cost:
    of training, `6nd`, or `runs`, as the runs' own FLOPs say. objective: task -> weight, or names
    as `task:NAME`, with accuracy, the `Ladder` to tell them by: what is chosen by in the place of
    the weighted loss. recipes: of branches to choose from, `plain`, `replay`, `distill` (default:
    all that were measured).
    """

    pins: Mapping[str, Any] | None
    bounds: Mapping[str, Any] | None
    unique: Mapping[str, Any] | None
    epochs: float | None
    serve: Mapping[str, Any] | None
    serve_price: float | None
    architectures: Sequence[Architecture]
    limits: Mapping[str, Any] | None
    at_least_generalist: float | None
    cost: str
    objective: Mapping[str, float] | Sequence[str] | None
    accuracy: Any
    recipes: str | Sequence[str] | None


@dataclass(frozen=True)
class Constraints:
    """Those arguments, checked. bounds: what they bound. recipes: empty where none are named."""

    bounds: tuple[Bound, ...]
    data: Data
    serving: Serving | None
    architectures: tuple[Architecture, ...]
    limits: tuple[Limit, ...]
    cost: CostLaw
    recipes: tuple[str, ...]

    @classmethod
    def of(cls, fitted: Ensemble, wishes: Wishes) -> Constraints:
        """Raises `PlanError` with all faults."""
        faults = Faults()
        pins, bounds = wishes.get("pins") or {}, wishes.get("bounds") or {}
        unique, epochs = wishes.get("unique") or {}, wishes.get("epochs")
        own = faults.of(lambda: own_bounds(pins, bounds, fitted.domains))
        data = faults.of(lambda: Data.of(fitted, unique, epochs))
        serve, price = wishes.get("serve") or {}, wishes.get("serve_price")
        serving = faults.of(lambda: Serving.of(fitted, serve, price))
        listed = faults.of(lambda: checked(wishes.get("architectures") or ()))
        losses, least = wishes.get("limits") or {}, wishes.get("at_least_generalist")
        limits = faults.of(lambda: limits_of(fitted, losses, least))
        cost = faults.of(lambda: cost_of(fitted, wishes.get("cost", "6nd")))
        named = wishes.get("recipes") or ()
        recipes = (named,) if isinstance(named, str) else tuple(named)
        for name in recipes:
            faults.unless(name in RECIPES, f"recipe '{name}' is not one of {', '.join(RECIPES)}")
            measured = name not in RECIPES[1:] or fitted.contrast(name) is not None
            faults.unless(
                measured, f"recipe '{name}' cannot be chosen: no runs of it were measured"
            )
        faults.tell()
        assert own is not None
        assert data is not None
        assert cost is not None
        own += data.caps(fitted.domains)
        return cls(own, data, serving, listed or (), limits or (), cost, recipes)


def cost_of(fitted: Ensemble, cost: str) -> CostLaw:
    """The cost law of that name. Raises `PlanError` where there is none."""
    if cost not in COSTS:
        raise PlanError(f"cost '{cost}' is not one of {', '.join(COSTS)}")
    if cost == "6nd":
        return SIX_ND
    if fitted.cost is None:
        raise PlanError("this fit kept no cost of its runs: fit again, or take cost 6nd")
    return fitted.cost
