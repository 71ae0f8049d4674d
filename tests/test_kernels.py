"""Covariances: values, slopes, positivity."""

import numpy as np
import pytest

from kernelff.kernels import DotProduct, SquaredExponential

STEP = 1e-6


@pytest.mark.parametrize("zeta", [1, 2, 3, 3.5, 4, 6])
def test_dot_product_value_and_slope(zeta):
    s = np.linspace(0.05, 1, 40)
    value, slope = DotProduct(zeta).value_and_slope(s)
    np.testing.assert_allclose(value, s**zeta, rtol=1e-14)
    np.testing.assert_allclose(slope, ((s + STEP) ** zeta - (s - STEP) ** zeta) / (2 * STEP), rtol=1e-6)


@pytest.mark.parametrize("zeta", [1, 2, 1.5, 3.5, 4])
@pytest.mark.parametrize("constant", [0.0, 0.1])
def test_dot_product_curvature_is_the_slope_of_the_slope(zeta, constant):
    s, kernel = np.linspace(0.05, 1, 40), DotProduct(zeta, constant)
    slopes = [kernel.value_and_slope(s + step)[1] for step in (STEP, -STEP)]
    np.testing.assert_allclose(kernel.curvature(s), (slopes[0] - slopes[1]) / (2 * STEP), rtol=1e-6, atol=1e-8)
    assert np.isfinite(kernel.curvature(np.zeros(1))).all()


def test_dot_product_matrix_is_symmetric_and_positive():
    X = np.abs(np.random.default_rng(0).normal(size=(30, 8)))
    X /= np.linalg.norm(X, axis=1)[:, None]
    kernel = DotProduct(4)
    K = kernel(X, X)
    np.testing.assert_allclose(K, K.T, atol=1e-15)
    np.testing.assert_allclose(np.diag(K), kernel.diag(X), atol=1e-14)
    assert np.linalg.eigvalsh(K).min() > -1e-12


def test_real_exponent_takes_rounded_negative_products_as_zero():
    value, slope = DotProduct(2.5).value_and_slope(np.array([-1e-17, 0.0, 0.5]))
    assert np.isfinite(value).all()
    assert np.isfinite(slope).all()
    assert value[0] == 0


def test_squared_exponential_value_and_slope():
    x, y = np.linspace(1, 5, 9), np.linspace(0.5, 6, 7)
    kernel = SquaredExponential(0.7)
    value, slope = kernel.value_and_slope(x, y)
    np.testing.assert_allclose(value, np.exp(-0.5 * ((x[:, None] - y) / 0.7) ** 2), rtol=1e-12)
    np.testing.assert_allclose(slope, (kernel(x + STEP, y) - kernel(x - STEP, y)) / (2 * STEP), atol=1e-8)


@pytest.mark.parametrize(("make", "message"), [(DotProduct, "zeta"), (SquaredExponential, "length_scale")])
@pytest.mark.parametrize("value", [0, -1.0, float("nan")])
def test_bad_parameters_are_named(make, message, value):
    with pytest.raises(ValueError, match=message):
        make(value)
