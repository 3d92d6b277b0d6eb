"""What people read about a plan that was verified."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from bayeslaw.cli.words import folded, table
from bayeslaw.quantity import format_quantity

if TYPE_CHECKING:
    from bayeslaw.verify.gain import Gain
    from bayeslaw.verify.training import Training
    from bayeslaw.verify.verification import Verification

SHOWN = 10  # rows without an arm that are listed
UNEQUAL = 1.1  # ratio of compute by the trainer's count above which arms are not alike


def arms(training: Training) -> list[str]:
    """What is trained, at the sizes that can be built."""
    rows = [
        [
            a.name,
            _mean((a.planned or a).params),
            _mean(a.params),
            _mean(a.pretrain_tokens),
            _mean(a.specialize_tokens),
            format_quantity(float(f"{a.flops:.3g}")),
            format_quantity(float(f"{a.flops_by(training.per_token):.3g}")),
        ]
        for a in training.arms
    ]
    header = ["arm", "planned N", "N", "D", "mean D′", "FLOPs", "counted"]
    lines = table(header, rows)
    lines += ["", *folded(
        f"sizes are those that can be built; tokens are changed so that {_count(training)} spends "
        "the same; counted: with attention and the unembedding"
    )]  # fmt: skip
    spent = [a.flops_by(training.per_token) for a in training.arms]
    if max(spent) > UNEQUAL * min(spent):
        lines += folded(
            f"by that count the arms differ by a factor {max(spent) / min(spent):.2f}"
            + (
                ": small models cost more than 6 N a token; `plan --cost runs` prices it"
                if training.arms[0].cost.plain
                else ""
            )
        )
    return [*lines, ""]


def _count(training: Training) -> str:
    return "6 N a token" if training.arms[0].cost.plain else "the cost of the plan's runs"


def priced(training: Training, said: str) -> dict[str, Any]:
    """The same for programs."""
    return {
        "schema": 1,
        "seeds": list(training.seeds),
        "arms": [
            {
                "arm": a.name,
                "params": a.params.tolist(),
                "pretrain_tokens": a.pretrain_tokens.tolist(),
                "specialize_tokens": a.specialize_tokens.tolist(),
                "flops": a.flops,
                "counted_flops": a.flops_by(training.per_token),
            }
            for a in training.arms
        ],
        "sweep": said,
    }


def verification(v: Verification) -> list[str]:
    lines = [f"budget {format_quantity(v.plan.flops)} FLOPs; forecasts are calibrated, at the "
             "measured designs"]  # fmt: skip
    if v.plan.routed:
        lines += folded(
            "the plan minimised the loss of a whole system, its text sent by a router; here every "
            "branch is judged on its own domain, where replay and distillation only cost"
        )
    every = v.everywhere
    if every is not None:
        header = ["domain", "rows", "in 50%", "in 80%", "in 90%", "z", "sd", "CRPS", "error"]
        summaries = {**v.by_domain, "all": every}
        lines += table(header, [
            [
                name,
                str(s.rows),
                *(f"{100 * c:.0f}%" for c in (s.coverage50, s.coverage80, s.coverage90)),
                f"{s.z_mean:+.2f}",
                f"{s.z_sd:.2f}",
                f"{s.crps:.4f}",
                f"{100 * s.error:.2f}%",
            ]
            for name, s in summaries.items()
        ])  # fmt: skip
    else:
        lines.append("no forecast: the laws do not speak of any row")
    lines += ["", *_arms(v), *_gain(v), *_left(v)]
    return [*lines, ""]


def _arms(v: Verification) -> list[str]:
    """A row for every arm: its loss and what the plan was better by."""
    against = {g.over: g for g in v.against}
    rows = []
    for arm in v.arms:
        rows.append([
            arm.name,
            *(_mean(s) for s in (arm.params, arm.pretrain_tokens, arm.specialize_tokens)),
            *_against(against.get(arm.name)),
        ])  # fmt: skip
    header = ["", "N", "D", "mean D′", "plan better by", "90%", "seeds", "forecast"]
    return table(header, rows)


def _against(g: Gain | None) -> list[str]:
    if g is None:
        return [""] * 4
    interval = "" if g.interval90 is None else f"[{g.interval90[0]:+.4f}, {g.interval90[1]:+.4f}]"
    forecast = "" if g.forecast is None else f"{g.forecast['mean']:+.4f}"
    return [f"{g.mean:+.4f}", interval, f"{g.better}/{len(g.seeds)}", forecast]


def _gain(v: Verification) -> Iterator[str]:
    yield ""
    if v.gain is None:
        yield "no seed has both a split and a generalist: no gain"
    else:
        g = v.gain
        of = "" if g.interval90 is None else f" [{g.interval90[0]:+.4f}, {g.interval90[1]:+.4f}]"
        where = ", ".join(f"{d} {m:+.4f}" for d, m in g.domains.items())
        yield from folded(
            f"gain of the split ({g.of}) over the generalist: {g.mean:+.4f} nats{of}, more than 0 "
            f"with {g.better} of {len(g.seeds)} seeds; by domain: {where}"
        )
        yield from folded(
            "intervals are of the mean over seeds, paired (Student's t): they cover other seeds at "
            "these designs and this held-out text, not another corpus or budget"
        )
    if v.regret is not None:
        yield from folded(
            f"realised regret {v.regret:.4f} nats; the best arm measured is '{v.best}'"
        )


def _left(v: Verification) -> Iterator[str]:
    m = v.measured
    if m.off:
        yield f"{m.off} rows of branches on other domains: not used"
    if m.left:
        yield f"{len(m.left)} rows are of no arm (tolerance {v.tolerance:g} e-folds):"
        for left in m.left[:SHOWN]:
            yield from folded(f"  row {left.row}: {left.reason}")
        if len(m.left) > SHOWN:
            yield "  the others are in verify.json"
    arms: dict[str, list[str]] = {}
    for arm, seed, domain in m.missing:
        arms.setdefault(arm, []).append(f"{domain} (seed {seed})")
    for arm, where in arms.items():
        yield from folded(f"not measured: {arm}: {', '.join(where)}")


def _mean(values: Any) -> str:
    return format_quantity(float(f"{float(values.mean()):.3g}"))
