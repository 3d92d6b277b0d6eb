"""The mode search on functions whose minima are known."""

from __future__ import annotations

import numpy as np
import pytest

from bayeslaw.infer.modes import find_modes

RNG = np.random.default_rng(0)
MATRIX = RNG.standard_normal((5, 5))
PRECISION = MATRIX @ np.diag([1.0, 10.0, 100.0, 1e3, 1e4]) @ MATRIX.T


def quadratic(z):
    d = z - 1.0
    return 0.5 * np.einsum("si,ij,sj->s", d, PRECISION, d), d @ PRECISION


def valley(z):
    """Rosenbrock's: a curved valley, minimum at (1, 1)."""
    x, y = z.T
    value = (1 - x) ** 2 + 100 * (y - x**2) ** 2
    return value, np.stack([-2 * (1 - x) - 400 * x * (y - x**2), 200 * (y - x**2)], 1)


def two_wells(z):
    """-log of .8 N(-3, 1) + .2 N(3, .5²), each in two dimensions of unit scale."""
    x, y = z.T
    a = np.log(0.8) - 0.5 * (x + 3) ** 2
    b = np.log(0.2 / 0.5) - 0.5 * ((x - 3) / 0.5) ** 2
    total = np.logaddexp(a, b)
    wa, wb = np.exp(a - total), np.exp(b - total)
    return 0.5 * y**2 - total, np.stack([wa * (x + 3) + wb * (x - 3) / 0.25, y], 1)


def not_finite_on_the_left(z):
    value, gradient = quadratic(z)
    left = z[:, 0] < 0
    return np.where(left, np.nan, value), np.where(left[:, None], np.nan, gradient)


def starts(count, dim, spread=2.0):
    return spread * np.random.default_rng(1).standard_normal((count, dim))


def test_an_ill_conditioned_quadratic_is_whitened_exactly():
    (mode,) = find_modes(quadratic, starts(16, 5))
    assert mode.agree == mode.starts == 16
    assert mode.z == pytest.approx(np.ones(5), abs=1e-3)
    whitened = mode.scale.T @ PRECISION @ mode.scale
    assert whitened == pytest.approx(np.eye(5), abs=1e-4)


def test_the_laplace_mass_of_a_gaussian_is_its_integral():
    (mode,) = find_modes(quadratic, starts(16, 5))
    integral = 0.5 * (5 * np.log(2 * np.pi) - np.linalg.slogdet(PRECISION)[1])
    assert mode.log_evidence == pytest.approx(integral, abs=1e-4)


def test_a_curved_valley_is_followed_from_every_start():
    (mode,) = find_modes(valley, starts(16, 2))
    assert mode.agree == 16
    assert mode.z == pytest.approx([1, 1], abs=1e-4)


def test_separated_modes_are_all_found_with_their_mass():
    first, second = find_modes(two_wells, starts(32, 2, 3.0))
    assert first.z == pytest.approx([-3, 0], abs=1e-3)
    assert second.z == pytest.approx([3, 0], abs=1e-3)
    share = 1 / (1 + np.exp(second.log_evidence - first.log_evidence))
    assert share == pytest.approx(0.8, abs=1e-3)


def test_starts_where_nothing_is_finite_count_as_disagreeing():
    modes = find_modes(not_finite_on_the_left, starts(16, 5))
    assert 2 <= modes[0].agree < 16
    assert modes[0].starts == 16
