"""Where the problem is convex in the logs, against a convex solver."""

from __future__ import annotations

import numpy as np
import pytest

from bayeslaw.plan import plan
from tests.plan import drawn

cp = pytest.importorskip("cvxpy", reason="the convex oracle needs cvxpy, of the dev extra")

COUNT, FLOPS = 12, 1e21
RATIOS = ((5.0 / 4, 200.0 * 4), (0.01 / 4, 1.0 * 4))


def powers(law, theta, k):
    """Coefficients (draw, term) and exponents of (N, D, D′) relative to the anchor."""
    floor, *parts = np.moveaxis(theta["shares"][:, k], -1, 0)
    level = theta["level"][:, k] * 3.0
    zero = np.zeros(COUNT)
    a, b = theta["a_size"][:, k], theta["b_data"][:, k]
    branch = -theta["b_branch"][:, k] if law == "interaction" else zero
    rows = [(parts[0], (-a, zero, zero)), (parts[1], (zero, -b, branch))]
    if law == "additive":
        rows.append((parts[2], (zero, zero, -theta["c_branch"][:, k])))
    return level, floor, rows


@pytest.mark.parametrize("risk", ["mean", "cvar:0.25"])
@pytest.mark.parametrize("law", ["chinchilla", "additive", "interaction"])
def test_the_optimum_is_that_of_a_convex_solver(law, risk):
    domains = 2
    theta = drawn.draws(law, domains, COUNT)
    if law == "additive":
        theta["s_branch"] = np.zeros((COUNT, domains))
    if law == "interaction":  # a product of powers in the limit S -> 0
        theta["s_branch"] = np.full((COUNT, domains), 1e-14)
        theta["b_decay"] = np.zeros((COUNT, domains))
    arrangement = "generalist" if law == "chinchilla" else "trunk"
    answer = plan(
        drawn.of(law, theta), FLOPS, {"d0": 3}, risk, [arrangement], draws=COUNT, kind="mean"
    )
    assert answer.certificate.convex is True
    x = cp.Variable(2 + domains)  # logs of N, D and every D′, relative to the anchor
    at = np.log([1e8, 1e10, 1e9])
    totals = 0
    for k, w in enumerate((0.75, 0.25)):
        level, floor, rows = powers(law, theta, k)
        logs = cp.hstack([x[0], x[1], x[2 + k]])
        for share, exponents in rows:
            slope = np.stack(exponents, 1)
            totals = totals + w * cp.exp(np.log(level * share) + slope @ logs)
        totals = totals + w * level * floor
    if risk == "mean":
        value = cp.sum(totals) / COUNT
    else:
        edge = cp.Variable()
        value = edge + cp.sum(cp.pos(totals - edge)) / (0.25 * COUNT)
    n, d = x[0] + at[0], x[1] + at[1]
    ratio = np.log(RATIOS[0])
    bounds = [d - n >= ratio[0], d - n <= ratio[1]]
    stages = [d]
    if arrangement == "trunk":
        for k in range(domains):
            split = x[2 + k] + at[2]
            bounds += [split - d >= np.log(RATIOS[1][0]), split - d <= np.log(RATIOS[1][1])]
            stages.append(split)
    else:
        bounds += [x[2:] == 0]
    cost = np.log(6) + n + cp.log_sum_exp(cp.hstack(stages))
    problem = cp.Problem(cp.Minimize(value), [*bounds, cost <= np.log(FLOPS)])
    problem.solve(solver="CLARABEL", tol_gap_abs=1e-9, tol_gap_rel=1e-9, tol_feas=1e-9)
    assert answer.chosen.risk == pytest.approx(problem.value, abs=1e-6)
