"""Cells that do not go with the atoms: periodicity left out, or a cell in another unit than the positions."""

from __future__ import annotations

import numpy as np
from ase.data import covalent_radii
from ase.units import Bohr

from kernelff.io.geometry import geometry

LARGEST_GAP = 3.0  # Å; the empty layer between a crystal's periodic images is thinner, that around a molecule thicker
LEAST_FILLING = 0.03  # of the cell by spheres of covalent radius; ice 0.05, silicon 0.29, copper 0.8
_NORMAL_BONDS = (0.7, 1.35)  # nearest distances over covalent radii


def forgotten_periodicity(data):
    """Cells as dense as a crystal's in frames that are not periodic.

    Parameters
    ----------
    data : DataSet

    Returns
    -------
    list of Finding
    """
    found = [k for k in data.usable if _looks_periodic(data.frames[k])]
    if not found:
        return []
    return [data.finding(
        "warning", "periodicity",
        "the atoms of {frames} fill their cell like a crystal, but pbc says that the cell does not repeat",
        'write pbc="T T T" into these frames (atoms.pbc = True); drop the cell if they are clusters', found,
    )]  # fmt: skip


def cell_unit(data):
    """Periodic frames whose cell is 1.89 or 0.53 times what the atoms fill.

    Parameters
    ----------
    data : DataSet

    Returns
    -------
    list of Finding
    """
    periodic = [k for k in data.usable if data.frames[k].pbc.all() and len(data.frames[k]) > 3]
    found = [k for k in periodic if _cell_in_bohr(data.frames[k])]
    if not found or len(found) < 0.5 * len(periodic):
        return []
    return [data.finding(
        "warning", "unit of the cell",
        "the atoms of {frames} fill half of their cell in all three directions, as if the cell were in Bohr and the "
        "positions in Å", f"multiply the cell by {Bohr:.6f} without moving the atoms "
        f"(atoms.set_cell({Bohr:.6f} * atoms.cell)), unless these are clusters in vacuum", found,
    )]  # fmt: skip


def _looks_periodic(atoms):
    cell, periodic = atoms.cell.array, np.asarray(atoms.pbc)
    volume = abs(np.linalg.det(cell))
    if periodic.all() or volume < 1e-3:
        return False
    filling = (4 / 3 * np.pi * covalent_radii[atoms.numbers] ** 3).sum() / volume
    return bool(filling > LEAST_FILLING and (_gaps(atoms)[~periodic] < LARGEST_GAP).all())


def _gaps(atoms):
    """Thickness of the layer without atoms between periodic images, along the normal of each pair of faces, Å."""
    cell = atoms.cell.array
    normals = np.cross(cell[[1, 2, 0]], cell[[2, 0, 1]])
    normals /= np.linalg.norm(normals, axis=1)[:, None]
    widths = np.abs((normals * cell).sum(axis=1))
    heights = atoms.positions @ normals.T
    return widths - (heights.max(axis=0) - heights.min(axis=0))


def _cell_in_bohr(atoms):
    smaller = atoms.copy()
    smaller.set_cell(atoms.cell.array * Bohr)
    if (_gaps(atoms) < LARGEST_GAP).any() or (_gaps(smaller) > LARGEST_GAP).any():
        return False
    found = geometry(smaller)
    collides = found.nearest < _NORMAL_BONDS[0] * 2 * covalent_radii[found.species].min()
    return not collides and _NORMAL_BONDS[0] < found.bond_ratio < _NORMAL_BONDS[1]
