"""A plan as it is told: its numbers in words, rows and shares of bars."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from bayeslaw.quantity import format_quantity
from bayeslaw.report import decision
from bayeslaw.report.next_runs import NextRuns
from bayeslaw.report.picture import Picture
from bayeslaw.report.planned import Baseline, Planned, Sizes

SYMBOLS = {"params": "N", "pretrain_tokens": "D", "specialize_tokens": "D′"}
TERMS = {
    "size": "size: a larger model would help (N)",
    "data": "data: more tokens would help (D)",
    "branch": "branch: more tokens of the domain would help (D′)",
    "gap": "gap between the mixture and the domain (D′)",
    "floor": "floor: nothing helps",
}
SHIFTS, MOVED = 5, 1.05  # priors that are shown, and the factor from which they are
MANY = 24  # domains beyond which sizes are told by their range


@dataclass(frozen=True)
class Told:
    """plan: what its file says. next: what to run next. pictures: by section. stray: whether the
    file does not say which posterior it was made with."""

    plan: Planned
    next: NextRuns
    pictures: Mapping[str, Sequence[Picture]] = field(default_factory=dict)
    stray: bool = False

    @cached_property
    def against(self) -> list[str]:
        stray = "The plan does not say which posterior it was made with: it is taken for this one."
        return [*([stray] if self.stray else []), *decision.against(self.plan)]

    @property
    def what(self) -> str:
        return decision.what(self.plan)

    @property
    def price(self) -> str:
        return decision.price(self.plan)

    @property
    def hope(self) -> str:
        return decision.hope(self.plan)

    @property
    def confidence(self) -> str:
        return decision.confidence(self.plan)

    @property
    def one_trunk(self) -> bool:
        return self.plan.arrangement == "trunk" and len(self.plan.weights) > 1

    @property
    def sizes(self) -> list[dict[str, Any]]:
        """A row for every size: the plan's, the range that is as good, and that of the draws' own
        optima."""
        p, rows = self.plan, []
        for key, symbol in SYMBOLS.items():
            value, near = getattr(p, key), getattr(p.region, key)
            own = getattr(p.own_optima, key)
            for d in list(value)[:MANY] if isinstance(value, dict) else [None]:
                size = value if d is None else value[d]
                if not size:
                    continue
                rows.append({
                    "name": symbol if d is None else f"{symbol}, {d}",
                    "plan": size,
                    "near": near[d] if isinstance(near, dict) and d is not None else near,
                    "own": (own[d] if isinstance(own, dict) and d is not None else own).interval,
                })  # fmt: skip
        return rows

    @property
    def tokens(self) -> list[dict[str, Any]]:
        """What every domain's model is trained on; shares are of the longest, per cent."""
        p = self.plan
        rows: list[dict[str, Any]] = [
            {"domain": d, "general": p.size("pretrain_tokens", d),
             "own": p.size("specialize_tokens", d)}
            for d in p.weights
        ]  # fmt: skip
        longest = max((r["general"] + r["own"] for r in rows), default=0.0) or 1.0
        for r in rows:
            r["general_share"] = _share(r["general"], longest)
            r["own_share"] = _share(r["own"], longest)
        return rows

    @property
    def where(self) -> str:
        """How much of all training goes to which stage."""
        first, second = self.plan.stages
        total = first + second
        if not total > 0:
            return "Nothing is trained."
        return (
            f"Of {format_quantity(total)} tokens that are trained on in all, "
            f"{100 * first / total:.3g} % are of the general mixture and "
            f"{100 * second / total:.3g} % of the domains' own."
        )

    @property
    def rivals(self) -> list[dict[str, Any]]:
        """The plan and what else the budget buys, by regret; shares are of the largest."""
        p = self.plan
        rows = [_rival("the plan: " + p.named, p, p, True, None)]
        rows += [_rival(b.name, b, p, False, b.p_plan_beats) for b in p.baselines]
        rows.sort(key=lambda r: r["regret"])
        largest = max(r["regret"] for r in rows)
        return [{**r, "share": _share(max(r["regret"], 0.0), largest)} for r in rows]

    @property
    def terms(self) -> list[dict[str, Any]]:
        largest = max((t.nats for t in self.plan.limits), default=0.0)
        return [
            {"name": TERMS.get(t.name, t.name), "nats": t.nats, "share": _share(t.nats, largest)}
            for t in self.plan.limits
        ]

    @property
    def limited(self) -> str:
        terms = [t for t in self.plan.limits if t.name != "floor"]
        if not terms:
            return "Only the floor of the laws is left."
        first = terms[0]
        return (
            f"The {first.name} term of the laws holds most of what could still be gained: "
            f"{first.nats:.3f} nats of the loss, the largest term with probability "
            f"{first.p_largest:.2f}."
        )

    @property
    def worth(self) -> list[str]:
        """What more compute and more knowledge would be worth."""
        p = self.plan
        lines = []
        if p.shadow_price is not None:
            gain = math.log(2) * p.shadow_price
            lines.append(f"Twice the budget would take off about {gain:.4f} nats.")
        equal = (
            f"as much as {p.evpi_flops / p.budget.flops:.3g} times the budget"
            if p.evpi_flops is not None and p.budget.flops > 0
            else "more than any budget would buy"
        )
        lines.append(f"Knowing the truth would be worth {p.evpi:.4f} nats: {equal}.")
        return lines

    @property
    def shifts(self) -> list[Any]:
        """The priors that move a size most."""
        moved = [s for s in self.plan.priors if s.params is not None and s.loss is not None]
        return sorted((s for s in moved if s.strength > MOVED), key=lambda s: -s.strength)[:SHIFTS]


def beside(told: Sequence[Told]) -> list[tuple[str, list[str]]]:
    """Plans side by side: rows of a name and a cell for each."""
    q = format_quantity

    def each(show: Any) -> list[str]:
        return [show(t.plan) for t in told]

    rows = [
        ("arrangement", each(lambda p: p.named)),
        ("budget, FLOPs", each(lambda p: q(p.budget.flops))),
        ("spent", each(lambda p: f"{100 * p.budget.spent:.3g} %")),
        ("risk", each(lambda p: p.risk + (" on regret" if p.on == "regret" else ""))),
        ("N", each(lambda p: q(mean(p.params)))),
        ("D", each(lambda p: q(mean(p.pretrain_tokens)))),
        ("mean D′", each(lambda p: q(mean(p.specialize_tokens)))),
        ("loss", each(lambda p: f"{p.loss.mean:.4f}")),
        ("interval", each(lambda p: "{:.4f} to {:.4f}".format(*p.loss.interval))),
        ("of kind", each(lambda p: f"{p.kind}, {100 * p.prob:g} %")),
        ("P(best arrangement)", each(lambda p: f"{p.p_best:.2f}")),
        ("expected regret", each(lambda p: f"{p.regret:.4f}")),
        ("compute beyond the sweep", each(lambda p: f"{p.extrapolation.get('compute', 1.0):.3g}x")),
        ("at the edge of", each(lambda p: ", ".join(p.at_bound) or "nothing")),
        ("worth of the truth, nats", each(lambda p: f"{p.evpi:.4f}")),
    ]
    if len({tuple(sorted(t.plan.weights.items())) for t in told}) > 1:
        rows.append(("weights", each(_weights)))
    return rows


def mean(value: Sizes) -> float:
    """One number, or the mean of a number for each domain."""
    each = list(value.values()) if isinstance(value, dict) else [value]
    return float(sum(each) / len(each))


def _weights(p: Planned) -> str:
    return ", ".join(f"{d} {w:.2g}" for d, w in p.weights.items())


def _rival(
    name: str, design: Baseline | Planned, p: Planned, chosen: bool, beats: float | None
) -> dict[str, Any]:
    optimum = chosen or name in p.p_best_of
    return {
        "name": name,
        "chosen": chosen,
        "loss": design.loss,
        "regret": design.regret,
        "p_best": p.p_best_of.get(design.named) if optimum else None,
        "p_plan_beats": beats,
    }


def _share(part: float, whole: float) -> str:
    """Per cent, for the width of a bar."""
    return f"{100 * part / whole:.2f}" if whole > 0 else "0"
