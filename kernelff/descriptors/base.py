"""What all descriptors share: the scikit-learn face, species, list checks, states by name."""

import numpy as np
from ase import Atoms
from ase.data import chemical_symbols
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from kernelff.neighbors import NeighborList, nearest_distance

_BUILT = {}  # name in files -> class of built descriptors


def register(name):
    """Class decorator: make a built descriptor known to `descriptor_from_state` under `name`."""

    def add(cls):
        cls.kind = name
        _BUILT[name] = cls
        return cls

    return add


class EnvironmentFeatures(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """scikit-learn face of parameter objects whose ``build(species, nearest_distance)`` makes the descriptor.

    A transformer of lists of frames into one averaged row per frame, for pipelines and cross-validation. The
    columns are called soap0, soap1, ...
    """

    scaled = False  # whether build_for scales features to the frames

    def fit(self, frames, y=None):
        """Learn the elements and the nearest-neighbour distance of a list of frames."""
        frames = frame_list(frames)
        require(len(frames) > 0, "frames", frames, "a list with at least one ase.Atoms")
        species = sorted({int(z) for atoms in frames for z in atoms.numbers})
        self.descriptor_ = self.build_for(frames, species, nearest_distance(frames))
        self.n_features_out_ = self.descriptor_.n_features
        return self

    def features(self, frames):
        """Environments of all atoms.

        Parameters
        ----------
        frames : list of ase.Atoms

        Returns
        -------
        q : ndarray of shape (n_environments, n_features)
        frame_index, centre_index : ndarray of shape (n_environments,)
            Where each environment comes from.

        Raises
        ------
        ValueError
            Naming the frame, for broken geometry and for elements that were not among the frames of the fit.

        Notes
        -----
        Fits to `frames` first if the object has not been fitted.
        """
        frames = frame_list(frames)
        descriptor = self.descriptor_ if hasattr(self, "descriptor_") else self.fit(frames).descriptor_
        rows = [_environments(descriptor, k, atoms) for k, atoms in enumerate(frames)]
        sizes = [len(row) for row in rows]
        q = np.concatenate(rows) if rows else np.zeros((0, descriptor.n_features))
        centre_index = np.concatenate([np.arange(n) for n in sizes]) if sizes else np.zeros(0, dtype=int)
        return q, np.repeat(np.arange(len(frames)), sizes), centre_index

    def transform(self, frames):
        """One averaged row per frame, shape (n_frames, n_features)."""
        check_is_fitted(self, "descriptor_")
        frames = frame_list(frames)
        q, frame_index, _ = self.features(frames)
        n_frames = len(frames)
        sums = np.zeros((n_frames, self.descriptor_.n_features))
        np.add.at(sums, frame_index, q)
        return sums / np.maximum(np.bincount(frame_index, minlength=n_frames), 1)[:, None]

    @property
    def _n_features_out(self):  # for get_feature_names_out
        return self.n_features_out_

    def build_for(self, frames, species, nearest_distance):
        """The built descriptor of a model that is fitted to the frames."""
        return self.build(species, nearest_distance)

    def plain_parameters(self):
        """Parameters as plain data, for files."""
        return self.get_params()


class EnvironmentDescriptor:
    """A built descriptor of environments over compiled loops.

    A subclass has `cutoff`, `species`, `n_features` and `loops`, an object with compute, gradients and backward
    on plain arrays.
    """

    ignore_others = False  # whether neighbours of other elements are left out or an error

    @property
    def isa(self):
        """Instruction set of the loops in use."""
        return self.loops.isa

    def compute(self, neighbors, centres=None):
        """Features.

        Parameters
        ----------
        neighbors : NeighborList
            Built with at least ``self.cutoff``.
        centres : slice, optional
            A contiguous range of centres; all by default.

        Returns
        -------
        ndarray of shape (n_centres, n_features)

        Raises
        ------
        ValueError
            If the list is shorter-ranged than the descriptor, or the frame
            holds an element that the descriptor does not know.
        """
        start, stop, step = (centres or slice(None)).indices(neighbors.n_atoms)
        require(step == 1, "centres", centres, "a slice with step 1")
        return self.loops.compute(*self.plain(neighbors), start, max(start, stop))

    def gradients(self, neighbors, start=0, stop=None):
        """Features of centres start..stop-1 and their derivatives, for fitting.

        Returns
        -------
        q : ndarray of shape (stop - start, n_features)
        dq : ndarray of shape (n_pairs of these centres, 3, n_features)
            dq_i/dr_ij in list order, 1/Å; r_jk of a triplet counts as r_ik - r_ij.
        """
        start, stop, _ = slice(start, stop).indices(neighbors.n_atoms)
        return self.loops.gradients(*self.plain(neighbors), start, max(start, stop))

    def backward(self, neighbors, dE_dq):
        """Carry local-energy derivatives back to pair vectors, without forming dq/dr.

        Parameters
        ----------
        neighbors : NeighborList
        dE_dq : ndarray of shape (n_atoms, n_features)
            Derivative of each local energy by its own descriptor, eV.

        Returns
        -------
        ndarray of shape (n_pairs, 3)
            dE_i/dr_ij in eV/Å, in list order.
        """
        dE_dq = np.ascontiguousarray(dE_dq, dtype=float)
        expected = (neighbors.n_atoms, self.n_features)
        require(dE_dq.shape == expected, "dE_dq", dE_dq.shape, f"of shape {expected}")
        return self.loops.backward(*self.plain(neighbors), 0, neighbors.n_atoms, dE_dq)

    def plain(self, neighbors):
        """What the compiled loops take of a list: first, j, vectors and the elements' places in `species`."""
        check_list(neighbors, self.cutoff)
        index = species_index(neighbors.numbers, self.species, self.ignore_others)
        return neighbors.first, neighbors.j, neighbors.vectors, index


def frame_list(frames):
    """The frames as a list.

    Raises
    ------
    TypeError
        For a single frame, or entries that are no frames.
    """
    if isinstance(frames, Atoms):
        raise TypeError("frames: got a single ase.Atoms; pass a list of frames, [atoms].")
    frames = list(frames)
    for k, atoms in enumerate(frames):
        if not isinstance(atoms, Atoms):
            raise TypeError(f"frames: must be a list of ase.Atoms, but entry {k} is of type {type(atoms).__name__}.")
    return frames


def _environments(descriptor, k, atoms):
    try:
        return descriptor.compute(NeighborList.from_atoms(atoms, descriptor.cutoff))
    except ValueError as error:
        raise ValueError(f"frames[{k}]: {error}") from error


def descriptor_to_state(descriptor):
    """Plain data of a built descriptor: a JSON-able dict and a dict of arrays."""
    params, arrays = descriptor.to_state()
    return {"kind": descriptor.kind, **params}, arrays


def descriptor_from_state(params, arrays):
    """The built descriptor that `descriptor_to_state` described.

    Raises
    ------
    ValueError
        If the kind is not known to this version.
    """
    params = dict(params)
    kind = params.pop("kind", None)
    if kind not in _BUILT:
        raise ValueError(f"descriptor kind {kind!r} is unknown; known: {sorted(_BUILT)}. Upgrade kernelff.")
    return _BUILT[kind].from_state(params, arrays)


def checked_species(species):
    """Ascending tuple of atomic numbers, or None for any element.

    Raises
    ------
    ValueError
        For an empty list or numbers that are no elements.
    """
    if species is None:
        return None
    numbers = tuple(sorted({int(z) for z in species}))
    if not numbers or numbers[0] < 1 or numbers[-1] >= len(chemical_symbols):
        raise ValueError(f"species: need atomic numbers 1 to 118, got {list(species)}, or None for any element.")
    return numbers


def species_index(numbers, species, ignore_others=False):
    """Position of every atom's element in `species` (n_atoms,) int32; all 0 for None.

    Other elements are an error, or -1 with `ignore_others`.

    Raises
    ------
    ValueError
        Naming the element that is not among `species`.
    """
    if species is None:
        return np.zeros(len(numbers), dtype=np.int32)
    known = np.array(species)
    index = np.minimum(np.searchsorted(known, numbers), len(known) - 1)
    unknown = known[index] != numbers
    if ignore_others:
        return np.where(unknown, -1, index).astype(np.int32)
    if unknown.any():
        z = int(np.asarray(numbers)[unknown][0])
        name = chemical_symbols[z] if 0 <= z < len(chemical_symbols) else "?"
        raise ValueError(
            f"species: the frame holds {name} (Z = {z}), but this descriptor was built for "
            f"{', '.join(f'{chemical_symbols[k]} ({k})' for k in species)}. Refit with frames that hold {name}, or "
            "remove those atoms."
        )
    return index.astype(np.int32)


def check_list(neighbors, cutoff):
    """Refuse a neighbour list that does not reach as far as the descriptor."""
    if neighbors.cutoff < cutoff:
        raise ValueError(
            f"neighbors: the list reaches {neighbors.cutoff} Å, the descriptor needs {cutoff} Å. Build it with "
            "NeighborList.from_atoms(atoms, descriptor.cutoff)."
        )


def require(condition, name, value, rule):
    """Raise the ValueError of a parameter that breaks its rule."""
    if not condition:
        raise ValueError(f"{name}: must be {rule}, got {value!r}.")


def is_whole(value):
    """Whether a value is a whole number, not a bool."""
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)
