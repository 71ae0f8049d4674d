"""Extrapolation grade: how far an environment lies outside the training environments, by D-optimality.

The rows b of the training set are dE_i / d(coefficients). Active rows A are chosen among them with |det A| locally
maximal (maxvol.py), and grade(b) = max_j |(b A^-1)_j| [1]_: up to 1 for the training rows, above 1 the energy is
extrapolated. The grade does not change if the columns are mixed with each other. It knows nothing of the labels,
nor of how well the model fits them; `Potential.uncertainty` does.

References
----------
.. [1] Podryabinkin, Shapeev, Comput. Mater. Sci. 140, 171 (2017), doi:10.1016/j.commatsci.2017.08.031
"""

import numpy as np

from kernelff.assembly import neighbors_of
from kernelff.checks import require_positive
from kernelff.descriptors.base import frame_list
from kernelff.error_bars.coefficient_rows import all_rows, linear_rows
from kernelff.error_bars.maxvol import independent_basis, maximal_volume
from kernelff.frame_arrays import frames_from_arrays, frames_to_arrays
from kernelff.named_arrays import under
from kernelff.terms import BasisTerm
from kernelff.threads import one_blas_thread

MODES = ("neighborhood", "configuration")
_ROWS_PER_BLOCK = 1024
_KEPT_BYTES = 200_000_000  # rows up to this size are computed once, not in every pass


class ActiveSet:
    """Active rows of a linear model, and the grade of others. Immutable.

    Made by `ActiveSet.select`, or read from an .almtp file.

    Parameters
    ----------
    mode : {"neighborhood", "configuration"}
        Rows are those of each atom, b_i, or of each frame, sum_i b_i (not divided by the number of atoms).
    species : sequence of int
        Atomic numbers, the order of the species columns.
    inverse : ndarray of shape (n, n)
        grade(b) = max |b @ inverse|.
    rows : ndarray of shape (n_active, 2)
        Frame and atom (0 in configuration mode) of each active row; -1 where there is none.
    frames : sequence of ase.Atoms
        The frames that hold active rows.
    frame_index : ndarray of shape (n_frames,), optional
        What `rows` calls them; 0, 1, .. by default.
    matrix : ndarray of shape (n, n), optional
        A, if columns of radial coefficients are among the n: that of MLIP.
    n_radial : int
        Radial functions of those columns, 0 without.
    weight_scaling : int
        In configuration mode, b = N^(-weight_scaling / 2) sum_i b_i; MLIP's, 0 in our own.

    Raises
    ------
    ValueError
        If the arrays do not fit together.
    """

    def __init__(
        self, mode, species, inverse, rows, frames=(), frame_index=None, matrix=None, n_radial=0, weight_scaling=0
    ):
        if mode not in MODES:
            raise ValueError(f"mode: must be one of {', '.join(MODES)}, got {mode!r}.")
        self.mode, self.species = mode, tuple(int(z) for z in species)
        self.inverse, self.matrix = _read_only(inverse, float), None if matrix is None else _read_only(matrix, float)
        self.rows = _read_only(rows, np.int64)
        self.frames = tuple(frames)
        self.frame_index = _read_only(np.arange(len(self.frames)) if frame_index is None else frame_index, np.int64)
        self.n_radial, self.weight_scaling = int(n_radial), int(weight_scaling)
        n = len(self.inverse)
        if self.inverse.shape != (n, n) or (self.matrix is not None and self.matrix.shape != (n, n)):
            raise ValueError(f"inverse: must be square, and matrix alike, got {self.inverse.shape}.")
        if not np.isfinite(self.inverse).all():
            raise ValueError("inverse: holds numbers that are not finite. Select the active set again.")
        if self.rows.shape[1:] != (2,) or len(self.frame_index) != len(self.frames):
            raise ValueError(f"rows: must be (frame, atom) of frames that are given, got shape {self.rows.shape}.")

    @property
    def n_columns(self):
        """Numbers in a row."""
        return len(self.inverse)

    @classmethod
    def select(cls, model, frames, *, mode="neighborhood", tolerance=1e-3):
        """Choose the active rows of frames.

        Columns that depend on the others exactly (some moments do from level 16 on), or that the frames do not tell
        apart, are found by singular values below 1e-12 of the largest and leave the search. A row that has a part in
        their direction is unlike anything in the frames: its grade is that part over 1e-12 of the largest singular
        value, which is up to 1 for the frames themselves, far below 1 for exact dependences and huge otherwise, as
        from MLIP's start with 1e-6 times the unit matrix. With fewer frames than columns, in configuration mode, most
        other frames have such grades.

        Parameters
        ----------
        model : Potential, fitted estimator, list of terms, or built descriptor
            Linear: of basis functions with a weight each.
        frames : list of ase.Atoms
            Labels are not needed.
        mode : {"neighborhood", "configuration"}
            Rows of each atom, or of each frame, the sum over its atoms (not divided by their number).
        tolerance : float
            Grades of the frames are at most 1 + tolerance.

        Returns
        -------
        ActiveSet

        Raises
        ------
        ValueError
            For a model that is not linear, or frames that cannot be used.
        """
        require_positive("tolerance", tolerance)
        terms, frames = _linear_terms(model), frame_list(frames)
        if not any(map(len, frames)):
            raise ValueError("frames: hold no atoms. Pass the training frames.")
        given = [term.centres for term in terms]
        species = sorted({int(z) for a in frames for z in set(a.numbers)}.union(*(one or () for one in given)))
        source = _RowSource(lambda atoms: _rows(linear_rows, terms, atoms, mode, 0, species), frames)
        n = len(species) + sum(term.n_functions for term in terms)
        with one_blas_thread():
            basis = independent_basis(source(), n)
            active = maximal_volume(source, basis.kept.shape[1], tolerance, basis.kept)
        inverse = np.hstack([basis.kept @ active.inverse, basis.dropped])
        return cls(mode, species, inverse, active.ids, *_kept_frames(frames, active.ids))

    def extended(self, model, frames, first):
        """The set chosen among the frames of this one and new frames, whose numbers begin with `first`."""
        numbers = np.concatenate([self.frame_index, first + np.arange(len(frames))])
        found = type(self).select(model, [*self.frames, *frames], mode=self.mode)
        rows = np.where(found.rows >= 0, np.column_stack([numbers[found.rows[:, 0]], found.rows[:, 1]]), found.rows)
        return type(self)(found.mode, found.species, found.inverse, rows, found.frames, numbers[found.frame_index])

    @classmethod
    def select_for_mlip(cls, potential, frames, species, *, mode="neighborhood", weight_scaling=0, tolerance=1e-3):
        """Choose the active rows of frames with MLIP's columns, for an .almtp file.

        Columns are the radial coefficients too, in which local energies are not linear and which depend on the others
        exactly. As in MLIP the search starts from 1e-6 times a diagonal matrix, here one of the norms of the columns,
        and rows that nothing replaces stay in A: what lies in their directions gets a grade near 1e6 times its share
        of them.

        Parameters
        ----------
        potential : Potential
            One linear model on moment tensors.
        frames : sequence of ase.Atoms
            The training frames. With fewer, other training frames may have high grades.
        species : sequence of int
            Atomic numbers of the types 0, 1, ..
        mode, tolerance
            See `select`.
        weight_scaling : int
            Rows of configurations are multiplied by N^(-weight_scaling / 2).

        Returns
        -------
        ActiveSet
        """
        terms, (*_, n_radial, size) = potential.terms, potential.terms[0].descriptor.coefficients.shape

        def rows(terms, neighbors, species):
            return all_rows(terms, potential.weights, neighbors, species, n_radial)

        source = _RowSource(lambda atoms: _rows(rows, terms, atoms, mode, weight_scaling, species), frame_list(frames))
        n = len(species) ** 2 * n_radial * size + len(species) + terms[0].n_functions
        with one_blas_thread():
            norms = np.sqrt(sum(((block**2).sum(axis=0) for _, block in source()), np.zeros(n)))
            norms[norms == 0] = 1.0
            norms = np.exp2(np.round(np.log2(norms)))  # powers of two: scaling does not round
            active = maximal_volume(source, n, tolerance, np.diag(1.0 / norms))
        kept, index = _kept_frames(frames, active.ids)
        inverse, matrix = active.inverse / norms[:, None], active.matrix * norms
        return cls(mode, species, inverse, active.ids, kept, index, matrix, n_radial, weight_scaling)

    def fits_mlip(self, potential, species):
        """Whether the columns are MLIP's for this potential with its types in this order."""
        return self.n_radial == potential.terms[0].descriptor.coefficients.shape[2] and self.species == tuple(species)

    def grades(self, rows):
        """Grades of rows.

        Parameters
        ----------
        rows : ndarray of shape (n_rows, n_columns)

        Returns
        -------
        ndarray of shape (n_rows,)
        """
        return np.abs(rows @ self.inverse).max(axis=1, initial=0.0)

    def rows_of(self, potential, atoms):
        """Rows of a frame: (n_atoms, n_columns), or (1, n_columns) in configuration mode."""

        def rows(terms, neighbors, species):
            return all_rows(terms, potential.weights, neighbors, species, self.n_radial)

        return _rows(
            rows if self.n_radial else linear_rows, potential.terms, atoms, self.mode, self.weight_scaling, self.species
        )

    def check_fits(self, terms):
        """Refuse terms whose columns are others.

        Raises
        ------
        ValueError
        """
        n = sum(term.n_functions for term in _linear_terms(terms)) + len(self.species)
        if self.n_radial:
            n += len(self.species) ** 2 * self.n_radial * terms[0].descriptor.coefficients.shape[3]
        if n != self.n_columns:
            raise ValueError(
                f"active_set: has {self.n_columns} columns, the model {n}. Select it for this model, "
                "ActiveSet.select(model, frames)."
            )

    def to_state(self):
        """Plain data: a JSON-able dict and arrays."""
        texts, frames = frames_to_arrays(self.frames)
        params = {
            "mode": self.mode, "species": list(self.species), "n_radial": self.n_radial,
            "weight_scaling": self.weight_scaling, "frames": texts,
        }  # fmt: skip
        arrays = {"inverse": self.inverse, "rows": self.rows, "frame_index": self.frame_index}
        if self.matrix is not None:
            arrays["matrix"] = self.matrix
        return params, arrays | {f"frames.{name}": array for name, array in frames.items()}

    @classmethod
    def from_state(cls, params, arrays):
        """The active set that `to_state` described."""
        frames = under("frames.", arrays)
        return cls(
            params["mode"],
            params["species"],
            arrays["inverse"],
            arrays["rows"],
            frames_from_arrays(params["frames"], frames),
            arrays["frame_index"],
            arrays.get("matrix"),
            params["n_radial"],
            params["weight_scaling"],
        )


class _RowSource:
    """Rows of frames in blocks, the same at each call; kept in memory while they are few."""

    def __init__(self, rows_of, frames):
        self.rows_of, self.frames, self.kept = rows_of, frames, None

    def __call__(self):
        if self.kept is not None:
            yield from self.kept
            return
        kept, size = [], 0
        for block in self._computed():
            size += block[1].nbytes
            if size <= _KEPT_BYTES:
                kept.append(block)
            else:
                kept.clear()
            yield block
        self.kept = kept if size <= _KEPT_BYTES else None

    def _computed(self):
        ids, rows, n = [], [], 0
        for k, atoms in enumerate(self.frames):
            try:
                rows.append(self.rows_of(atoms))
            except ValueError as error:
                raise ValueError(f"frames[{k}]: {error}") from error
            ids.append(np.stack([np.full(len(rows[-1]), k), np.arange(len(rows[-1]))], axis=1))
            n += len(rows[-1])
            if n >= _ROWS_PER_BLOCK or k == len(self.frames) - 1:
                yield np.concatenate(ids), np.concatenate(rows)
                ids, rows, n = [], [], 0


def _rows(function, terms, atoms, mode, weight_scaling, species):
    """Rows of one frame by `function` of (terms, neighbors, species)."""
    rows = function(terms, neighbors_of(terms, atoms), species)
    if mode == "neighborhood":
        return rows
    return rows.sum(axis=0, keepdims=True) * max(len(atoms), 1) ** (-0.5 * weight_scaling)


def _linear_terms(model):
    """The BasisTerms of a potential, an estimator, a list of terms, or a descriptor."""
    model = getattr(model, "potential_", model)
    if hasattr(model, "n_features") and hasattr(model, "compute"):
        return [BasisTerm(model)]
    terms = list(getattr(model, "terms", model))
    if not terms or not all(isinstance(term, BasisTerm) for term in terms):
        raise ValueError(
            "model: an extrapolation grade needs a linear model, as moment tensor potentials are. For a Gaussian "
            "process use potential.uncertainty(atoms).novelty."
        )
    return terms


def _kept_frames(frames, ids):
    """Geometries of the frames that hold active rows, and what `ids` calls them."""
    index = np.unique(ids[:, 0])
    index = index[index >= 0]
    kept = [frames[k].copy() for k in index]  # copies leave calculators behind
    for atoms in kept:
        atoms.info = {}
    return kept, index


def _read_only(array, kind):
    array = np.array(array, dtype=kind, order="C")
    array.flags.writeable = False
    return array
