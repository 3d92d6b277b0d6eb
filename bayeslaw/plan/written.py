"""plan.json: what a plan says, field by field."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bayeslaw.laws import Run
from bayeslaw.plan.arrangement import ONE, Recipe, arrangement_of, kind_of
from bayeslaw.plan.data import STAGES
from bayeslaw.plan.objective import objective_said
from bayeslaw.plan.routing import routing_said
from bayeslaw.whole import whole

if TYPE_CHECKING:
    from bayeslaw.plan.alternatives import Alternatives
    from bayeslaw.plan.candidate import Candidate
    from bayeslaw.plan.plan import Plan

SCHEMA = 1
WEIGHTED = "weighted"  # what a target of the weighted loss is called
ONE_MODEL = ("trunk", "generalist", "joint")  # the same N and D for every domain


def written(p: Plan) -> dict[str, Any]:
    """The file of a plan."""
    c, losses = p.chosen, p.losses_of(p.chosen)
    return {
        "schema": SCHEMA,
        "passed": p.passed,
        **sizes(c.arrangement, c.run, p.domains),
        "flops": c.flops,
        "budget": {
            "flops": p.flops,
            "spent": c.spent / p.flops,
            "exhausted": p.asked.space(c.arrangement).exhausted,
        },
        "cost": asdict(p.asked.cost),
        "embeddings": p.fitted.embeddings,
        "hardware": None if p.hardware is None else p.hardware.of(c.flops),
        "risk": str(p.risk),
        "on": p.on,
        "targets": _targets(p),
        "risk_value": c.risk,
        "kind": p.kind,
        "prob": p.prob,
        "draws": p.asked.outlook.draws,
        "seed": p.seed,
        "stretch": p.stretch if np.isfinite(p.stretch) else None,
        "arrangements": list(dict.fromkeys(kind_of(a) for a in p.choice.allowed)),
        "recipes": list(p.asked.recipes),
        "loss": said(p, c.totals),
        "objective": objective_said(p.asked, c, p.prob),
        "domains": {d: said(p, losses[:, k]) for k, d in enumerate(p.domains)},
        "weights": {d: float(w) for d, w in zip(p.domains, p.weights, strict=True)},
        "p_best": p.p_best,
        "p_best_of": {a: p.p_best_of(a) for a in p.by_arrangement},
        "p_split_beats_generalist": p.p_split_beats_generalist,
        "regret": p.regret(c),
        "at_bound": list(c.at_bound),
        "at_limit": list(c.at_limit),
        "extrapolation": dict(p.extrapolation),
        "not_assessable": [{"arrangement": a, "reason": r} for a, r in p.choice.not_assessable],
        "excluded": [{"arrangement": a, "reason": r} for a, r in p.choice.excluded],
        "data": _data(p),
        "uncapped": None if p.uncapped is None else _brief(p, p.uncapped),
        "serving": _serving(p),
        "unserved": None if p.unserved is None else _brief(p, p.unserved),
        "architecture": _architecture(p),
        "unsnapped": None if p.unsnapped is None else _brief(p, p.unsnapped),
        "chances": _chances(p),
        "experts": _alternatives(p, p.experts, "experts"),
        "replay": _alternatives(p, p.replay, "replay"),
        "distill": _alternatives(p, p.distill, "distill"),
        "routing": _routing(p),
        "region": _region(p),
        "own_optima": _own_optima(p),
        "evpi": p.information.evpi,
        "evpi_flops": p.information.budget,
        "shadow_price": p.shadow_price,
        "limits": [asdict(term) for term in p.limits],
        "laws": [_alone(p, a) for a in p.alone],
        "priors": [asdict(s) for s in p.prior_shifts],
        "certificate": {**asdict(p.certificate), "faults": list(p.certificate.faults)},
        "baselines": [
            {
                "name": o.name,
                **_brief(p, o),
                "objective": objective_said(p.asked, o, p.prob),
                "regret": p.regret(o),
                "p_plan_beats": float((c.totals < o.totals).mean()),
            }
            for o in p.others
        ],
    }


def write_json(said: Mapping[str, Any], path: str | Path) -> Path:
    """Write what a plan says, atomically."""
    path = Path(path)
    with whole(path) as beside:
        beside.write_text(json.dumps(said, indent=1) + "\n")
    return path


def said(p: Plan, draws: np.ndarray) -> dict[str, Any]:
    """The mean of draws and their equal-tailed interval."""
    return {"mean": float(draws.mean()), "interval": interval(draws, p.prob)}


def interval(draws: np.ndarray, prob: float) -> list[float]:
    tail = (1 - prob) / 2
    low, high = np.quantile(draws, [tail, 1 - tail])
    return [float(low), float(high)]


def sizes(arrangement: str, run: Run, domains: tuple[str, ...]) -> dict[str, Any]:
    """An arrangement's N, D and D′ₖ; one number where all domains have the same model. served:
    weights of all models together, that serving them keeps in memory."""

    def by_domain(values: np.ndarray) -> dict[str, float]:
        return {d: float(v) for d, v in zip(domains, values, strict=True)}

    found = arrangement_of(arrangement)
    one, recipe = found.kind in ONE_MODEL, found.recipe
    models = 1 if arrangement in ONE else len(domains)
    return {
        "arrangement": found.kind,
        "recipe": {"name": recipe, "level": found.level if isinstance(found, Recipe) else None}
        if recipe
        else None,
        "params": float(run.params[0]) if one else by_domain(run.params),
        "pretrain_tokens": float(run.pretrain_tokens[0]) if one else by_domain(run.pretrain_tokens),
        "specialize_tokens": by_domain(run.specialize_tokens),
        "models": models,
        "served_params": float(run.params[:models].sum()),
    }


def named(design: Mapping[str, Any]) -> str:
    """The name of what `sizes` wrote: its arrangement, with the recipe of its branches where that
    is not the plain one."""
    recipe = design.get("recipe")
    if recipe is None or recipe["level"] is None:
        return str(design["arrangement"])
    return Recipe(recipe["name"], recipe["level"]).name


def _brief(p: Plan, c: Candidate) -> dict[str, Any]:
    """Another plan: its sizes, cost and loss."""
    return {
        **sizes(c.arrangement, c.run, p.domains),
        "flops": c.flops,
        "loss": said(p, c.totals),
        "risk_value": c.risk,
    }


def _data(p: Plan) -> dict[str, Any] | None:
    """The distinct tokens, how often the plan sees them, and what holds it from more."""
    data = p.asked.data
    if data is None or not data.unique:
        return None
    return {
        "unique": dict(data.unique),
        "epochs": data.seen(p.chosen.run, p.domains),
        "limits": {stage: data.limit(stage) for stage in STAGES},
        "priced": list(data.priced),
    }


def _serving(p: Plan) -> dict[str, Any] | None:
    """What serving costs, and other ways to the plan's loss: training against serving."""
    serving = p.asked.serving
    if serving is None:
        return None
    return {
        "tokens": {d: float(t) for d, t in zip(p.domains, serving.tokens, strict=True) if t},
        "price": serving.price,
        "flops": p.chosen.serving,
        "together": p.chosen.spent,
        "frontier": [
            {
                "factor": t.factor,
                **sizes(t.optimum.arrangement, t.optimum.run, p.domains),
                "training": t.training,
                "serving": t.serving,
                "together": t.training + t.serving,
            }
            for t in p.trade
        ],
    }


def _architecture(p: Plan) -> Any:
    """What the plan is built as, and the risk that this costs over any N; an entry for all domains,
    or for each."""
    if not p.asked.architectures:
        return None
    by_name = {a.name: a for a in p.asked.architectures}
    each = [
        {"name": n, "params": by_name[n].params, "shape": dict(by_name[n].shape)}
        for n in p.chosen.architectures
    ]
    assert p.unsnapped is not None
    one = kind_of(p.chosen.arrangement) in ONE_MODEL
    return {
        "models": each[0] if one else dict(zip(p.domains, each, strict=True)),
        "costs": p.chosen.risk - p.unsnapped.risk,
    }


def _chances(p: Plan) -> list[dict[str, Any]]:
    """The limits on losses, and the probability with which the plan keeps each."""
    if p.asked.chances is None:
        return []
    reached = p.asked.chances.reached(p.chosen.losses)
    return [
        {"limit": limit.said, "prob": limit.prob, "reached": float(r)}
        for limit, r in zip(p.asked.limits, reached, strict=True)
    ]


def _targets(p: Plan) -> dict[str, Any] | None:
    """The losses to be reached, and the probability of reaching them all."""
    targets = p.asked.targets
    if targets is None:
        return None
    names = (*p.domains, WEIGHTED)
    return {
        "losses": {n: float(t) for n, t in zip(names, targets, strict=True) if np.isfinite(t)},
        "p_reached": p.p_reached,
    }


def _alternatives(p: Plan, tried: Alternatives, named: str) -> dict[str, Any]:
    """One trunk and its branches at the budget, by one thing that the runs have tried."""
    found = []
    for c in tried.each:
        chosen = Recipe(named, c.value).name if named != "experts" and c.value else "trunk"
        entry = {named: c.value, **sizes(chosen, c.run, p.domains)}
        if named == "experts":
            served = float(c.run.params[0] * c.value)
            entry |= {"experts": int(c.value), "models": int(c.value), "served_params": served}
        if named == "replay":
            lost = c.forgetting
            entry |= {"forgetting": None if lost is None else said(p, lost)}
        entry |= {"loss": said(p, c.totals), "risk_value": c.risk, "p_best": c.p_best}
        found.append(entry)
    key = {"experts": "counts", "replay": "shares", "distill": "weights"}[named]
    return {"not_assessable": tried.unassessable or None, key: found}


def _routing(p: Plan) -> dict[str, Any] | None:
    if p.confusion is None or p.forgetting is None:
        return None
    return routing_said(p, p.confusion)


def _region(p: Plan) -> dict[str, Any]:
    r = p.region

    def ranges(values: np.ndarray) -> Any:
        if len(values) == 1 and len(p.domains) > 1:
            return values[0].tolist()
        if kind_of(p.chosen.arrangement) in ONE_MODEL:
            return values[0].tolist()
        return {d: v.tolist() for d, v in zip(p.domains, values, strict=True)}

    split = r.specialize_tokens
    return {
        "epsilon": r.epsilon,
        "unit": p.risk.unit,
        "params": ranges(r.params),
        "pretrain_tokens": ranges(r.pretrain_tokens),
        "specialize_tokens": None if split is None
        else {d: v.tolist() for d, v in zip(p.domains, split, strict=True)},
    }  # fmt: skip


def _own_optima(p: Plan) -> dict[str, Any]:
    """What the draws would each have chosen: their arrangements; then, of all draws, the sizes that
    each would have chosen within the plan's arrangement."""
    seen = p.hindsight.among(p.choice.allowed)
    share = np.bincount(seen.chosen, minlength=len(seen.arrangements)) / len(seen.rows)
    own = p.hindsight.among([p.chosen.arrangement]).designs
    one = kind_of(p.chosen.arrangement) in ONE_MODEL

    def each(values: np.ndarray) -> Any:
        found = [{"median": float(np.median(v)), "interval": interval(v, p.prob)} for v in values.T]
        return found[0] if one else dict(zip(p.domains, found, strict=True))

    split = own.specialize_tokens
    return {
        "arrangements": {a: float(s) for a, s in zip(seen.arrangements, share, strict=True)},
        "params": each(own.params),
        "pretrain_tokens": each(own.pretrain_tokens),
        "specialize_tokens": {
            d: {"median": float(np.median(v)), "interval": interval(v, p.prob)}
            for d, v in zip(p.domains, split.T, strict=True)
        },
    }


def _alone(p: Plan, a: Any) -> dict[str, Any]:
    return {
        "law": a.law,
        "weight": a.weight,
        "draws": a.draws,
        **sizes(a.arrangement, a.run, p.domains),
        "loss": a.loss,
        "regret": a.regret,
    }
