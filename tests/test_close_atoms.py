"""Atoms pushed together: every pair of elements is repulsive down to 0.5 Å, alone and in a crystal.

Data of crystals do not know dimers, whose bonds are shorter than those of the crystal (Mo2 1.94 Å, Cu2 2.22 Å): a fit
to them may pull two lone atoms together a little just below its shortest distance, where the repulsion sets in with
the third power. There the scans of such models begin at 0.9 of that distance.
"""

from functools import cache

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from labelled import label
from systems import molecule

import kernelff as kff
from kernelff.io import silicon_set

CLOSEST = 0.5  # Å
EMT_BONDS = {"HH": 0.78, "CH": 1.08, "OH": 1.04, "CC": 0.98, "CO": 1.06, "OO": 1.10}  # Å, minima of ase's EMT


def silicon():
    """The model of the README."""
    model = kff.SparseGPR(n_sparse=500).fit(silicon_set("train"))
    return model.potential_, bulk("Si", cubic=True).repeat(2), 1.0


def alloy(one, two, a):
    """Two metals on an fcc lattice, labelled by EMT: small cells to fit, a larger one to push atoms in."""
    rng = np.random.default_rng(0)
    frames = []
    for _ in range(30):
        atoms = disordered(one, two, a, rng)
        atoms.set_cell(atoms.cell.array @ (np.eye(3) + rng.normal(0, 0.03, (3, 3))), scale_atoms=True)
        atoms.positions += rng.normal(0, 0.12, atoms.positions.shape)
        frames.append(label(atoms))
    return fit_small(frames), disordered(one, two, a, rng, repeat=2), 0.9


def disordered(one, two, a, rng, repeat=1):
    atoms = bulk(one, "fcc", a=a, cubic=True).repeat(repeat)
    atoms.symbols[rng.random(len(atoms)) < 0.5] = two
    return atoms


def organic():
    """H, C and O by EMT: a rattled molecule and dimers of every pair, no crystal."""
    rng = np.random.default_rng(0)
    frames = []
    for _ in range(20):
        atoms = molecule()
        atoms.positions += rng.normal(0, 0.08, atoms.positions.shape)
        frames.append(label(atoms, ("energy", "forces")))
    for pair, bond in EMT_BONDS.items():
        for r in bond * np.linspace(0.8, 2.0, 13):
            frames.append(label(Atoms(pair, [[0, 0, 0], [0, 0, r]]), ("energy", "forces")))
    return fit_small(frames), None, 1.0


def fit_small(frames):
    soap = kff.SOAP(cutoff=4.0, n_max=4, l_max=3)
    return kff.SparseGPR(soap, n_sparse=60, n_jobs=1, calibrate=False).fit(frames).potential_


MODELS = {
    "silicon": silicon,
    "CuAu": lambda: alloy("Cu", "Au", 3.85),
    "NiAl": lambda: alloy("Ni", "Al", 3.7),
    "organic": organic,
}


@cache
def model(name):
    """A fitted potential, a crystal or None, and the part of the shortest distance where scans of dimers begin."""
    return MODELS[name]()


def pairs_of(repulsion):
    """(z_1, z_2, shortest distance in the data) of every pair of elements."""
    n = len(repulsion.species)
    return [(repulsion.species[a], repulsion.species[b], repulsion.outer[a, b]) for a in range(n) for b in range(a, n)]


def distances_below(end):
    return np.append(np.arange(CLOSEST, end - 0.01, 0.04), end)


def require_repulsive(energies, pushes):
    """Energies that rise inwards all the way, by more than an eV in all, and forces apart."""
    assert (np.diff(energies) < 0).all()
    assert energies[0] - energies[-1] > 1.0
    assert min(pushes) > 0


@pytest.mark.parametrize("name", MODELS)
def test_dimers_are_repulsive(name):
    potential, _, begin = model(name)
    for z_1, z_2, shortest in pairs_of(potential.repulsion):
        scan = [potential.compute(Atoms([z_1, z_2], [[0, 0, 0], [0, 0, r]])) for r in distances_below(begin * shortest)]
        require_repulsive([point.energy for point in scan], [point.forces[1, 2] for point in scan])


@pytest.mark.parametrize("name", ["silicon", "CuAu", "NiAl"])
def test_an_atom_pushed_to_its_neighbour_in_a_crystal_is_pushed_back(name):
    potential, crystal, _ = model(name)
    for z_1, z_2, shortest in pairs_of(potential.repulsion):
        i, vector = nearest_pair(crystal, z_1, z_2)
        bond, scan = np.linalg.norm(vector), []
        for r in distances_below(min(shortest, bond)):
            atoms = crystal.copy()
            atoms.positions[i] += (1 - r / bond) * vector
            scan.append(potential.compute(atoms))
        require_repulsive([point.energy for point in scan], [-point.forces[i] @ vector for point in scan])


def nearest_pair(atoms, z_1, z_2):
    """The first of the closest two atoms of these elements, and the vector to the second."""
    neighbors = kff.NeighborList.from_atoms(atoms, 6.0)
    i, j = neighbors.i, neighbors.j
    mine = np.flatnonzero((atoms.numbers[i] == z_1) & (atoms.numbers[j] == z_2) & (i != j))
    p = mine[np.argmin(neighbors.distances[mine])]
    return i[p], neighbors.vectors[p]
