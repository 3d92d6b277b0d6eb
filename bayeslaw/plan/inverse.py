"""The inverse: the least budget that reaches target losses with a probability."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from scipy.optimize import brentq

from bayeslaw.errors import PlanError
from bayeslaw.infer.ensemble import Ensemble
from bayeslaw.infer.precision import double
from bayeslaw.laws import Run
from bayeslaw.plan import stakes as compiled
from bayeslaw.plan.devices import Hardware
from bayeslaw.plan.limits import floors
from bayeslaw.plan.optimum import Optimum, Question, optimise
from bayeslaw.plan.plan import EPSILON, Plan, answered, assessable, question
from bayeslaw.plan.risk import Risk
from bayeslaw.plan.written import WEIGHTED

STEP = 1.0  # e-folds between the budgets of a first look
BELOW, ABOVE = 1e-3, 1e9  # times the sweep's smallest and largest run
PRECISE = 5e-3  # of the log of a budget
NEAR = 0.02  # nats: arrangements that miss by more, at their best expected loss, are left behind
STEPS_DOWN = 6  # of `STEP`, from where the mean's designs reach the targets


def reach(
    fitted: Ensemble,
    targets: Mapping[str, float],
    prob: float = 0.9,
    weights: Mapping[str, float] | None = None,
    arrangements: Sequence[str] | None = None,
    stretch: float = 4.0,
    draws: int = 1000,
    accept: bool = False,
    designs: Mapping[str, Run] | None = None,
    kind: str = "calibrated",
    epsilon: float = EPSILON,
    seed: int = 0,
    hardware: Hardware | None = None,
) -> Plan:
    """The plan of the least budget at which all targets are reached with probability `prob`.

    targets: domain -> loss in nats/token; `weighted` is the weighted loss. The plan's risk is the
    `prob` quantile of the largest shortfall, maxₖ (Lₖ - targetₖ), at most 0; its weights, unless
    `weighted` is a target, are those of the domains that have one. The other arguments are those of
    `plan`.

    Raises `PlanError` where no budget reaches them, with the posterior of the laws' floors.
    """
    fitted = fitted.accept(accept)
    losses = _targets(fitted, targets)
    if not 0 < prob < 1:
        raise PlanError(f"prob must lie between 0 and 1, got {prob}")
    asked = question(fitted, 1.0, weights, Risk("quantile", prob), stretch, draws, kind, seed=seed)
    if not np.isfinite(losses[-1]):  # the start is the best expected loss of what is asked for
        named = np.isfinite(losses[:-1]).astype(float)
        asked = replace(asked, weights=named / named.sum())
    asked = replace(asked, targets=losses)
    _, allowed, _ = assessable(fitted, arrangements)
    with double():
        flops = _least(fitted, asked, allowed, targets, prob)
    return answered(
        fitted, asked.at(flops), arrangements, prob, designs, "loss", kind, epsilon, hardware
    )


def _least(
    fitted: Ensemble,
    asked: Question,
    arrangements: Sequence[str],
    targets: Mapping[str, float],
    prob: float,
) -> float:
    """A first look at the designs of least expected loss, then the risk itself. Within
    `double()`."""
    best: dict[str, np.ndarray] = {}  # arrangement -> point, to go on from

    def rough(log_flops: float) -> float:
        here = asked.expected.at(float(np.exp(log_flops)))
        optima = {a: optimise(here, a, start=best.get(a)) for a in arrangements}
        best.update({a: o.point for a, o in optima.items()})
        return float(_risks(asked, list(optima.values())).min())

    def exact(log_flops: float) -> float:
        here = asked.at(float(np.exp(log_flops)))
        near = replace(here, risk=here.risk.descents[0])  # the smooth stand-in finds the designs
        optima = [optimise(near, a, start=best[a]) for a in close]
        best.update({o.arrangement: o.point for o in optima})
        return float(_risks(here, optima).min())

    low, high = fitted.ranges.get("flops", (1e15, 1e21))
    grid = np.arange(np.log(low * BELOW), np.log(high * ABOVE), STEP)
    seen = []
    for log_flops in grid:
        seen.append(rough(log_flops))
        if seen[-1] <= 0:
            break
        if len(seen) > 12 and seen[-1] > min(seen) + 0.1:
            break  # it has been rising for long
    if seen[-1] > 0:
        _refuse(fitted, asked, arrangements, targets, prob, float(grid[int(np.argmin(seen))]))
    if len(seen) == 1:
        return float(np.exp(grid[0]))
    top = float(brentq(rough, grid[len(seen) - 2], grid[len(seen) - 1], xtol=PRECISE))
    here = asked.at(float(np.exp(top)))
    each = _risks(here, [optimise(here.expected, a, start=best[a]) for a in arrangements])
    close = [a for a, r in zip(arrangements, each, strict=True) if r < each.min() + NEAR]
    # The risk's own designs reach it with less, if not by much.
    bottom, width = top, STEP / 8
    while exact(bottom) <= 0 and top - bottom < STEPS_DOWN * STEP:
        top, bottom, width = bottom, bottom - width, 2 * width
    if bottom == top:
        return float(np.exp(top + PRECISE))
    root = brentq(exact, bottom, top, xtol=PRECISE)
    return float(np.exp(root + PRECISE))


def _risks(asked: Question, optima: Sequence[Optimum]) -> np.ndarray:
    fields = np.stack([np.stack(o.run[:3]) for o in optima])
    return np.asarray(compiled.scores(asked.risk)(asked.outlook, fields, asked.stakes)[2])


def _refuse(
    fitted: Ensemble,
    asked: Question,
    arrangements: Sequence[str],
    targets: Mapping[str, float],
    prob: float,
    log_flops: float,
) -> None:
    here = asked.at(float(np.exp(log_flops)))
    optima = [optimise(here, a) for a in arrangements]
    best = optima[int(_risks(here, optima).argmin())]
    fields = np.stack(best.run[:3])[None]
    losses, _, _ = compiled.scores(asked.risk)(asked.outlook, fields, asked.stakes)
    shortfall = np.asarray(asked.stakes.of(np.asarray(losses)[0]))
    faults = [
        f"no budget reaches the targets with probability {prob:g}; the best, "
        f"{here.flops:.3g} FLOPs, with {float((shortfall <= 0).mean()):.2g}"
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
