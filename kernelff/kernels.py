"""Covariance functions: how alike two environments, or two distances, are."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class DotProduct:
    """k(x, y) = (x.y)^zeta of normalised descriptors.

    Parameters
    ----------
    zeta : float
        Exponent > 0; larger separates environments more sharply.

    References
    ----------
    .. [1] Bartók, Kondor, Csányi, Phys. Rev. B 87, 184115 (2013), doi:10.1103/PhysRevB.87.184115
    """

    zeta: float = 4.0

    def __post_init__(self):
        if not self.zeta > 0:
            raise ValueError(f"zeta: must be > 0, got {self.zeta!r}. Common values are 2 to 6.")

    def __call__(self, X, Y):
        """Covariance matrix of rows of X (n, d) and Y (m, d), shape (n, m)."""
        return self.value_and_slope(X @ Y.T)[0]

    def diag(self, X):
        """k(x, x) of each row, shape (n,)."""
        return self.value_and_slope(np.einsum("nd,nd->n", X, X))[0]

    def value_and_slope(self, products):
        """k and dk/d(x.y) of an array of dot products."""
        if float(self.zeta).is_integer():
            slope = _integer_power(products, int(self.zeta) - 1)
        else:  # a real power needs x.y >= 0, true of power spectra up to rounding
            products = np.maximum(products, 0.0)
            slope = products ** (self.zeta - 1)
        value = slope * products
        slope *= self.zeta
        return value, slope


@dataclass(frozen=True)
class SquaredExponential:
    """k(r, s) = exp(-(r - s)^2 / (2 length_scale^2)) of scalars.

    Parameters
    ----------
    length_scale : float
        In the unit of the arguments (Å for distances).
    """

    length_scale: float = 1.0

    def __post_init__(self):
        if not self.length_scale > 0:
            raise ValueError(f"length_scale: must be > 0, got {self.length_scale!r}.")

    def __call__(self, x, y):
        """Covariance matrix of x (n,) and y (m,), shape (n, m)."""
        return self.value_and_slope(x, y)[0]

    def value_and_slope(self, x, y):
        """k(x, y) and dk/dx, both of shape (n, m)."""
        # x/l - y/l, not (x - y)/l: the order of rounding of the GAP code
        difference = x[:, None] / self.length_scale - y[None, :] / self.length_scale
        value = np.exp(-0.5 * difference**2)
        return value, -difference / self.length_scale * value


def _integer_power(x, n):
    """x^n for n >= 0 by multiplications (np.power takes 20 times longer)."""
    result = np.ones_like(x) if n % 2 == 0 else x.copy()
    square = x
    n //= 2
    while n:
        square = square * square
        if n % 2:
            result *= square
        n //= 2
    return result
