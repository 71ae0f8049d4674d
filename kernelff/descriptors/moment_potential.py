"""Moment tensors with linear weights bound in: local energies and pair gradients in one compiled pass."""

import numpy as np
from ase.data import chemical_symbols

from kernelff._moments import PotentialKernel
from kernelff.descriptors.base import check_list, require, species_index
from kernelff.single_precision import PRECISIONS, BothPrecisions, check_single, steepest_centre

_MOST_ELEMENTS = len(chemical_symbols)


class BoundMoments(BothPrecisions):
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

    Raises
    ------
    ValueError
        For a precision that is none of these.
    """

    def __init__(self, descriptor, weights, precision="double", rows=False):
        require(precision in PRECISIONS, "precision", precision, '"double" or "single"')
        self.descriptor, self.precision = descriptor, precision
        self.kernel = self._bind(weights, precision, rows and precision == "double")
        self.exact = self.kernel if precision == "double" else self._bind(weights, "double", rows)
        self.row_kernel = self.exact if rows else None
        self._foreign = np.ones(_MOST_ELEMENTS + 1, dtype=bool)  # elements that the descriptor does not know
        self._foreign[: _MOST_ELEMENTS if descriptor.species is None else 0] = False
        self._foreign[list(descriptor.species or ())] = False

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
        self.require(neighbors)
        plain = neighbors.first, neighbors.j, neighbors.vectors, neighbors.numbers.astype(np.int32)
        energies, gradients = self.kernel.evaluate(*plain, 0, neighbors.n_atoms)
        if self.precision == "single":
            check_single(neighbors, self, steepest_centre(neighbors, gradients))
        return energies, gradients

    def require(self, neighbors):
        """Refuse a list that is shorter-ranged than the descriptor, or elements that it does not know."""
        check_list(neighbors, self.descriptor.cutoff)
        if self._foreign.take(neighbors.numbers, mode="clip").any():
            species_index(neighbors.numbers, self.descriptor.species)  # says which
