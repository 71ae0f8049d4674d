"""Functions that switch the neighbour density off with distance."""

import numpy as np


def cosine_cutoff(r, cutoff, width):
    """Cosine switch of QUIP and most SOAP codes, with two derivatives.

    1 below ``cutoff - width``, 0 from `cutoff` on, a half cosine between: the
    function and its slope are continuous, the curvature jumps at both ends.

    Parameters
    ----------
    r : ndarray
        Distances, Å.
    cutoff, width : float
        Å; 0 < width <= cutoff.

    Returns
    -------
    value, slope, curvature : ndarray
        Same shape as `r`; 1, 1/Å, 1/Å^2.
    """
    r = np.asarray(r, dtype=float)
    value, slope, curvature = cosine_switch(r, cutoff, width)
    inside = (r > cutoff - width) & (r < cutoff)
    outside = np.where(r < cutoff, 1.0, 0.0)
    return np.where(inside, value, outside), np.where(inside, slope, 0.0), np.where(inside, curvature, 0.0)


def cosine_switch(r, cutoff, width):
    """The cosine of `cosine_cutoff` alone, whose curvature at its two ends is the one from inside."""
    k = np.pi / width
    phase = k * (r - cutoff + width)
    return 0.5 * (1.0 + np.cos(phase)), -0.5 * k * np.sin(phase), -0.5 * k * k * np.cos(phase)


def radial_scaling(r, exponent, radius, rate=1.0):
    """Weight D(r) = rate / (rate + (r / radius)^exponent) of far neighbours, with two derivatives.

    With ``rate = 1`` the form of Willatt et al. [1]_; QUIP's ``cutoff_dexp``, ``cutoff_scale``
    and ``cutoff_rate`` in general. ``exponent = 0`` means D = 1.

    Parameters
    ----------
    r : ndarray
        Distances, Å.
    exponent, radius, rate : float
        `radius` in Å.

    Returns
    -------
    value, slope, curvature : ndarray

    References
    ----------
    .. [1] Willatt, Musil, Ceriotti, Phys. Chem. Chem. Phys. 20, 29661 (2018), doi:10.1039/C8CP05921G
    """
    r = np.asarray(r, dtype=float)
    if exponent == 0:
        return np.ones_like(r), np.zeros_like(r), np.zeros_like(r)
    x = r / radius
    u = x**exponent / rate
    du = exponent * _power(x, exponent - 1.0) / (rate * radius)
    ddu = exponent * (exponent - 1.0) * _power(x, exponent - 2.0) / (rate * radius**2)
    value = 1.0 / (1.0 + u)
    return value, -du * value**2, (2.0 * du**2 * value - ddu) * value**2


def _power(x, exponent):
    """x^exponent; finite at 0 also for exponents < 0, where the scaling has no derivative."""
    return np.maximum(x, 1e-6) ** exponent if exponent < 0 else x**exponent
