"""Forces of compiled kernels: block by block of centres, as in the MD loop, never all pair gradients at a time."""

import numpy as np

from kernelff._forces import forces_of_list
from kernelff.descriptors.moment_potential import BoundMoments


def kernel_forces(neighbors, kernels, measured=None):
    """Sum of compiled kernels over a NeighborList.

    Parameters
    ----------
    neighbors : NeighborList
        Built with at least the largest cutoff.
    kernels : list of BoundMoments, GapKernel, ..
        Objects with `address` and `n_elements` that know elements by their atomic numbers.
    measured : LocalPass, optional
        What is to be made of their basis functions on the way; its kernels are the first.

    Returns
    -------
    energies : ndarray of shape (n_atoms,)
        eV.
    forces : ndarray of shape (n_atoms, 3)
        eV/Å.
    virial : ndarray of shape (3, 3)
        -dE/dstrain, eV.
    numbers : dict of str -> ndarray of shape (n_atoms,)
        Of every kind in `measured`.
    total : ndarray of shape (n_functions,)
        Basis functions, summed over the atoms.

    Raises
    ------
    ValueError
        For elements that a moment tensor potential does not know, or where its single precision is too coarse.
    """
    moments = [kernel for kernel in kernels if isinstance(kernel, BoundMoments)]
    for kernel in moments:
        kernel.require(neighbors)
    plain = neighbors.first, neighbors.j, neighbors.vectors, neighbors.numbers.astype(np.int32)
    single = [kernel for kernel in moments if kernel.precision == "single" and neighbors.n_pairs]
    kinds, wanted = (), ()
    if measured is not None:
        kinds = measured.measures
        wanted = measured.columns, list(kinds.values()), measured.n_functions
    energies, forces, virial, steepest, numbers, total = forces_of_list(kernels, *plain, *wanted, steepest=bool(single))
    for kernel in single:
        kernel.check_single(neighbors, steepest)
    return energies, forces, 0.5 * (virial + virial.T), dict(zip(kinds, numbers, strict=True)), total
