"""The frames that need no model: volumes, strains, rattles, phases, random packings, vacancies.

Every frame carries ``config_type``, ``origin``, ``split`` and its k points in ``info``.  An origin is one series
made from one seed (or one trajectory); the splits are made of whole origins.
"""

import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.neighborlist import neighbor_list
from ase.spacegroup import crystal
from settings import folded_kpoints, k_grid

A0 = 5.47  # Å, nominal lattice constant of the undeformed frames
FCC = np.array([[0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
BCC = np.array([[-1, 1, 1], [1, -1, 1], [1, 1, -1]])
CELLS = {  # number of atoms: cell vectors in units of the lattice constant
    2: FCC,
    8: np.eye(3),
    16: 2 * FCC,
    32: BCC,
    64: 2 * np.eye(3),
}


def diamond(n_atoms, a=A0):
    """Diamond in one of the cells of `CELLS`; all of them share one k sampling, see ``folded_kpoints``."""
    cell = CELLS[n_atoms] * a
    basis = bulk("Si", "diamond", a=a, cubic=True)
    many = basis * (6, 6, 6)
    scaled = (many.positions - 2 * a) @ np.linalg.inv(cell)  # the corner moved inside the block
    inside = np.all((scaled > -1e-6) & (scaled < 1 - 1e-6), axis=1)
    atoms = Atoms("Si" * int(inside.sum()), scaled_positions=scaled[inside], cell=cell, pbc=True)
    if len(atoms) != n_atoms:
        raise AssertionError(f"{len(atoms)} atoms in a cell meant for {n_atoms}")
    atoms.info["k"] = {"points": folded_kpoints(CELLS[n_atoms]).tolist()}
    return atoms


def tagged(atoms, config_type, origin, split):
    """The frame with its names in ``info``."""
    atoms.info.update(config_type=config_type, origin=origin, split=split)
    return atoms


def strained(atoms, strain):
    """A copy deformed by a symmetric strain (3, 3); atoms move with the cell."""
    new = atoms.copy()
    new.set_cell(atoms.cell.array @ (np.eye(3) + strain), scale_atoms=True)
    return new


def shape(xx=0.0, yy=0.0, zz=0.0, yz=0.0, xz=0.0, xy=0.0):
    """Strain matrix from its six components (shears are the tensor's, not twice)."""
    return np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])


def displaced(atoms, rng, amplitude, closest=1.9):
    """A copy with normal displacements (Å per component), drawn again until no two atoms are nearer than `closest`."""
    while True:
        new = atoms.copy()
        new.positions += rng.normal(scale=amplitude, size=atoms.positions.shape)
        near = neighbor_list("i", new, closest)
        if len(near) == 0:
            return new


def random_strain(rng, size):
    """Symmetric strain with independent normal components of the given size."""
    s = rng.normal(scale=size, size=(3, 3))
    return (s + s.T) / 2


def volume_series():
    """Diamond from -12 to +15 % in volume."""
    factors = (0.88, 0.90, 0.92, 0.94, 0.96, 0.98, 0.99, 1.0, 1.01, 1.02, 1.04, 1.06, 1.09, 1.12, 1.15)
    for factor in factors:
        atoms = strained(diamond(2), np.eye(3) * (factor ** (1 / 3) - 1))
        yield tagged(atoms, "volume", "volume-series", "train")


def strain_series():
    """Shapes that give C11, C12 and C44, the last also with the two atoms moved against each other."""
    for e in (-0.04, -0.02, -0.01, -0.005, 0.005, 0.01, 0.02, 0.04):
        yield tagged(strained(diamond(2), shape(xx=e)), "strain", "strain-series-C11", "train")
    for e in (-0.04, -0.02, -0.005, 0.005, 0.02, 0.04):
        yield tagged(strained(diamond(2), shape(xx=e, yy=-e)), "strain", "strain-series-C12", "train")
    for e in (0.005, 0.01, 0.02, 0.04):
        for slide in (0.0, 0.5, 1.0):
            atoms = strained(diamond(2), shape(xy=e))
            atoms.positions[1, 2] -= slide * 0.5 * e * A0 / 2  # Kleinman's parameter is about 0.5
            yield tagged(atoms, "strain", "strain-series-C44", "train")
    for name, split, count in (("a", "train", 6), ("b", "validation", 4), ("c", "test", 5)):
        rng = np.random.default_rng([11, ord(name)])
        for _ in range(count):
            atoms = strained(diamond(2), random_strain(rng, 0.03))
            yield tagged(atoms, "strain", f"strain-random-{name}", split)


def rattles():
    """Displaced atoms in cells of 2 and 8, 0.02 to 0.25 Å per component, part of them strained."""
    small = (0.03, 0.06, 0.09, 0.12, 0.15, 0.18, 0.21, 0.25)
    series = {
        2: {"a": ("train", small), "b": ("train", small), "c": ("validation", small), "d": ("test", small)},
        8: {
            "a": ("train", (0.02, 0.05, 0.08, 0.11, 0.14, 0.17, 0.21, 0.25)),
            "b": ("train", (0.04, 0.10, 0.15, 0.20)),
            "c": ("test", (0.03, 0.08, 0.13, 0.19)),
            "d": ("validation", (0.06, 0.12, 0.18)),
        },
    }
    for n_atoms, groups in series.items():
        for name, (split, amplitudes) in groups.items():
            rng = np.random.default_rng([12, n_atoms, ord(name)])
            for number, amplitude in enumerate(amplitudes):
                strain = random_strain(rng, 0.02) if number % 2 else np.zeros((3, 3))
                atoms = displaced(strained(diamond(n_atoms), strain), rng, amplitude)
                yield tagged(atoms, "rattle", f"rattle-{n_atoms}-{name}", split)


def phase_cells():
    """Other crystals near their equilibrium: name, primitive cell, k spacing, shift."""
    yield "bcc", bulk("Si", "bcc", a=3.09), 0.15, (1, 1, 1)
    yield "fcc", bulk("Si", "fcc", a=3.87), 0.15, (1, 1, 1)
    yield "sc", bulk("Si", "sc", a=2.53), 0.15, (1, 1, 1)
    hexagonal = crystal("Si", [(1 / 3, 2 / 3, 0.0625)], spacegroup=194, cellpar=[3.86, 3.86, 6.37, 90, 90, 120])
    yield "hexagonal-diamond", hexagonal, 0.22, (0, 0, 1)
    tin = crystal("Si", [(0, 0, 0)], spacegroup=141, cellpar=[4.82, 4.82, 2.65, 90, 90, 90], primitive_cell=True)
    yield "beta-tin", tin, 0.18, (1, 1, 1)
    bc8 = crystal("Si", [(0.1003,) * 3], spacegroup=206, cellpar=[6.66] * 3 + [90] * 3, primitive_cell=True)
    yield "bc8", bc8, 0.25, (1, 1, 1)


def phases():
    """Other crystals at three volumes (train), and strained and rattled ones (train and test)."""
    for number, (name, cell, spacing, shift) in enumerate(phase_cells()):
        k = {"grid": k_grid(cell.cell.array, spacing), "shift": shift, "nosym": False}
        for factor in (0.94, 1.0, 1.06):
            atoms = strained(cell, np.eye(3) * (factor ** (1 / 3) - 1))
            atoms.info = {"k": k}
            yield tagged(atoms, "phase", f"phase-{name}", "train")
        for split in ("train", "test"):
            rng = np.random.default_rng([13, number, len(split)])
            several = cell * (2, 1, 1) if len(cell) == 1 else cell
            atoms = displaced(strained(several, random_strain(rng, 0.02)), rng, 0.08)
            atoms.info = {"k": {"grid": k_grid(several.cell.array, 0.28), "shift": shift, "nosym": True}}
            yield tagged(atoms, "phase", f"phase-{name}-rattle-{split}", split)


def random_packing(rng, n_atoms, volume, closest):
    """Random points in a slightly sheared box, none nearer than `closest` (Å)."""
    side = (n_atoms * volume) ** (1 / 3)
    cell = side * (np.eye(3) + random_strain(rng, 0.05))
    while True:
        atoms = Atoms("Si", positions=[[0, 0, 0]], cell=cell, pbc=True)
        for _ in range(4000):
            trial = atoms + Atoms("Si", positions=[rng.random(3) @ cell])
            distances = trial.get_distances(-1, range(len(atoms)), mic=True)
            if distances.min() > closest:
                atoms = trial
            if len(atoms) == n_atoms:
                return atoms


def random_packings():
    """Random dense frames: what keeps a model apart at short distances and far from the crystals."""
    for name, split, count in (("a", "train", 5), ("b", "test", 2)):
        rng = np.random.default_rng([14, ord(name)])
        for number in range(count):
            volume = (15.5, 17.0, 18.5, 20.5, 23.0)[number % 5]
            atoms = random_packing(rng, 8, volume, closest=2.0)
            atoms.info = {"k": {"points": folded_kpoints(np.eye(3)).tolist()}}
            yield tagged(atoms, "random", f"random-8-{name}", split)


def vacancy(n_atoms, inward=0.0):
    """Diamond cell without its first atom; the four neighbours moved inward by a length in Å."""
    atoms = diamond(n_atoms)
    vectors = atoms.get_distances(0, range(1, n_atoms), mic=True, vector=True)
    neighbours = np.flatnonzero(np.linalg.norm(vectors, axis=1) < 0.45 * A0)
    del atoms[0]
    for index in neighbours:
        atoms.positions[index] -= inward * vectors[index] / np.linalg.norm(vectors[index])
    return atoms


def vacancies():
    """Vacancies in cells of 8, 16 and 32 sites, relaxed by a guess and rattled."""
    series = {
        8: {"a": ("train", (0.03, 0.08, 0.14)), "b": ("validation", (0.06,))},
        16: {"a": ("train", (0.03, 0.08, 0.14)), "b": ("test", (0.05,))},
        32: {"a": ("train", (0.02, 0.07)), "b": ("test", (0.05,))},
    }
    for n_atoms, groups in series.items():
        for name, (split, amplitudes) in groups.items():
            rng = np.random.default_rng([16, n_atoms, ord(name)])
            for amplitude in amplitudes:
                atoms = displaced(vacancy(n_atoms, inward=rng.uniform(0.0, 0.35)), rng, amplitude)
                yield tagged(atoms, "vacancy", f"vacancy-{n_atoms - 1}-{name}", split)


def stage_1():
    """All frames that need no model."""
    makers = (volume_series, strain_series, rattles, phases, random_packings, vacancies)
    return [frame for maker in makers for frame in maker()]
