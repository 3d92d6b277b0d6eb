"""What people read about decisions: plans, frontiers, the next runs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from bayeslaw.cli.words import folded, heading, interval, table
from bayeslaw.quantity import format_quantity

INEXACT = 0.05  # of a cost
FACTOR = 1.05  # by which a prior must move a size, to be named
SYMBOLS = {"params": "N", "pretrain_tokens": "D", "specialize_tokens": "D′"}
TERMS = {"size": "size (N)", "data": "data (D)", "floor": "floor"}


def named(design: dict[str, Any]) -> str:
    """An arrangement, and the recipe of its branches where that is not the plain one."""
    from bayeslaw.plan.written import named as name  # what is said was made with it

    return name(design)


def brief(design: dict[str, Any]) -> str:
    """The same for a narrow column: a recipe is of a trunk."""
    return named(design).removeprefix("trunk with ")


def cautions(p: dict[str, Any]) -> list[str]:
    """Why a plan may be worth less than its numbers say."""
    lines = list(p["certificate"]["faults"])
    lines += [f"at the edge of what the sweep supports: {bound}" for bound in p["at_bound"]]
    beyond = ", ".join(f"{n} {v:.3g}x" for n, v in p["extrapolation"].items() if v > 1)
    lines += [f"extrapolates beyond the sweep: {beyond}"] if beyond else []
    if p["budget"]["spent"] < 0.999:
        why = (
            "your bounds and data allow no more"
            if p["budget"]["exhausted"]
            else ("further from the sweep more compute carries more risk")
        )
        lines.append(f"spends {100 * p['budget']['spent']:.3g} % of the budget: {why}")
    if p["cost"]["error"] > INEXACT:
        error = f"{100 * p['cost']['error']:.0f} %"
        lines.append(f"the runs' own FLOPs follow the law of their cost to {error} only")
    return [part for line in lines for part in folded(line)]


def plan(p: dict[str, Any]) -> list[str]:
    on = " on regret" if p["on"] == "regret" else ""
    lines = [f"{named(p)}, {format_quantity(p['flops'])} FLOPs, risk {p['risk']}{on}"]
    if p["targets"] is not None:
        wanted = ", ".join(f"{d} {t:g}" for d, t in p["targets"]["losses"].items())
        lines = folded(
            f"{named(p)}, {format_quantity(p['flops'])} FLOPs: the least that reaches "
            f"{wanted} with probability {p['targets']['p_reached']:.2f}"
        )
    if p["hardware"] is not None:
        h = p["hardware"]
        example = f" (an example price of {h['priced']})" if h["priced"] else ""
        money = "" if h["money"] is None else f", money {h['money']:,.0f}{example}"
        lines += folded(
            f"{h['gpu_hours']:,.1f} hours of {h['device']} at {100 * h['mfu']:.3g} % of its "
            f"{h['precision']} peak{money}; {h['days']:,.2f} days on {h['count']}"
        )
    whole = " (of the system)" if p.get("routing") is not None else ""
    for c in p["chances"]:
        lines += folded(f"{c['limit']}{whole}: kept with {c['reached']:.3g}")
    if p["at_limit"]:
        lines += folded(f"held by {', '.join(p['at_limit'])}")
    if p["cost"]["overhead"] or p["cost"]["factor"] != 1:
        lines += folded(_cost(p["cost"]))
    lines += ["N counts the embeddings"] if p["embeddings"] else []
    rows = [
        [d, *_sizes(p, d), f"{said['mean']:.4f}", interval(said["interval"])]
        for d, said in p["domains"].items()
    ]
    goal = p.get("objective")
    if len(rows) > 1 and goal is None:
        loss = p["loss"]
        of = "weighted" if p.get("routing") is None else "the system"
        rows.append([of, "", "", "", f"{loss['mean']:.4f}", interval(loss["interval"])])
    lines += table(["domain", "N", "D", "D′", "loss", heading(p)], rows)
    lines += _objective(p)
    lines += ["", f"best arrangement with probability {p['p_best']:.2f}; "
              f"expected regret {p['regret']:.4f} {_unit(p)}"]  # fmt: skip
    if p["p_split_beats_generalist"] is not None:
        lines.append(
            f"a split beats the generalist with probability {p['p_split_beats_generalist']:.2f}"
        )
    parts = (
        _data, _serving, _architecture, _worth, _how_sure, _baselines, _alternatives, _routing,
        _laws, _unassessed,
    )  # fmt: skip
    return [*lines, *(line for part in parts for line in part(p))]


def _unit(p: dict[str, Any]) -> str:
    """Of what is minimised."""
    return "nats" if p.get("objective") is None else "of wrong answers"


def _minimised(p: dict[str, Any]) -> str:
    return "loss" if p.get("objective") is None else "error"


def _objective(p: dict[str, Any]) -> list[str]:
    """The accuracies that a plan was chosen by."""
    goal = p.get("objective")
    if goal is None:
        return []
    rows = [
        [name, t["domain"], f"{t['weight']:.2f}", f"{t['mean']:.4f}", interval(t["interval"])]
        for name, t in goal["tasks"].items()
    ]
    if len(rows) > 1:
        both = goal["accuracy"]
        rows.append(["together", "", "", f"{both['mean']:.4f}", interval(both["interval"])])
    head = ["chosen by", "domain", "weight", "accuracy", heading(p)]
    return ["", *table(head, rows, left=2), "error is 1 - accuracy"]


def _routing(p: dict[str, Any]) -> list[str]:
    """The loss of whole systems, their text sent by a router that errs."""
    said = p.get("routing")
    if said is None:
        return []
    rows = [
        [s["name"], f"{s['loss']['mean']:.4f}", interval(s["loss"]["interval"]),
         f"{s['costs']['mean']:+.4f}"]
        for s in said["systems"]
    ]  # fmt: skip
    by = f" by {said['router']}" if said["router"] else ""
    lines = ["", *table(["with its router", "loss", heading(p), "errors cost"], rows)]
    beats = said["p_plan_beats_generalist"]
    sure = "" if beats is None else f"; the plan beats the generalist with probability {beats:.2f}"
    return [*lines, *folded(f"{100 * said['right']:.3g} % of text goes to its own branch{by}; the "
                            f"best so is {said['best']}{sure}")]  # fmt: skip


def _cost(c: dict[str, Any]) -> str:
    """The law of the runs' cost."""
    flops = f"{6 * c['factor']:.3g} N"
    if c["overhead"]:
        flops += f" (1 + ({format_quantity(c['overhead'])} / N)^{c['power']:.2f})"
    return f"cost as of the runs: {flops} FLOPs a token, within {100 * c['error']:.1f} %"


def frontier(said: dict[str, Any]) -> list[str]:
    """A row for every budget."""
    rows = [
        [
            format_quantity(p["budget"]),
            brief(p),
            *(_mean(p[n]) for n in ("params", "pretrain_tokens", "specialize_tokens")),
            f"{p['loss']['mean']:.4f}",
            interval(p["loss"]["interval"]),
            f"{p['extrapolation']:.3g}x",
        ]
        for p in said["points"]
    ]
    on = " on regret" if said["on"] == "regret" else ""
    lines = [f"risk {said['risk']}{on}"]
    lines += table(["FLOPs", "", "N", "D", "D′", "loss", heading(said), "beyond"], rows)
    for s in said["skipped"]:
        lines += [
            "",
            *folded(f"without a plan: {format_quantity(s['budget'])} FLOPs: {s['reason']}"),
        ]
    short = [p for p in said["points"] if p["spent"] < 0.999]
    if short:
        lines += ["", *folded(
            f"from {format_quantity(short[0]['budget'])} FLOPs on less is spent, at most "
            f"{format_quantity(max(p['flops'] for p in short))}: more carries more risk"
        )]  # fmt: skip
    return lines


def pareto(said: dict[str, Any]) -> list[str]:
    """A row for every design of a front."""
    rows = [
        [
            *(f"{p['values'][name]:.5f}" for name in said["between"]),
            brief(p),
            *(_mean(p[n]) for n in ("params", "pretrain_tokens", "specialize_tokens")),
            f"{p['extrapolation']:.3g}x",
        ]
        for p in said["points"]
    ]
    lines = [f"{format_quantity(said['budget'])} FLOPs; nats/token"]
    return lines + table([*said["between"], "", "N", "D", "mean D′", "beyond"], rows, left=0)


def suggest(said: dict[str, Any]) -> list[str]:
    """A row for every run, the best per FLOP first."""
    head = f"knowing the truth would be worth {said['evpi']:.4f} nats to the plan"
    rows = [
        [
            str(i + 1),
            *(format_quantity(r[n]) for n in ("params", "pretrain_tokens", "specialize_tokens")),
            r["branch"],
            format_quantity(r["flops"]),
            f"{r['evsi']:.5f}",
            f"± {r['evsi_error']:.5f}",
            f"{r['evsi_per_flop'] / said['price_per_flop']:.3g}x" if said["price_per_flop"] else "",
        ]
        for i, r in enumerate(said["runs"])
    ]
    header = ["", "N", "D", "D′", "branch", "FLOPs", "nats", "", "vs plan"]
    lines = [head, "", *table(header, rows)] if rows else [head]
    if said["enough"]:
        some = "no further run" if rows else "no run"
        lines += ["", f"{some} is shown to be worth its FLOPs: in the plan they buy as much"]
    if rows:
        lines += ["", *folded(
            "nats: by how much the plan's expected loss drops, given the runs that were chosen "
            "before it (± one standard error); vs plan: per FLOP, over what a FLOP more of the "
            "plan's budget buys"
        )]  # fmt: skip
    return lines


def _mean(values: Any) -> str:
    """One number, or the mean of a number for each domain."""
    each = list(values.values()) if isinstance(values, dict) else [values]
    return format_quantity(sum(each) / len(each))


def _data(p: dict[str, Any]) -> list[str]:
    """How often the distinct tokens are seen, and what the plan would be without an end of them."""
    if p["data"] is None:
        return []
    data, free = p["data"], p["uncapped"]
    seen = ", ".join(
        f"{name} {data['epochs'][name]:.3g} x {format_quantity(tokens)}"
        for name, tokens in data["unique"].items()
    )
    assumed = [
        f"{SYMBOLS[s]}: {limit:g} epochs at most, as good as fresh"
        for s, limit in data["limits"].items() if s not in data["priced"]
    ]  # fmt: skip
    assumed += [f"{SYMBOLS[s]}: repetition at the laws' price" for s in data["priced"]]
    sizes = ", ".join(f"{symbol} {_mean(free[key])}" for key, symbol in SYMBOLS.items())
    gain = p["loss"]["mean"] - free["loss"]["mean"]
    lines = [
        f"distinct tokens: {seen} ({'; '.join(assumed)})",
        f"without an end of data: {named(free)}, {sizes}, loss {free['loss']['mean']:.4f}, "
        f"{abs(gain):.4f} {'lower' if gain >= 0 else 'higher'}",
    ]
    return [part for line in lines for part in folded(line)]


def _serving(p: dict[str, Any]) -> list[str]:
    """What serving costs, and the same loss at other sizes."""
    if p["serving"] is None:
        return []
    s, free = p["serving"], p["unserved"]
    tokens = ", ".join(f"{d} {format_quantity(t)}" for d, t in s["tokens"].items())
    sizes = ", ".join(f"{symbol} {_mean(free[key])}" for key, symbol in SYMBOLS.items())
    lines = folded(
        f"of the budget {100 * s['flops'] / s['together']:.3g} % serves tokens ({tokens}); were "
        f"none served: {named(free)}, {sizes}, loss {free['loss']['mean']:.4f}"
    )
    rows = [
        [f"{t['factor']:g}x", *(_mean(t[key]) for key in SYMBOLS),
         *(format_quantity(t[key]) for key in ("training", "serving", "together"))]
        for t in s["frontier"]
    ]  # fmt: skip
    header = ["the same loss", "N", "D", "mean D′", "training", "serving", "together"]
    return ["", *lines, *(table(header, rows) if rows else [])]


def _architecture(p: dict[str, Any]) -> list[str]:
    """What the plan is built as."""
    if p["architecture"] is None:
        return []
    built, free = p["architecture"], p["unsnapped"]
    models = {"": built["models"]} if "name" in built["models"] else built["models"]
    each = "; ".join(
        f"{domain} {m['name']} ".lstrip() + _shape(m["shape"]) for domain, m in models.items()
    )
    sizes = ", ".join(f"{symbol} {_mean(free[key])}" for key, symbol in SYMBOLS.items())
    return folded(
        f"built as {each}; with any N: {named(free)}, {sizes}, loss "
        f"{free['loss']['mean']:.4f}; that costs {built['costs']:.2g} of risk"
    )


def _shape(shape: dict[str, Any]) -> str:
    return f"({', '.join(f'{k} {v}' for k, v in shape.items())})" if shape else ""


def _worth(p: dict[str, Any]) -> list[str]:
    """What more compute and more knowledge would be worth, and what limits the plan."""
    equal = (
        f"as much as {p['evpi_flops'] / p['budget']['flops']:.3g}x the budget"
        if p["evpi_flops"] is not None
        else "more than any budget would buy"
    )
    lines = [f"knowing the truth would be worth {p['evpi']:.4f} {_unit(p)}, {equal}"]
    if p["shadow_price"] is not None:
        doubled = math.log(2) * p["shadow_price"]
        lines.append(f"twice the budget would take off about {doubled:.4f} {_unit(p)}")
    terms = [t for t in p["limits"] if t["name"] != "floor"]
    if terms:
        each = ", ".join(f"{TERMS.get(t['name'], t['name'])} {t['nats']:.3f}" for t in p["limits"])
        first = terms[0]
        lines.append(
            f"limited by {TERMS.get(first['name'], first['name'])}; nats of the loss: {each}"
        )
    return [part for line in lines for part in folded(line)]


def _how_sure(p: dict[str, Any]) -> list[str]:
    """The designs that are as good, and what the draws would each have chosen."""
    region, own = p["region"], p["own_optima"]
    rows = []
    for key, symbol in SYMBOLS.items():
        by_domain = isinstance(p[key], dict)
        for d in p[key] if by_domain else [None]:
            size = p[key][d] if by_domain else p[key]
            near = region[key] if region[key] is None or d is None else region[key][d]
            each = own[key] if d is None else own[key][d]
            if not size:
                continue
            rows.append([
                symbol if d is None else f"{symbol} {d}",
                format_quantity(size),
                "" if near is None else _range(near),
                f"{format_quantity(each['median'])}  {_range(each['interval'])}",
            ])  # fmt: skip
    unit = {"nats": " nats", "probability": " (probability)"}.get(region["unit"], "")
    header = ["", "plan", f"within {region['epsilon']:g}{unit} of it", "each draw's own optimum"]
    arrangements = ", ".join(f"{a} {s:.2f}" for a, s in own["arrangements"].items() if s > 0)
    return ["", *table(header, rows), *folded(f"arrangements of the draws' own: {arrangements}")]


def _range(ends: Sequence[float]) -> str:
    return f"[{format_quantity(ends[0])}, {format_quantity(ends[1])}]"


def _sizes(p: dict[str, Any], domain: str) -> list[str]:
    """N, D, D′ of the model for a domain: one number for all, or a number for each."""
    values = (p[n] for n in ("params", "pretrain_tokens", "specialize_tokens"))
    return [format_quantity(v[domain] if isinstance(v, dict) else v) for v in values]


def _baselines(p: dict[str, Any]) -> list[str]:
    rows = [
        [
            b["name"],
            f"{b['loss']['mean']:.4f}",
            interval(b["loss"]["interval"]),
            f"{b['regret']:.4f}",
            f"{b['p_plan_beats']:.2f}",
        ]
        for b in p["baselines"]
    ]
    head = ["instead", _minimised(p), heading(p), "regret", "P(plan better)"]
    return ["", *table(head, rows)] if rows else []


def _alternatives(p: dict[str, Any]) -> list[str]:
    """A row for every number of branches, share of replay and weight of distillation that was
    measured."""
    lines = []
    for found, key, name in (
        (p["experts"]["counts"], "experts", "branches"),
        (p["replay"]["shares"], "replay", "replay"),
        (p["distill"]["weights"], "distill", "distill λ"),
    ):
        forgets = any(c.get("forgetting") for c in found)
        rows = [
            [
                f"{c[key]:g}",
                *(_mean(c[n]) for n in ("params", "pretrain_tokens", "specialize_tokens")),
                f"{c['loss']['mean']:.4f}",
                interval(c["loss"]["interval"]),
                f"{c['p_best']:.2f}",
                *([f"{c['forgetting']['mean']:+.4f}"] if forgets else []),
            ]
            for c in found
        ]
        head = [name, "N", "D", "mean D′", _minimised(p), heading(p), "P(best)"]
        head += ["forgets"] if forgets else []
        lines += ["", *table(head, rows)] if rows else []
    return lines


def _laws(p: dict[str, Any]) -> list[str]:
    """What each law alone would have said, and the priors that would move the plan."""

    rows = [
        [
            a["law"],
            f"{a['weight']:.2f}",
            brief(a),
            *(_mean(a[n]) for n in ("params", "pretrain_tokens", "specialize_tokens")),
            f"{a['loss']:.4f}",
            f"{a['regret']:.4f}",
        ]
        for a in p["laws"]
    ]
    header = ["alone would say", "weight", "", "N", "D", "mean D′", "loss", "regret"]
    lines = ["", *table(header, rows)] if rows else []
    moved = [s for s in p["priors"] if s["params"] is not None]

    def strength(s: dict[str, Any]) -> float:
        sizes = (s[n] for n in ("params", "pretrain_tokens", "specialize_tokens"))
        return max(max(f, 1 / f) for f in sizes if f > 0)

    worst = sorted(moved, key=strength, reverse=True)[:3]
    for s in worst:
        if strength(s) > FACTOR:
            how = "twice" if s["power"] > 1 else "half"
            lines += folded(
                f"were the prior of {s['prior']} ({s['law']}) to count {how}: N x "
                f"{s['params']:.2f}, D x {s['pretrain_tokens']:.2f}, D′ x "
                f"{s['specialize_tokens']:.2f}"
            )
    return lines


def _unassessed(p: dict[str, Any]) -> list[str]:
    lines = [
        f"{how}: {n['arrangement']} ({n['reason']})"
        for how, key in (("not assessable", "not_assessable"), ("not to be chosen", "excluded"))
        for n in p[key]
    ]
    return ["", *(part for line in lines for part in folded(line))] if lines else []
