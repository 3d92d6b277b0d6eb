"""The iso-loss map: expected loss over N and D, the runs, the plan and its credible region."""

from __future__ import annotations

from typing import Any

import numpy as np
from contourpy import contour_generator

from bayeslaw.infer.ensemble import Ensemble
from bayeslaw.laws import Run
from bayeslaw.plan.arrangement import kind_of
from bayeslaw.plan.plan import Plan
from bayeslaw.plan.written import ONE_MODEL
from bayeslaw.plots import palette
from bayeslaw.plots.canvas import WIDTH, Axis, Canvas, Panel
from bayeslaw.plots.curves import curve_losses
from bayeslaw.plots.measured import Measured, measured
from bayeslaw.plots.path import domains_of, split_ratio
from bayeslaw.plots.scale import even_ticks
from bayeslaw.runs import Runs

GRID = 33  # values of N and of D
LEVELS = 11  # contours, about
ROOM = 1.6  # factor that the map goes on beyond what is shown on it
OPTIMA = 200  # draws whose own optima are shown


def isoloss_map(
    fitted: Ensemble,
    plan: Plan | None = None,
    runs: Runs | None = None,
    domain: str | None = None,
    kind: str | None = None,
    draws: int = 400,
    seed: int = 0,
    backend: str = "matplotlib",
    width: int = WIDTH,
) -> Any:
    """Contours of the expected loss over N and D, at a D′/D that is held: the plan's of each
    domain, else the middle of the sweep's.

    With a plan: its point, what each draw would have chosen within the plan's arrangement, the
    ellipse that holds `plan.prob` of those (in logs), and designs of the same compute. The loss is
    the plan's weighted one; where every domain has a model of its own, or `domain` is named, that
    of each domain.

    kind: `mean`, or `calibrated` (default: the plan's, else `mean`). runs: those to be drawn
    (default: those of the fit).

    Raises `BayeslawError` on an unknown domain or backend.
    """
    kind = kind or (plan.kind if plan is not None else "mean")
    points = measured(fitted, runs)
    own = plan is not None and kind_of(plan.chosen.arrangement) not in ONE_MODEL
    panels: list[int | None] = [*domains_of(fitted, domain)] if domain or own else [None]
    canvas = Canvas.of(len(panels), backend, width, height=360)
    for panel, k in zip(canvas.panels, panels, strict=True):
        here = points if k is None else points.of(k)
        axes = _ranges(here, fitted, plan, k)
        loss = _expected(fitted, plan, k, axes, kind, draws, seed)
        _contours(panel, axes, loss)
        panel.points(here.params, here.pretrain_tokens, palette.BLACK, "measured runs", size=9)
        if plan is not None:
            _planned(panel, plan, k or 0, axes)
        panel.title("weighted over domains" if k is None else fitted.domains[k])
        ends = [(a[0], a[-1]) for a in axes]
        panel.axes(
            Axis("N, parameters", True, *ends[0]),
            Axis("D, tokens before the split", True, *ends[1]),
        )
    said = "" if plan is None else f"; {100 * plan.prob:g} % of the draws' own optima ({plan.kind})"
    return canvas.done(f"Expected loss in nats/token ({kind}){said}")


def _ranges(here: Measured, fitted: Ensemble, plan: Plan | None, k: int | None) -> list[np.ndarray]:
    """N and D of the map."""
    found = []
    for name in ("params", "pretrain_tokens"):
        values = list(fitted.ranges[name]) if name in fitted.ranges else []
        values += [v for v in getattr(here, name) if v > 0]
        if plan is not None:
            values.append(float(getattr(plan.chosen.run, name)[k or 0]))
            values += list(np.quantile(_optima(plan, k or 0)[name], [0.02, 0.98]))
        positive = [v for v in values if v > 0]
        found.append(np.geomspace(min(positive) / ROOM, max(positive) * ROOM, GRID))
    return found


def _expected(
    fitted: Ensemble, plan: Plan | None, k: int | None, axes: list[np.ndarray], kind: str,
    draws: int, seed: int,
) -> np.ndarray:  # fmt: skip
    """(D, N) of the loss, of one domain or weighted."""
    n, d = np.meshgrid(*axes)
    if plan is None:
        ratios = np.full(len(fitted.domains), split_ratio(fitted))
        weights = np.full(len(ratios), 1 / len(ratios))
    else:
        run, weights = plan.chosen.run, plan.weights
        some = np.maximum(run.pretrain_tokens, 1e-300)
        ratios = np.where(run.pretrain_tokens > 0, run.specialize_tokens / some, 0.0)
    wanted = [j for j in range(len(ratios)) if (weights[j] > 0 if k is None else j == k)]
    total = np.zeros(n.size)
    for ratio in sorted({float(ratios[j]) for j in wanted}):
        split = Run(n.ravel(), d.ravel(), d.ravel() * ratio)
        every = curve_losses(fitted, split, kind, draws, seed).mean(0)
        for j in wanted:
            if ratios[j] == ratio:
                total += every[:, j] * (weights[j] if k is None else 1.0)
    return total.reshape(n.shape)


def _contours(panel: Panel, axes: list[np.ndarray], loss: np.ndarray) -> None:
    low, high = np.quantile(loss, [0.01, 0.97])
    levels, names = even_ticks(float(low), float(high), LEVELS)
    lines: Any = contour_generator(np.log(axes[0]), np.log(axes[1]), loss)
    for level, name, color in zip(levels, names, palette.ramp(len(levels)), strict=True):
        pieces = [p for p in lines.lines(level) if len(p) > 1]
        if not pieces:
            continue
        joined = np.concatenate([np.vstack([p, [np.nan, np.nan]]) for p in pieces])
        panel.line(np.exp(joined[:, 0]), np.exp(joined[:, 1]), color, width=1.1)
        longest = np.exp(max(pieces, key=len))
        x, y = longest[len(longest) * 2 // 5]
        panel.text(x, y, name, color)


def _optima(plan: Plan, k: int) -> dict[str, np.ndarray]:
    designs = plan.hindsight.among([plan.chosen.arrangement]).designs
    return {n: getattr(designs, n)[:, k] for n in ("params", "pretrain_tokens")}


def _planned(panel: Panel, plan: Plan, k: int, axes: list[np.ndarray]) -> None:
    own = _optima(plan, k)
    n, d = own["params"], own["pretrain_tokens"]
    at = [float(getattr(plan.chosen.run, f)[k]) for f in ("params", "pretrain_tokens")]
    if not (d > 0).all() or at[1] <= 0:
        return  # nothing came before the split
    line = at[0] * at[1] / axes[0]
    shown = np.where((line >= axes[1][0]) & (line <= axes[1][-1]), line, np.nan)
    panel.line(axes[0], shown, palette.GREY, "as much compute as the plan", dash=1, width=1.0)
    some = np.linspace(0, len(n) - 1, min(OPTIMA, len(n))).astype(int)
    panel.points(n[some], d[some], palette.ORANGE, "a draw's own optimum", size=6, alpha=0.35)
    outline = ellipse(n, d, plan.prob)
    panel.line(outline[0], outline[1], palette.RED, f"{100 * plan.prob:g} % of them")
    panel.points(at[0], at[1], palette.RED, "the plan", marker="d", size=60)


def ellipse(n: np.ndarray, d: np.ndarray, prob: float, points: int = 121) -> np.ndarray:
    """(2, point): the ellipse about the mean of (log N, log D), of the shape of their covariance,
    that holds a share `prob` of the draws. A thin one where they lie on a line."""
    logs = np.log(np.stack([n, d]))
    middle = logs.mean(1, keepdims=True)
    root = np.linalg.cholesky(np.cov(logs) + 1e-6 * np.eye(2))
    far = np.linalg.norm(np.linalg.solve(root, logs - middle), axis=0)
    angle = np.linspace(0, 2 * np.pi, points)
    circle = np.quantile(far, prob) * np.stack([np.cos(angle), np.sin(angle)])
    return np.exp(middle + root @ circle)
