"""Moment tensors with linear weights bound in: local energies and pair gradients in one compiled pass."""

import numpy as np

from kernelff._moments import PotentialKernel
from kernelff.descriptors.base import check_list, require, species_index
from kernelff.single_precision import PRECISIONS, check_single


class BoundMoments:
    """A moment tensor potential. Immutable and thread-safe.

    Parameters
    ----------
    descriptor : MomentDescriptor
    weights : ndarray of shape (n_features,)
        eV.
    precision : str
        "double", or "single": float32 inside, twice as many centres at a time. Some centres of every call, from that of
        the largest pair gradient on, are then evaluated in double precision too.
    rows : bool
        Whether `row_kernel` is wanted.

    Attributes
    ----------
    kernel : PotentialKernel
    row_kernel : PotentialKernel or None
        The same in double precision, with `evaluate_rows`; in that precision `kernel` itself.

    Raises
    ------
    ValueError
        For a precision that is none of these.
    """

    def __init__(self, descriptor, weights, precision="double", rows=False):
        require(precision in PRECISIONS, "precision", precision, '"double" or "single"')
        self.descriptor, self.precision = descriptor, precision
        self.kernel = self._bind(weights, precision, rows and precision == "double")
        self._exact = self.kernel if precision == "double" else self._bind(weights, "double", rows)
        self.row_kernel = self._exact if rows else None

    @property
    def address(self):
        """Where C finds the centre_kernel and its plan; elements are atomic numbers."""
        return self.kernel.address

    def _bind(self, weights, precision, rows):
        tables = self.descriptor.potential_tables(weights, precision, rows)
        return PotentialKernel(tables, self.descriptor.isa, precision == "single")

    def evaluate(self, neighbors):
        """Local energies (n_atoms,), eV, and pair gradients de_i/dr_ij (n_pairs, 3), eV/Å, of a NeighborList.

        Raises
        ------
        ValueError
            If the list is shorter-ranged than the descriptor, if the frame holds an element that the descriptor does
            not know, or if single precision misses forces by more than `SINGLE_TOLERANCE`.
        """
        check_list(neighbors, self.descriptor.cutoff)
        species_index(neighbors.numbers, self.descriptor.species)
        plain = neighbors.first, neighbors.j, neighbors.vectors, neighbors.numbers.astype(np.int32)
        energies, gradients = self.kernel.evaluate(*plain, 0, neighbors.n_atoms)
        if self.precision == "single":
            check_single(neighbors, plain, gradients, self._exact)
        return energies, gradients
