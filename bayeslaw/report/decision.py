"""The decision of a plan in plain words, and what speaks against it."""

from __future__ import annotations

from collections.abc import Iterable

from bayeslaw.quantity import chance, format_quantity
from bayeslaw.report.planned import Planned

INEXACT = 0.05  # of a cost
WHOLE = 0.999  # of the budget
LIMITS = {
    "tokens_per_param": "tokens per parameter (D/N)",
    "split_ratio": "length of the second stage (D′/D)",
    "params": "parameters",
    "pretrain_tokens": "general tokens",
    "specialize_tokens": "domain tokens",
    "compute": "compute",
}


def against(p: Planned) -> list[str]:
    """Why the plan may be worth less than its numbers say; what limits the answer comes first."""
    lines = [] if p.passed else ["It was made with a fit that failed its checks."]
    lines += [f"The optimiser's own checks failed: {fault}." for fault in p.certificate.faults]
    for bound in p.at_bound:
        quantity, side, of = [*bound.split(" ", 2), "", ""][:3]
        end = {"low": "smallest", "high": "largest"}.get(side, side)
        whose = f" for {of.strip('()')}" if of else ""
        lines.append(
            f"At the edge of what the sweep supports: the {end} "
            f"{LIMITS.get(quantity, quantity)}{whose} that its runs speak of, stretched. Runs "
            "beyond that edge would teach more than this plan can know."
        )
    beyond = {n: f for n, f in p.extrapolation.items() if f > 1}
    if beyond:
        each = _listed(f"{LIMITS.get(n, n)} {f:.3g} times" for n, f in beyond.items())
        lines.append(
            f"Extrapolates beyond the sweep: {each}. "
            + (
                "The intervals allow for what laws have got wrong that far out."
                if p.kind == "calibrated"
                else "The intervals are of the laws alone: they do not allow for laws being wrong."
            )
        )
    if p.budget.spent < WHOLE:
        why = (
            "bounds and data allow no more"
            if p.budget.exhausted
            else "further from the sweep more compute carries more risk"
        )
        lines.append(f"Spends {100 * p.budget.spent:.3g} % of the budget: {why}.")
    if p.cost.error > INEXACT:
        lines.append(
            f"The runs' own FLOPs follow the law of their cost to {100 * p.cost.error:.0f} % only."
        )
    return lines


def what(p: Planned) -> str:
    """What is to be trained."""
    n, d, split = (_over(p, s) for s in ("params", "pretrain_tokens", "specialize_tokens"))
    models = len(p.weights)
    said = {
        "trunk": f"Train one trunk of {n} parameters on {d} tokens of the general mixture. Then "
        f"split it: {_copies(models)}, each trained on {split} more tokens of its own domain.",
        "independent": f"Train {_models(models)} of their own, one for each domain: {n} "
        f"parameters, {d} tokens of the general mixture, then {split} tokens of the domain.",
        "generalist": f"Train one model of {n} parameters on {d} tokens of the general mixture, "
        "and do not split it.",
        "joint": f"Train one model of {n} parameters on {d} tokens of the general mixture, then "
        f"on {split} tokens of all domains together. Do not split it.",
        "scratch": f"Train {_models(models)} of {n} parameters from the start, one for each "
        f"domain, on {split} tokens of that domain alone.",
    }.get(p.arrangement, f"Train as {p.arrangement}: N {n}, D {d}, D′ {split}.")
    if p.recipe is None or p.recipe.level is None:
        return said
    if p.recipe.name == "replay":
        share = f"{100 * p.recipe.level:.3g} %"
        return f"{said} Of what the branches are trained on, {share} is general text (replay)."
    return (
        f"{said} The branches are held to the predictions of the trunk at the split, with weight "
        f"{p.recipe.level:g} (distillation)."
    )


def price(p: Planned) -> str:
    """What it costs."""
    words = f"That costs {format_quantity(p.flops)} FLOPs"
    if p.targets is not None:
        wanted = _listed(f"{t:g} on {d}" for d, t in p.targets.losses.items())
        words += (
            f", the least that reaches a loss of {wanted} with probability "
            f"{p.targets.p_reached:.2f}"
        )
    elif p.budget.spent >= WHOLE:
        words += ", the whole budget"
    h = p.hardware
    if h is not None:
        money = "" if h.money is None else f", for {h.money:,.0f} of money"
        words += (
            f": {h.gpu_hours:,.1f} hours of {h.device}, or {h.days:,.2f} days on {h.count}{money}"
        )
    return words + "."


def hope(p: Planned) -> str:
    """What it is expected to reach."""
    low, high = p.loss.interval
    of = "weighted loss" if len(p.domains) > 1 else "loss"
    return (
        f"It should reach a {of} of {p.loss.mean:.3f} nats/token; with probability "
        f"{100 * p.prob:g} % between {low:.3f} and {high:.3f}."
    )


def confidence(p: Planned) -> str:
    """How sure it is that this is the thing to do."""
    words = []
    if len(p.p_best_of) > 1:
        words.append(
            f"Of the {len(p.p_best_of)} ways to train that the runs can speak about this one is "
            f"the best with probability {chance(p.p_best, words=True)}."
        )
    else:
        words.append("It is the only way to train that the runs can speak about.")
    if p.p_split_beats_generalist is not None:
        words.append(
            "A split beats one generalist model of the same cost with probability "
            f"{chance(p.p_split_beats_generalist, words=True)}."
        )
    words.append(
        f"Whoever knew the true law would plan better by {p.regret:.3f} nats on average: that is "
        "what the choice still risks."
    )
    return " ".join(words)


def _over(p: Planned, size: str) -> str:
    """One size, or the range over domains that count."""
    values = [p.size(size, d) for d, w in p.weights.items() if w > 0 or len(p.weights) == 1]
    low, high = (format_quantity(v) for v in (min(values), max(values)))
    return low if low == high else f"{low} to {high}"


def _copies(count: int) -> str:
    return "one branch" if count == 1 else f"{count} branches"


def _models(count: int) -> str:
    return "one model" if count == 1 else f"{count} models"


def _listed(parts: Iterable[str]) -> str:
    *first, last = parts
    return f"{', '.join(first)} and {last}" if first else last
