"""Named frames of every periodicity, and random rigid motions."""

import numpy as np
from ase import Atoms
from ase.build import bulk


def isolated():
    return Atoms("Si")


def dimer():
    return Atoms("Si2", [[0.1, 0.2, -0.3], [1.3, 1.9, 0.8]])


def molecule():
    """CH3OH-like: three elements, no symmetry."""
    heavy = [[0, 0, 0], [1.42, 0.05, 0.1]]
    hydrogen = [[-0.4, 1.0, 0.2], [-0.35, -0.55, 0.85], [-0.45, -0.4, -0.95], [1.7, 0.9, -0.2]]
    return Atoms("COHHHH", np.array(heavy + hydrogen))


def chain():
    """Periodic in one direction."""
    return Atoms("SiCSi", [[0, 0, 0], [1.7, 0.4, 0.2], [3.1, -0.3, 0.5]], cell=[4.6, 0, 0], pbc=(True, False, False))


def slab():
    """Periodic in two directions."""
    atoms = bulk("Cu", cubic=True).repeat((1, 1, 2))
    atoms.pbc = (True, True, False)
    return atoms


def silicon():
    return bulk("Si", cubic=True)


def triclinic():
    """Two elements in a skewed cell smaller than any cutoff used here."""
    cell = [[4.1, 0.1, 0.3], [1.3, 3.8, -0.2], [0.9, 1.1, 4.3]]
    return Atoms("SiC", scaled_positions=[[0.02, 0.01, 0.05], [0.31, 0.24, 0.28]], cell=cell, pbc=True)


def one_atom():
    """One atom in a skewed cell: all its neighbours are its own images."""
    return Atoms("Cu", [[0.1, 0.2, 0.3]], cell=[[2.5, 0.1, 0], [0.9, 2.4, 0.2], [0.4, 0.7, 2.6]], pbc=True)


FRAMES = {make.__name__: make for make in (isolated, dimer, molecule, chain, slab, silicon, triclinic, one_atom)}


def frame(name, rattle=0.1, seed=0):
    """A named frame with Gaussian displacements, Å."""
    atoms = FRAMES[name]()
    atoms.positions += np.random.default_rng(seed).normal(0.0, rattle, atoms.positions.shape)
    return atoms


def random_rotation(rng):
    """A proper rotation matrix (3, 3)."""
    q, r = np.linalg.qr(rng.normal(size=(3, 3)))
    q *= np.sign(np.diag(r))
    return q * np.linalg.det(q)


def transformed(atoms, matrix, shift=0.0):
    """Positions and cell multiplied by an orthogonal `matrix`, then shifted (Å)."""
    moved = atoms.copy()
    moved.set_cell(atoms.cell.array @ matrix.T)
    moved.positions = atoms.positions @ matrix.T + shift
    return moved
