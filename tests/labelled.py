"""Small labelled data sets and models shared by the tests."""

import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator

import kernelff as kff


def emt_frames(n, seed, keep=("energy", "forces", "stress"), sizes=((1, 1, 1), (2, 1, 1))):
    """Rattled, strained copper cells labelled by EMT."""
    rng = np.random.default_rng(seed)
    frames = []
    for k in range(n):
        atoms = bulk("Cu", "fcc", a=3.6, cubic=True).repeat(sizes[k % len(sizes)])
        atoms.set_cell(atoms.cell.array @ (np.eye(3) + rng.normal(0, 0.02, (3, 3))), scale_atoms=True)
        atoms.positions += rng.normal(0, 0.1, atoms.positions.shape)
        frames.append(label(atoms, keep))
    return frames


def gas_frames(n, seed):
    """Two to five copper atoms at random in random boxes: environments as different as can be."""
    rng = np.random.default_rng(seed)
    frames = []
    while len(frames) < n:
        atoms = Atoms(f"Cu{rng.integers(2, 6)}", cell=rng.uniform(3.5, 6, 3), pbc=True)
        atoms.set_scaled_positions(rng.random((len(atoms), 3)))
        distances = atoms.get_all_distances(mic=True)[np.triu_indices(len(atoms), 1)]
        if distances.min() > 2.0:
            frames.append(label(atoms))
    return frames


def copper():
    """32 atoms, rattled, as a start of dynamics."""
    atoms = bulk("Cu", cubic=True).repeat(2)
    atoms.rattle(0.05, seed=0)
    return atoms


def label(atoms, keep=("energy", "forces", "stress")):
    """The frame with EMT labels attached."""
    atoms.calc = EMT()
    getters = {"energy": atoms.get_potential_energy, "forces": atoms.get_forces, "stress": atoms.get_stress}
    labels = {kind: getters[kind]() for kind in keep}
    atoms.calc = SinglePointCalculator(atoms, **labels)
    return atoms


def small_soap():
    return kff.SOAP(cutoff=3.8, n_max=3, l_max=2, atom_sigma=0.5)


def small_model(n_sparse=30, **settings):
    """An unfitted SparseGPR on a small SOAP, with fixed sigmas unless told otherwise."""
    return kff.SparseGPR(small_soap(), n_sparse=n_sparse, **{"hyperparameters": "fixed"} | settings)
