"""Residuals: what a law leaves unexplained, against each input."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from bayeslaw.errors import BayeslawError, FitError
from bayeslaw.infer.ensemble import Ensemble
from bayeslaw.infer.posterior import Posterior
from bayeslaw.plots import palette
from bayeslaw.plots.canvas import WIDTH, Axis, Canvas
from bayeslaw.plots.measured import measured

LABELS = {
    "params": "N, parameters",
    "pretrain_tokens": "D, tokens before the split",
    "specialize_tokens": "D′, tokens after it",
    "flops": "compute, FLOPs",
    "predicted": "predicted loss, nats/token",
}
PROB = 0.9


def residuals(
    posterior: Posterior | Ensemble,
    against: str | Sequence[str] | None = None,
    backend: str = "matplotlib",
    width: int = WIDTH,
) -> Any:
    """100 (log measured - median of the log predicted), so about per cent of the loss, against an
    input, several, or all that vary; by domain. Bars: the central 90 % of what the posterior
    predicts of such a run (kind `run`), around its median: of a law that holds about one in ten
    points lies outside its own.

    posterior: of one law; of an Ensemble the law of most weight. against: `params`,
    `pretrain_tokens`, `specialize_tokens`, `flops`, `predicted`. Runs with D′ = 0 are left out
    against `specialize_tokens`.

    Raises `BayeslawError` on an unknown input or backend, `FitError` for a point fit, which
    predicts no spread.
    """
    if isinstance(posterior, Ensemble):
        posterior = posterior.heaviest
    if "posterior_predictive" not in posterior.tree.children:
        raise FitError(
            f"a {posterior.method} fit of {posterior.law.name} has no predictive draws; "
            "fit with method nuts or laplace"
        )
    points = measured(posterior)
    drawn = np.asarray(posterior.tree["posterior_predictive"]["log_loss"], float)
    drawn = drawn.reshape(-1, drawn.shape[-1])
    log_loss = np.asarray(posterior.tree["observed_data"]["log_loss"], float)
    low, middle, high = np.quantile(drawn, [(1 - PROB) / 2, 0.5, (1 + PROB) / 2], axis=0)
    inputs = {**{n: getattr(points, n) for n in list(LABELS)[:4]}, "predicted": np.exp(middle)}
    chosen = _chosen(inputs, against)
    canvas = Canvas.of(len(chosen), backend, width, height=230)
    for panel, name in zip(canvas.panels, chosen, strict=True):
        x = inputs[name]
        for k, domain in enumerate((*posterior.domains, "measured runs")):
            mine = (points.on == (k if k < len(posterior.domains) else -1)) & (x > 0)
            if not mine.any():
                continue
            over = 100 * (log_loss - middle)[mine]
            ends = 100 * (low - middle)[mine], 100 * (high - middle)[mine]
            panel.interval(
                *ends, x[mine], palette.LIGHT, f"{100 * PROB:g} % (run)", 1.0, upright=True
            )
            panel.points(
                x[mine], over, palette.color(k), domain, palette.marker(k), size=14, alpha=0.8
            )
        panel.horizontal(0.0, palette.GREY, dash=0)
        panel.axes(Axis(LABELS[name], log=True), Axis("residual, %"))
    return canvas.done(
        f"Residuals of {posterior.law.name}, against {100 * PROB:g} % predictive intervals (run)"
    )


def _chosen(inputs: dict[str, np.ndarray], against: str | Sequence[str] | None) -> list[str]:
    if against is None:
        return [n for n, v in inputs.items() if len(v) and np.ptp(v) > 0]
    asked = [against] if isinstance(against, str) else list(against)
    unknown = [n for n in asked if n not in LABELS]
    if unknown or not asked:
        raise BayeslawError(f"against '{', '.join(unknown)}' is not one of {', '.join(LABELS)}")
    return asked
