"""Moment tensors: scalar contractions of tensors of a neighbourhood, the basis of moment tensor potentials.

The loops are compiled (ext/moments.c); this module checks, chooses radial functions and explains. Which
scalars there are stands in moment_graphs.py, how they are contracted in moment_program.py.
"""

import math
import warnings
from functools import lru_cache

import numpy as np

from kernelff._moments import MAX_BETA, PANEL, Loops, Tangents, lanes_of
from kernelff.basis.chebyshev import chebyshev_basis, orthonormal_rows
from kernelff.checks import SettingsWarning
from kernelff.descriptors.base import (
    EnvironmentDescriptor,
    EnvironmentFeatures,
    checked_species,
    is_whole,
    register,
    require,
)
from kernelff.descriptors.moment_folding import potential_tables
from kernelff.descriptors.moment_graphs import HIGHEST_LEVEL, checked_graph, scalar_graphs
from kernelff.descriptors.moment_program import contraction_program
from kernelff.descriptors.moment_tables import graph_tables
from kernelff.descriptors.moment_tangents import tangent_tables
from kernelff.neighbors import NeighborList

_FEW = 16  # tables kept
_BINS = 2000  # of the histogram of distances
_MARGIN = 0.98  # of the shortest distance of the frames
_UNSEEN = 0.01  # weight of distances that the frames do not show, so that radial functions are independent anyway


class MomentTensors(EnvironmentFeatures):
    """Scalars of moment tensors up to a level (Shapeev).

    Every feature is a product of up to four moments M_mu,nu = sum_j f_mu(r_j) n_j (x) .. (x) n_j with all indices
    contracted; its level is the sum of 2 + 4 mu + nu of its moments. The radial functions are
    f_mu(r; z_i, z_j) = sum_k c[z_i, z_j, mu, k] T_k(xi) (cutoff - r)^2; they start as orthonormal polynomials, the
    same for all elements, and models learn better ones.

    Parameters
    ----------
    level : int
        Even, 2 to 28: 1, 2, 5, 9, 16, 29, 52, 92, 163, 288, 500, 864, 1464, 2445 features.
    cutoff : float
        Å.
    min_dist : float, optional
        Å; the Chebyshev polynomials span `min_dist` to `cutoff`. None: just below the shortest distance of the frames.
    radial_basis_size : int
        Number of Chebyshev polynomials, at least that of radial functions: 1 + (level - 2) // 4, at most 6.

    Examples
    --------
    >>> q, frame_index, centre_index = MomentTensors(level=12, cutoff=5.0).features(frames)  # doctest: +SKIP
    """

    def __init__(self, level=16, cutoff=5.0, *, min_dist=None, radial_basis_size=10):
        self.level = level
        self.cutoff = cutoff
        self.min_dist = min_dist
        self.radial_basis_size = radial_basis_size

    def build(self, species, nearest_distance=None):
        """Check the parameters and contract the moments.

        Parameters
        ----------
        species : sequence of int, or None
            Atomic numbers; None treats all elements alike.
        nearest_distance : float, optional
            Å, typical; `min_dist` is 0.8 times this, or 0.4 times the cutoff, unless it is given.

        Returns
        -------
        MomentTensorsDescriptor
            Its radial functions are orthonormal for neighbours spread evenly in space.

        Raises
        ------
        ValueError
            Naming the parameter that is out of its range.
        """
        known = nearest_distance is not None and np.isfinite(nearest_distance)
        shortest = min(0.8 * nearest_distance, 0.4 * self.cutoff) if known else 0.4 * self.cutoff
        return self._build(species, shortest, np.zeros(_BINS))

    def build_for(self, frames, species, nearest_distance):
        """The built descriptor with radial functions that are orthonormal over the distances in the frames."""
        self._check()
        counts, shortest = np.zeros(_BINS), np.inf
        for atoms in frames:
            distances = NeighborList.from_atoms(atoms, self.cutoff).distances
            counts += np.histogram(distances, _BINS, (0.0, self.cutoff))[0]
            shortest = min(shortest, distances.min(initial=np.inf))
        if not np.isfinite(shortest):
            return self.build(species, nearest_distance)
        if self.min_dist is not None and shortest < self.min_dist:
            warnings.warn(
                f"min_dist: {self.min_dist} Å is above the shortest distance of the frames, {shortest:.3f} Å; below it "
                "the radial functions grow steeply. Use a smaller min_dist, or None.",
                SettingsWarning,
                stacklevel=2,
            )
        return self._build(species, _MARGIN * shortest, counts)

    def _build(self, species, shortest, counts):
        """`counts` of distances in equal bins from 0 to the cutoff."""
        self._check()
        species = checked_species(species)
        min_dist = shortest if self.min_dist is None else self.min_dist
        graphs = scalar_graphs(self.level)
        n_mu = 1 + max(graph.mus[0] for graph in graphs)
        rule = f"a whole number from {n_mu} (the radial functions of level {self.level}) to {MAX_BETA}"
        require(n_mu <= self.radial_basis_size, "radial_basis_size", self.radial_basis_size, rule)
        r = (np.arange(_BINS) + 0.5) * (self.cutoff / _BINS)
        even = np.where(r > min_dist, r**2, 0.0)
        weights = _UNSEEN * even / even.sum() + (1.0 - _UNSEEN) * counts / max(counts.sum(), 1.0)
        basis, _ = chebyshev_basis(r, min_dist, self.cutoff, self.radial_basis_size)
        rows = orthonormal_rows(basis, weights / weights.sum(), n_mu)
        n_species = 1 if species is None else len(species)
        coefficients = np.broadcast_to(rows, (n_species, n_species, *rows.shape))
        return MomentTensorsDescriptor(species, graphs, coefficients, min_dist, self.cutoff)

    def _check(self):
        level, size = self.level, self.radial_basis_size
        valid = is_whole(level) and 2 <= level <= HIGHEST_LEVEL and level % 2 == 0
        require(valid, "level", level, f"an even number from 2 to {HIGHEST_LEVEL}")
        require(0 < self.cutoff <= 100, "cutoff", self.cutoff, "a length > 0 and up to 100 Å")
        rule = f"a length from 0 up to the cutoff ({self.cutoff} Å), or None"
        require(self.min_dist is None or 0 <= self.min_dist < self.cutoff, "min_dist", self.min_dist, rule)
        require(is_whole(size) and 1 <= size <= MAX_BETA, "radial_basis_size", size, f"from 1 to {MAX_BETA}")


class MomentDescriptor(EnvironmentDescriptor):
    """What all built moment tensors share: radial functions and loops over tables of contractions."""

    def _bind(self, tables, arrays, coefficients, lengths, isa):
        """Check the coefficients and bind the loops; `lengths`: min_dist and cutoff, Å, and scaling."""
        self.min_dist, self.cutoff, self.scaling = map(float, lengths)
        self.coefficients = checked_coefficients(coefficients, self.species, len(tables.degree))
        self._tables = tables
        self.loops = Loops(arrays, self.coefficients, self.min_dist, self.cutoff, self.scaling, isa)

    def radial_functions(self, r):
        """f_mu and slopes at distances r (n,), Å: two arrays of shape (n, n_species, n_species, n_mu)."""
        parts = chebyshev_basis(r, self.min_dist, self.cutoff, self.coefficients.shape[3])
        return tuple(self.scaling * np.einsum("nk,abmk->nabm", part, self.coefficients) for part in parts)

    def potential_tables(self, weights, precision, rows=False):
        """Tables of a kernel with linear weights (n_features,) bound in; `precision`: "double" or "single".

        With `rows` the kernel can give the features too.
        """
        lanes, dtype = lanes_of(self.isa)[0], np.dtype(np.float64)
        if precision == "single":
            lanes, dtype = 2 * lanes, np.dtype(np.float32)
        lengths = (self.min_dist, self.cutoff, self.scaling)
        return potential_tables(self._tables, weights, self.coefficients, lengths, self.species, lanes, dtype, rows)

    def coefficient_gradients(self, neighbors, weights, start=0, stop=None):
        """Derivatives of local energies and pair gradients by radial coefficients, at fixed linear weights.

        With E_i = sum_b w_b B_b(i) only the coefficients c[z_i] of the centre's own element change E_i. For
        learning radial functions: the columns of the Jacobian of energies, forces and stresses.

        Parameters
        ----------
        neighbors : NeighborList
            Built with at least ``self.cutoff``.
        weights : ndarray of shape (n_features,)
            w_b, eV.
        start, stop : int
            Range of centres; all by default. Memory is that of the result, 24 n_species n_mu radial_basis_size
            bytes per pair.

        Returns
        -------
        values : ndarray of shape (stop - start, n_species, n_mu, radial_basis_size)
            dE_i/dc[z_i, z, mu, k], eV per unit of c.
        rows : ndarray of shape (n_pairs of these centres, 3, n_species * n_mu * radial_basis_size)
            d(dE_i/dr_ij)/dc[z_i, z, mu, k] in list order, eV/Å per unit of c; zero beyond the cutoff.

        Raises
        ------
        ValueError
            For weights of another shape or not finite, a list that is shorter-ranged than the descriptor, or an
            element that the descriptor does not know.

        Notes
        -----
        Exact: forward tangents of all moments, then reverse tangents of their adjoints ([1]_).

        References
        ----------
        .. [1] A. Griewank, A. Walther, Evaluating Derivatives, SIAM (2008), doi:10.1137/1.9780898717761
        """
        weights = np.ascontiguousarray(weights, dtype=float)
        require(weights.shape == (self.n_features,), "weights", weights.shape, f"of shape ({self.n_features},)")
        odd = weights[~np.isfinite(weights)].tolist()
        require(not odd, "weights", odd[:3], "finite numbers")
        start, stop, _ = slice(start, stop).indices(neighbors.n_atoms)
        plain = *self.plain(neighbors), start, max(start, stop)
        one_centre = self.coefficients.shape[1:]
        tangents = _tangents(self._tables, one_centre, self.isa)
        values, rows = self.loops.coefficient_gradients(*plain, tangents, weights)
        return values.reshape(len(values), *one_centre), rows


@register("moment_tensors")
class MomentTensorsDescriptor(MomentDescriptor):
    """Built form of MomentTensors. Immutable and thread-safe.

    Parameters
    ----------
    species : tuple of int, or None
    graphs : tuple of Graph
        The scalars, one per feature.
    coefficients : ndarray of shape (n_species, n_species, n_mu, radial_basis_size)
        c of f_mu(r; z_i, z_j) = sum_k c[z_i, z_j, mu, k] Q_k(r), z_i the centre.
    min_dist, cutoff : float
        Å.
    scaling : float
        Common factor of all radial functions.
    isa : str, optional
        Instruction set of the loops.

    Attributes
    ----------
    n_features : int
    levels : ndarray of shape (n_features,)
        Level of each feature.
    """

    def __init__(self, species, graphs, coefficients, min_dist, cutoff, scaling=1.0, isa=None):
        lanes, isa = lanes_of(isa)
        self.species, self.graphs = species, tuple(graphs)
        tables, arrays = graph_tables(self.graphs, lanes)
        self.n_features = len(self.graphs)
        self.levels = np.array([graph.level for graph in self.graphs])
        self.levels.flags.writeable = False
        self._bind(tables, arrays, coefficients, (min_dist, cutoff, scaling), isa)

    @property
    def program(self):
        """The ContractionProgram of all features."""
        return contraction_program(self.graphs)

    def with_coefficients(self, coefficients):
        """This descriptor with other radial functions."""
        return type(self)(
            self.species, self.graphs, coefficients, self.min_dist, self.cutoff, self.scaling, self.loops.isa
        )

    def up_to(self, level):
        """This descriptor with the scalars up to a level alone, and the radial functions that they need."""
        return self.restricted(np.flatnonzero(self.levels <= level))

    def restricted(self, kept):
        """This descriptor with the scalars numbered `kept` alone, and the radial functions that they need."""
        graphs = [self.graphs[k] for k in kept]
        n_mu = 1 + max(graph.mus[0] for graph in graphs)
        coefficients = self.coefficients[:, :, :n_mu]
        return type(self)(self.species, graphs, coefficients, self.min_dist, self.cutoff, self.scaling, self.loops.isa)

    def to_state(self):
        """Plain data: a JSON-able dict and arrays."""
        params = {
            "parameters": {
                "level": int(self.levels.max()),
                "cutoff": self.cutoff,
                "min_dist": self.min_dist,
                "radial_basis_size": self.coefficients.shape[3],
            },
            "species": None if self.species is None else list(self.species),
            "scaling": self.scaling,
            "mus": [list(graph.mus) for graph in self.graphs],
            "edges": [list(graph.edges) for graph in self.graphs],
        }
        return params, {"coefficients": self.coefficients}

    @classmethod
    def from_state(cls, params, arrays, isa=None):
        """The descriptor that `to_state` described; `isa` forces an instruction set."""
        species, given = params["species"], params["parameters"]
        graphs = zip(params["mus"], params["edges"], strict=True)
        return cls(
            None if species is None else tuple(species),
            tuple(checked_graph(mus, edges) for mus, edges in graphs),
            arrays["coefficients"],
            given["min_dist"],
            given["cutoff"],
            params["scaling"],
            isa,
        )

    def __reduce__(self):
        return (type(self).from_state, self.to_state())


@lru_cache(_FEW)
def _tangents(tables, one_centre, isa):
    """Bound tables for derivatives by coefficients, `one_centre` the shape of those of one element; made once."""
    n_species, _, n_beta = one_centre
    arrays = tangent_tables(tables, n_species, n_beta, PANEL, lanes_of(isa)[0])
    return Tangents(arrays, math.prod(one_centre))


def checked_coefficients(coefficients, species, n_mu):
    """Radial coefficients as a read-only array."""
    coefficients = np.array(coefficients, dtype=float)
    n = 1 if species is None else len(species)
    size = coefficients.shape[-1] if coefficients.ndim == 4 else 0
    rule = f"of shape ({n}, {n}, {n_mu}, 1 to {MAX_BETA})"
    valid = 1 <= size <= MAX_BETA and coefficients.shape[:3] == (n, n, n_mu)
    require(valid, "coefficients", coefficients.shape, rule)
    require(np.isfinite(coefficients).all(), "coefficients", "some that are not", "finite numbers")
    coefficients.flags.writeable = False
    return coefficients
