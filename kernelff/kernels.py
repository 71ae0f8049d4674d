"""Covariance functions: how alike two environments, or two distances, are."""

from dataclasses import dataclass

import numpy as np

from kernelff.checks import require_positive


class EnvironmentCovariance:
    """Covariance of feature vectors that depends on x.y, x.x and y.y alone.

    Derivatives then are dk/dx = slope (y + (pull - twist x.y) x) with numbers `pull` and `twist` that
    depend on x.x alone: one matrix product for all y, and a correction along x. Subclasses give
    ``value_and_slope``, ``along_x`` and ``curvatures``; `xx` and `yy` are squares of rows.
    """

    def __call__(self, X, Y):
        """Covariance matrix of rows of X (n, d) and Y (m, d), shape (n, m)."""
        return self.value_and_slope(X @ Y.T, squares(X), squares(Y))[0]

    def diag(self, X):
        """k(x, x) of each row, shape (n,)."""
        xx = squares(X)
        return self.value_and_slope(xx[:, None], xx, xx[:, None])[0][:, 0]


@dataclass(frozen=True)
class DotProduct(EnvironmentCovariance):
    """k(x, y) = (x.y + constant)^zeta of normalised descriptors.

    Parameters
    ----------
    zeta : float
        Exponent > 0; larger separates environments more sharply.
    constant : float
        Square of the `covariance_sigma0` of published GAPs, 0 in our own models of SOAP.
    normalize : bool
        Divide x.y + constant by the roots of x.x + constant and y.y + constant, for features that are not
        normalised themselves. The constant is then one more feature that all environments share.

    References
    ----------
    .. [1] Bartók, Kondor, Csányi, Phys. Rev. B 87, 184115 (2013), doi:10.1103/PhysRevB.87.184115
    """

    zeta: float = 4.0
    constant: float = 0.0
    normalize: bool = False

    def __post_init__(self):
        require_positive("zeta", self.zeta)

    def value_and_slope(self, products, xx=None, yy=None):
        """k and dk/d(x.y) of dot products (n, m); squares (n,) and (m,) or broadcastable are read with `normalize`."""
        if self.constant:
            products = products + self.constant
        if self.normalize:
            scale = self._norms(xx, yy)
            products = products * scale
        if float(self.zeta).is_integer():
            slope = _integer_power(products, int(self.zeta) - 1)
        else:  # a real power needs x.y >= 0, true of power spectra up to rounding
            products = np.maximum(products, 0.0)
            slope = products ** (self.zeta - 1)
        value = slope * products
        slope *= self.zeta
        if self.normalize:
            slope *= scale
        return value, slope

    def along_x(self, xx):
        """(pull, twist) of dk/dx, or None where it has no part along x."""
        if not self.normalize:
            return None
        twist = _inverse(xx + self.constant)
        return -self.constant * twist, twist

    def curvature(self, products):
        """d2k/d(x.y)^2 of an array of dot products; 0 where they are 0 and zeta < 2 would make it infinite."""
        products = products + self.constant
        factor = self.zeta * (self.zeta - 1)
        if float(self.zeta).is_integer():
            return factor * _integer_power(products, max(int(self.zeta) - 2, 0))
        return factor * np.where(products > 0, np.maximum(products, 1e-300) ** (self.zeta - 2), 0.0)

    def curvatures(self, products, xx, yy):
        """Second derivatives k_ss, 2 k_s(yy), 2 k_s(xx), 4 k_(xx)(yy) with s = x.y; None where they vanish."""
        if not self.normalize:
            return self.curvature(products), None, None, None
        scale, (x1, y1) = self._norms(xx, yy), (_inverse(xx + self.constant)[:, None], _inverse(yy + self.constant))
        cosine = (products + self.constant) * scale
        second = DotProduct(self.zeta).curvature(cosine)
        value, slope = DotProduct(self.zeta).value_and_slope(cosine)
        mixed = -self.zeta * slope * scale
        return second * scale**2, mixed * y1, mixed * x1, self.zeta**2 * value * x1 * y1

    def _norms(self, xx, yy):
        return np.sqrt(_inverse(xx + self.constant))[:, None] * np.sqrt(_inverse(yy + self.constant))


@dataclass(frozen=True)
class RadialBasis(EnvironmentCovariance):
    """k(x, y) = exp(-|x - y|^2 / (2 length_scale^2)) of feature vectors.

    Parameters
    ----------
    length_scale : float
        In the unit of the features.
    """

    length_scale: float = 1.0

    def __post_init__(self):
        require_positive("length_scale", self.length_scale)

    def value_and_slope(self, products, xx, yy):
        """k and dk/d(x.y) of dot products (n, m) and squares (n,) and (m,) or broadcastable."""
        value = np.exp(np.minimum(products - 0.5 * (xx[:, None] + yy), 0.0) / self.length_scale**2)
        return value, value / self.length_scale**2

    def along_x(self, xx):
        """(pull, twist) of dk/dx: dk/dx = slope (y - x)."""
        return np.full(len(xx), -1.0), np.zeros(len(xx))

    def curvatures(self, products, xx, yy):
        """Second derivatives k_ss, 2 k_s(yy), 2 k_s(xx), 4 k_(xx)(yy) with s = x.y."""
        second = self.value_and_slope(products, xx, yy)[0] / self.length_scale**4
        return second, -second, -second, second


@dataclass(frozen=True)
class SquaredExponential:
    """k(r, s) = exp(-sum_a (r^p_a - s^p_a)^2 / (2 length_scale_a^2)) + constant of distances.

    Parameters
    ----------
    length_scale : float or tuple of float
        In the unit of r^p (Å for p = 1); one, or one for each power.
    constant : float
        (f0 / delta)^2 of published GAPs; 0 in our own models.
    powers : tuple of float
        The p_a; only published GAPs know others than 1.
    """

    length_scale: float | tuple = 1.0
    constant: float = 0.0
    powers: tuple = (1.0,)

    def __post_init__(self):
        for scale in self.length_scales:
            require_positive("length_scale", scale)
        if len(self.length_scales) != len(self.powers):
            raise ValueError(f"length_scale: {len(self.length_scales)} values for {len(self.powers)} powers.")

    @property
    def length_scales(self):
        """One for each power."""
        return self.length_scale if isinstance(self.length_scale, tuple) else (self.length_scale,)

    @property
    def is_plain(self):
        """Whether it is one of our own models', without constant or powers."""
        return self.constant == 0 and self.powers == (1.0,)

    def __call__(self, x, y):
        """Covariance matrix of x (n,) and y (m,), shape (n, m)."""
        return self.value_and_slope(x, y)[0]

    def value_and_slope(self, x, y):
        """k(x, y) and dk/dx, both of shape (n, m)."""
        exponent, slope = self._exponent(x, y)
        value = np.exp(exponent)
        return (value + self.constant if self.constant else value), slope * value

    def mixed_curvature(self, x, y):
        """d2k/dx dy, shape (n, m)."""
        exponent, by_x = self._exponent(x, y)
        by_y = self._exponent(y, x)[1].T
        mixed = 0.0
        for power, scale in zip(self.powers, self.length_scales, strict=True):
            inner_x, inner_y = (power * r ** (power - 1.0) / scale for r in (x, y))
            mixed = mixed + inner_x[:, None] * inner_y
        return (mixed + by_x * by_y) * np.exp(exponent)

    def _exponent(self, x, y):
        """-sum_a (x^p_a - y^p_a)^2 / (2 length_scale_a^2) and its derivative by x, both of shape (n, m)."""
        exponent = slope = 0.0
        for power, scale in zip(self.powers, self.length_scales, strict=True):
            xp, yp = (x, y) if power == 1 else (x**power, y**power)
            # x/l - y/l, not (x - y)/l: the order of rounding of the GAP code
            difference = xp[:, None] / scale - yp[None, :] / scale
            exponent = exponent - 0.5 * difference**2
            inner = 1.0 / scale if power == 1 else (power * x ** (power - 1.0) / scale)[:, None]
            slope = slope - difference * inner
        return exponent, slope


def squares(X):
    """x.x of each row, shape (n,)."""
    return np.einsum("nd,nd->n", X, X)


def _inverse(x):
    """1 / x, 0 for 0: a feature vector of length 0 has no direction."""
    return np.divide(1.0, x, out=np.zeros_like(x), where=x > 0)


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
