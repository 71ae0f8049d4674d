"""Radial functions against numerical integration and finite differences; tables against the functions."""

import numpy as np
import pytest
from naive import gto_radial
from scipy.special import ive

import kernelff as kff
from kernelff.basis.cutoff import cosine_cutoff, radial_scaling
from kernelff.basis.radial import gto_basis, quip_basis, scaled_spherical_bessel
from kernelff.descriptors.soap import SOAPDescriptor


def assert_two_derivatives(function, r, step=1e-5, tolerance=1e-7):
    """Central differences of value and slope, `step` in Å, relative to the largest."""
    value, slope, curvature = function(r)
    plus, minus = function(r + step), function(r - step)
    for exact, high, low in ((slope, plus[0], minus[0]), (curvature, plus[1], minus[1])):
        numeric = (np.asarray(high) - low) / (2.0 * step)
        np.testing.assert_allclose(numeric, exact, atol=tolerance * np.abs(exact).max())
    return value


def test_cutoff_values_and_derivatives():
    inside = np.linspace(4.01, 4.99, 40)
    assert_two_derivatives(lambda r: cosine_cutoff(r, 5.0, 1.0), inside)
    value, slope, curvature = cosine_cutoff(np.array([0.0, 4.0, 4.5, 5.0, 7.0]), 5.0, 1.0)
    np.testing.assert_allclose(value, [1.0, 1.0, 0.5, 0.0, 0.0], atol=1e-15)
    np.testing.assert_allclose(slope, [0.0, 0.0, -0.5 * np.pi, 0.0, 0.0], atol=1e-15)
    assert curvature[0] == curvature[-1] == 0.0


@pytest.mark.parametrize(("exponent", "rate"), [(4.0, 1.0), (2.5, 0.3), (0, 1.0), (7, 2.0)])
def test_scaling_values_and_derivatives(exponent, rate):
    r = np.linspace(0.5, 6.0, 60)
    value = assert_two_derivatives(lambda x: radial_scaling(x, exponent, 3.1, rate), r)
    expected = rate / (rate + (r / 3.1) ** exponent) if exponent else np.ones_like(r)
    np.testing.assert_allclose(value, expected, rtol=1e-14)
    assert all(np.isfinite(part).all() for part in radial_scaling(np.zeros(1), exponent, 3.1, rate))


def test_bessel_functions_as_scipy():
    x = np.concatenate([[0.0], np.logspace(-9, 3.5, 500)])
    found = scaled_spherical_bessel(x, 16)
    order = np.arange(17)[:, None]
    expected = np.sqrt(0.5 * np.pi / x[1:]) * ive(order + 0.5, x[1:])
    known = expected > 1e-290
    np.testing.assert_allclose(found[:, 1:][known], expected[known], rtol=5e-13)
    np.testing.assert_array_equal(found[:, 0], [1.0] + [0.0] * 16)


@pytest.mark.parametrize("n_max", [1, 4, 8])
def test_gto_against_brute_force(n_max):
    basis = gto_basis(4.5, n_max, 0.4)
    r = np.array([0.3, 1.7, 2.9, 4.4])
    found = basis.evaluate(r, 5)[0]
    expected = np.stack([gto_radial(x, 4.5, n_max, 5, 0.4).T for x in r])
    np.testing.assert_allclose(found, expected, atol=1e-11 * np.abs(expected).max())
    np.testing.assert_allclose(basis.central, gto_radial(0.0, 4.5, n_max, 0, 0.4)[:, 0], rtol=1e-10)


def test_quip_basis_reproduces_the_overlap_of_its_gaussians():
    """Sum_n R_n0(r) R_n0(r') = int h_0(r, g) h_0(r', g) g^2 dg when r, r' are nodes: T'ST-orthonormality."""
    basis = quip_basis(5.0, 6, 0.5)
    g, w = np.polynomial.legendre.leggauss(400)
    g, w = 6.0 * (g + 1.0), 6.0 * w
    a = 0.5 / 0.5**2
    shapes = np.exp(-a * (g[:, None] - basis.nodes) ** 2)  # S_nm integrates these with g^2
    overlap = (shapes * (w * g**2)[:, None]).T @ shapes
    covariance = np.exp(-a * (basis.nodes[:, None] - basis.nodes) ** 2)
    product = covariance @ basis.weights
    np.testing.assert_allclose(product @ product.T, overlap, atol=1e-12 * overlap.max())


@pytest.mark.parametrize("make", [gto_basis, quip_basis])
def test_radial_derivatives(make):
    basis = make(5.0, 7, 0.45)
    assert_two_derivatives(lambda r: basis.evaluate(r, 8), np.linspace(0.2, 5.0, 50), tolerance=1e-7)


TABLES = [
    kff.SOAP(),
    kff.SOAP(cutoff=5.4, l_max=8, radial_basis="quip", atom_sigma=0.5, cutoff_width=0.5, scaling_exponent=0),
    kff.SOAP(cutoff=3.0, n_max=4, l_max=3, cutoff_width=3.0),  # no flat part
    kff.SOAP(cutoff=6.0, n_max=12, l_max=4, atom_sigma=0.25, scaling_exponent=2.5),
]


@pytest.mark.parametrize("soap", TABLES, ids=str)
def test_table_error_and_slope(soap):
    """1e-12 of the largest value (twice that at worst between the checked points); slope is the value's."""
    descriptor = soap.build((14,), nearest_distance=2.35)
    make = {"gto": gto_basis, "quip": quip_basis}[soap.radial_basis]
    basis = make(soap.cutoff, soap.n_max, soap.atom_sigma)
    r = np.random.default_rng(0).uniform(0.1 * soap.cutoff, soap.cutoff, 3000)
    factor = cosine_cutoff(r, soap.cutoff, soap.cutoff_width)[0]
    factor *= radial_scaling(r, soap.scaling_exponent, 1.3 * 2.35)[0]
    exact = factor[:, None, None] * basis.evaluate(r, soap.l_max)[0]
    found, slope = descriptor.table.evaluate(r)
    assert np.abs(found - exact).max() < 2e-12 * np.abs(descriptor.table.knots[:, :, 0]).max()
    h = 1e-6  # Å
    away = (np.abs(r - soap.cutoff + soap.cutoff_width) > 1e-3) & (r < soap.cutoff - 1e-3)
    numeric = (descriptor.table.evaluate(r[away] + h)[0] - descriptor.table.evaluate(r[away] - h)[0]) / (2 * h)
    np.testing.assert_allclose(slope[away], numeric, atol=1e-7 * np.abs(slope).max())


def test_table_is_continuous_to_the_slope_everywhere():
    descriptor = kff.SOAP(n_max=5, l_max=4).build((14,), nearest_distance=2.35)
    table, e = descriptor.table, 1e-9
    steps = table.steps
    inner, outer = (np.arange(1, n) * h for n, h in zip(table.n_intervals, steps, strict=True))
    joints = np.concatenate([inner, table.split + outer])
    for knot in [*joints, table.split]:
        (f0, d0), (f1, d1) = table.evaluate(np.array([knot - e])), table.evaluate(np.array([knot + e]))
        np.testing.assert_allclose(f0, f1, atol=1e-8 * np.abs(table.knots).max())
        np.testing.assert_allclose(d0, d1, atol=1e-6)
    f, d = table.evaluate(np.array([descriptor.cutoff - e]))
    assert np.abs(f).max() < 1e-15 and np.abs(d).max() < 1e-7


@pytest.mark.parametrize("soap", TABLES[:2], ids=str)
def test_table_fits_the_second_level_cache(soap):
    descriptor = soap.build((14,), nearest_distance=2.35)
    assert isinstance(descriptor, SOAPDescriptor)
    assert descriptor.table.knots.nbytes < 700_000


def test_too_many_functions_are_refused():
    with pytest.raises(ValueError, match=r"n_max: 40 Gaussian-type orbitals .*smaller n_max"):
        gto_basis(5.0, 40, 0.4)
    with pytest.raises(ValueError, match=r"n_max: 40 Gaussians .*linearly dependent"):
        quip_basis(5.0, 40, 1.5)
