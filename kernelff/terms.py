"""Basis functions: what the linear model is linear in.

The local energy is e_i = e0(z_i) + sum_b w_b phi_b(i). A *term* holds a family
of functions phi_b. Letters: a = centre, p = pair, c = Cartesian, f = feature,
b = basis function. Every term offers

- ``n_functions``, ``cutoff``, and ``gram()``, the covariance K_MM of its functions, block-diagonal in ``blocks``,
- ``values(neighbors)`` -> phi_ab and its prior variance, for energies and their sd,
- ``gradient_blocks(neighbors)`` -> dphi_b(i)/dr_ij block by block, for fitting only,
- ``evaluate(neighbors, weights)`` -> local energies and pair gradients, for everything else.
"""

from itertools import pairwise
from typing import NamedTuple

import numpy as np

from kernelff.descriptors import descriptor_from_state, descriptor_to_state
from kernelff.kernels import DotProduct, SquaredExponential

_PAIRS_PER_BLOCK = 256  # keeps the (3 pairs, n_functions) block of a thousand functions near the L2 cache
_CENTRES_PER_BLOCK = 256


class GradientBlock(NamedTuple):
    """dphi_b(i)/dr_ij = scale[centre - start, b] gradients[p, c, b] for some pairs.

    The factor that all pairs of a centre share stays apart, so that it costs
    one multiplication where the block is summed instead of a pass of its own.
    """

    pairs: np.ndarray  # (n_block,) indices into the neighbour list
    columns: slice  # of the term's functions
    start: int  # first centre of the block
    scale: np.ndarray  # (n_centres, n_columns)
    gradients: np.ndarray  # (n_block, 3, n_columns)


class EnvironmentTerm:
    """phi_b(i) = delta^2 k(q_i, q_b): covariances with sparse environments.

    Parameters
    ----------
    descriptor : SOAPDescriptor
        Built descriptor.
    kernel : DotProduct
    delta : float
        eV.
    sparse_points : dict
        Atomic number of the centre -> (n_sparse, n_features) environments;
        environments of different elements have no covariance.
    """

    def __init__(self, descriptor, kernel, delta, sparse_points):
        self.descriptor, self.kernel, self.delta = descriptor, kernel, float(delta)
        self.sparse_points = {int(z): np.ascontiguousarray(sparse_points[z]) for z in sorted(sparse_points)}
        ends = np.cumsum([0] + [len(points) for points in self.sparse_points.values()])
        bounds = (slice(int(a), int(b)) for a, b in pairwise(ends))
        self.columns = dict(zip(self.sparse_points, bounds, strict=True))
        self.n_functions = int(ends[-1])
        self.cutoff = descriptor.cutoff

    @property
    def blocks(self):
        """Column slices between which K_MM is zero: one per centre species."""
        return list(self.columns.values())

    def gram(self):
        """K_MM, shape (n_functions, n_functions), eV^2."""
        K_MM = np.zeros((self.n_functions, self.n_functions))
        for z, points in self.sparse_points.items():
            K_MM[self.columns[z], self.columns[z]] = self.delta**2 * self.kernel(points, points)
        return K_MM

    def values(self, neighbors):
        """phi_ab (n_atoms, n_functions) and the prior variance k(q_a, q_a) (n_atoms,), eV^2."""
        values = np.zeros((neighbors.n_atoms, self.n_functions))
        variance = np.zeros(neighbors.n_atoms)
        q_af = self.descriptor.compute(neighbors)
        for z, centres in self._centres_by_species(neighbors.numbers):
            q = q_af[centres]
            values[centres, self.columns[z]] = self.delta**2 * self.kernel(q, self.sparse_points[z])
            variance[centres] = self.delta**2 * self.kernel.diag(q)
        return values, variance

    def gradient_blocks(self, neighbors):
        """Yield GradientBlocks that together hold every derivative once."""
        for start, stop in _centre_blocks(neighbors.first, _PAIRS_PER_BLOCK):
            q_af, dq_pcf = self.descriptor.gradients(neighbors, start, stop)
            pairs = np.arange(neighbors.first[start], neighbors.first[stop])
            for z, centres in self._centres_by_species(neighbors.numbers[start:stop]):
                points = self.sparse_points[z]
                scale = np.zeros((stop - start, len(points)))
                slope = self.kernel.value_and_slope(q_af[centres] @ points.T)[1]
                scale[centres] = self.delta**2 * slope
                mine = neighbors.numbers[neighbors.i[pairs]] == z
                dq = dq_pcf if mine.all() else dq_pcf[mine]
                gradients = (dq.reshape(-1, dq.shape[2]) @ points.T).reshape(len(dq), 3, len(points))
                yield GradientBlock(pairs[mine], self.columns[z], start, scale, gradients)

    def evaluate(self, neighbors, weights):
        """Local energies (n_atoms,) and pair gradients de_i/dr_ij (n_pairs, 3) for weights (n_functions,)."""
        energies = np.zeros(neighbors.n_atoms)
        dE_dq = np.zeros((neighbors.n_atoms, self.descriptor.n_features))
        q_af = self.descriptor.compute(neighbors)
        for z, centres in self._centres_by_species(neighbors.numbers):
            points, w = self.sparse_points[z], self.delta**2 * weights[self.columns[z]]
            for block in np.array_split(centres, -(-len(centres) // _CENTRES_PER_BLOCK)):
                value, slope = self.kernel.value_and_slope(q_af[block] @ points.T)
                energies[block] = value @ w
                slope *= w
                dE_dq[block] = slope @ points
        return energies, self.descriptor.backward(neighbors, dE_dq)

    def to_state(self):
        params, arrays = descriptor_to_state(self.descriptor)
        arrays = {f"descriptor.{name}": array for name, array in arrays.items()}
        arrays |= {f"sparse_points.{z}": points for z, points in self.sparse_points.items()}
        return {
            "kind": "environment", "descriptor": params, "zeta": self.kernel.zeta, "delta": self.delta,
            "species": list(self.sparse_points),
        }, arrays  # fmt: skip

    @classmethod
    def from_state(cls, params, arrays):
        descriptor = descriptor_from_state(params["descriptor"], _under("descriptor.", arrays))
        sparse_points = {z: arrays[f"sparse_points.{z}"] for z in params["species"]}
        return cls(descriptor, DotProduct(params["zeta"]), params["delta"], sparse_points)

    def _centres_by_species(self, numbers):
        return [(z, np.flatnonzero(numbers == z)) for z in self.sparse_points if (numbers == z).any()]


class PairTerm:
    """phi_b(i) = sum_j delta^2 fcut(r_ij) k(r_ij, r_b): covariances with sparse distances.

    Parameters
    ----------
    descriptor : built PairDistances
    kernel : SquaredExponential
    delta : float
        eV.
    sparse_points : ndarray of shape (n_sparse,)
        Distances, Å.
    """

    def __init__(self, descriptor, kernel, delta, sparse_points):
        self.descriptor, self.kernel, self.delta = descriptor, kernel, float(delta)
        self.sparse_points = np.array(sparse_points, dtype=float)
        self.n_functions = len(self.sparse_points)
        self.cutoff = descriptor.cutoff
        self.blocks = [slice(0, self.n_functions)]

    def gram(self):
        """K_MM, shape (n_functions, n_functions), eV^2."""
        return self.delta**2 * self.kernel(self.sparse_points, self.sparse_points)

    def values(self, neighbors):
        """phi_ab (n_atoms, n_functions) and the prior variance of each local sum (n_atoms,), eV^2."""
        pairs = self.descriptor.compute(neighbors)
        phi_pb = self.delta**2 * pairs.fcut[:, None] * self.kernel(pairs.r, self.sparse_points)
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
        for start, stop in _centre_blocks(neighbors.first, _PAIRS_PER_BLOCK):
            mine = (centre >= start) & (centre < stop)
            slope = self._pair_slopes(pairs, mine)
            gradients = _unit_vectors(neighbors, pairs.index[mine])[:, :, None] * slope[:, None, :]
            scale = np.ones((stop - start, self.n_functions))
            yield GradientBlock(pairs.index[mine], slice(0, self.n_functions), start, scale, gradients)

    def evaluate(self, neighbors, weights):
        """Local energies (n_atoms,) and pair gradients de_i/dr_ij (n_pairs, 3) for weights (n_functions,)."""
        pairs = self.descriptor.compute(neighbors)
        everything = slice(None)
        e_p = self.delta**2 * pairs.fcut * (self.kernel(pairs.r, self.sparse_points) @ weights)
        energies = np.bincount(neighbors.i[pairs.index], weights=e_p, minlength=neighbors.n_atoms)
        gradients = np.zeros((neighbors.n_pairs, 3))
        slope = self._pair_slopes(pairs, everything) @ weights
        gradients[pairs.index] = _unit_vectors(neighbors, pairs.index) * slope[:, None]
        return energies, gradients

    def to_state(self):
        params, _ = descriptor_to_state(self.descriptor)
        return {
            "kind": "pair", "descriptor": params, "length_scale": self.kernel.length_scale, "delta": self.delta,
        }, {"sparse_points": self.sparse_points}  # fmt: skip

    @classmethod
    def from_state(cls, params, arrays):
        descriptor = descriptor_from_state(params["descriptor"], {})
        kernel = SquaredExponential(params["length_scale"])
        return cls(descriptor, kernel, params["delta"], arrays["sparse_points"])

    def _pair_slopes(self, pairs, which):
        """d/dr of delta^2 fcut(r) k(r, r_b), shape (n, n_functions)."""
        k, dk = self.kernel.value_and_slope(pairs.r[which], self.sparse_points)
        return self.delta**2 * (pairs.dfcut[which, None] * k + pairs.fcut[which, None] * dk)


_KINDS = {"environment": EnvironmentTerm, "pair": PairTerm}


def term_from_state(params, arrays):
    """The term that ``to_state`` described."""
    return _KINDS[params["kind"]].from_state(params, arrays)


def _centre_blocks(first, pairs_per_block):
    """Cut the centres into ranges (start, stop) of about `pairs_per_block` pairs."""
    start, n_atoms = 0, len(first) - 1
    while start < n_atoms:
        stop = int(np.searchsorted(first, first[start] + pairs_per_block, side="right")) - 1
        stop = min(max(stop, start + 1), n_atoms)
        yield start, stop
        start = stop


def _unit_vectors(neighbors, index):
    return neighbors.vectors[index] / neighbors.distances[index, None]


def _under(prefix, arrays):
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
