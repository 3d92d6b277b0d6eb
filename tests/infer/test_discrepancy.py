"""The discrepancy: where it is nothing, how it grows, what a sweep's own refits teach it."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from bayeslaw.infer.discrepancy import AXES, Discrepancy, Hull, Miss, learnt
from bayeslaw.laws import Run

INSIDE = Run(np.array([1e8, 1e9]), np.array([1e9, 1e10]), np.array([0.0, 1e8]))
HULL = Hull.of(INSIDE)
PRIOR = Discrepancy(HULL, 0.3, 0.03, 0.6)


def design(n=5e8, d=5e9, split=0.0):
    return Run(*(np.atleast_1d(np.asarray(v, float)) for v in (n, d, split)))


def test_nothing_is_added_inside_the_sweep():
    assert not HULL.distance(INSIDE).any()
    assert not PRIOR.sample(INSIDE, 2, 50, 0).any()


@pytest.mark.parametrize(
    ("outside", "axes"),
    [
        (design(n=4e9, d=2e9), {"params"}),
        (design(d=4e10, n=2e8), {"tokens"}),
        (design(split=8e8, n=2e8), {"branch"}),
        (design(n=4e9, d=4e10), {"compute", "params", "tokens"}),
        (design(n=1e7, d=1e9), {"compute", "params"}),
    ],
)
def test_the_distance_is_along_the_inputs_that_leave_the_sweep(outside, axes):
    away = HULL.distance(outside)[0]
    assert {name for name, d in zip(AXES, away, strict=True) if d > 0} == axes


def test_it_grows_with_the_log_distance():
    sd = [PRIOR.sample(design(n=1e9 * k, d=5e8), 1, 20_000, 0).std() for k in (4, 16, 64)]
    distance = [np.linalg.norm(HULL.distance(design(n=1e9 * k, d=5e8))) for k in (4, 16, 64)]
    np.testing.assert_allclose(np.array(sd) / sd[0], np.array(distance) / distance[0], rtol=0.1)


def test_one_seed_is_one_set_of_functions_whatever_else_is_asked():
    two = Run(
        *(np.concatenate([a, b]) for a, b in zip(design(4e9)[:3], design(9e9)[:3], strict=True))
    )
    together, alone = PRIOR.sample(two, 3, 20, 5), PRIOR.sample(design(9e9), 3, 20, 5)
    np.testing.assert_allclose(together[:, 1], alone[:, 0])
    assert not np.allclose(alone, PRIOR.sample(design(9e9), 3, 20, 6))


def test_neighbouring_designs_share_it():
    near = PRIOR.sample(Run(np.array([1e10, 1.1e10]), np.full(2, 1e11), np.zeros(2)), 1, 4000, 0)
    difference = near[:, 1, 0] - near[:, 0, 0]
    assert difference.std() < 0.1 * near[:, 0, 0].std()


def test_domains_share_a_part_of_it():
    drawn = PRIOR.sample(design(1e10, 1e11), 2, 40_000, 0)[:, 0]
    expected = learnt()["domains"]["correlation"]
    # A common scale does not change a correlation of symmetric draws.
    np.testing.assert_allclose(np.corrcoef(drawn.T)[0, 1], expected, atol=0.05)


def miss(size, seed=0, runs=8):
    rng = np.random.default_rng(seed)
    distance = np.zeros((runs, len(AXES)))
    distance[:, 0] = np.linspace(0.2, 2.0, runs)
    return Miss(
        size * distance[:, 0] + 0.003 * rng.standard_normal(runs),
        0.003 * rng.standard_normal((400, runs)),
        np.full(runs, 0.003**2),
        distance,
        0.3,
        np.arange(runs) % 2,
    )


def test_misses_far_beyond_their_intervals_widen_it_and_hits_narrow_it():
    wide, narrow = PRIOR.updated([miss(0.05)]), PRIOR.updated([miss(0.0)])
    assert narrow.center < PRIOR.center < wide.center
    assert max(narrow.log_sd, wide.log_sd) < PRIOR.log_sd + 1e-9


def test_without_anything_beyond_the_prior_stands():
    inside = miss(0.1)
    nothing = Miss(
        *(inside.residual, inside.draws, inside.noise), 0 * inside.distance, 0.3, inside.domain
    )
    assert PRIOR.updated([]) is PRIOR
    assert PRIOR.updated([nothing]) is PRIOR


def test_the_likelihood_of_a_miss_is_a_normals():
    m, shared = miss(0.03), 0.5
    scales = np.array([0.01, 0.1, 1.0])
    kernel = m.distance @ m.distance.T
    same = m.domain[:, None] == m.domain
    noise = np.cov(m.draws, rowvar=False) + np.diag(m.noise + 1e-10)
    expected = [
        multivariate_normal(
            np.zeros(8), noise + (0.3 * s) ** 2 * kernel * (shared + (1 - shared) * same)
        ).logpdf(m.residual)
        for s in scales
    ]
    found = m.log_likelihood(scales, shared)
    np.testing.assert_allclose(found - found[0], np.array(expected) - expected[0], rtol=1e-6)


def test_it_is_saved_and_read_back():
    assert Discrepancy.from_json(PRIOR.to_json()) == PRIOR
