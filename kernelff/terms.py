"""Basis functions: what the linear model is linear in.

The local energy is e_i = e0(z_i) + sum_b w_b phi_b(i). A *term* holds a family
of functions phi_b. Letters: a = centre, p = pair, c = Cartesian, f = feature,
b = basis function. Every term offers

- ``n_functions``, ``cutoff``, and ``gram()``, the covariance K_MM of its functions, block-diagonal in ``blocks``,
- ``values(neighbors)`` -> phi_ab and its prior variance, for energies and their sd,
- ``gradient_blocks(neighbors)`` -> dphi_b(i)/dr_ij block by block, for fitting only,
- ``evaluate(neighbors, weights)`` -> local energies and pair gradients, for everything else.
"""

import copy
from itertools import pairwise

import numpy as np

from kernelff.basis_term import BasisTerm
from kernelff.compiled import can_compile, compile_environments, compile_pairs
from kernelff.descriptors import descriptor_from_state, descriptor_to_state
from kernelff.descriptors.base import check_list
from kernelff.gradient_block import GradientBlock
from kernelff.kernels import DotProduct, RadialBasis, SquaredExponential, squares
from kernelff.single_precision import check_single

_PAIRS_PER_BLOCK = 256  # keeps the (3 pairs, n_functions) block of a thousand functions near the L2 cache
_CENTRES_PER_BLOCK = 256


class EnvironmentTerm:
    """phi_b(i) = delta^2 k(q_i, q_b): covariances with sparse environments.

    Parameters
    ----------
    descriptor : SOAPDescriptor or SymmetryFunctionsDescriptor
        Built descriptor.
    kernel : DotProduct or RadialBasis
    delta : float
        eV.
    sparse_points : dict
        Atomic number of the centre -> (n_sparse, n_features) environments;
        environments of different elements have no covariance. A tuple of
        atomic numbers shares one set among them, 0 among all elements.
        Centres of other elements get nothing from this term.
    f0 : float
        eV, of published GAPs; it plays no part in energies, see `GapVariance`.

    Attributes
    ----------
    precision : str
        "double" or "single", of `evaluate`; see `with_precision`.
    """

    def __init__(self, descriptor, kernel, delta, sparse_points, f0=0.0):
        self.descriptor, self.kernel, self.delta, self.f0 = descriptor, kernel, float(delta), float(f0)
        order = sorted(sparse_points, key=_elements)
        self.sparse_points = {_key(z): np.ascontiguousarray(sparse_points[z]) for z in order}
        _require_disjoint(order)
        ends = np.cumsum([0] + [len(points) for points in self.sparse_points.values()])
        self._squares = {z: squares(points) for z, points in self.sparse_points.items()}
        bounds = (slice(int(a), int(b)) for a, b in pairwise(ends))
        self.columns = dict(zip(self.sparse_points, bounds, strict=True))
        self.n_functions = int(ends[-1])
        self.cutoff = descriptor.cutoff
        self.precision = "double"
        self._bound = None  # (weights, their compiled kernel)

    def __getstate__(self):
        return self.__dict__ | {"_bound": None}  # a kernel holds pointers

    @property
    def has_single(self):
        """Whether `evaluate` has a choice of precision."""
        return can_compile(self.descriptor, self.kernel)

    def with_precision(self, precision):
        """This term with arithmetic of "double" or "single" precision in `evaluate`; one that `has_single`."""
        term = copy.copy(self)
        term.precision, term._bound = precision, None
        return term

    @property
    def blocks(self):
        """Column slices between which K_MM is zero: one per centre species."""
        return list(self.columns.values())

    @property
    def centres(self):
        """Atomic numbers of the centres that this term gives energy, or None for all."""
        return None if 0 in self.sparse_points else {z for key in self.sparse_points for z in _elements(key)}

    def columns_for(self, z):
        """Ascending columns of the functions that centres of an element have."""
        own = [np.arange(c.start, c.stop) for key, c in self.columns.items() if _is_centre(key, np.array([z]))[0]]
        return np.concatenate([np.zeros(0, dtype=int), *own])

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
        for z, centres in self.centres_by_species(neighbors.numbers):
            q = q_af[centres]
            values[centres, self.columns[z]] = self.delta**2 * self.kernel(q, self.sparse_points[z])
            variance[centres] = self.delta**2 * self.kernel.diag(q)
        return values, variance

    def gradient_blocks(self, neighbors):
        """Yield GradientBlocks that together hold every derivative once."""
        for start, stop in _centre_blocks(neighbors.first, _PAIRS_PER_BLOCK):
            q_af, dq_pcf = self.descriptor.gradients(neighbors, start, stop)
            pairs = np.arange(neighbors.first[start], neighbors.first[stop])
            for z, centres in self.centres_by_species(neighbors.numbers[start:stop]):
                points = self.sparse_points[z]
                scale = np.zeros((stop - start, len(points)))
                scale[centres] = self.delta**2 * self._value_and_slope(q_af[centres], z)[1]
                mine = _is_centre(z, neighbors.numbers[neighbors.i[pairs]])
                dq = dq_pcf if mine.all() else dq_pcf[mine]
                gradients = self._projected(dq, q_af, neighbors.i[pairs[mine]] - start, points)
                yield GradientBlock(pairs[mine], self.columns[z], start, scale, gradients)

    def evaluate(self, neighbors, weights):
        """Local energies (n_atoms,) and pair gradients de_i/dr_ij (n_pairs, 3) for weights (n_functions,).

        Raises
        ------
        ValueError
            In single precision, if that is too coarse for these weights.
        """
        kernel = self.compiled(weights)
        if kernel is None:
            return self.evaluate_by_parts(neighbors, weights)
        plain = *self.descriptor.plain(neighbors)[:3], neighbors.numbers.astype(np.int32)
        energies, gradients = kernel.evaluate(*plain, 0, neighbors.n_atoms)
        if self.precision == "single":
            check_single(neighbors, plain, gradients, kernel.exact)
        return energies, gradients

    def compiled(self, weights, rows=False):
        """Kernel with these weights bound in, kept until others come; None for a covariance that has none.

        It knows elements by their atomic numbers. With `rows` it has a `row_kernel`, itself, which gives the basis
        functions in the same pass.
        """
        if not can_compile(self.descriptor, self.kernel):
            return None
        bound = self._bound  # one look: another thread may put another pair there
        fits = bound is not None and np.array_equal(bound[0], weights)
        if not fits or (rows and bound[1].row_kernel is None):
            bound = self._bound = (np.array(weights), compile_environments(self, weights, rows))
        return bound[1]

    def evaluate_by_parts(self, neighbors, weights):
        """`evaluate` for any descriptor and covariance: features, products, adjoint one after the other."""
        energies = np.zeros(neighbors.n_atoms)
        dE_dq = np.zeros((neighbors.n_atoms, self.descriptor.n_features))
        q_af = self.descriptor.compute(neighbors)
        for z, centres in self.centres_by_species(neighbors.numbers):
            points, w = self.sparse_points[z], self.delta**2 * weights[self.columns[z]]
            for block in np.array_split(centres, -(-len(centres) // _CENTRES_PER_BLOCK)):
                value, slope, along = self._value_and_slope(q_af[block], z, with_along=True)
                energies[block] = value @ w
                slope *= w
                dE_dq[block] = slope @ points
                if along is not None:
                    dE_dq[block] += np.einsum("ab,ab->a", slope, along)[:, None] * q_af[block]
        return energies, self.descriptor.backward(neighbors, dE_dq)

    def _value_and_slope(self, q_af, z, with_along=False):
        """k and dk/d(q.q_b), (n, n_columns) each; on request also what dk/dq has along q, per slope."""
        products, xx = q_af @ self.sparse_points[z].T, squares(q_af)
        value, slope = self.kernel.value_and_slope(products, xx, self._squares[z])
        if not with_along:
            return value, slope
        along = self.kernel.along_x(xx)
        return value, slope, None if along is None else along[0][:, None] - along[1][:, None] * products

    def _projected(self, dq_pcf, q_af, centre_p, points):
        """dk/dr per slope: dq.(q_b + (pull - twist q.q_b) q), shape (n_pairs, 3, n_points)."""
        along = self.kernel.along_x(squares(q_af))
        if along is not None:  # as one more feature, so that all sparse points share one matrix product
            pull_p, twist_p = along[0][centre_p, None], along[1][centre_p, None, None]
            q_pf = q_af[centre_p]
            along_pc = np.einsum("pcf,pf->pc", dq_pcf, q_pf)
            dq_pcf = dq_pcf - (twist_p * along_pc[:, :, None]) * q_pf[:, None, :] if twist_p.any() else dq_pcf
            dq_pcf = np.concatenate([dq_pcf, (pull_p * along_pc)[:, :, None]], axis=2)
            points = np.hstack([points, np.ones((len(points), 1))])
        return (dq_pcf.reshape(-1, dq_pcf.shape[2]) @ points.T).reshape(len(dq_pcf), 3, len(points))

    def to_state(self):
        params, arrays = descriptor_to_state(self.descriptor)
        arrays = {f"descriptor.{name}": array for name, array in arrays.items()}
        arrays |= {f"sparse_points.{_name(z)}": points for z, points in self.sparse_points.items()}
        params = {"kind": "environment", "descriptor": params, "delta": self.delta, "species": list(self.sparse_points)}
        params |= _kernel_to_state(self.kernel)
        if self.f0:
            params["f0"] = self.f0
        return params, arrays

    @classmethod
    def from_state(cls, params, arrays):
        descriptor = descriptor_from_state(params["descriptor"], under("descriptor.", arrays))
        keys = [tuple(z) if isinstance(z, list) else z for z in params["species"]]
        sparse_points = {z: arrays[f"sparse_points.{_name(z)}"] for z in keys}
        return cls(descriptor, _kernel_from_state(params), params["delta"], sparse_points, params.get("f0", 0.0))

    def centres_by_species(self, numbers):
        """(key of sparse_points, indices of its centres) for the elements that occur."""
        found = ((z, np.flatnonzero(_is_centre(z, numbers))) for z in self.sparse_points)
        return [(z, centres) for z, centres in found if len(centres)]


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
        for start, stop in _centre_blocks(neighbors.first, _PAIRS_PER_BLOCK):
            mine = (centre >= start) & (centre < stop)
            slope = self._pair_slopes(pairs, mine)
            gradients = directions[mine, :, None] * slope[:, None, :]
            yield GradientBlock(pairs.index[mine], slice(0, self.n_functions), start, None, gradients)

    def evaluate(self, neighbors, weights):
        """Local energies (n_atoms,) and pair gradients de_i/dr_ij (n_pairs, 3) for weights (n_functions,)."""
        check_list(neighbors, self.cutoff)
        plain = neighbors.first, neighbors.j, neighbors.vectors, neighbors.numbers.astype(np.int32)
        return self.compiled(weights).evaluate(*plain, 0, neighbors.n_atoms)

    def compiled(self, weights):
        """Kernel with these weights bound in, kept until others come. It knows elements by their atomic numbers."""
        bound = self._bound  # one look: another thread may put another pair there
        if bound is None or not np.array_equal(bound[0], weights):
            bound = self._bound = (np.array(weights), compile_pairs(self, weights))
        return bound[1]

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


def _kernel_to_state(kernel):
    """Entries of a term's state, apart from those that stand at their default."""
    if isinstance(kernel, RadialBasis):
        return {"covariance": "squared_exponential", "length_scale": kernel.length_scale}
    extra = {"constant": kernel.constant, "normalize": kernel.normalize}
    return {"zeta": kernel.zeta} | {name: value for name, value in extra.items() if value}


def _kernel_from_state(params):
    if params.get("covariance") == "squared_exponential":
        return RadialBasis(params["length_scale"])
    return DotProduct(params["zeta"], params.get("constant", 0.0), params.get("normalize", False))


_KINDS = {"environment": EnvironmentTerm, "pair": PairTerm, "basis": BasisTerm}


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


def _elements(key):
    """Atomic numbers that a key of sparse points names, ascending."""
    return tuple(sorted(int(z) for z in key)) if isinstance(key, tuple) else (int(key),)


def _key(key):
    elements = _elements(key)
    return elements if len(elements) > 1 else elements[0]


def _name(key):
    return "-".join(map(str, _elements(key)))


def _is_centre(key, numbers):
    """Which atoms the sparse points under `key` are for."""
    if isinstance(key, tuple):
        return np.isin(numbers, key)
    return numbers == key if key else np.ones(len(numbers), dtype=bool)


def _require_disjoint(keys):
    named = [z for key in keys for z in _elements(key)]
    if len(set(named)) < len(named) or (0 in named and len(named) > 1):
        raise ValueError(f"sparse_points: {keys} name an element twice. Use a term for each set.")


def under(prefix, arrays):
    """The arrays whose names begin with `prefix`, without it."""
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
