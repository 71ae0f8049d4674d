"""Small labelled data sets and models shared by the tests."""

import numpy as np
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
        atoms.calc = EMT()
        labels = {
            "energy": atoms.get_potential_energy(),
            "forces": atoms.get_forces(),
            "stress": atoms.get_stress(),
        }
        atoms.calc = SinglePointCalculator(atoms, **{kind: labels[kind] for kind in keep})
        frames.append(atoms)
    return frames


def small_soap():
    return kff.SOAP(cutoff=3.8, n_max=3, l_max=2, atom_sigma=0.5)


def small_model(n_sparse=30, **settings):
    """An unfitted SparseGPR on a small SOAP."""
    return kff.SparseGPR(small_soap(), n_sparse=n_sparse, **settings)
