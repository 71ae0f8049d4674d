"""Derivatives by radial coefficients as a term: its rows are the Jacobian of the rows of a linear potential."""

import numpy as np

from kernelff.descriptors.base import species_index
from kernelff.terms.gradient_block import GradientBlock

_CENTRES_PER_BLOCK = 16


class RadialTangent:
    """phi_l(i) = dE_i/dc_l of E_i = sum_b w_b B_b(i) by the radial coefficients c[z_i, z_j, mu, k].

    Parameters
    ----------
    descriptor : MomentDescriptor
    weights : ndarray of shape (n_features,)
        w, eV.
    """

    def __init__(self, descriptor, weights):
        self.descriptor, self.weights = descriptor, weights
        self.cutoff = descriptor.cutoff
        self.n_functions = descriptor.coefficients.size
        self._per_element = self.n_functions // len(descriptor.coefficients)

    def values(self, neighbors):
        """phi (n_atoms, n_functions); no prior variance."""
        own, _ = self.descriptor.coefficient_gradients(neighbors, self.weights)
        phi = np.zeros((neighbors.n_atoms, len(self.descriptor.coefficients), self._per_element))
        phi[np.arange(neighbors.n_atoms), self._elements(neighbors)] = own.reshape(neighbors.n_atoms, -1)
        return phi.reshape(neighbors.n_atoms, -1), np.zeros(neighbors.n_atoms)

    def gradient_blocks(self, neighbors):
        """Yield GradientBlocks that together hold every derivative once."""
        first, elements, n = neighbors.first, self._elements(neighbors), self._per_element
        for start in range(0, neighbors.n_atoms, _CENTRES_PER_BLOCK):
            stop = min(start + _CENTRES_PER_BLOCK, neighbors.n_atoms)
            _, rows = self.descriptor.coefficient_gradients(neighbors, self.weights, start, stop)
            pairs = np.arange(first[start], first[stop])
            element_of_pair = elements[neighbors.i[pairs]]
            for element in np.unique(element_of_pair):
                mine = element_of_pair == element
                columns = slice(int(element) * n, (int(element) + 1) * n)
                yield GradientBlock(pairs[mine], columns, start, None, rows[mine])

    def _elements(self, neighbors):
        return species_index(neighbors.numbers, self.descriptor.species)
