"""Neighbour lists: for every centre all neighbours, periodic images included."""

from dataclasses import dataclass

import numpy as np
import vesin
from ase.geometry import complete_cell

_HUGE_POSITION = 1e6  # Å; beyond this float64 positions no longer resolve forces


@dataclass(frozen=True, eq=False)
class NeighborList:
    """Full neighbour list in compressed rows, sorted by centre.

    Pair p joins centre ``i[p]`` to the image of atom ``j[p]`` at
    ``vectors[p] = r_j + shifts[p] @ cell - r_i``; the pairs of centre i are
    ``first[i]:first[i + 1]``. Both i-j and j-i are listed, and an atom is
    a neighbour of itself through its own images.

    Attributes
    ----------
    cutoff : float
        Å; pairs with distance < cutoff are listed.
    numbers : ndarray of shape (n_atoms,)
        Atomic numbers.
    first : ndarray of shape (n_atoms + 1,)
    i, j : ndarray of shape (n_pairs,)
    shifts : ndarray of shape (n_pairs, 3)
        Whole cell vectors between the image and atom j.
    vectors : ndarray of shape (n_pairs, 3)
        Å.
    distances : ndarray of shape (n_pairs,)
        Å.
    volume : float
        Å^3; NaN unless the frame is periodic in three directions.
    """

    cutoff: float
    numbers: np.ndarray
    first: np.ndarray
    i: np.ndarray
    j: np.ndarray
    shifts: np.ndarray
    vectors: np.ndarray
    distances: np.ndarray
    volume: float

    @property
    def n_atoms(self):
        return len(self.numbers)

    @property
    def n_pairs(self):
        return len(self.i)

    @classmethod
    def from_atoms(cls, atoms, cutoff):
        """List all neighbours closer than `cutoff` (Å) in a frame.

        Parameters
        ----------
        atoms : ase.Atoms
            Any cell: skewed, left-handed, smaller than the cutoff, periodic in
            zero to three directions.
        cutoff : float
            Å.

        Raises
        ------
        ValueError
            For positions or cells that are not finite, a cell without volume
            in its periodic directions, or two atoms at the same place.
        """
        cell = checked_cell(atoms)
        positions = checked_positions(atoms)
        numbers = np.array(atoms.numbers, dtype=np.int64)
        if len(atoms) == 0:
            i = j = np.zeros(0, dtype=np.int64)
            shifts, vectors, distances = np.zeros((0, 3), np.int64), np.zeros((0, 3)), np.zeros(0)
        else:
            search = vesin.NeighborList(cutoff=float(cutoff), full_list=True, sorted=True, n_threads=1)
            pbc = [bool(periodic) for periodic in atoms.pbc]
            found = search.compute(positions, cell, pbc, "ijSDd", copy=False)  # views of what `search` owns
            inside = found[-1] < cutoff
            which = slice(None) if inside.all() else inside
            i, j, shifts = (a[which].astype(np.int64) for a in found[:3])
            vectors, distances = (np.array(a[which]) for a in found[3:])
        _refuse_coincident(i, j, distances)
        return cls(
            cutoff=float(cutoff),
            numbers=numbers,
            first=np.searchsorted(i, np.arange(len(numbers) + 1)),
            i=i,
            j=j,
            shifts=shifts,
            vectors=vectors,
            distances=distances,
            volume=abs(float(np.linalg.det(cell))) if atoms.pbc.all() else float("nan"),
        )


def checked_positions(atoms):
    """Positions (n_atoms, 3) of a frame; a ValueError where they are not finite."""
    positions = np.array(atoms.positions, dtype=float)
    bad = ~(np.abs(positions) < _HUGE_POSITION).all(axis=1)  # also catches NaN
    if bad.any():
        k = int(np.argmax(bad))
        raise ValueError(
            f"positions: atom {k} is at {positions[k]} Å, which is not finite or too far out (limit "
            f"{_HUGE_POSITION:g} Å). Repair or drop this frame, or wrap its positions."
        )
    return positions


def checked_cell(atoms):
    """Cell (3, 3) of a frame, with vectors also where it is not periodic; a ValueError where it has no volume."""
    cell = np.array(atoms.cell.array, dtype=float)
    if not np.isfinite(cell).all():
        raise ValueError(f"cell: the cell vectors {cell.tolist()} are not finite. Repair or drop this frame.")
    lengths = np.linalg.norm(cell, axis=1)
    periodic = np.array(atoms.pbc, dtype=bool)
    flat = lengths[periodic].min(initial=np.inf) < 1e-3
    if not flat and periodic.any():
        cell = complete_cell(cell)  # directions without periodicity may come with a zero vector
        flat = abs(np.linalg.det(cell)) < 1e-6 * np.prod(np.linalg.norm(cell, axis=1))
    if flat:
        raise ValueError(
            f"cell: the frame is periodic along {periodic.tolist()} but its cell {cell.tolist()} has no "
            "volume. Give the frame its cell, or set atoms.pbc = False for a molecule."
        )
    return cell


def _refuse_coincident(i, j, distances):
    if len(distances) and distances.min() < 1e-6:
        p = int(np.argmin(distances))
        raise ValueError(
            f"positions: atoms {i[p]} and {j[p]} are {distances[p]:.1e} Å apart (periodic images included). "
            "Remove one of them, or check the cell."
        )


def nearest_distance(frames, n_sampled=200):
    """Typical nearest-neighbour distance of a data set, Å.

    Parameters
    ----------
    frames : list of ase.Atoms
    n_sampled : int
        At most this many frames are looked at, evenly spread.

    Returns
    -------
    float
        Median over atoms of the distance to their nearest neighbour; infinite
        when no atom has one within 10 Å.
    """
    nearest = []
    for k in np.unique(np.linspace(0, len(frames) - 1, min(n_sampled, len(frames))).astype(int)):
        for cutoff in (3.0, 10.0):
            neighbors = NeighborList.from_atoms(frames[k], cutoff)
            occupied = np.flatnonzero(np.diff(neighbors.first))
            if len(occupied) == neighbors.n_atoms:
                break
        if len(occupied):
            nearest.append(np.minimum.reduceat(neighbors.distances, neighbors.first[occupied]))
    return float(np.median(np.concatenate(nearest))) if nearest else float("inf")
