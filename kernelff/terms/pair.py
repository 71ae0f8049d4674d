"""A term of pairs: covariances with sparse distances, as distance_2b of published GAPs."""

import numpy as np

from kernelff.descriptors import descriptor_from_state, descriptor_to_state
from kernelff.descriptors.base import check_list
from kernelff.kernels import SquaredExponential
from kernelff.terms.compiled import compile_pairs, kept_kernel
from kernelff.terms.gradient_block import GradientBlock, centre_blocks


class PairTerm:
    """phi_b(i) = sum_j delta^2 fcut(r_ij) k(r_ij, r_b) c_b: covariances with sparse distances.

    Parameters
    ----------
    descriptor : built PairDistances
    kernel : SquaredExponential
    delta : float
        eV.
    sparse_points : ndarray of shape (n_sparse,)
        Distances, Å.
    sparse_cutoffs : ndarray of shape (n_sparse,), optional
        c_b, the cutoff function of published GAPs at their sparse points; 1 by default.
    """

    def __init__(self, descriptor, kernel, delta, sparse_points, sparse_cutoffs=None):
        self.descriptor, self.kernel, self.delta = descriptor, kernel, float(delta)
        self.sparse_points = np.array(sparse_points, dtype=float)
        cutoffs = np.ones(len(self.sparse_points)) if sparse_cutoffs is None else sparse_cutoffs
        self.sparse_cutoffs = np.array(cutoffs, dtype=float)
        self.n_functions = len(self.sparse_points)
        self.cutoff = descriptor.cutoff
        self.blocks = [slice(0, self.n_functions)]
        self._bound = None  # (weights, their compiled kernel)

    def __getstate__(self):
        return self.__dict__ | {"_bound": None}  # a kernel holds pointers

    @property
    def centres(self):
        """Atomic numbers of the atoms that this term gives energy, or None for all."""
        pair = self.descriptor.species_pair
        return None if pair is None or 0 in pair else set(pair)

    def columns_for(self, z):
        """Ascending columns of the functions that centres of an element have."""
        return np.arange(self.n_functions if self.centres is None or z in self.centres else 0)

    def gram(self):
        """K_MM, shape (n_functions, n_functions), eV^2."""
        K_MM = self.delta**2 * self.kernel(self.sparse_points, self.sparse_points)
        return K_MM * self.sparse_cutoffs * self.sparse_cutoffs[:, None]

    def values(self, neighbors):
        """phi_ab (n_atoms, n_functions) and the prior variance of each local sum (n_atoms,), eV^2."""
        pairs = self.descriptor.compute(neighbors)
        phi_pb = self.delta**2 * pairs.fcut[:, None] * self.kernel(pairs.r, self.sparse_points) * self.sparse_cutoffs
        centre = neighbors.i[pairs.index]
        values = np.zeros((neighbors.n_atoms, self.n_functions))
        np.add.at(values, centre, phi_pb)
        variance = np.zeros(neighbors.n_atoms)
        for a in range(neighbors.n_atoms):
            r, fcut = pairs.r[centre == a], pairs.fcut[centre == a]
            variance[a] = self.delta**2 * fcut @ self.kernel(r, r) @ fcut
        return values, variance

    def gradient_blocks(self, neighbors):
        """Yield GradientBlocks that together hold every derivative once."""
        pairs = self.descriptor.compute(neighbors)
        centre = neighbors.i[pairs.index]
        directions = self.descriptor.gradients(neighbors, pairs)
        for start, stop in centre_blocks(neighbors.first):
            mine = (centre >= start) & (centre < stop)
            slope = self._pair_slopes(pairs, mine)
            gradients = directions[mine, :, None] * slope[:, None, :]
            yield GradientBlock(pairs.index[mine], slice(0, self.n_functions), start, None, gradients)

    def evaluate(self, neighbors, weights):
        """Local energies (n_atoms,) and pair gradients de_i/dr_ij (n_pairs, 3) for weights (n_functions,)."""
        check_list(neighbors, self.cutoff)
        plain = neighbors.first, neighbors.j, neighbors.vectors, neighbors.numbers.astype(np.int32)
        return self.compiled(weights).evaluate(*plain, 0, neighbors.n_atoms)

    def compiled(self, weights, rows=False):
        """Kernel with these weights bound in, kept until others come. It knows elements by their atomic numbers.

        With `rows` it has a `row_kernel`, itself, which gives the basis functions in the same pass.
        """
        return kept_kernel(self, compile_pairs, weights, rows)

    def profile(self, r, weights):
        """What a neighbour at r (n,) adds to the energy of its centre, eV, the slope, and the rounding of the first."""
        fcut, dfcut = self.descriptor.covariance_cutoff(r)
        k, dk = self.kernel.value_and_slope(r, self.sparse_points)
        w = self.delta**2 * weights * self.sparse_cutoffs
        rounding = np.finfo(r.dtype).eps * fcut * (np.abs(k) @ np.abs(w))
        return fcut * (k @ w), dfcut * (k @ w) + fcut * (dk @ w), rounding

    def evaluate_by_parts(self, neighbors, weights):
        """`evaluate` from the covariances themselves instead of a table."""
        pairs = self.descriptor.compute(neighbors)
        e_p, slope, _ = self.profile(pairs.r, weights)
        energies = np.bincount(neighbors.i[pairs.index], weights=e_p, minlength=neighbors.n_atoms)
        return energies, self.descriptor.backward(neighbors, pairs, slope)

    def to_state(self):
        params, _ = descriptor_to_state(self.descriptor)
        params = {
            "kind": "pair", "descriptor": params, "length_scale": self.kernel.length_scale, "delta": self.delta,
        }  # fmt: skip
        if not self.kernel.is_plain:
            params |= {"constant": self.kernel.constant, "powers": list(self.kernel.powers)}
        return params, {"sparse_points": self.sparse_points, "sparse_cutoffs": self.sparse_cutoffs}

    @classmethod
    def from_state(cls, params, arrays):
        descriptor = descriptor_from_state(params["descriptor"], {})
        scale, powers = params["length_scale"], params.get("powers", (1.0,))
        scale = tuple(scale) if isinstance(scale, list) else scale
        kernel = SquaredExponential(scale, params.get("constant", 0.0), tuple(powers))
        return cls(descriptor, kernel, params["delta"], arrays["sparse_points"], arrays.get("sparse_cutoffs"))

    def _pair_slopes(self, pairs, which):
        """d/dr of delta^2 fcut(r) k(r, r_b) c_b, shape (n, n_functions)."""
        k, dk = self.kernel.value_and_slope(pairs.r[which], self.sparse_points)
        slope = pairs.dfcut[which, None] * k + pairs.fcut[which, None] * dk
        return self.delta**2 * slope * self.sparse_cutoffs
