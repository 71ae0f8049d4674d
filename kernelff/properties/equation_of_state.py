"""Energy of a crystal against its volume."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from ase.eos import EquationOfState as _FittedEquation
from ase.units import GPa

from kernelff.properties.linear import PosteriorRows
from kernelff.properties.relaxation import relax_crystal, require_crystal


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
    energies_std : ndarray of shape (n_points,) or None
        sd of each energy, eV/atom, as `Potential.uncertainty` has it; None without a posterior.
    volume_std, lattice_constant_std, bulk_modulus_std : float or None
        From the covariance of the energies, to first order, in which what they share cancels; see linear.py.
    """

    volumes: np.ndarray
    energies: np.ndarray
    volume: float
    energy: float
    lattice_constant: float
    bulk_modulus: float
    energies_std: np.ndarray | None = None
    volume_std: float | None = None
    lattice_constant_std: float | None = None
    bulk_modulus_std: float | None = None

    @property
    def residual(self):
        """Largest distance of a point from the fitted curve, eV/atom; a bulk modulus is as good as the fit."""
        return float(np.abs(self.curve(self.volumes) - self.energies).max())

    def curve(self, volumes):
        """The fitted energies (eV/atom) at volumes (Å^3/atom)."""
        return _fit(self.volumes, self.energies)[1](volumes)


def equation_of_state(atoms, calculator, *, volume_range=0.08, n_points=11, relax=False, error_bars=False):
    """Scale a crystal and fit its energy by the third-order Birch-Murnaghan equation.

    Parameters
    ----------
    atoms : ase.Atoms
        Crystal near its equilibrium.
    calculator : ase.calculators.calculator.Calculator
    volume_range : float
        Volumes from 1 - volume_range to 1 + volume_range of that of `atoms`.
    n_points : int
        5 or more.
    relax : bool
        Relax atoms and the shape of the cell at each volume; needed where symmetry does not fix them.
    error_bars : bool
        Also standard deviations, if the calculator's potential has a posterior.

    Returns
    -------
    EquationOfState

    Raises
    ------
    ValueError
        If the energy has no minimum in the range.
    """
    _check_points(volume_range, n_points)
    frames = scaled_frames(atoms, np.linspace(1 - volume_range, 1 + volume_range, n_points))
    if relax:
        frames = [relax_crystal(frame, calculator, constant_volume=True, fmax=1e-3) for frame in frames]
    volumes, energies = _volumes_and_energies(frames, calculator)
    if np.argmin(energies) in (0, n_points - 1):
        raise ValueError(
            f"the energy has no minimum between {volumes[0]:.3f} and {volumes[-1]:.3f} Å^3/atom; "
            "start from a crystal nearer to equilibrium or widen volume_range"
        )
    (volume, energy, modulus), _ = _fit(volumes, energies)
    nearest = frames[np.argmin(np.abs(volumes - volume))]
    relaxed = scaled_frames(nearest, [volume * len(atoms) / nearest.get_volume()])[0]
    length = float(relaxed.cell.get_bravais_lattice().a)
    rows = PosteriorRows.of(calculator) if error_bars else None
    stds = {} if rows is None else _standard_deviations(frames, volumes, energies, rows)
    if stds:
        stds["lattice_constant_std"] = length * stds["volume_std"] / volume / 3
    return EquationOfState(volumes, energies, float(volume), float(energy), length, float(modulus), **stds)


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
    return _volumes_and_energies(scaled_frames(atoms, ratios), calculator)


def scaled_frames(atoms, ratios):
    """Copies of a crystal, scaled to volumes that are `ratios` times its own.

    Parameters
    ----------
    atoms : ase.Atoms
    ratios : sequence of float

    Returns
    -------
    list of ase.Atoms
    """
    frames = []
    for ratio in ratios:
        frames.append(atoms.copy())
        frames[-1].set_cell(atoms.cell.array * ratio ** (1 / 3), scale_atoms=True)
    return frames


def _check_points(volume_range, n_points):
    if not 0 < volume_range < 0.9:
        raise ValueError(f"volume_range: must lie between 0 and 0.9, got {volume_range}; 0.08 is usual")
    if n_points < 5:
        raise ValueError(f"n_points: four parameters need 5 points or more, got {n_points}")


def _volumes_and_energies(frames, calculator):
    energies = []
    for frame in frames:
        require_crystal(frame)
        frame.calc = calculator
        energies.append(frame.get_potential_energy() / len(frame))
        frame.calc = None
    return np.array([frame.get_volume() / len(frame) for frame in frames]), np.array(energies)


def _fit(volumes, energies):
    """(volume, energy, bulk modulus in GPa) at the minimum, and the fitted curve."""
    fit = _FittedEquation(volumes, energies, eos="birchmurnaghan")
    volume, energy, modulus = fit.fit(warn=False)
    return np.array([volume, energy, modulus / GPa]), lambda v: fit.func(np.asarray(v), *fit.eos_parameters)


def _minimum(volumes, energies):
    """Volume and bulk modulus (GPa) of the same curve, which is a cubic in V^(-2/3) and so linear in the energies.

    ASE's iterations end at an error that differences for derivatives would show.
    """
    scale = volumes.mean()
    x = (volumes / scale) ** (-2 / 3)
    curve = np.polynomial.Polynomial.fit(x, energies - energies.mean(), 3)
    slope, bend = curve.deriv(), curve.deriv(2)
    roots = np.real(slope.roots()[np.isreal(slope.roots())])
    at = roots[np.argmax(bend(roots))]  # the minimum
    volume = scale * at**-1.5
    # V d2E/dV2 = E''(x) (dx/dV)^2 V where E'(x) = 0, with dx/dV = -2 x / (3 V)
    return np.array([volume, bend(at) * (2 * at / 3) ** 2 / volume / GPa])


def _standard_deviations(frames, volumes, energies, rows):
    """sds of the points and, by the derivatives of the fit with respect to each energy, of its results."""
    n_atoms = len(frames[0])
    found = [rows.potential.uncertainty(frame, derivatives=False).energy_std / n_atoms for frame in frames]
    step = 1e-3 * np.ptp(energies)
    bumps = step * np.eye(len(energies))
    slopes = [(_minimum(volumes, energies + b) - _minimum(volumes, energies - b)) / (2 * step) for b in bumps]
    per_atom = np.array([rows.energy(frame) for frame in frames]) / n_atoms
    volume, modulus = rows.std("energy", np.transpose(slopes) @ per_atom, frames[0])
    return {"energies_std": np.array(found), "volume_std": float(volume), "bulk_modulus_std": float(modulus)}
