"""What positions alone can tell: the nearest pair, local asymmetry, and which frames are the same."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from ase.data import covalent_radii
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from kernelff.neighbors import NeighborList

ENVIRONMENT_CUTOFF = 5.0
"""Å; how far the fingerprint of an environment looks."""

ISOLATION_DISTANCE = 6.0
"""Å; a single atom whose images are further away counts as an isolated atom."""

_SAME = 1e-5  # Å or relative; larger than the rounding of eight written digits


@dataclass(frozen=True, eq=False)
class Geometry:
    """Cheap summary of one frame.

    Attributes
    ----------
    nearest : float
        Shortest distance between two atoms, Å, periodic images included; infinite beyond the cutoff.
    nearest_pair : tuple of int
        The two atoms.
    species : ndarray of shape (n_atoms,)
        Atomic numbers, ascending: what the frame is made of whatever the order of its atoms.
    environments : ndarray of shape (n_atoms,)
        One number per atom, the same for equal environments and unchanged by rotation, sorted by species
        and size.
    bond_ratio : float
        Median over the atoms of the distance to the nearest neighbour over the sum of the covalent radii; about 1
        in molecules, metals and salts; infinite where most atoms have no neighbour.
    n_fragments : int
        Groups of atoms that no distance below the cutoff joins.
    n_lonely : int
        Atoms without any neighbour below the cutoff.
    asymmetry : float
        Largest length of sum_j f(r_ij) r_ij / |r_ij| over the atoms, f(0) = 1; a vector that symmetry forbids
        where it forbids a force.
    place : ndarray
        Positions relative to the first atom, blind to translation and to wrapping into the cell, then the
        cell.
    """

    nearest: float
    nearest_pair: tuple[int, int]
    species: np.ndarray
    environments: np.ndarray
    bond_ratio: float
    n_fragments: int
    n_lonely: int
    asymmetry: float
    place: np.ndarray


def geometry(atoms):
    """Summarise the geometry of a frame.

    Parameters
    ----------
    atoms : ase.Atoms

    Returns
    -------
    Geometry

    Raises
    ------
    ValueError
        For positions or cells that no neighbour list can be made of (see `NeighborList.from_atoms`).
    """
    neighbors = NeighborList.from_atoms(atoms, ENVIRONMENT_CUTOFF)
    closeness = (1.0 - neighbors.distances / ENVIRONMENT_CUTOFF) ** 2
    density = np.bincount(neighbors.i, closeness * np.sqrt(neighbors.numbers[neighbors.j]), minlength=len(atoms))
    order = np.lexsort((density, neighbors.numbers))
    directions = neighbors.vectors / neighbors.distances[:, None] if neighbors.n_pairs else neighbors.vectors
    pull = [np.bincount(neighbors.i, closeness * directions[:, c], minlength=len(atoms)) for c in range(3)]
    nearest, pair = np.inf, (0, 0)
    if neighbors.n_pairs:
        p = int(np.argmin(neighbors.distances))
        nearest, pair = float(neighbors.distances[p]), (int(neighbors.i[p]), int(neighbors.j[p]))
    return Geometry(
        nearest=nearest,
        nearest_pair=pair,
        species=neighbors.numbers[order],
        environments=density[order],
        bond_ratio=_bond_ratio(neighbors),
        n_fragments=_n_fragments(neighbors),
        n_lonely=int((np.diff(neighbors.first) == 0).sum()),
        asymmetry=float(np.linalg.norm(pull, axis=0).max(initial=0.0)),
        place=_place(atoms),
    )


def is_isolated_atom(atoms):
    """Whether a frame is one atom without neighbours.

    Returns
    -------
    bool
    """
    if len(atoms) != 1:
        return False
    vectors = atoms.cell.array[np.asarray(atoms.pbc)]
    if len(vectors) == 0:
        return True
    return NeighborList.from_atoms(atoms, ISOLATION_DISTANCE).n_pairs == 0


def same_environments(geometries, others=None):
    """Pairs of frames that are copies of each other up to rotation, reflection and order of the atoms.

    Parameters
    ----------
    geometries, others : sequence of Geometry
        With `others`, pairs across the two sequences, otherwise pairs within the first.

    Returns
    -------
    list of tuple of int
        (a, b), a in `geometries`, b in `others` (or b > a in `geometries`).
    """
    first = len(geometries)
    pool = [*geometries, *(others or [])]
    keys = [(g.species.tobytes(), float(g.environments.mean()) if len(g.environments) else 0.0) for g in pool]
    ranked = sorted(range(len(pool)), key=keys.__getitem__)
    pairs = []
    for rank, a in enumerate(ranked):
        for b in ranked[rank + 1 :]:
            if keys[a][0] != keys[b][0] or keys[b][1] - keys[a][1] > _SAME:
                break
            across = (a < first) != (b < first)
            if (others is None or across) and _close(pool[a].environments, pool[b].environments):
                low, high = min(a, b), max(a, b)
                pairs.append((low, high - first if others is not None else high))
    return sorted(pairs)


def same_place(one, other):
    """Whether two frames are the same, atom by atom, up to a translation.

    Parameters
    ----------
    one, other : Geometry

    Returns
    -------
    bool
    """
    return one.place.shape == other.place.shape and _close(one.place, other.place)


def _bond_ratio(neighbors):
    radii = covalent_radii[neighbors.numbers]
    ratio = np.full(neighbors.n_atoms, np.inf)
    np.minimum.at(ratio, neighbors.i, neighbors.distances / (radii[neighbors.i] + radii[neighbors.j]))
    return float(np.median(ratio)) if len(ratio) else np.inf


def _n_fragments(neighbors):
    n = neighbors.n_atoms
    bonds = coo_array((np.ones(neighbors.n_pairs, dtype=np.int8), (neighbors.i, neighbors.j)), shape=(n, n))
    return int(connected_components(bonds, directed=False)[0])


def _close(one, other):
    return bool(np.abs(one - other).max(initial=0.0) < _SAME)


def _place(atoms):
    """Coordinates that do not jump when an atom is wrapped: cos and sin of the phase where periodic."""
    numbers, cell = atoms.numbers.astype(float), atoms.cell.array
    relative = atoms.positions - atoms.positions[:1]
    periodic = np.asarray(atoms.pbc)
    if periodic.any():
        fractional = np.linalg.solve(atoms.cell.complete().array.T, relative.T).T
        phase = 2 * np.pi * fractional[:, periodic]
        relative = np.hstack([np.cos(phase), np.sin(phase), fractional[:, ~periodic]])
    return np.concatenate([numbers, cell[periodic].ravel(), relative.ravel()])
