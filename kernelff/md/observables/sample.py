"""What observables see of a run: facts that stay, and the present step."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from ase import Atoms, units
from ase.data import chemical_symbols

from kernelff.md.settings import MDSettings
from kernelff.md.state import fixed_atoms, freedom_of


@dataclass(frozen=True, eq=False)
class Watched:
    """The run that is watched.

    Attributes
    ----------
    atoms : ase.Atoms
        Elements, masses, periodicity, constraints; its positions are those of the start.
    settings : MDSettings
    potential : Potential or ase Calculator
    every : int
        Steps between two samples.
    parts : Parts or None
        The potential as the compiled loop runs it.
    """

    atoms: Atoms
    settings: MDSettings
    potential: object
    every: int = 1
    parts: object = None

    @property
    def interval(self):
        """Time between two samples, fs."""
        return self.every * self.settings.timestep

    @cached_property
    def masses(self):
        """(n_atoms,), amu."""
        return self.atoms.get_masses()

    @cached_property
    def freedom(self):
        """Degrees of freedom of the atoms."""
        return freedom_of(self.atoms, self.settings)

    @cached_property
    def elements(self):
        """Symbol -> indices of its atoms, by atomic number."""
        numbers = self.atoms.numbers
        return {chemical_symbols[z]: np.flatnonzero(numbers == z) for z in np.unique(numbers)}

    @cached_property
    def drifts(self):
        """Whether there is a centre of mass whose motion is not that of the atoms: not with fixed atoms, nor of one."""
        return len(self.atoms) > 1 and not fixed_atoms(self.atoms).any()

    def without_drift(self, vectors):
        """Vectors (n_atoms, 3) less their mean weighted by mass."""
        return vectors - self.masses @ vectors / self.masses.sum() if self.drifts else vectors

    def require_periodic(self, name):
        """Refuse a frame without volume."""
        if not self.atoms.pbc.all():
            raise ValueError(
                f"observe: {name} needs a volume, but pbc of the atoms is {self.atoms.pbc.tolist()}. Leave it out, or "
                "give a frame that is periodic in three directions."
            )


@dataclass(frozen=True, eq=False)
class Sample:
    """One step, atoms in the caller's order.

    Attributes
    ----------
    positions : ndarray of shape (n_atoms, 3)
        Å; with `images` @ cell added, the path.
    images : ndarray of int, shape (n_atoms, 3)
    cell : ndarray of shape (3, 3)
        Å.
    velocities : ndarray of shape (n_atoms, 3)
        ASE's unit.
    kinetic, virial : ndarray of shape (3, 3)
        sum m v v' and -dE/dstrain, eV.
    energies : ndarray of shape (n_atoms,), optional
        Local energies without those of isolated atoms, eV.
    virials : ndarray of shape (n_atoms, 3, 3), optional
        Of the atoms, eV.
    energies_std : ndarray of shape (n_atoms,), optional
        Standard deviations of the local energies, where the run has made them in this step, eV.
    """

    positions: np.ndarray
    images: np.ndarray
    cell: np.ndarray
    velocities: np.ndarray
    kinetic: np.ndarray
    virial: np.ndarray
    energies: np.ndarray | None = None
    virials: np.ndarray | None = None
    energies_std: np.ndarray | None = None

    @cached_property
    def volume(self):
        """Å^3"""
        return abs(float(np.linalg.det(self.cell)))

    def temperature(self, freedom):
        """K, for so many degrees of freedom; 0 without any."""
        return float(self.kinetic.trace()) / (freedom * units.kB) if freedom else 0.0


def sample_of(system, watch=None):
    """The present step of a compiled system, with what its Watch has made in this step."""
    place, energies, virials = np.argsort(system.ids), None, None
    if system.energies is not None:
        energies, virials = system.energies[place], system.virials[place, :, :3]
    positions, images, velocities = system.x[place, :3], system.images[place], system.v[place, :3]
    own = None if watch is None or system.uncertainty_step != system.step else watch.arrays(system).get("energies_std")
    return Sample(positions, images, system.cell, velocities, system.kinetic, system.virial, energies, virials, own)
