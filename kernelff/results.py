"""What an evaluation of a frame returns."""

from typing import NamedTuple

import numpy as np

from kernelff.assembly import VOIGT


class Results(NamedTuple):
    """Energy and its derivatives of one frame."""

    energy: float  # eV
    energies: np.ndarray  # (n_atoms,), eV, sum to energy
    forces: np.ndarray  # (n_atoms, 3), eV/Å
    virial: np.ndarray  # (3, 3), eV, -dE/dstrain = -volume * stress
    stress: np.ndarray | None  # (6,), eV/Å^3, xx yy zz yz xz xy; None without a 3-D cell
    virials: np.ndarray | None = None  # (n_atoms, 3, 3), eV, not symmetric, sum to virial; on request


def stress_of(virial, volume):
    """ASE stress (6,) = -virial / volume, None without a volume."""
    if np.isnan(volume):
        return None
    return np.array([-virial[a, b] / volume for a, b in VOIGT])
