"""Covariances: values, slopes, positivity."""

import numpy as np
import pytest

from kernelff.kernels import DotProduct, RadialBasis, SquaredExponential, squares

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


OF_FEATURES = [
    DotProduct(3, 5.0, normalize=True),
    DotProduct(2.5, 8.0, normalize=True),
    RadialBasis(2.5),
    DotProduct(3),
]


def of_features(seed=0):
    """Two sets of feature vectors and a direction for each."""
    return np.random.default_rng(seed).normal(size=(4, 6, 5))


@pytest.mark.parametrize("kernel", OF_FEATURES, ids=str)
def test_covariances_of_features_are_symmetric_positive_and_1_at_most(kernel):
    X = np.random.default_rng(1).normal(size=(30, 5))
    K = kernel(X, X)
    np.testing.assert_allclose(K, K.T, atol=1e-14)
    np.testing.assert_allclose(np.diag(K), kernel.diag(X), rtol=1e-12)
    assert np.linalg.eigvalsh(K).min() > -1e-12 * K.max()
    if kernel != DotProduct(3):
        np.testing.assert_allclose(np.diag(K), 1, rtol=1e-12)


@pytest.mark.parametrize("kernel", OF_FEATURES, ids=str)
def test_derivatives_by_features(kernel):
    X, Y, directions, _ = of_features()
    products, xx = X @ Y.T, squares(X)
    slope, along = kernel.value_and_slope(products, xx, squares(Y))[1], kernel.along_x(xx)
    by_y = directions @ Y.T
    found = slope * by_y
    if along is not None:
        by_x = np.einsum("nd,nd->n", directions, X)
        found = slope * (by_y + (along[0][:, None] - along[1][:, None] * products) * by_x[:, None])
    numeric = (kernel(X + STEP * directions, Y) - kernel(X - STEP * directions, Y)) / (2 * STEP)
    np.testing.assert_allclose(found, numeric, rtol=1e-6, atol=1e-7 * np.abs(numeric).max())


@pytest.mark.parametrize("kernel", OF_FEATURES, ids=str)
def test_second_derivatives_by_features(kernel):
    """cov(dx.grad k, dy.grad k) as residual.py puts it together."""
    X, Y, dX, dY = of_features(2)
    step = 1e-4
    products, xx, yy = X @ Y.T, squares(X), squares(Y)
    x_on_y, x_on_x = dX @ Y.T, np.einsum("nd,nd->n", dX, X)[:, None]
    y_on_x, y_on_y = X @ dY.T, np.einsum("nd,nd->n", dY, Y)
    shapes = x_on_y * y_on_x, x_on_y * y_on_y, x_on_x * y_on_x, x_on_x * y_on_y
    found = kernel.value_and_slope(products, xx, yy)[1] * (dX @ dY.T)
    found += sum(
        k * shape for k, shape in zip(kernel.curvatures(products, xx, yy), shapes, strict=True) if k is not None
    )
    signs = [(a, b) for a in (1, -1) for b in (1, -1)]
    numeric = sum(a * b * kernel(X + a * step * dX, Y + b * step * dY) for a, b in signs) / (4 * step**2)
    np.testing.assert_allclose(found, numeric, atol=2e-6 * np.abs(numeric).max())


def test_feature_vector_of_length_0_has_no_covariance_and_no_nan():
    kernel, X = DotProduct(3, 0.0, normalize=True), np.zeros((1, 4))
    value, slope = kernel.value_and_slope(X @ X.T, squares(X), squares(X))
    assert value == 0 and slope == 0 and not np.any(kernel.along_x(squares(X)))


@pytest.mark.parametrize(
    ("make", "message"),
    [(DotProduct, "zeta"), (SquaredExponential, "length_scale"), (RadialBasis, "length_scale")],
)
@pytest.mark.parametrize("value", [0, -1.0, float("nan")])
def test_bad_parameters_are_named(make, message, value):
    with pytest.raises(ValueError, match=message):
        make(value)
