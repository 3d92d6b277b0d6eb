"""The inverse: the least budget that reaches target losses with a probability."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Unpack

import numpy as np

from bayeslaw.errors import PlanError
from bayeslaw.infer.ensemble import Ensemble
from bayeslaw.infer.precision import double
from bayeslaw.plan.arguments import EPSILON, faults_of, question
from bayeslaw.plan.arrangement import arrangement_of
from bayeslaw.plan.candidate import Own
from bayeslaw.plan.choice import Choice
from bayeslaw.plan.constraints import Wishes
from bayeslaw.plan.devices import Hardware
from bayeslaw.plan.limits import floors
from bayeslaw.plan.optimum import Optimum, optimise, within
from bayeslaw.plan.plan import Plan, answered
from bayeslaw.plan.question import Question
from bayeslaw.plan.risk import Risk
from bayeslaw.plan.scores import scores
from bayeslaw.plan.written import WEIGHTED

STEP = 1.0  # e-folds between the budgets of a first look
BELOW, ABOVE = 1e-3, 1e9  # times the sweep's smallest and largest run
LOWEST = 1e-15  # times the sweep's smallest run: further down no budget is sought
PRECISE = 5e-3  # of the log of a budget
NEAR = 0.05  # nats: arrangements that miss by more, at their best expected loss, are left behind
AROUND = 4  # steps from where the mean's designs come nearest, that the risk's own are tried
FAR = 0.5  # nats: targets that the mean's designs miss by more are looked at less closely
ENDLESS = 1e60  # FLOPs: enough for any bounds that do not contradict each other
AGAIN = 6  # times that a budget is raised, twice as far each time, for a plan that falls short


def reach(
    fitted: Ensemble,
    targets: Mapping[str, float],
    prob: float = 0.9,
    weights: Mapping[str, float] | None = None,
    arrangements: Sequence[str] | None = None,
    stretch: float = 4.0,
    draws: int = 1000,
    accept: bool = False,
    designs: Mapping[str, Own] | None = None,
    kind: str = "calibrated",
    epsilon: float = EPSILON,
    seed: int = 0,
    hardware: Hardware | None = None,
    **wishes: Unpack[Wishes],
) -> Plan:
    """The plan of the least budget at which all targets are reached with probability `prob`.

    targets: domain -> loss in nats/token; `weighted` is the weighted loss. The plan's risk is the
    `prob` quantile of the largest shortfall, maxₖ (Lₖ - targetₖ), at most 0; its weights, unless
    `weighted` is a target, are those of the domains that have one. The other arguments are those of
    `plan`.

    Raises `PlanError` where no budget reaches them, with the posterior of the laws' floors.
    """
    fitted = fitted.accept(accept)
    also = faults_of(fitted, arrangements, prob, epsilon, designs)
    losses = also.of(lambda: _targets(fitted, targets))
    also.unless(
        not weights or WEIGHTED in targets,
        f"weights do not count unless '{WEIGHTED}' is among the targets: leave them out",
    )
    also.unless(
        not wishes.get("architectures"),
        "architectures are not for targets: find the budget without, then plan it with them",
    )
    also.unless(
        not wishes.get("objective"),
        "an objective of tasks is not for targets, which are losses: leave it out",
    )
    limited = wishes.get("limits") or wishes.get("at_least_generalist") is not None
    also.unless(not limited, "limits on losses are targets of their own: give them as targets")
    risk = Risk("quantile", prob)
    asked = question(
        fitted, 1.0, weights, risk, stretch, draws, kind, seed=seed, also=also, wishes=wishes
    )
    assert losses is not None
    if not np.isfinite(losses[-1]):  # the start is the best expected loss of what is asked for
        named = np.isfinite(losses[:-1]).astype(float)
        asked = replace(asked, weights=named / named.sum())
    asked = replace(asked, targets=losses)
    choice = Choice.of(fitted, arrangements).within(asked.at(ENDLESS))
    with double():
        flops = _least(fitted, asked, choice.allowed, targets, prob)
    # The answer seeks its design from other starts, and may miss by a draw.
    for more in (0, *(2**i for i in range(AGAIN))):
        answer = answered(
            fitted, asked.at(flops * float(np.exp(more * PRECISE))), arrangements, prob, designs,
            "loss", kind, epsilon, hardware,
        )  # fmt: skip
        if answer.p_reached >= prob:
            return replace(answer, stretch=stretch, seed=seed)
    raise PlanError(
        f"budgets near {flops:.3g} FLOPs reach the targets with probability {prob:g} at designs "
        f"that the optimiser does not find again; it got {answer.p_reached:.3g}. Take more draws"
    )


def _least(
    fitted: Ensemble,
    asked: Question,
    arrangements: Sequence[str],
    targets: Mapping[str, float],
    prob: float,
) -> float:
    """A first look at the designs of least expected loss, then the risk's own: they reach it with
    less. The least budget that was seen to reach it, to `PRECISE`. Within `double()`."""
    best: dict[str, np.ndarray] = {}  # arrangement -> point, to go on from
    close = list(arrangements)

    def sought(here: Question) -> np.ndarray:
        optima = [optimise(here, a, start=best.get(a)) for a in _possible(here, close)]
        best.update({o.arrangement: o.point for o in optima})
        missed = dict(
            zip((o.arrangement for o in optima), _missed(asked, optima, prob), strict=True)
        )
        return np.array([missed.get(a, np.inf) for a in close])

    def rough(log_flops: float) -> np.ndarray:
        return sought(asked.expected.at(float(np.exp(log_flops))))

    def exact(log_flops: float, risk: Risk = asked.risk.descents[0]) -> float:
        # The smooth stand-in finds designs fast; the last word is the answer's.
        own = replace(asked.at(float(np.exp(log_flops))), risk=risk)
        return float(min(rough(log_flops).min(), sought(own).min()))

    low, high = (float(np.log(f)) for f in fitted.ranges.get("flops", (1e15, 1e21)))
    grid = np.arange(low + np.log(BELOW), high + np.log(ABOVE), STEP)
    seen: list[float] = []
    for log_flops in grid:
        each = rough(log_flops)
        seen.append(float(each.min()))
        if seen[-1] <= 0:
            close = [a for a, r in zip(close, each, strict=True) if r < each.min() + NEAR]
            break
        if len(seen) > 12 and seen[-1] > min(seen) + 0.1:
            break  # it has been rising for long
    top: float | None = float(grid[len(seen) - 1])
    if seen[-1] > 0:
        middle = int(np.argmin(seen))
        around, step = (AROUND, STEP / 4) if min(seen) < FAR else (1, STEP)
        ends = np.clip([middle - around, middle + around], 0, len(seen) - 1)
        fine = np.arange(grid[ends[0]], grid[ends[1]] + step / 2, step)
        near = [float(x) for x in sorted(fine, key=lambda x: abs(x - grid[middle]))]
        top = next((x for x in near if min(exact(x), exact(x, asked.risk)) <= 0), None)
        larger = (asked.at(float(np.exp(x))) for x in grid[middle : middle + around + 1])
        tried = (_below(here, close, prob) for here in larger if top is None)
        top = next((x for x in tried if x is not None), top)
        if top is None:
            searched = (float(np.exp(grid[0])), float(np.exp(grid[len(seen) - 1])))
            _refuse(fitted, asked, arrangements, targets, prob, float(grid[middle]), searched)
    assert top is not None
    width = STEP / 4
    while exact(top - width) <= 0:
        top, width = top - width, 2 * width
        if top < low + np.log(LOWEST):
            raise PlanError(
                f"every budget down to {np.exp(top):.3g} FLOPs reaches the targets with "
                f"probability {prob:g}: there is no least one. Ask for lower losses"
            )
    bottom = top - width
    while top - bottom > PRECISE:  # the upper end has been seen to reach it, the lower one not to
        between = (top + bottom) / 2
        if exact(between) <= 0:
            top = between
        else:
            bottom = between
    return float(np.exp(top))


def _below(asked: Question, arrangements: Sequence[str], prob: float) -> float | None:
    """The log of a budget below a large one that reaches the targets: of designs that may spend
    less, where more carries more risk. Within `double()`."""
    optima = [within(asked, optimise(asked, a)) for a in _possible(asked, arrangements)]
    costs = [
        float(arrangement_of(o.arrangement).flops(o.run, asked.cost)) + asked.served(o.run)
        for o in optima
    ]
    missed = _missed(asked, optima, prob)
    reached = [c for c, m in zip(costs, missed, strict=True) if m <= 0]
    return float(np.log(min(reached))) if reached else None


def _possible(asked: Question, arrangements: Sequence[str]) -> list[str]:
    """Those whose bounds can be kept within the budget."""
    return [a for a in arrangements if asked.space(a).possible]


def _missed(asked: Question, optima: Sequence[Optimum], prob: float) -> np.ndarray:
    """By how much each design misses the targets, nats: the order statistic of its shortfalls that
    is at most 0 if and only if a share `prob` of the draws reaches them."""
    if not optima:
        return np.empty(0)
    losses = _losses(asked, optima)
    short = np.sort(np.stack([np.asarray(asked.stakes.of(each)) for each in losses]), axis=1)
    count = short.shape[1]
    return np.asarray(short[:, min(count, int(np.ceil(prob * count - 1e-9))) - 1])


def _losses(asked: Question, optima: Sequence[Optimum]) -> np.ndarray:
    return scores(asked, optima).losses


def _refuse(
    fitted: Ensemble,
    asked: Question,
    arrangements: Sequence[str],
    targets: Mapping[str, float],
    prob: float,
    log_flops: float,
    searched: tuple[float, float],
) -> None:
    here = asked.at(float(np.exp(log_flops)))
    losses = _losses(asked, [optimise(here, a) for a in _possible(here, arrangements)])
    reached = max(float((np.asarray(asked.stakes.of(each)) <= 0).mean()) for each in losses)
    faults = [
        f"no budget from {searched[0]:.3g} to {searched[1]:.3g} FLOPs reaches the targets with "
        f"probability {prob:g}; about the best, {here.flops:.3g} FLOPs, with {reached:.3g}"
    ]
    floor = floors(asked.outlook.curves)
    for name, target in targets.items():
        if name in fitted.domains and floor is not None:
            draws = floor[:, fitted.domains.index(name)]
            low, high = np.quantile(draws, [0.05, 0.95])
            faults.append(
                f"the laws' floor of {name} is {draws.mean():.4f} [{low:.4f}, {high:.4f}] (90 %), "
                f"above {target:g} with probability {float((draws > target).mean()):.2f}"
            )
    raise PlanError("; ".join(faults) + ". Raise the target, or ask for a smaller probability")


def _targets(fitted: Ensemble, targets: Mapping[str, float]) -> np.ndarray:
    names = (*fitted.domains, WEIGHTED)
    faults = [
        f"target of unknown domain '{n}'; there is {', '.join(names)}"
        for n in targets if n not in names
    ]  # fmt: skip
    faults += [
        f"target of '{n}' is {t:g}; it must be a positive loss, in nats/token"
        for n, t in targets.items() if not 0 < t < np.inf
    ]  # fmt: skip
    if not targets:
        faults.append("there are no targets")
    if faults:
        raise PlanError("the targets cannot be used: " + "; ".join(faults))
    return np.array([targets.get(n, np.inf) for n in names])
