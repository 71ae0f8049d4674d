"""What single precision may cost: forces to 1e-4 eV/Å, looked at in every call and at every checkpoint of a run."""

import numpy as np

SINGLE_TOLERANCE = 1e-4  # eV/Å, of forces
PRECISIONS = ("double", "single")
_CHECKED = 16  # centres of every call


def check_single(neighbors, plain, gradients, exact):
    """Refuse pair gradients in single precision that are too coarse, by those of some centres in double precision.

    The centres are those from the one of the largest pair gradient on.

    Parameters
    ----------
    neighbors : NeighborList
    plain : tuple of arrays
        The list as kernels take it.
    gradients : ndarray of shape (n_pairs, 3)
        eV/Å.
    exact : CentreKernel
        The same model in double precision.

    Raises
    ------
    ValueError
        If forces are off by more than `SINGLE_TOLERANCE`.
    """
    if not neighbors.n_pairs:
        return
    first = neighbors.first
    largest = np.argmax(gradients) // 3  # of either sign, since pairs pull both ways; NaN counts as largest
    start = neighbors.i[largest]
    stop = min(start + _CHECKED, neighbors.n_atoms)
    _, expected = exact.evaluate(*plain, start, stop)
    errors = gradients[first[start] : first[stop]] - expected
    centre = neighbors.i[first[start] : first[stop]] - start
    # a force is the sum of the gradients of its own pairs and as many of those of the neighbours
    together = np.array([np.bincount(centre, errors[:, c]) for c in range(3)])
    apart = np.bincount(centre, (errors**2).sum(axis=1))
    error = np.sqrt(2.0 * max(np.max((together**2).sum(axis=0)), np.max(apart)))
    if not error <= SINGLE_TOLERANCE:
        raise ValueError(f'{too_coarse(f"about {error:.1e}")} Use precision="double".')


def too_coarse(error):
    """The sentence about an error, given as text without its unit."""
    return f"precision: single precision misses forces of this model by {error} eV/Å, more than {SINGLE_TOLERANCE:g}."
