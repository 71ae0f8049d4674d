"""Lattice constant, bulk modulus, elastic constants and vacancy of a crystal, by any ASE calculator."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from ase.eos import EquationOfState as _FittedEquation
from ase.filters import StrainFilter
from ase.optimize import BFGS, FIRE
from ase.units import GPa


@dataclass(frozen=True, eq=False)
class EquationOfState:
    """Energy of a crystal against its volume, with a Birch-Murnaghan fit.

    Attributes
    ----------
    volumes, energies : ndarray of shape (n_points,)
        Per atom, Å^3 and eV.
    volume, energy : float
        At the minimum, per atom, Å^3 and eV.
    lattice_constant : float
        Edge of the conventional cell at the minimum, Å.
    bulk_modulus : float
        GPa.
    """

    volumes: np.ndarray
    energies: np.ndarray
    volume: float
    energy: float
    lattice_constant: float
    bulk_modulus: float


@dataclass(frozen=True)
class ElasticConstants:
    """Elastic constants of a cubic crystal, GPa, atoms relaxed in the strained cell."""

    c11: float
    c12: float
    c44: float

    @property
    def bulk_modulus(self):
        """(C11 + 2 C12) / 3, GPa."""
        return (self.c11 + 2 * self.c12) / 3


def equation_of_state(atoms, calculator, *, volume_range=0.08, n_points=11):
    """Scale a crystal and fit its energy by the third-order Birch-Murnaghan equation.

    Parameters
    ----------
    atoms : ase.Atoms
        Cubic crystal near its equilibrium; atoms on sites fixed by symmetry.
    calculator : ase.calculators.calculator.Calculator
    volume_range : float
        Volumes from 1 - volume_range to 1 + volume_range of that of `atoms`.
    n_points : int

    Returns
    -------
    EquationOfState

    Raises
    ------
    ValueError
        If the energy has no minimum in the range.
    """
    volumes, energies = volume_scan(atoms, calculator, np.linspace(1 - volume_range, 1 + volume_range, n_points))
    if np.argmin(energies) in (0, n_points - 1):
        raise ValueError(
            f"the energy has no minimum between {volumes[0]:.3f} and {volumes[-1]:.3f} Å^3/atom; "
            "start from a crystal nearer to equilibrium or widen volume_range"
        )
    volume, energy, modulus = _FittedEquation(volumes, energies, eos="birchmurnaghan").fit(warn=False)
    relaxed = _scaled(atoms, volume * len(atoms) / atoms.get_volume())
    return EquationOfState(
        volumes=volumes,
        energies=energies,
        volume=float(volume),
        energy=float(energy),
        lattice_constant=float(relaxed.cell.get_bravais_lattice().a),
        bulk_modulus=float(modulus / GPa),
    )


def volume_scan(atoms, calculator, ratios):
    """Energies of a crystal scaled to other volumes.

    Parameters
    ----------
    atoms : ase.Atoms
    calculator : ase.calculators.calculator.Calculator
    ratios : sequence of float
        New volumes relative to that of `atoms`.

    Returns
    -------
    volumes, energies : ndarray of shape (n_ratios,)
        Per atom, Å^3 and eV.
    """
    volumes, energies = [], []
    for ratio in ratios:
        scaled = _scaled(atoms, ratio)
        scaled.calc = calculator
        volumes.append(scaled.get_volume() / len(atoms))
        energies.append(scaled.get_potential_energy() / len(atoms))
    return np.array(volumes), np.array(energies)


def relax_volume(atoms, calculator, *, smax=1e-5, steps=200):
    """A copy of a cubic crystal at zero pressure.

    Parameters
    ----------
    atoms : ase.Atoms
    calculator : ase.calculators.calculator.Calculator
    smax : float
        Largest stress left, eV/Å^3.
    steps : int
        Refuse after this many.

    Returns
    -------
    ase.Atoms
        Scaled equally along the three axes, with the calculator attached.

    Raises
    ------
    RuntimeError
        If the stress does not vanish in `steps` steps.
    """
    relaxed = atoms.copy()
    relaxed.calc = calculator
    hydrostatic = StrainFilter(relaxed, mask=[1, 1, 1, 0, 0, 0])
    if not BFGS(hydrostatic, logfile=None).run(fmax=smax * relaxed.get_volume(), steps=steps):
        raise RuntimeError(f"the cell did not relax in {steps} steps; is the model fit for this crystal?")
    return relaxed


def elastic_constants(atoms, calculator, *, strain=5e-3, fmax=1e-4):
    """C11, C12 and C44 of a cubic crystal by central differences of the stress.

    Parameters
    ----------
    atoms : ase.Atoms
        Crystal at zero pressure (see `relax_volume`), its cube axes along x, y, z.
    calculator : ase.calculators.calculator.Calculator
    strain : float
        Size of the strains; the shear component of the tensor for C44.
    fmax : float
        Forces left after the atoms have relaxed in the strained cell, eV/Å.

    Returns
    -------
    ElasticConstants
    """
    uniaxial, shear = np.zeros((3, 3)), np.zeros((3, 3))
    uniaxial[0, 0] = 1
    shear[1, 2] = shear[2, 1] = 1
    along_x = _stress_slope(atoms, calculator, uniaxial, strain, fmax)
    along_yz = _stress_slope(atoms, calculator, shear, strain, fmax)
    return ElasticConstants(c11=float(along_x[0]), c12=float(along_x[1:3].mean()), c44=float(along_yz[3] / 2))


def vacancy_energy(supercell, calculator, *, index=0, fmax=1e-3, steps=500, relaxed_atoms=None):
    """Energy to take one atom out of a crystal and add it to the bulk, at fixed cell.

    Parameters
    ----------
    supercell : ase.Atoms
        Perfect crystal at zero pressure.
    calculator : ase.calculators.calculator.Calculator
    index : int
        The atom that leaves.
    fmax : float
        Forces left after relaxation, eV/Å.
    steps : int
        Refuse after this many.
    relaxed_atoms : ase.Atoms, optional
        Start the relaxation from these positions of the other atoms.

    Returns
    -------
    energy : float
        E(N - 1, relaxed) - (N - 1) / N E(N), eV.

    Raises
    ------
    RuntimeError
        If the atoms do not come to rest.
    """
    perfect = supercell.copy()
    perfect.calc = calculator
    vacancy = supercell.copy()
    del vacancy[index]
    if relaxed_atoms is not None:
        vacancy.positions = relaxed_atoms.positions
    _relax_atoms(vacancy, calculator, fmax, steps)
    n = len(supercell)
    return float(vacancy.get_potential_energy() - (n - 1) / n * perfect.get_potential_energy())


def _scaled(atoms, volume_ratio):
    scaled = atoms.copy()
    scaled.set_cell(atoms.cell.array * volume_ratio ** (1 / 3), scale_atoms=True)
    return scaled


def _stress_slope(atoms, calculator, direction, strain, fmax):
    """d stress / d strain (GPa, six components) along a symmetric direction, atoms relaxed."""
    stresses = []
    for size in (strain, -strain):
        strained = atoms.copy()
        strained.set_cell(atoms.cell.array @ (np.eye(3) + size * direction), scale_atoms=True)
        _relax_atoms(strained, calculator, fmax, steps=200)
        stresses.append(strained.get_stress())
    return (stresses[0] - stresses[1]) / (2 * strain) / GPa


def _relax_atoms(atoms, calculator, fmax, steps):
    atoms.calc = calculator
    if not FIRE(atoms, logfile=None).run(fmax=fmax, steps=steps):
        raise RuntimeError(f"forces stay above {fmax} eV/Å after {steps} steps; is the model fit for this structure?")
