"""What single precision may cost: forces to 1e-4 eV/Å, looked at in every call and at every checkpoint of a run."""

import numpy as np

SINGLE_TOLERANCE = 1e-4  # eV/Å, of forces
PRECISIONS = ("double", "single")
_CHECKED = 16  # centres of every call


class BothPrecisions:
    """What of a term's compiled kernel is the same in either precision.

    Attributes
    ----------
    kernel, exact : CentreKernel
        The one that runs, and the one in double precision: the same, if it runs in that.
    row_kernel : CentreKernel or None
        `exact`, where that gives basis functions: they are too large for single precision.
    """

    @property
    def address(self):
        """Where C finds the centre_kernel that runs and its plan; elements are atomic numbers."""
        return self.kernel.address

    @property
    def n_elements(self):
        """Elements are numbers below this."""
        return self.kernel.n_elements


def is_single(kernel):
    """Whether a compiled kernel has another one in double precision that it is judged by."""
    return getattr(kernel, "exact", None) is not getattr(kernel, "kernel", None)


def check_single(neighbors, both, start):
    """Refuse pair gradients in single precision that are too coarse, by those of some centres in double precision.

    Parameters
    ----------
    neighbors : NeighborList
    both : SingleKernel or BoundMoments
        With `kernel` in single and `exact` in double precision.
    start : int
        The first of the centres; that of the largest pair gradient is the best guess.

    Raises
    ------
    ValueError
        If forces are off by more than `SINGLE_TOLERANCE`.
    """
    if not neighbors.n_pairs:
        return
    plain = neighbors.first, neighbors.j, neighbors.vectors, neighbors.numbers.astype(np.int32)
    first, stop = neighbors.first, min(start + _CHECKED, neighbors.n_atoms)
    single, exact = (kernel.evaluate(*plain, start, stop)[1] for kernel in (both.kernel, both.exact))
    errors = single - exact
    centre = neighbors.i[first[start] : first[stop]] - start
    # a force is the sum of the gradients of its own pairs and as many of those of the neighbours
    together = np.array([np.bincount(centre, errors[:, c]) for c in range(3)])
    apart = np.bincount(centre, (errors**2).sum(axis=1))
    error = np.sqrt(2.0 * max(np.max((together**2).sum(axis=0)), np.max(apart)))
    if not error <= SINGLE_TOLERANCE:
        raise ValueError(f'{too_coarse(f"about {error:.1e}")} Use precision="double".')


def steepest_centre(neighbors, gradients):
    """Centre of the largest component of a pair gradient, which is of either sign; NaN counts as largest."""
    return neighbors.i[np.argmax(gradients) // 3] if neighbors.n_pairs else 0


def too_coarse(error):
    """The sentence about an error, given as text without its unit."""
    return f"precision: single precision misses forces of this model by {error} eV/Å, more than {SINGLE_TOLERANCE:g}."
