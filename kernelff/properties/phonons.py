"""Phonons of a crystal by finite displacements in a supercell, through phonopy (optional)."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from ase import Atoms, units
from ase.cell import Cell
from ase.dft.kpoints import parse_path_string

from kernelff.properties.linear import PosteriorRows
from kernelff.properties.phonon_errors import frequency_errors
from kernelff.properties.relaxation import repeats_of, require_crystal

_IMAGINARY = 0.05  # THz; less may be rounding of the forces
_ALONG_PATH = 40  # steps on each leg of the band path
_EV_PER_THZ = units._hplanck * units.J * 1e12
_THZ = np.sqrt(units._e / units._amu) * 1e-2 / (2 * np.pi)  # of the root of an eV/(Å^2 amu): 1e10 1/s = 1e-2 THz


@dataclass(frozen=True, eq=False)
class Phonons:
    """Phonon bands and density of states. Imaginary frequencies are negative.

    Attributes
    ----------
    distances : list of ndarray
        Along each leg of the path through the Brillouin zone, continued from leg to leg, 1/Å.
    frequencies : list of ndarray of shape (n_points, n_bands)
        THz, on each leg.
    labels : list of tuple of str
        First and last point of each leg.
    dos_frequencies, dos : ndarray
        THz, and states per THz and primitive cell, summing to the number of bands.
    lowest : float
        Lowest frequency on the path and the mesh, THz.
    lowest_point : str
        "at X", "between G and X" or "on the mesh".
    drift : float
        Largest acoustic frequency at the zone centre before the sum rule was imposed, THz (signed as frequencies).
    zero_point_energy : float
        eV per atom, of the real modes.
    n_atoms, n_supercells : int
        Atoms of the supercell, and how often its forces were computed.
    frequencies_std : list of ndarray of shape (n_points, n_bands), or None
        Standard deviations by the posterior, THz, on each leg; None without a posterior.
    zero_point_energy_std : float or None
        eV per atom.
    """

    distances: list
    frequencies: list
    labels: list
    dos_frequencies: np.ndarray
    dos: np.ndarray
    lowest: float
    lowest_point: str
    drift: float
    zero_point_energy: float
    n_atoms: int
    n_supercells: int
    frequencies_std: list | None = None
    zero_point_energy_std: float | None = None

    @property
    def stable(self):
        """Whether no mode is imaginary by more than 0.05 THz."""
        return self.lowest > -_IMAGINARY

    @property
    def highest(self):
        """Highest frequency on the path, THz."""
        return max(float(leg.max()) for leg in self.frequencies)

    @property
    def highest_std(self):
        """Standard deviation of the highest frequency on the path, THz, or None."""
        if self.frequencies_std is None:
            return None
        highest = max(range(len(self.frequencies)), key=lambda k: self.frequencies[k].max())
        return float(self.frequencies_std[highest].ravel()[self.frequencies[highest].argmax()])


def phonons(atoms, calculator, *, min_length=10.0, displacement=0.01, mesh=20, progress=None, error_bars=False):
    """Phonon bands and density of states in the harmonic approximation.

    Atoms are displaced both ways where symmetry asks for it; what the forces add up to is taken off, and the force
    constants obey the acoustic sum rule. Long-range electric fields of ionic crystals (LO-TO splitting) are left out.
    The error bars are those at the fixed equilibrium cell, to first order in the weights, see `phonon_errors`.

    Parameters
    ----------
    atoms : ase.Atoms
        Crystal with atoms at rest (see `relax_crystal`).
    calculator : ase.calculators.calculator.Calculator
    min_length : float
        Copies of a displaced atom are at least this far apart, Å; twice the cutoff of a potential leaves nothing out.
    displacement : float
        Å.
    mesh : int
        Points of the density of states along each reciprocal vector.
    progress : callable, optional
        Called with (done, all) after each supercell.
    error_bars : bool
        Also standard deviations, if the calculator's potential has a posterior.

    Returns
    -------
    Phonons

    Raises
    ------
    ImportError
        Without phonopy.
    ValueError
        If `atoms` is not a crystal or `displacement` is out of range.
    RuntimeError
        If the atoms are not at rest, or forces are not finite.
    """
    require_crystal(atoms)
    if not 1e-4 <= displacement <= 0.2:
        raise ValueError(f"displacement: must lie between 1e-4 and 0.2 Å, got {displacement}; 0.01 is usual")
    _require_rest(atoms, calculator)
    phonon = _phonopy_of(atoms, min_length, displacement)
    sets = [_frame(cell) for cell in phonon.supercells_with_displacements]
    rows = PosteriorRows.of(calculator) if error_bars else None
    errors = None if rows is None else frequency_errors(phonon, sets, rows)
    forces = []
    for displaced in sets:
        forces.append(_forces(displaced, calculator))
        if progress is not None:
            progress(len(forces), len(sets))
    phonon.forces = forces
    phonon.produce_force_constants(show_drift=False)
    drift = _acoustic(phonon)
    phonon.symmetrize_force_constants(show_drift=False)
    return _results(phonon, mesh, drift, errors)


def _phonopy_of(atoms, min_length, displacement):
    try:
        from phonopy import Phonopy
        from phonopy.structure.atoms import PhonopyAtoms
    except ImportError as error:
        raise ImportError("phonons need phonopy: pip install 'kernelff[phonons]'") from error
    if atoms.cell.handedness < 0:  # which phonopy refuses
        atoms = atoms.copy()
        atoms.set_cell(atoms.cell.array[[1, 0, 2]])
    cell = PhonopyAtoms(
        symbols=atoms.get_chemical_symbols(), cell=atoms.cell.array, scaled_positions=atoms.get_scaled_positions(),
        masses=atoms.get_masses(),
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # phonopy 4 tells users of phonopy 3 that "auto" looks for the primitive cell
        phonon = Phonopy(cell, supercell_matrix=np.diag(repeats_of(atoms, min_length)), primitive_matrix="auto")
    phonon.generate_displacements(distance=displacement)
    return phonon


def _frame(cell):
    return Atoms(cell.symbols, scaled_positions=cell.scaled_positions, cell=cell.cell, pbc=True)


def _forces(displaced, calculator):
    displaced.calc = calculator
    forces = displaced.get_forces()
    if not np.isfinite(forces).all():
        raise RuntimeError("the model gives forces that are not finite; is it fit for this crystal?")
    return forces - forces.mean(axis=0)


def _require_rest(atoms, calculator, fmax=0.01):
    crystal = atoms.copy()
    crystal.calc = calculator
    largest = np.linalg.norm(crystal.get_forces(), axis=1).max()
    if not largest < fmax:
        raise RuntimeError(
            f"atoms: phonons are vibrations about rest, but a force of {largest:.3g} eV/Å is left; relax the crystal "
            "first (kernelff.properties.relax_crystal)"
        )


def _acoustic(phonon):
    """The acoustic frequency at the zone centre that is furthest from zero, THz."""
    phonon.run_qpoints([[0, 0, 0]])
    found = phonon.qpoints.frequencies[0]
    acoustic = found[np.argsort(np.abs(found))[:3]]
    return float(acoustic[np.argmax(np.abs(acoustic))])


def _results(phonon, mesh, drift, errors):
    legs, labels = _path(phonon.primitive.cell)
    phonon.run_band_structure(legs, with_eigenvectors=errors is not None)
    bands = phonon.band_structure
    phonon.run_mesh([mesh] * 3, is_gamma_center=True, with_eigenvectors=errors is not None)
    phonon.run_total_dos()
    found, dos = phonon.mesh, phonon.total_dos
    weights = found.weights / found.weights.sum()
    bars = (None, None)
    if errors is not None:
        bars = _band_stds(bands, errors), _zero_point_std(found, weights, errors) / len(phonon.primitive)
    lowest, where = _lowest(bands.frequencies, labels, found.frequencies)
    zero_point = 0.5 * _EV_PER_THZ * (weights @ np.maximum(found.frequencies, 0.0)).sum()
    return Phonons(
        distances=[np.asarray(leg) for leg in bands.distances],
        frequencies=[np.asarray(leg) for leg in bands.frequencies],
        labels=labels,
        dos_frequencies=np.asarray(dos.frequency_points),
        dos=np.asarray(dos.dos),
        lowest=lowest,
        lowest_point=where,
        drift=drift,
        zero_point_energy=float(zero_point / len(phonon.primitive)),
        n_atoms=len(phonon.supercell),
        n_supercells=len(phonon.supercells_with_displacements),
        frequencies_std=bars[0],
        zero_point_energy_std=bars[1],
    )


def _band_stds(bands, errors):
    """Standard deviations of the frequencies on each leg, THz.

    Half of what lies between the frequencies at lambda +- sd: sd / (2 omega) of modes that are well above zero, and
    the root of the sd of those at zero, where it has no slope.
    """
    stds = []
    for points, modes, frequencies in zip(bands.qpoints, bands.eigenvectors, bands.frequencies, strict=True):
        sizes = np.array([np.linalg.norm(errors.rows(q, e), axis=1) for q, e in zip(points, modes, strict=True)])
        middle = np.sign(frequencies) * (frequencies / _THZ) ** 2
        ends = [np.sign(x) * np.sqrt(np.abs(x)) for x in (middle + sizes, middle - sizes)]
        stds.append(0.5 * _THZ * (ends[0] - ends[1]))
    return stds


def _zero_point_std(mesh, weights, errors):
    """sd of the zero-point energy of a primitive cell, eV; modes near zero add little to it and are left out."""
    total = 0.0
    for q, modes, frequencies, weight in zip(mesh.qpoints, mesh.eigenvectors, mesh.frequencies, weights, strict=True):
        real = frequencies > _IMAGINARY
        slopes = np.where(real, 0.5 * _THZ**2 / np.where(real, frequencies, 1.0), 0.0)  # of a frequency by lambda
        total = total + weight * errors.weighted_row(q, modes, slopes)
    return float(0.5 * _EV_PER_THZ * np.linalg.norm(total))


def _path(cell):
    """Legs (n_points, 3) of ASE's path for this lattice, scaled coordinates, and the names of their ends."""
    bandpath = Cell(np.array(cell)).bandpath(npoints=0)
    points, legs, labels = bandpath.special_points, [], []
    for names in parse_path_string(bandpath.path):
        for a, b in pairwise(names):
            legs.append(np.linspace(points[a], points[b], _ALONG_PATH + 1))
            labels.append((a, b))
    return legs, labels


def _lowest(legs, labels, on_mesh):
    best, where = float(on_mesh.min()), "on the mesh"
    for (a, b), leg in zip(labels, legs, strict=True):
        k = int(np.argmin(leg.min(axis=1)))
        if leg[k].min() < best - 1e-6:
            best = float(leg[k].min())
            where = f"at {a}" if k == 0 else f"at {b}" if k == len(leg) - 1 else f"between {a} and {b}"
    return best, where
