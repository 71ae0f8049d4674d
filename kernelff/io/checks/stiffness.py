"""Unit of the forces by the stiffness of bonds to hydrogen, the one force constant that hardly depends on the molecule.

Energies and forces that are wrong by one factor, all in kcal/mol say, contradict nothing else in a set of molecules.
"""

from __future__ import annotations

import numpy as np
from ase.units import Bohr, Hartree, Rydberg, kcal, kJ, mol, nm

from kernelff.neighbors import NeighborList

FORCE_CONSTANTS = {6: 31.0, 7: 40.0, 8: 49.0}
"""eV/Å^2 of C-H, N-H and O-H: 5.0, 6.4 and 7.8 mdyn/Å as in methane, ammonia and water; ethanol by DFT 32 and 45."""

BOND = 1.25  # Å; hydrogen bonds and transition states are longer
MAX_FRAMES, LEAST_BONDS = 200, 30
LEAST_SPREAD = 0.005  # Å, of the bond lengths
ALIKE, NEAR = 2.2, 1.6  # factors within which a stiffness is the expected one, or that of another unit
_UNITS = {
    "kcal/mol/Å": (kcal / mol, kcal / mol),
    "kJ/mol/Å": (kJ / mol, kJ / mol),
    "kJ/mol/nm": (kJ / mol / nm, kJ / mol),
    "hartree/bohr": (Hartree / Bohr, Hartree),
    "rydberg/bohr": (Rydberg / Bohr, Rydberg),
    "hartree/Å": (Hartree, Hartree),
}


def force_unit(data):
    """Forces whose bonds to hydrogen are as stiff as if written in another unit.

    Parameters
    ----------
    data : DataSet

    Returns
    -------
    list of Finding
    """
    carriers = [k for k in data.labelled("forces") if (data.frames[k].numbers == 1).any()]
    step = max(1, len(carriers) // MAX_FRAMES)
    bonds = [bond for k in carriers[::step] for bond in _bonds(data.frames[k], data.labels[k].forces)]
    ratios = [_stiffness(bonds, z) / constant for z, constant in FORCE_CONSTANTS.items()]
    ratio = np.nanmedian(ratios) if np.isfinite(ratios).any() else np.nan
    if not ratio > 0 or 1 / ALIKE < ratio < ALIKE:  # also where nothing is known
        return []
    unit = min(_UNITS, key=lambda name: abs(np.log(ratio * _UNITS[name][0])))
    force, energy = _UNITS[unit]
    if abs(np.log(ratio * force)) > np.log(NEAR):
        return []
    return [data.finding(
        "warning", "unit of forces",
        f"bonds to hydrogen are {ratio:.3g} times as stiff as those of molecules in eV/Å: are the forces in {unit}?",
        f"read them with forces_factor={force:.8g} (--forces-factor {force:.8g}), and the energies, if they are in "
        f"unit too, with energy_factor={energy:.8g} (--energy-factor {energy:.8g})", carriers,
    )]  # fmt: skip


def _bonds(atoms, forces):
    """(heavy atom, length, force on the hydrogen along the bond) of hydrogens with one neighbour."""
    neighbors = NeighborList.from_atoms(atoms, BOND)
    for i in np.flatnonzero((neighbors.numbers == 1) & (np.diff(neighbors.first) == 1)):
        p = neighbors.first[i]
        away = -neighbors.vectors[p] / neighbors.distances[p]
        yield neighbors.numbers[neighbors.j[p]], neighbors.distances[p], forces[i] @ away


def _stiffness(bonds, z):
    """Minus the slope of force over length, by the median of slopes between halves: outliers do not matter."""
    chosen = np.array([(r, f) for element, r, f in bonds if element == z])
    if len(chosen) < LEAST_BONDS or chosen[:, 0].std() < LEAST_SPREAD:
        return np.nan
    ordered = chosen[np.argsort(chosen[:, 0])]
    third = len(ordered) // 3
    short, long = np.median(ordered[:third], axis=0), np.median(ordered[-third:], axis=0)
    return float((short[1] - long[1]) / (long[0] - short[0]))
