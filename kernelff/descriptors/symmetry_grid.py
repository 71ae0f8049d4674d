"""Automatic lists of symmetry functions."""

import numpy as np

from kernelff.descriptors.base import require
from kernelff.descriptors.symmetry_records import G2, G5, W2, W5

# Chosen on Si and Mo of the Zuo benchmark and on ethanol: at about the same number of functions narrower Gaussians,
# exponents up to 8 only, G4 in place of G5 and unshifted Gaussians gave larger errors of forces; equidistant shells
# were alike for the elements (Si 78 against 81, Mo 113 against 111 meV/Å) and twice as bad for the molecule.
_ZETAS = (1, 2, 4, 8, 16)
_FIRST, _LAST, _LAST_ANGULAR = 0.8, 0.95, 0.7  # first shell in nearest distances, last ones in cutoffs


def automatic_functions(cutoff, n_radial, n_shells, nearest_distance=None, weighted=False):
    """Gaussians on shells, after Gastegger et al. [1]_ and Imbalzano et al. [2]_.

    Radial: G2 at `n_radial` r_s in geometric progression from 0.8 nearest-neighbour distances to 0.95 cutoffs.
    Angular: G5 at `n_shells` r_s likewise up to 0.7 cutoffs, each with zeta 1, 2, 4, 8, 16 and lambda -1, 1.
    The standard deviation of a Gaussian is sqrt(2) times the distance between the shells there, so that short
    bonds are resolved most finely.

    Parameters
    ----------
    cutoff : float
        Å.
    n_radial, n_shells : int
        `n_radial` functions for each element and 10 `n_shells` for each pair of elements.
    nearest_distance : float, optional
        Å; None, or infinite where no atom has a neighbour: 0.3 cutoffs.
    weighted : bool
        W2 and W5 in place of G2 and G5: `n_radial` + 10 `n_shells` for any number of elements.

    Returns
    -------
    list of records

    References
    ----------
    .. [1] Gastegger et al., J. Chem. Phys. 148, 241709 (2018), doi:10.1063/1.5019667
    .. [2] Imbalzano et al., J. Chem. Phys. 148, 241730 (2018), doi:10.1063/1.5024611
    """
    for name, value, low in (("n_radial", n_radial, 1), ("n_shells", n_shells, 0)):
        whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
        require(whole and low <= value <= 1000, name, value, f"a whole number from {low} to 1000")
    if nearest_distance is not None:
        require(nearest_distance > 0, "nearest_distance", nearest_distance, "a length > 0 Å, or None")
    known = nearest_distance is not None and np.isfinite(nearest_distance)
    first = min(_FIRST * nearest_distance, 0.5 * cutoff) if known else 0.3 * cutoff
    radial, angular = (W2, W5) if weighted else (G2, G5)
    functions = [radial(eta, r_s) for eta, r_s in _shells(first, _LAST * cutoff, n_radial)]
    for eta, r_s in _shells(first, _LAST_ANGULAR * cutoff, n_shells):
        functions += [angular(eta, zeta, lambda_, r_s=r_s) for zeta in _ZETAS for lambda_ in (-1.0, 1.0)]
    return functions


def _shells(first, last, n):
    """(eta, r_s) of n Gaussians."""
    ratio = last / first if n == 1 else (last / first) ** (1.0 / (n - 1))
    spacing = np.geomspace(first, last, n) * (np.sqrt(ratio) - 1.0 / np.sqrt(ratio))  # between the halfway points
    return [(float(0.25 / d**2), float(r_s)) for d, r_s in zip(spacing, np.geomspace(first, last, n), strict=True)]
