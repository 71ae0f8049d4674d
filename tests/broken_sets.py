"""Sound data sets, and a corpus of sets broken on purpose, one way each, for test_doctor.py.

The frames are those of the bundled silicon set (DFT) and copper by ASE's EMT, and water of springs; every
break is made here by code, as users make it by a wrong key, unit, sign, order, or a script that mixes frames up.
"""

import functools

import numpy as np
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator
from ase.units import Bohr, GPa, Hartree, Rydberg, kcal, mol

from kernelff.io import silicon_set

# --- sound sets -----------------------------------------------------------------


@functools.cache
def silicon():
    """The bundled training set: strains, rattled cells, other phases, melts."""
    return silicon_set()


@functools.cache
def trajectory():
    """Rattled copper of one cell, by EMT: no strains, so that only a model can judge the stresses."""
    frames = []
    for k in range(32):
        atoms = bulk("Cu", cubic=True) * (2, 1, 1)
        rng = np.random.default_rng(k)
        atoms.positions += rng.normal(0, 0.12, atoms.positions.shape)
        frames.append(labelled(atoms, EMT()))
    return frames


@functools.cache
def melt():
    """Strongly rattled and strained copper in cells of two sizes, by EMT."""
    frames = []
    for k in range(40):
        rng = np.random.default_rng(k)
        atoms = bulk("Cu", cubic=True) * ((2, 1, 1), (2, 2, 1))[k % 2]
        atoms.set_cell(atoms.cell.array @ (np.eye(3) + rng.normal(0, 0.03, (3, 3))), scale_atoms=True)
        atoms.positions += rng.normal(0, 0.12, atoms.positions.shape)
        frames.append(labelled(atoms, EMT()))
    return frames


@functools.cache
def water():
    """Rattled water molecules of springs as stiff as the real ones, and isolated atoms."""
    frames = [spring(Atoms("H")), spring(Atoms("O"))]
    for k in range(40):
        atoms = molecule("H2O")
        atoms.positions += np.random.default_rng(k).normal(0, 0.05, (3, 3))
        frames.append(spring(atoms))
    return frames


def spring(atoms):
    """Labels of springs between all atoms, eV/Å^2 and Å; isolated atoms have some energy too."""
    energy, forces = -13.6 * len(atoms), np.zeros((len(atoms), 3))
    for i, j, stiffness, length in ((0, 1, 49.0, 0.97), (0, 2, 49.0, 0.97), (1, 2, 8.0, 1.53))[: 3 * (len(atoms) > 1)]:
        vector = atoms.positions[j] - atoms.positions[i]
        stretch = np.linalg.norm(vector) - length
        pull = stiffness * stretch * vector / np.linalg.norm(vector)
        energy += 0.5 * stiffness * stretch**2
        forces[i] += pull
        forces[j] -= pull
    atoms.calc = SinglePointCalculator(atoms, energy=energy, forces=forces)
    return atoms


def labelled(atoms, calculator):
    atoms.calc = calculator
    labels = {"energy": atoms.get_potential_energy(), "forces": atoms.get_forces()}
    if atoms.pbc.all():
        labels["stress"] = atoms.get_stress()
    atoms.calc = SinglePointCalculator(atoms, **labels)
    return atoms


@functools.cache
def scan():
    """One atom of copper moved step by step: too few frames for a model."""
    frames = []
    for k in range(8):
        atoms = bulk("Cu", cubic=True) * (2, 1, 1)
        atoms.positions[0] += 0.05 * k * np.array([1.0, 0.4, 0.2])
        frames.append(labelled(atoms, EMT()))
    return frames


# --- ways to break them -----------------------------------------------------------


def changed(atoms, move=None, **labels):
    """A copy with other labels (None drops one), and other positions or cell under the same labels."""
    results = {**atoms.calc.results, **labels}
    copy = atoms.copy()
    if move is not None:
        move(copy)
    copy.calc = SinglePointCalculator(copy, **{kind: value for kind, value in results.items() if value is not None})
    return copy


def scaled(frames, which=slice(None), **factors):
    """Labels of the frames `which` (a slice) multiplied by factors."""
    chosen = set(range(len(frames))[which])
    return [
        changed(atoms, **{kind: atoms.calc.results[kind] * factor for kind, factor in factors.items()})
        if k in chosen and all(kind in atoms.calc.results for kind in factors) else atoms
        for k, atoms in enumerate(frames)
    ]  # fmt: skip


def replaced(frames, changes):
    """The frames with some replaced: {index: frame}."""
    return [changes.get(k, atoms) for k, atoms in enumerate(frames)]


def with_stress(frames, change):
    return [changed(atoms, stress=change(atoms.get_stress(), atoms.get_volume())) for atoms in frames]


def in_info(atoms, drop=(), **entries):
    """The frame with labels in info and arrays, as extxyz files of other programs have them."""
    copy = atoms.copy()
    for kind, value in atoms.calc.results.items():
        if kind not in drop:
            (copy.arrays if kind == "forces" else copy.info)[kind] = value
    copy.info.update(entries)
    return copy


def fixed(atoms):
    forces = atoms.get_forces().copy()
    forces[:3] = 0.0
    return changed(atoms, forces=forces)


def turned(atoms):
    """Rotated with its labels, as a copy under the symmetry that every potential has."""
    matrix = np.linalg.qr(np.random.default_rng(5).normal(size=(3, 3)))[0]
    copy = atoms.copy()
    copy.set_cell(atoms.cell.array @ matrix.T)
    copy.positions = atoms.positions @ matrix.T
    copy.calc = SinglePointCalculator(copy, energy=atoms.get_potential_energy(), forces=atoms.get_forces() @ matrix.T)
    return copy


def shifted(atoms, energy):
    return changed(atoms, energy=atoms.get_potential_energy() + energy)


def in_bohr(atoms):
    atoms.set_cell(atoms.cell.array / Bohr, scale_atoms=True)


def lonely(atoms):
    atoms.set_cell(np.diag([3.0, 1.0, 1.0]) @ atoms.cell.array * 2)
    atoms.positions[0] += atoms.cell.array[0] / 2


def cell_of_bohr(atoms):
    atoms.wrap()
    atoms.set_cell(atoms.cell.array / Bohr)


def spun(atoms):
    forces = atoms.get_forces() @ np.array([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]])
    return changed(atoms, forces=forces)


def per_atom(frames):
    return [changed(atoms, energy=atoms.get_potential_energy() / len(atoms)) for atoms in frames]


def distinct(frames, n):
    """Indices of frames of more than two atoms with forces worth the name."""
    found = [k for k, a in enumerate(frames) if len(a) > 7 and np.abs(a.get_forces()).max() > 0.5]
    return found[:n]


def foreign(frames):
    """Two frames of one size with each other's labels."""
    a, b = distinct(frames, 2)
    one, other = frames[a].calc.results, frames[b].calc.results
    return replaced(
        frames, {a: changed(frames[a], forces=other["forces"]), b: changed(frames[b], forces=one["forces"])}
    )


def reordered(frames):
    (a,) = distinct(frames, 1)
    return replaced(frames, {a: changed(frames[a], forces=frames[a].get_forces()[::-1])})


CONTRADICTIONS = {
    # name: (frames, severity, name of the finding, what the text must hold)
    "energies in hartree": (lambda: scaled(trajectory(), energy=1 / Hartree), "error", "energies against forces",
                            ("hartree", "--energy-factor 27.2113")),
    "energies in rydberg": (lambda: scaled(melt(), energy=1 / Rydberg), "error", "energies against forces",
                            ("rydberg", "--energy-factor 13.605")),
    "energies in kcal/mol": (lambda: scaled(silicon(), energy=mol / kcal), "error", "energies against forces",
                             ("kcal/mol", "--energy-factor 0.0433")),
    "forces in hartree/bohr": (lambda: scaled(silicon(), forces=Bohr / Hartree), "error", "energies against forces",
                               ("hartree/bohr", "--forces-factor 51.42")),
    "all in hartree and bohr": (lambda: scaled(trajectory(), energy=1 / Hartree, forces=Bohr / Hartree), "error",
                                "energies against forces", ("forces in hartree/bohr", "--energy-factor 27.2")),
    "a scan in rydberg": (lambda: scaled(scan(), energy=1 / Rydberg), "error", "energies against forces",
                          ("the energies are in rydberg", "--energy-factor 13.605")),
    "a scan of gradients per bohr": (lambda: scaled(scan(), forces=-Bohr), "error", "energies against forces",
                                     ("eV/bohr with the opposite sign", "--forces-factor -1.8897")),
    "gradients for forces": (lambda: scaled(melt(), forces=-1.0), "error", "energies against forces",
                             ("opposite sign", "--forces-factor -1")),
    "some gradients": (lambda: scaled(melt(), slice(3, 7), forces=-1.0), "error", "flipped forces",
                       ("4 of 40 frames", "forces_factor=-1")),
    "some forces in hartree/bohr": (lambda: scaled(melt(), slice(5, 9), forces=Bohr / Hartree), "error",
                                    "scaled forces", ("4 of 40 frames", "multiply them by 5", "hartree/bohr")),
    "forces of other frames": (lambda: foreign(silicon()), "error", "foreign forces", ("has those of frame", "drop")),
    "forces in another order of atoms": (lambda: reordered(melt()), "error", "foreign forces",
                                         ("another order of atoms", "drop")),
    "an energy not converged": (lambda: replaced(silicon(), {60: shifted(silicon()[60], 2.0)}), "warning",
                                "energy outliers", ("1 of 142 frames (60)", "compute them again")),
    "two pseudopotentials": (lambda: [shifted(a, 0.4 * len(a)) if k % 3 == 0 else a for k, a in enumerate(melt())],
                             "warning", "two settings",
                             ("14 of 40 frames (0, 3, 6, 9, 12, ...)", "constant +4", "one functional")),
    "forces shuffled among all frames": (
        lambda: [changed(a, forces=b.get_forces()) for a, b in zip(trajectory(), trajectory()[::-1], strict=True)],
        "warning", "forces against positions", ("nothing to do with", "--forces-key")),
    "stresses of other frames": (
        lambda: [changed(a, stress=b.get_stress()) for a, b in zip(trajectory(), trajectory()[::-1], strict=True)],
        "warning", "stress", ("nothing to do with", "--stress-key")),
    "stress of the other sign": (lambda: with_stress(trajectory(), lambda s, _: -s), "error", "stress",
                                 ("opposite sign", "--stress-factor -1")),
    "stress in kBar, without strains": (lambda: with_stress(trajectory(), lambda s, _: -s / (GPa / 10)), "error",
                                        "stress", ("kBar", "--stress-factor -0.000624")),
    "virial as stress": (lambda: with_stress(melt(), lambda s, volume: -s * volume), "error", "stress",
                         ("virial", "--virial-key")),
    "no isolated atoms of an alloy": (lambda: water()[2:], "warning", "degenerate e0",
                                      ("H, O", "isolated atoms", "e0")),
    "order of VASP": (lambda: with_stress(trajectory(), lambda s, _: s[[0, 1, 2, 5, 3, 4]]), "error", "stress",
                      ("--stress-order", "xx yy zz xy yz xz")),
}  # fmt: skip
"""What a model of the other frames tells."""

ODDITIES = {
    "energies per atom": (lambda: per_atom(silicon()), "warning", "energies per atom", ("number of atoms",)),
    "stress in GPa": (lambda: with_stress(silicon(), lambda s, _: s / GPa), "error", "stress",
                      ("stress_factor=0.00624", "--stress-factor")),
    "constant pressure in the stress": (
        lambda: with_stress(silicon(), lambda s, _: s + 2.0 * GPa * np.array([1, 1, 1, 0, 0, 0])), "warning",
        "stress offset", ("pressure-like offset of +1.8", "stress_offset = true")),
    "duplicates": (lambda: [*silicon(), silicon()[60]], "warning",
                   "duplicates", ("1 of 143 frames (142)", "drop them")),
    "one structure, two energies": (lambda: [*silicon(), shifted(silicon()[60], 1.0)], "error",
                                    "contradictory energies", ("frame 60", "frame 142", "keep the one")),
    "net force": (lambda: replaced(melt(), {4: changed(melt()[4], forces=melt()[4].get_forces() + 0.3)}), "warning",
                  "net force", ("1 of 40 frames (4)", "--forces-key")),
    "fixed atoms": (lambda: replaced(melt(), {k: fixed(melt()[k]) for k in (4, 8)}), "warning", "fixed atoms",
                    ("2 of 40 frames (4, 8)", "apply_constraint=False")),
    "forces of another orientation": (lambda: [spun(a) if len(a) > 1 else a for a in water()], "warning", "torque",
                                      ("orientation",)),
    "lengths in bohr": (lambda: [changed(a, in_bohr) for a in melt()], "warning", "unit of length",
                        ("are positions and cell in Å", "0.529177")),
    "only the cell in bohr": (lambda: [changed(a, cell_of_bohr) for a in melt()], "warning", "unit of the cell",
                              ("cell were in Bohr", "0.529177")),
    "pbc forgotten": (lambda: [changed(a, lambda x: setattr(x, "pbc", False), stress=None) for a in melt()], "warning",
                      "periodicity", ('pbc="T T T"',)),
    "stress without periodicity": (lambda: [changed(a, lambda x: setattr(x, "pbc", False)) for a in melt()], "warning",
                                   "undefined stress", ("ignored", 'pbc="T T T"')),
    "no cell": (lambda: replaced(melt(), {2: changed(melt()[2], lambda x: x.set_cell(np.zeros((3, 3))))}), "error",
                "geometry", ("frame 2", "Give the frame its cell")),
    "an atom on another": (lambda: replaced(melt(), {2: changed(melt()[2], lambda x: x.positions.__setitem__(1,
                           x.positions[0] + 0.05))}), "error", "geometry", ("frame 2", "atoms 0 and 1", "remove one")),
    "a collapsed pair": (lambda: replaced(melt(), {2: changed(melt()[2], lambda x: x.set_distance(0, 1, 1.0, fix=0))}),
                         "warning", "short distances", ("1 of 40 frames (2)", "drop them")),
    "a lost atom": (lambda: replaced(melt(), {2: changed(melt()[2], lonely)}), "warning", "lonely atoms",
                    ("1 of 40 frames (2)", "--cutoff")),
    "molecules in kcal/mol throughout": (
        lambda: scaled(water(), energy=mol / kcal, forces=mol / kcal), "warning", "unit of forces",
        ("forces in kcal/mol/Å", "--forces-factor 0.0433", "--energy-factor 0.0433")),
    "a crystal in kcal/mol throughout": (
        lambda: scaled(silicon(), energy=mol / kcal, forces=mol / kcal), "warning", "stress",
        ("in kcal/mol", "energy_factor=0.0433", "forces_factor=0.0433")),
    "energies under an unusual name": (
        lambda: [in_info(a, ("energy",), my_dft_energies_total=1.0, E_mbd=a.get_potential_energy()) for a in melt()],
        "warning", "entry passed over", ("'E_mbd'", "--energy-key E_mbd")),
    "free energy beside the energy": (
        lambda: [changed(a, free_energy=a.get_potential_energy() - 0.02 * len(a)) for a in melt()], "warning",
        "free energy", ("differ by up to 20 meV/atom", "--energy-key free_energy")),
    "entries that disagree": (lambda: [in_info(a, REF_energy=a.get_potential_energy() + 1) for a in melt()], "error",
                              "labels", ("disagree about the energy", "energy_key='REF_energy'")),
    "zero forces": (lambda: [changed(a, forces=np.zeros((len(a), 3))) for a in melt()], "error", "zero forces",
                    ("exactly zero in 40 of 40", "--forces-key")),
    "not a number": (lambda: replaced(melt(), {k: changed(melt()[k], energy=np.nan) for k in (2, 6)}), "error",
                     "labels", ("its energy is not finite", "1 more frames likewise", "drop the frame")),
    "rubbish in the file": (lambda: replaced(melt(), {2: shifted(melt()[2], 1e200)}), "error", "labels",
                            ("frame 2", "no physical number", "drop the frame")),
    "no labels": (lambda: [a.copy() for a in melt()], "error", "no labels", ("no frame carries", "--energy-key")),
    "no frames": (list, "error", "no frames", ("there are no frames",)),
}  # fmt: skip
"""What is seen without a model."""
