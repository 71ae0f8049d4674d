"""Radial expansions of a Gaussian neighbour density, with two derivatives.

A neighbour at distance r is the density exp(-a |x - r|^2), a = 1 / (2 atom_sigma^2). Its expansion in
a radial basis B_n(g) and spherical harmonics has the radial parts [1]_

    GTO   R_nl(r) = int_0^inf B_n(g) h_l(r, g) g^2 dg
    QUIP  R_nl(r) = sum_m h_l(r, r_m) T_mn,            h_l(r, g) = exp(-a (r - g)^2) [exp(-x) i_l(x)],  x = 2 a r g

with the modified spherical Bessel functions i_l. Both are sums over nodes g, so one routine serves both.
Constant factors (4 pi and the Gaussian's norm) are left out as in QUIP; kernels of normalised
descriptors do not see them.

References
----------
.. [1] Bartók, Kondor, Csányi, Phys. Rev. B 87, 184115 (2013), doi:10.1103/PhysRevB.87.184115
"""

from dataclasses import dataclass

import numpy as np
from scipy.linalg import LinAlgError, cholesky, eigh, solve
from scipy.special import erf, gammaln


@dataclass(frozen=True)
class RadialBasis:
    """R_nl(r) = sum_g h_l(r, nodes_g) weights_gn, before cutoff and scaling.

    Attributes
    ----------
    atom_sigma : float
        Width of the neighbour density, Å.
    nodes : ndarray of shape (n_nodes,)
        Å.
    weights : ndarray of shape (n_nodes, n_max)
    central : ndarray of shape (n_max,)
        Radial part of the central atom's own density (l = 0).
    """

    atom_sigma: float
    nodes: np.ndarray
    weights: np.ndarray
    central: np.ndarray

    def evaluate(self, r, l_max):
        """Values and two derivatives.

        Parameters
        ----------
        r : ndarray of shape (n,)
            Å.
        l_max : int

        Returns
        -------
        ndarray of shape (3, n, l_max + 1, n_max)
            R, dR/dr, d2R/dr2.
        """
        a = 0.5 / self.atom_sigma**2
        h = smeared_bessel(np.asarray(r, dtype=float)[:, None], self.nodes, a, l_max + 2)
        dh = _bessel_slope(h, r, self.nodes, a)
        ddh = _bessel_slope(dh, r, self.nodes, a) - 2.0 * a * h[: l_max + 1]
        parts = (h[: l_max + 1], dh[: l_max + 1], ddh)
        return np.stack([np.moveaxis(part @ self.weights, 0, 1) for part in parts])


def _bessel_slope(h, r, g, a):
    """dh_l/dr for one degree fewer than `h` holds.

    h_l = exp(-a (r^2 + g^2)) i_l(2 a r g) and i_l' = (l i_(l-1) + (l+1) i_(l+1)) / (2l+1) give
    h_l' = 2 a (g (l h_(l-1) + (l+1) h_(l+1)) / (2l+1) - r h_l). Applied to h' this is h'' but for the slope of the
    explicit r, -2 a h_l, which the caller adds.
    """
    degree = np.arange(len(h) - 1, dtype=float)[:, None, None]
    lower = np.concatenate([np.zeros_like(h[:1]), h[:-2]])
    mixed = (degree * lower + (degree + 1.0) * h[1:]) / (2.0 * degree + 1.0)
    return 2.0 * a * (g * mixed - np.asarray(r)[:, None] * h[:-1])


def smeared_bessel(r, g, a, l_max):
    """h_l(r, g) = exp(-a (r - g)^2) exp(-x) i_l(x), x = 2 a r g, for l = 0..l_max on the first axis."""
    r, g = np.broadcast_arrays(r, g)
    return scaled_spherical_bessel(2.0 * a * r * g, l_max) * np.exp(-a * (r - g) ** 2)


def scaled_spherical_bessel(x, l_max):
    """exp(-x) i_l(x), x >= 0, for l = 0..l_max on the first axis; relative error about 1e-13.

    Upward recursion amplifies rounding by about exp(l(l+1)/x), so it serves large x only; ratios of
    neighbouring degrees run downward are stable for every x, but need about sqrt(72 x) steps.
    """
    x = np.asarray(x, dtype=float)
    out = np.empty((l_max + 1, *x.shape))
    with np.errstate(divide="ignore", invalid="ignore"):
        out[0] = np.where(x < 1e-8, 1.0 - x, -0.5 * np.expm1(-2.0 * x) / x)
    if l_max > 0:
        large = x > max(40.0, l_max * (l_max + 1.0))
        for part, recursion in ((large, _bessel_upward), (~large, _bessel_downward)):
            out[1:, part] = recursion(x[part], out[0][part], l_max)
    return out


def _bessel_upward(x, i_0, l_max):
    """Degrees 1..l_max by i_(l+1) = i_(l-1) - (2l+1)/x i_l."""
    rows = [i_0, (0.5 * (1.0 + np.exp(-2.0 * x)) - i_0) / x]  # i_1 = (cosh x - i_0) / x
    for degree in range(1, l_max):
        rows.append(rows[-2] - (2.0 * degree + 1.0) / x * rows[-1])
    return np.stack(rows[1:])


def _bessel_downward(x, i_0, l_max):
    """Degrees 1..l_max by the continued fraction i_l / i_(l-1) = x / (2l+1 + x i_(l+1)/i_l)."""
    ratio, ratios = np.zeros_like(x), []
    start = l_max + 20 + int(np.sqrt(72.0 * x.max(initial=0.0)))
    for degree in range(start, 0, -1):
        ratio = x / (2.0 * degree + 1.0 + x * ratio)
        ratios.append(ratio)
    return i_0 * np.cumprod(ratios[: -l_max - 1 : -1], axis=0)


def gto_basis(cutoff, n_max, atom_sigma):
    """Gaussian-type orbitals g^n exp(-g^2 / 2 s_n^2), s_n = cutoff max(sqrt(n), 1) / n_max, Löwdin-orthonormal.

    Overlaps are taken over all g >= 0, as featomic does, so kernels agree with its
    Gto basis.

    Raises
    ------
    ValueError
        If the functions are linearly dependent in float64 (n_max too large).
    """
    n = np.arange(n_max)
    s = cutoff * np.maximum(np.sqrt(n), 1.0) / n_max
    exponent = 0.5 / s**2
    power = 0.5 * (n[:, None] + n[None, :] + 3)
    log_overlap = gammaln(power) - power * np.log(exponent[:, None] + exponent[None, :])
    log_norm = 0.5 * np.diag(log_overlap)  # the common factor 1/2 of the integrals cancels here ...
    eigenvalues, vectors = eigh(np.exp(log_overlap - log_norm[:, None] - log_norm[None, :]))
    if eigenvalues[0] < 1e-13 * eigenvalues[-1]:
        raise ValueError(
            f"n_max: {n_max} Gaussian-type orbitals within {cutoff} Å are linearly dependent in double "
            "precision. Use a smaller n_max (12 is ample) or radial_basis='quip'."
        )
    orthonormal = vectors / np.sqrt(eigenvalues) @ vectors.T
    reach = cutoff + 9.0 * atom_sigma  # beyond, exp(-a (r - g)^2) < 1e-17 for every r < cutoff
    nodes, w = _composite_gauss(reach, panel=1.5 * min(atom_sigma, s[0]))
    primitive = np.exp(n[:, None] * np.log(nodes) - exponent[:, None] * nodes**2 - log_norm[:, None])
    weights = np.sqrt(2.0) * (orthonormal @ primitive * (w * nodes**2)).T  # ... and returns as sqrt(2) here
    central = np.exp(-0.5 * (nodes / atom_sigma) ** 2) @ weights
    return RadialBasis(float(atom_sigma), nodes, weights, central)


def _composite_gauss(reach, panel):
    """Gauss-Legendre nodes and weights on [0, reach], 16 per panel of at most `panel`."""
    x, w = np.polynomial.legendre.leggauss(16)
    n = int(np.ceil(reach / panel))
    h = reach / n
    nodes = h * (np.arange(n)[:, None] + 0.5 * (x + 1.0))
    return nodes.ravel(), np.tile(0.5 * h * w, n)


def quip_basis(cutoff, n_max, atom_sigma, basis_error_exponent=10.0):
    """QUIP's EQUISPACED_GAUSS basis: Gaussians of the density's own width at r_n = (n - 1) R_max / n_max.

    Raises
    ------
    ValueError
        If the Gaussians overlap so much that the basis is singular in float64.
    """
    a = 0.5 / atom_sigma**2
    reach = cutoff + atom_sigma * np.sqrt(2.0 * basis_error_exponent * np.log(10.0))
    centres = np.arange(n_max) * reach / n_max
    difference, total = centres[:, None] - centres, centres[:, None] + centres
    covariance = np.exp(-a * difference**2)
    overlap = (
        np.sqrt(2.0) * a**1.5 * total * np.exp(-a * (centres[:, None] ** 2 + centres**2))
        + a
        * np.sqrt(np.pi)
        * np.exp(-0.5 * a * difference**2)
        * (1.0 + a * total**2)
        * (1.0 + erf(np.sqrt(0.5 * a) * total))
    ) / np.sqrt(128.0 * a**5)
    try:
        factor = cholesky(overlap, lower=True)
    except LinAlgError:
        raise ValueError(
            f"n_max: {n_max} Gaussians of width {atom_sigma} Å on {reach:.1f} Å are linearly dependent. Use a "
            "smaller n_max or atom_sigma."
        ) from None
    central = np.zeros(n_max)
    central[0] = factor[0, 0]
    return RadialBasis(float(atom_sigma), centres, solve(covariance, factor), central)


BASES = {"gto": gto_basis, "quip": quip_basis}
