"""Evidence and its derivatives."""

import numpy as np
import pytest

from kernelff.regression.evidence import evidence_gradient
from kernelff.regression.factors import Factors, posterior_factor, whitened
from kernelff.regression.normal import System, grams
from kernelff.regression.whitening import Columns, Whitening

STEP = 1e-5  # of a logarithm


@pytest.fixture(scope="module")
def problem():
    """Factors of two kinds of rows, and Columns with one nuisance and two families of functions."""
    rng = np.random.default_rng(0)
    m, factors = 12, Factors(14)
    w = 2.0 * rng.normal(size=m)
    for name, sigma in (("forces", 0.1), ("virial", 0.5)):
        A = rng.normal(size=(50, m))
        nuisance = np.full((50, 1), float(name == "virial"))
        y = A @ w + 0.3 * nuisance[:, 0] + sigma * rng.normal(size=50)
        factors.group(name).add(np.column_stack([A, nuisance, y]), rng.uniform(0.5, 2, 50))
    whitening = Whitening.of(np.eye(m), [slice(0, 5), slice(5, m)], owners=[0, 1])
    return factors, Columns(np.array([1.0]), whitening)


SIGMAS, PRIORS = {"forces": 0.2, "virial": 0.3}, (1.5, 0.7)


def evidence(problem, sigmas=SIGMAS, priors=PRIORS):
    factors, columns = problem
    return evidence_gradient(System(grams(factors, columns), sigmas, columns.prior_std(priors)))


def test_gradient_against_finite_differences(problem):
    _, by_sigma, by_column = evidence(problem)
    for name in SIGMAS:
        values = [evidence(problem, SIGMAS | {name: SIGMAS[name] * np.exp(s)})[0] for s in (STEP, -STEP)]
        assert by_sigma[name] == pytest.approx((values[0] - values[1]) / (2 * STEP), rel=1e-5)
    by_owner = problem[1].by_owner(by_column)
    for k in range(2):
        shifted = [[p * np.exp(s * (j == k)) for j, p in enumerate(PRIORS)] for s in (STEP, -STEP)]
        values = [evidence(problem, priors=priors)[0] for priors in shifted]
        assert by_owner[k] == pytest.approx((values[0] - values[1]) / (2 * STEP), rel=1e-5)


def test_normal_equations_and_factors_agree(problem):
    factors, columns = problem
    R, by_factors = posterior_factor(whitened(factors, columns), SIGMAS, columns.prior_std(PRIORS))
    system = System(grams(factors, columns), SIGMAS, columns.prior_std(PRIORS))
    assert system.evidence() == pytest.approx(by_factors, rel=1e-12)
    np.testing.assert_allclose(system.covariance(), np.linalg.inv(R[:-1, :-1].T @ R[:-1, :-1]), atol=1e-12)
    rows = np.random.default_rng(1).normal(size=(4, 13))
    expected = np.sqrt(np.einsum("ti,ij,tj->t", rows, system.covariance(), rows))
    np.testing.assert_allclose(system.stds(rows), expected, rtol=1e-10)


def test_a_prior_without_bounds_is_survived(problem):
    """Columns that depend on each other leave a system that rounding makes indefinite."""
    columns = problem[1]
    twice = Factors(14)
    rng = np.random.default_rng(2)
    A = rng.normal(size=(40, 6))
    rows = np.column_stack([A, A @ rng.normal(size=(6, 6)), np.zeros(40), rng.normal(size=40)])
    twice.group("forces").add(1e4 * rows)
    system = System(grams(twice, columns), {"forces": 1e-6}, columns.prior_std((1e8, 1e8)))
    assert np.isfinite(system.mean).all() and np.isfinite(system.evidence())
