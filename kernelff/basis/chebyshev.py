"""Chebyshev polynomials that vanish smoothly at a cutoff: the radial basis of moment tensor potentials."""

import numpy as np
from scipy.linalg import qr, solve_triangular


def chebyshev_basis(r, min_dist, cutoff, size):
    """Q_k(r) = T_k(xi) (cutoff - r)^2, xi = (2 r - min_dist - cutoff) / (cutoff - min_dist), and slopes.

    As MLIP's RBChebyshev [1]_: 0 from the cutoff on, and below `min_dist` simply continued.

    Parameters
    ----------
    r : ndarray of shape (n,)
        Distances, Å.
    min_dist, cutoff : float
        Å.
    size : int

    Returns
    -------
    value, slope : ndarray of shape (n, size)
        Å^2, Å.

    References
    ----------
    .. [1] Novikov, Gubaev, Podryabinkin, Shapeev, Mach. Learn.: Sci. Technol. 2, 025002 (2021),
       doi:10.1088/2632-2153/abc9fe
    """
    r = np.asarray(r, dtype=float)
    rest = np.maximum(cutoff - r, 0.0)[:, None]
    xi = (2.0 * r - min_dist - cutoff) / (cutoff - min_dist)
    polynomial = np.polynomial.chebyshev
    T = polynomial.chebvander(xi, size - 1)
    derivative = polynomial.chebder(np.eye(size), axis=0) if size > 1 else np.zeros((1, 1))
    dT = T[:, : len(derivative)] @ derivative * (2.0 / (cutoff - min_dist))
    return T * rest**2, dT * rest**2 - 2.0 * T * rest


def orthonormal_rows(basis, weights, n_rows):
    """Coefficients c of f_m = sum_(k <= m) c_mk Q_k with sum_r weights f_m f_n = delta_mn.

    Parameters
    ----------
    basis : ndarray of shape (n, size)
        Q_k at distances.
    weights : ndarray of shape (n,)
        Of the distances.
    n_rows : int
        At most `size`.

    Returns
    -------
    ndarray of shape (n_rows, size)
    """
    R = qr(np.sqrt(weights)[:, None] * basis, mode="r")[0][: basis.shape[1]]
    columns = solve_triangular(R, np.eye(len(R)))
    return (columns * np.sign(np.diag(R))).T[:n_rows].copy()
