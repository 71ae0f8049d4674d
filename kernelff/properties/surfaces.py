"""Surface energies of crystals: every way to cut between planes of atoms."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from ase.build import surface
from ase.optimize import BFGS
from ase.units import J, m

from kernelff.properties.linear import PosteriorRows
from kernelff.properties.relaxation import energies_of_atoms, relax_atoms, require_crystal

_PLANE = 0.1  # Å; atoms nearer along the normal belong to one plane
_SAME = 1e-4  # J/m^2; cuts whose energies differ by less are taken for one
JOULE_PER_M2 = m**2 / J  # times eV/Å^2


@dataclass(frozen=True, eq=False)
class Surface:
    """One cut through a crystal.

    Attributes
    ----------
    miller : tuple of int
    cut : str
        Elements of the planes below and above the cut, "Ga|As".
    energy, unrelaxed_energy : float
        J/m^2, half of what the two faces cost together per area: their mean where they are not alike.
    faces_alike : bool or None
        Whether the two faces have equal local energies; None if the calculator has none.
    n_atoms : int
        Of the slab, which has the composition of the crystal.
    energy_std : float or None
        Of `energy`; see linear.py.
    slab : ase.Atoms
        Relaxed.
    """

    miller: tuple
    cut: str
    energy: float
    unrelaxed_energy: float
    faces_alike: bool | None
    n_atoms: int
    energy_std: float | None
    slab: object


def surfaces(
    atoms, calculator, miller, *, min_thickness=12.0, vacuum=12.0, fmax=5e-3, steps=500, error_bars=False
):  # fmt: skip
    """Energies of the surfaces of a crystal with given Miller indices, by slabs with relaxed atoms.

    Every gap between planes of atoms is cut; cuts of equal energy before relaxation are reported once. A slab keeps the
    composition of the crystal, so its two faces are those that one cut makes. No reconstruction is looked for.

    Parameters
    ----------
    atoms : ase.Atoms
        Crystal at zero stress. Miller indices are those of its cell, so give the conventional one.
    calculator : ase.calculators.calculator.Calculator
    miller : sequence of int
        Three, not all zero.
    min_thickness, vacuum : float
        Å.
    fmax : float
        Forces left after relaxation, eV/Å.
    steps : int
        Refuse after this many.
    error_bars : bool
        Also standard deviations, if the calculator's potential has a posterior.

    Returns
    -------
    list of Surface
        Lowest energy first.

    Raises
    ------
    ValueError
        If `atoms` is not a crystal, or `miller` are no Miller indices.
    RuntimeError
        If the atoms do not come to rest.
    """
    require_crystal(atoms)
    miller = _miller(miller)
    bulk = atoms.copy()
    bulk.calc = calculator
    per_cell = bulk.get_potential_energy()
    found = {}
    for cut, slab in cuts(atoms, miller, min_thickness, vacuum):
        slab.calc = calculator
        share = len(slab) / len(atoms)
        unrelaxed = JOULE_PER_M2 * (slab.get_potential_energy() - share * per_cell) / _two_areas(slab)
        if not any(abs(unrelaxed - known) < _SAME for known in found):
            found[unrelaxed] = cut, slab, share
    rows = PosteriorRows.of(calculator) if error_bars else None
    bulk_row = None if rows is None else rows.energy(atoms)
    results = []
    for unrelaxed, (cut, slab, share) in found.items():
        alike = _faces_alike(slab)
        relax_atoms(slab, calculator, fmax=fmax, steps=steps, optimizer=BFGS)
        unit = JOULE_PER_M2 / _two_areas(slab)
        energy = unit * (slab.get_potential_energy() - share * per_cell)
        std = None if rows is None else unit * float(rows.std("energy", rows.energy(slab) - share * bulk_row, atoms))
        slab.calc = None
        results.append(Surface(miller, cut, float(energy), float(unrelaxed), alike, len(slab), std, slab))
    return sorted(results, key=lambda one: one.energy)


def cuts(atoms, miller, min_thickness, vacuum):
    """Slabs of a crystal, cut at every gap between planes within one period along the normal.

    Parameters
    ----------
    atoms : ase.Atoms
    miller : tuple of int
    min_thickness, vacuum : float
        Å.

    Returns
    -------
    list of tuple
        (elements below and above the cut, slab); the slab's cell has its third vector along z.
    """
    layer = surface(atoms, miller, 1)
    height = 2 * abs(atoms.get_volume()) / _two_areas(layer)
    n_layers = max(1, int(np.ceil(min_thickness / height - 1e-6)))
    # ASE makes slabs of whole layers, shifted sideways from each other: a part of one that is thicker by a layer.
    stack = surface(atoms, miller, n_layers + 1)
    stack.positions[:, 2] -= stack.positions[:, 2].min()
    z = np.sort((layer.positions[:, 2] - layer.positions[:, 2].min() + 1e-6) % height)
    gaps = np.diff(z, append=z[0] + height)
    least = min(_PLANE, 0.9 * gaps.max())
    starts = [(z[k] + gap / 2) % height for k, gap in enumerate(gaps) if gap > least]
    return [_slab(stack, start, start + n_layers * height, vacuum) for start in starts]


def _slab(stack, bottom, top, vacuum):
    """The atoms of a stack between two heights, with vacuum around."""
    z = stack.positions[:, 2]
    slab = stack[(z > bottom) & (z < top)]
    z = slab.positions[:, 2]
    slab.set_cell([*slab.cell.array[:2], (0, 0, np.ptp(z) + vacuum)])
    slab.pbc = True
    symbols = np.array(slab.get_chemical_symbols())
    upper, lower = ("".join(sorted(set(symbols[near]))) for near in (z > z.max() - _PLANE, z < z.min() + _PLANE))
    slab.positions[:, 2] += vacuum / 2 - z.min()
    return f"{upper}|{lower}", slab


def _miller(miller):
    miller = tuple(int(index) for index in miller)
    if len(miller) != 3 or not any(miller):
        raise ValueError(f"miller: must be three integers, not all zero, got {miller}; (1, 1, 1) for example")
    return miller


def _two_areas(slab):
    return 2 * float(np.linalg.norm(np.cross(*slab.cell.array[:2])))


def _faces_alike(slab):
    energies = energies_of_atoms(slab)
    if energies is None:
        return None
    z = slab.positions[:, 2]
    depth = 0.5 * np.ptp(z) - _PLANE  # a plane in the middle belongs to both
    lower, upper = np.sort(energies[z < z.min() + depth]), np.sort(energies[z > z.max() - depth])
    return len(lower) == len(upper) and bool(np.allclose(lower, upper, atol=1e-5))
