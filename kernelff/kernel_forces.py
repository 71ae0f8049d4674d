"""Forces of compiled kernels: block by block of centres, as in the MD loop, never all pair gradients at a time."""

from typing import NamedTuple

import numpy as np

from kernelff._forces import forces_of_list
from kernelff.assembly import atom_virials, forces_and_virial
from kernelff.descriptors.moment_potential import BoundMoments
from kernelff.single_precision import check_single, is_single


class KernelForces(NamedTuple):
    """Sums over a neighbour list.

    Attributes
    ----------
    energies : ndarray of shape (n_atoms,)
        eV.
    forces : ndarray of shape (n_atoms, 3)
        eV/Å.
    virial : ndarray of shape (3, 3)
        -dE/dstrain, eV.
    virials : ndarray of shape (n_atoms, 3, 3) or None
        See `atom_virials`, eV.
    numbers : dict of str -> ndarray of shape (n_atoms,)
        Of every kind that was measured.
    total : ndarray of shape (n_functions,)
        Basis functions, summed over the atoms.
    """

    energies: np.ndarray
    forces: np.ndarray
    virial: np.ndarray
    virials: np.ndarray | None
    numbers: dict
    total: np.ndarray

    def plus(self, neighbors, energies, gradients):
        """With local energies (n_atoms,) and pair gradients (n_pairs, 3) of something else."""
        forces, virial = forces_and_virial(neighbors, gradients)
        more = None if self.virials is None else self.virials + atom_virials(neighbors, gradients)
        return self._replace(
            energies=self.energies + energies, forces=self.forces + forces, virial=self.virial + virial, virials=more
        )


def kernel_forces(neighbors, kernels, measured=None, virials=False):
    """Sum of compiled kernels over a NeighborList.

    Parameters
    ----------
    neighbors : NeighborList
        Built with at least the largest cutoff.
    kernels : list of BoundMoments, GapKernel, ..
        Objects with `address` and `n_elements` that know elements by their atomic numbers.
    measured : LocalPass, optional
        What is to be made of their basis functions on the way; its kernels are the first.
    virials : bool
        Also those of the atoms.

    Returns
    -------
    KernelForces

    Raises
    ------
    ValueError
        For elements that a moment tensor potential does not know, or where its single precision is too coarse.
    """
    moments = [kernel for kernel in kernels if isinstance(kernel, BoundMoments)]
    for kernel in moments:
        kernel.require(neighbors)
    plain = neighbors.first, neighbors.j, neighbors.vectors, neighbors.numbers.astype(np.int32)
    single = [kernel for kernel in kernels if is_single(kernel)]
    kinds, wanted = (), ()
    if measured is not None:
        kinds = measured.measures
        wanted = measured.columns, list(kinds.values()), measured.n_functions
    energies, forces, virial, of_atoms, steepest, numbers, total = forces_of_list(
        kernels, *plain, *wanted, steepest=bool(single), virials=virials
    )
    for kernel in single:
        check_single(neighbors, kernel, steepest)
    numbers = dict(zip(kinds, numbers, strict=True))
    return KernelForces(energies, forces, 0.5 * (virial + virial.T), of_atoms, numbers, total)
