"""Factors, whitening and solution as plain linear algebra."""

import numpy as np
import pytest
from scipy.linalg import block_diag

from kernelff.regression.factors import Factors, solve
from kernelff.regression.whitening import Columns, Whitening


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def factors_of(rows, m, cuts=()):
    factors = Factors(m)
    for part in np.split(rows, list(cuts)):
        factors.group("forces").add(part.copy())
    return factors


def test_factor_keeps_the_gram_matrix(rng):
    rows = rng.normal(size=(50, 6))
    R = factors_of(rows, 6, (3, 20)).group("forces").R
    np.testing.assert_allclose(R.T @ R, rows.T @ rows, atol=1e-12 * 50)
    assert np.array_equal(R, np.triu(R))
    assert (np.diag(R) >= 0).all()


def test_merging_equals_folding(rng):
    rows = rng.normal(size=(40, 5))
    one, other = factors_of(rows[:11], 5), factors_of(rows[11:], 5)
    one.merge(other)
    whole = factors_of(rows, 5)
    np.testing.assert_allclose(one.group("forces").R, whole.group("forces").R, atol=1e-12)
    assert one.group("forces").n_rows == 40


def test_state_round_trip_is_exact(rng):
    factors = factors_of(rng.normal(size=(9, 4)), 4)
    factors.group("energy").add(rng.normal(size=(2, 4)), np.array([2.0, 0.5]), [1], [[0.25, 0]])
    again = Factors.from_state(*factors.to_state())
    for name in ("forces", "energy"):
        assert np.array_equal(again.group(name).R, factors.group(name).R)
        assert again.group(name).n_rows == factors.group(name).n_rows
        assert again.group(name).log_scale == factors.group(name).log_scale
        assert np.array_equal(again.group(name).sample, factors.group(name).sample)
    assert len(again.group("energy").sample) == 1


def test_scaled_rows_and_the_sample_of_them(rng):
    rows, scales = rng.normal(size=(9, 4)), rng.uniform(0.5, 2, 9)
    scaled = rows / scales[:, None]
    factors = Factors(4)
    factors.group("energy").add(rows.copy(), scales, [2, 5], np.array([[7.0, 0.0], [8.0, 1.0]]))
    factor = factors.group("energy")
    np.testing.assert_allclose(factor.R.T @ factor.R, scaled.T @ scaled, atol=1e-12)
    assert factor.log_scale == pytest.approx(np.log(scales).sum())
    np.testing.assert_allclose(factor.sample, np.column_stack([scaled[[2, 5]], [7, 8], [0, 1]]), atol=1e-15)
    factors.drop_samples()
    assert len(factor.sample) == 0


def test_whitening_makes_the_prior_the_identity(rng):
    A, B = rng.normal(size=(4, 3)), rng.normal(size=(5, 5))
    K = block_diag(A @ A.T, B @ B.T)  # the first block has rank 3
    whitening = Whitening.of(K, [slice(0, 4), slice(4, 9)])
    assert whitening.W.shape == (9, 8)
    np.testing.assert_allclose(whitening.W.T @ K @ whitening.W, np.eye(8), atol=1e-8)


def test_solution_is_ridge_regression(rng):
    rows, y = rng.normal(size=(30, 4)), rng.normal(size=30)
    L = rng.normal(size=(4, 4))
    K = L @ L.T + np.eye(4)
    sigma, offset_std = 0.3, 2.0
    data = np.column_stack([rows, np.ones(30), y])  # functions, nuisance, target
    solution = solve(
        factors_of(data, 6), Columns(np.array([offset_std]), Whitening.of(K, [slice(0, 4)])), {"forces": sigma}
    )
    design = np.column_stack([rows, np.ones(30)])
    precision = block_diag(K, 1 / offset_std**2) + design.T @ design / sigma**2
    expected = np.linalg.solve(precision, design.T @ y / sigma**2)
    np.testing.assert_allclose(np.append(solution.weights, solution.nuisance), expected, rtol=1e-9)
    covariance = np.linalg.inv(precision)[:4, :4]
    np.testing.assert_allclose(solution.posterior @ solution.posterior.T, covariance, rtol=1e-8, atol=1e-12)


def test_prior_factors_widen_the_prior_of_their_family(rng):
    rows, y = rng.normal(size=(30, 5)), rng.normal(size=30)
    whitening = Whitening.of(np.eye(5), [slice(0, 2), slice(2, 5)], owners=[0, 1])
    data = np.column_stack([rows, np.zeros(30), y])
    solution = solve(factors_of(data, 7), Columns(np.ones(1), whitening), {"forces": 0.3}, (2.0, 0.5))
    precision = np.diag([1 / 4] * 2 + [4.0] * 3) + rows.T @ rows / 0.09
    np.testing.assert_allclose(solution.weights, np.linalg.solve(precision, rows.T @ y / 0.09), rtol=1e-9)
