"""The term of sparse environments, as soap of published GAPs."""

import copy
from itertools import pairwise

import numpy as np

from kernelff.descriptors import descriptor_from_state, descriptor_to_state
from kernelff.kernels import DotProduct, RadialBasis, squares
from kernelff.named_arrays import under
from kernelff.single_precision import check_single, steepest_centre
from kernelff.terms.compiled import can_compile, compile_environments, kept_kernel
from kernelff.terms.gradient_block import GradientBlock, centre_blocks

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
        for start, stop in centre_blocks(neighbors.first):
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
            check_single(neighbors, kernel, steepest_centre(neighbors, gradients))
        return energies, gradients

    def compiled(self, weights, rows=False):
        """Kernel with these weights bound in, kept until others come; None for a covariance that has none.

        It knows elements by their atomic numbers. With `rows` it has a `row_kernel`, itself, which gives the basis
        functions in the same pass.
        """
        if not can_compile(self.descriptor, self.kernel):
            return None
        return kept_kernel(self, compile_environments, weights, rows)

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
