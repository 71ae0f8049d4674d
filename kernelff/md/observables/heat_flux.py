"""Autocorrelation of the heat flux, and the thermal conductivity."""

from dataclasses import dataclass, replace

import numpy as np
from ase import units

from kernelff.md.observables.fluxes import FluxSampler
from kernelff.potential import Potential, has_virials, isolated_energies

_WATT = units.J / units.second


@dataclass(frozen=True)
class HeatFlux:
    """Autocorrelation of the heat flux and the thermal conductivity (Green-Kubo).

    With the local energies e_i and the virials W_i of the atoms, see `kernelff.assembly.atom_virials`,

        J = sum_i (m_i v_i^2 / 2 + e_i) v_i + sum_i W_i . v_i,    kappa = integral <J(0) . J(t)> dt / (3 V kB T^2),

    which is d/dt sum_i r_i E_i exactly, for potentials of any number of bodies [1]_. T is the mean measured
    temperature. e_i come without the energies of isolated atoms. One element: a constant added to all of them adds to J
    its product with the velocity of the centre of mass, from which velocities are measured: nothing. Several elements:
    it does not matter in a solid, where the flux of atoms that it multiplies has no integral; in a mixture that
    diffuses kappa from J alone does depend on it [2]_, which the result says.

    Parameters
    ----------
    every : int, optional
        Steps between samples; by default `observe_every`, or without it 4 fs at most.

    References
    ----------
    .. [1] Fan et al., Phys. Rev. B 92, 094301 (2015), doi:10.1103/PhysRevB.92.094301
    .. [2] Bertossa, Grasselli, Ercole, Baroni, Phys. Rev. Lett. 122, 255901 (2019), doi:10.1103/PhysRevLett.122.255901
    """

    every: int | None = None
    name, rarer, swings = "heat_flux", 1, True

    def begin(self, watched):
        return _HeatFlux(watched)


class _HeatFlux(FluxSampler):
    needs_virials = True

    def __init__(self, watched):
        super().__init__("heat_flux", 3, watched)
        rest = watched.parts.rest
        if rest is not None and not rest.has_virials:
            raise ValueError(
                "observe: heat_flux needs local energies and the virials of atoms. This potential has a part that "
                "gives none: an ASE calculator, or dispersion. Leave it out, or use a potential without that part."
            )

    def numbers(self, sample):
        """J, eV Å over ASE's unit of time."""
        v = self.watched.without_drift(sample.velocities)
        return flux(self.watched.masses, v, sample.energies, sample.virials)

    def result(self):
        temperature, volume = self.temperature_and_volume
        factor = 1.0 / (volume * units.kB * max(temperature, 1e-9) ** 2)  # of the mean of three components
        conductivity = factor * units.fs / (_WATT / units.m)  # integrals come in fs
        columns = ("flux_eV2_A2_per_fs2", units.fs**2, "conductivity_W_per_m_K")
        result = self.coefficient("thermal conductivity", "W/(m K)", conductivity, columns)
        if len(self.watched.elements) > 1:
            text = "Several elements: right in a solid; if they diffuse, kappa depends on the zero of their energies."
            return replace(result, remarks=(*result.remarks, text))
        return result


def flux(masses, velocities, energies, virials):
    """The heat flux of atoms.

    Parameters
    ----------
    masses, energies : ndarray of shape (n_atoms,)
        amu, eV.
    velocities : ndarray of shape (n_atoms, 3)
        ASE's unit.
    virials : ndarray of shape (n_atoms, 3, 3)
        eV.

    Returns
    -------
    ndarray of shape (3,)
        eV Å over ASE's unit of time.
    """
    carried = 0.5 * masses * (velocities**2).sum(axis=1) + energies
    return carried @ velocities + np.einsum("iab,ib->a", virials, velocities)


def heat_flux(atoms, potential):
    """The heat flux of a frame with momenta.

    Parameters
    ----------
    atoms : ase.Atoms
    potential : Potential or fitted model

    Returns
    -------
    ndarray of shape (3,)
        eV Å over ASE's unit of time; times `ase.units.fs` it is in eV Å/fs. Divide by the volume for a flux density.

    Raises
    ------
    ValueError
        For a potential with a part that has no virials of atoms.
    """
    potential = getattr(potential, "potential_", potential)
    if not isinstance(potential, Potential) or not has_virials(potential):
        raise ValueError(
            "potential: must be a Potential or a fitted model, without ASE calculators or dispersion as baseline, got "
            f"{potential!r}."
        )
    found = potential.compute(atoms, virials=True)
    energies, masses = found.energies - isolated_energies(potential, atoms), atoms.get_masses()
    return flux(masses, atoms.get_momenta() / masses[:, None], energies, found.virials)
