"""Directions in which radial functions can change the model.

Adding to f_mu any combination of f_0 .. f_mu leaves the span of all scalars up to a level as it is: what f_mu loses
in one scalar, scalars of lower level have. These directions are taken out, and the functions kept orthonormal over
the distances in the data, so that the prior of the weights keeps its meaning.
"""

import numpy as np

from kernelff.basis.chebyshev import chebyshev_basis
from kernelff.descriptors.base import species_index
from kernelff.neighbors import NeighborList

_BINS = 2000  # of the histograms of distances
_UNSEEN = 0.01  # weight of distances that the frames do not show


class Gauge:
    """The measure over the distances in the data in which radial functions are orthonormal.

    Parameters
    ----------
    metric : ndarray of shape (n_species, n_species, n_beta, n_beta)
        Mean of Q_k Q_l over the neighbours of each pair of elements times the share of such neighbours.
    """

    def __init__(self, metric):
        self._L = np.linalg.cholesky(metric)
        self._inverse = np.linalg.inv(self._L)

    @classmethod
    def of(cls, descriptor, frames):
        """The measure of the neighbours in some frames, and a little of neighbours spread evenly in space."""
        n_species, _, _, n_beta = descriptor.coefficients.shape
        counts = np.zeros((n_species, n_species, _BINS))
        for atoms in frames:
            neighbors = NeighborList.from_atoms(atoms, descriptor.cutoff)
            elements = species_index(neighbors.numbers, descriptor.species)
            bins = np.minimum(neighbors.distances * (_BINS / descriptor.cutoff), _BINS - 1).astype(int)
            np.add.at(counts, (elements[neighbors.i], elements[neighbors.j], bins), 1.0)
        r = (np.arange(_BINS) + 0.5) * (descriptor.cutoff / _BINS)
        even = np.where(r > descriptor.min_dist, r**2, 0.0) / n_species**2
        shares = _UNSEEN * even / even.sum() + (1.0 - _UNSEEN) * counts / max(counts.sum(), 1.0)
        basis, _ = chebyshev_basis(r, descriptor.min_dist, descriptor.cutoff, n_beta)
        return cls(descriptor.scaling**2 * np.einsum("abr,rk,rl->abkl", shares, basis, basis, optimize=True))

    def orthonormal(self, coefficients):
        """The coefficients (n_species, n_species, n_mu, n_beta) after Gram-Schmidt in the order of mu."""
        flat = self._to_flat(coefficients)
        Q, R = np.linalg.qr(flat.T)
        return self._from_flat((Q * np.sign(np.diag(R))).T, coefficients.shape)

    def grown(self, coefficients, n_mu, seeds):
        """Orthonormal coefficients of `n_mu` functions: those given, then what `seeds` have beyond them."""
        both = np.concatenate([coefficients, seeds[:, :, coefficients.shape[2] :]], axis=2)
        return self.orthonormal(both[:, :, :n_mu])

    def directions(self, coefficients):
        """Every change of f_mu that is orthogonal to f_0 .. f_mu, as columns (n_coefficients, n_directions)."""
        flat = self._to_flat(coefficients)
        n_mu, size = flat.shape
        complete = np.linalg.qr(flat.T, mode="complete")[0]
        columns = []
        for mu in range(n_mu):
            own = np.zeros((size - mu - 1, n_mu, size))
            own[:, mu] = complete[:, mu + 1 :].T
            columns += [self._from_flat(one, coefficients.shape).ravel() for one in own]
        return np.array(columns).reshape(-1, coefficients.size).T

    def _to_flat(self, coefficients):
        """(n_mu, n_species^2 n_beta), in which the measure is the identity."""
        scaled = np.einsum("abmk,abkl->mabl", coefficients, self._L)
        return scaled.reshape(len(scaled), -1)

    def _from_flat(self, flat, shape):
        n_species, _, _, n_beta = shape
        scaled = flat.reshape(-1, n_species, n_species, n_beta)
        return np.einsum("mabl,ablk->abmk", scaled, self._inverse)
