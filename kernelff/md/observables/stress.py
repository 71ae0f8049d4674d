"""Autocorrelation of the shear stress, and the shear viscosity."""

from dataclasses import dataclass

import numpy as np
from ase import units

from kernelff.md.observables.fluxes import FluxSampler


@dataclass(frozen=True)
class StressCorrelation:
    """Shear relaxation modulus G(t) = V <s(0) s(t)> / kT of a liquid, and its integral, the viscosity (Green-Kubo).

    s are the five orthogonal components of the traceless symmetric stress, which an isotropic liquid makes equal [1]_;
    their mean is taken as zero, as it is there. In a solid G does not decay and there is no viscosity.

    Parameters
    ----------
    every : int, optional
        Steps between samples; by default `observe_every`, or without it 4 fs at most.

    References
    ----------
    .. [1] Daivis, Evans, J. Chem. Phys. 100, 541 (1994), doi:10.1063/1.466970
    """

    every: int | None = None
    name, rarer, swings = "stress", 1, True

    def begin(self, watched):
        return _Stress(watched)


class _Stress(FluxSampler):
    def __init__(self, watched):
        super().__init__("stress", 5, watched)

    def numbers(self, sample):
        """Five shear components, eV/Å^3."""
        return shear_components((sample.kinetic + sample.virial) / sample.volume)

    def result(self):
        temperature, volume = self.temperature_and_volume
        modulus = volume / (units.kB * max(temperature, 1e-9))  # eV/Å^3 of the square
        viscosity = modulus / units.Pascal * (units.fs / units.second) * 1e3  # integrals come in fs
        columns = ("G_GPa", modulus / units.GPa, "viscosity_mPa_s")
        return self.coefficient("shear viscosity", "mPa s", viscosity, columns)


def shear_components(p):
    """xy, yz, xz, (xx - yy) / 2 and (2 zz - xx - yy) / sqrt(12) of a matrix: equal mean squares in a liquid."""
    xy, yz, xz = (0.5 * (p[a, b] + p[b, a]) for a, b in ((0, 1), (1, 2), (0, 2)))
    return np.array([xy, yz, xz, 0.5 * (p[0, 0] - p[1, 1]), (2 * p[2, 2] - p[0, 0] - p[1, 1]) / np.sqrt(12)])
