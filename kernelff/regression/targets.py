"""What is left to fit in labelled frames after e0 and the baseline."""

import numpy as np

from kernelff.assembly import VOIGT, Targets
from kernelff.io.frame_checks import isolated_atom_energies
from kernelff.potential import baseline_results
from kernelff.regression.e0 import fit_e0


def baseline_of(frames, baseline):
    """Results of the baseline for every frame; None for each without one."""
    return [None if baseline is None else baseline_results(baseline, atoms) for atoms in frames]


def choose_e0(frames, found, base, given):
    """Energies of isolated atoms: given, else of isolated-atom frames, else by least squares; see `fit_e0`.

    Parameters
    ----------
    frames : list of ase.Atoms
    found : list of Labels
    base : list of Results or None
        Of the baseline; what it gives an isolated atom belongs to it.
    given : dict or None

    Returns
    -------
    dict
        Atomic number -> eV.
    """
    isolated = isolated_atom_energies(frames, found=found)
    energies = [
        lab.energy if b is None or lab.energy is None else lab.energy - b.energy
        for lab, b in zip(found, base, strict=True)
    ]
    if any(b is not None for b in base):
        isolated = {
            int(a.numbers[0]): e for a, e in zip(frames, energies, strict=True)
            if len(a) == 1 and int(a.numbers[0]) in isolated and not a.pbc.any() and e is not None
        }  # fmt: skip
    return fit_e0(frames, energies, isolated, given)


def make_targets(frames, found, e0, base):
    """Labels minus e0 and baseline.

    Parameters
    ----------
    frames : list of ase.Atoms
    found : list of Labels
    e0 : dict
        Atomic number -> eV.
    base : list of Results or None

    Returns
    -------
    list of Targets
    """
    return [_targets(atoms, labels, e0, b) for atoms, labels, b in zip(frames, found, base, strict=True)]


def _targets(atoms, labels, e0, base):
    energy, forces, virial = labels.energy, labels.forces, None
    if labels.stress is not None and atoms.pbc.all():
        virial = -atoms.get_volume() * np.asarray(labels.stress)
    if energy is not None:
        energy = energy - sum(e0[int(z)] for z in atoms.numbers)
    if base is not None:
        energy = None if energy is None else energy - base.energy
        forces = None if forces is None else forces - base.forces
        virial = None if virial is None else virial - np.array([base.virial[a, b] for a, b in VOIGT])
    return Targets(energy, forces, virial)
