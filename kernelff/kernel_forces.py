"""Forces of compiled kernels: block by block of centres, as in the MD loop, never all pair gradients at a time."""

import numpy as np

from kernelff._forces import forces_of_list
from kernelff.descriptors.moment_potential import BoundMoments


def kernel_forces(neighbors, kernels):
    """Sum of compiled kernels over a NeighborList.

    Parameters
    ----------
    neighbors : NeighborList
        Built with at least the largest cutoff.
    kernels : list of BoundMoments, GapKernel, ..
        Objects with `address` and `n_elements` that know elements by their atomic numbers.

    Returns
    -------
    energies : ndarray of shape (n_atoms,)
        eV.
    forces : ndarray of shape (n_atoms, 3)
        eV/Å.
    virial : ndarray of shape (3, 3)
        -dE/dstrain, eV.

    Raises
    ------
    ValueError
        For elements that a moment tensor potential does not know, or where its single precision is too coarse.
    """
    moments = [kernel for kernel in kernels if isinstance(kernel, BoundMoments)]
    for kernel in moments:
        kernel.require(neighbors)
    single = [kernel for kernel in moments if kernel.precision == "single"]
    plain = neighbors.first, neighbors.j, neighbors.vectors, neighbors.numbers.astype(np.int32)
    energies, forces, virial, _ = forces_of_list([kernel for kernel in kernels if kernel not in single], *plain)
    for kernel in single:
        e, f, w, steepest = forces_of_list([kernel], *plain, steepest=True)
        energies, forces, virial = energies + e, forces + f, virial + w
        if neighbors.n_pairs:
            kernel.check_single(neighbors, steepest)
    return energies, forces, 0.5 * (virial + virial.T)
