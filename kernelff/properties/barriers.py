"""Barriers between two minima by the nudged elastic band, through ASE."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from ase.mep import NEB
from ase.optimize import BFGS, FIRE

from kernelff.properties.linear import PosteriorRows
from kernelff.properties.relaxation import relax_atoms, require_crystal, supercell_of


@dataclass(frozen=True, eq=False)
class Barrier:
    """A minimum energy path.

    Attributes
    ----------
    energy : float
        Of the highest image above the initial state, eV.
    reverse_energy : float
        Of the highest image above the final state, eV.
    energies : ndarray of shape (n_images + 2,)
        Above the initial state, eV.
    images : list of ase.Atoms
        Initial state, images, final state.
    energy_std : float or None
        Of `energy`; see linear.py.
    """

    energy: float
    reverse_energy: float
    energies: np.ndarray
    images: list
    energy_std: float | None = None


def barrier(initial, final, calculator, *, n_images=5, fmax=0.03, steps=500, error_bars=False):
    """Climbing-image nudged elastic band [1]_ between two states, which are relaxed first.

    Parameters
    ----------
    initial, final : ase.Atoms
        The same atoms in the same order and cell.
    calculator : ase.calculators.calculator.Calculator
    n_images : int
        Between the two; an odd number has one in the middle.
    fmax : float
        Forces left across the band, eV/Å.
    steps : int
        Refuse after this many.
    error_bars : bool
        Also a standard deviation, if the calculator's potential has a posterior.

    Returns
    -------
    Barrier

    Raises
    ------
    ValueError
        If the two states do not belong together, or are the same.
    RuntimeError
        If states or band do not come to rest.

    References
    ----------
    .. [1] Henkelman, Uberuaga, Jónsson, J. Chem. Phys. 113, 9901 (2000), doi:10.1063/1.1329672
    """
    _require_ends(initial, final, n_images)
    ends = [initial.copy(), final.copy()]
    for end in ends:
        relax_atoms(end, calculator, fmax=0.3 * fmax, steps=steps, optimizer=BFGS)
    _require_apart(ends)
    images = [ends[0], *(ends[0].copy() for _ in range(n_images)), ends[1]]
    for image in images:
        image.calc = calculator
    band = NEB(images, climb=True, method="improvedtangent", allow_shared_calculator=True)
    band.interpolate(mic=True)
    if not FIRE(band, logfile=None).run(fmax=fmax, steps=steps):
        raise RuntimeError(f"the band did not come to rest in {steps} steps; give more images or a larger fmax")
    energies = np.array([image.get_potential_energy() for image in images])
    top = int(np.argmax(energies))
    rows, std = PosteriorRows.of(calculator) if error_bars else None, None
    if rows is not None:
        std = float(rows.std("energy", rows.energy(images[top]) - rows.energy(images[0]), images[0]))
    for image in images:
        image.calc = None
    return Barrier(
        float(energies[top] - energies[0]), float(energies[top] - energies[-1]), energies - energies[0], images, std
    )


def vacancy_jump(atoms, *, index=0, min_length=10.0):
    """The two ends of a jump of a vacancy to the nearest site of its element.

    Parameters
    ----------
    atoms : ase.Atoms
        Perfect crystal.
    index : int
        The atom that is missing before.
    min_length : float
        Copies of the vacancy are at least this far apart, Å.

    Returns
    -------
    initial, final : ase.Atoms
        For `barrier`.

    Raises
    ------
    ValueError
        If the supercell has no second atom of this element.
    """
    require_crystal(atoms)
    perfect = supercell_of(atoms, min_length)
    others = [k for k in range(len(perfect)) if k != index and perfect.numbers[k] == perfect.numbers[index]]
    if not others:
        raise ValueError(f"min_length: a supercell of {min_length} Å has one {atoms.symbols[index]}; give a larger one")
    distances = perfect.get_distances(index, others, mic=True)
    mover = others[int(np.argmin(np.round(distances, 6)))]
    final = perfect.copy()
    final.positions[mover] += perfect.get_distance(mover, index, mic=True, vector=True)
    initial = perfect.copy()
    del initial[index], final[index]
    return initial, final


def _require_ends(initial, final, n_images):
    if len(initial) != len(final) or (initial.numbers != final.numbers).any():
        raise ValueError("final: must have the atoms of initial in the same order")
    if not np.allclose(initial.cell.array, final.cell.array, atol=1e-6) or (initial.pbc != final.pbc).any():
        raise ValueError("final: must have the cell of initial; barriers are at fixed cell")
    if n_images < 1:
        raise ValueError(f"n_images: must be 1 or more, got {n_images}")


def _require_apart(ends):
    if np.abs(ends[0].positions - ends[1].positions).max() < 0.05:
        raise ValueError("final: relaxes to the same state as initial, so that there is no barrier between them")
