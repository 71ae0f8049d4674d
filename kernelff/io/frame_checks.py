"""Refuse frames no model should be fitted to, and say what to do about them."""

from __future__ import annotations

from typing import NamedTuple

from ase.data import chemical_symbols

from kernelff.io.checks import inspect
from kernelff.io.checks.repeats import CONTRADICTORY_ENERGY
from kernelff.io.finding import Finding, refuse, warn_of
from kernelff.io.geometry import is_isolated_atom
from kernelff.io.label_keys import Labels, labels


class CheckedFrames(NamedTuple):
    """What `check_frames` found on the way."""

    labels: list[Labels]
    geometries: list
    copies: list[tuple[int, int]]
    """Pairs of frames equal up to rotation and order of the atoms."""
    findings: list[Finding]

    @property
    def notes(self):
        """Sentences for the user about what is odd but no reason to refuse."""
        return [str(found) for found in self.findings if found.severity == "warning"]


def check_frames(frames, what="data", *, keys=None, require_labels=True, warn=True):
    """Check a data set for everything that would spoil a fit and that is seen without a model.

    Parameters
    ----------
    frames : sequence of ase.Atoms
    what : str
        What to call the frames in messages, e.g. "training frames".
    keys : LabelKeys, optional
    require_labels : bool
        False accepts frames without labels (to predict on).
    warn : bool
        Emit the warnings among the findings as warnings too.

    Returns
    -------
    CheckedFrames

    Raises
    ------
    ValueError
        If there are no frames, a frame is empty, has positions, labels or a cell that cannot be used, two
        atoms coincide, labels are missing or all zero, two equal frames carry contradictory labels, or the
        stresses contradict the energies of strained frames. The message names the frames and the remedy.
    """
    inspection = inspect(frames, keys, require_labels=require_labels)
    refuse(inspection.findings, what)
    if warn:
        warn_of(inspection.findings, what)
    data = inspection.data
    return CheckedFrames(data.labels, data.geometries, data.copies, inspection.findings)


def isolated_atom_energies(frames, *, keys=None, found=None):
    """Energies of isolated atoms among the frames.

    Parameters
    ----------
    frames : sequence of ase.Atoms
    keys : LabelKeys, optional
    found : sequence of Labels, optional
        The labels, where they are known already.

    Returns
    -------
    dict
        Atomic number -> energy, eV.

    Raises
    ------
    ValueError
        If two isolated atoms of one element have different energies.
    """
    energies = {}
    for k, atoms in enumerate(frames):
        if not is_isolated_atom(atoms):
            continue
        energy = (found[k] if found is not None else labels(atoms, keys, name=f"frame {k}")).energy
        z = int(atoms.numbers[0])
        if energy is None:
            continue
        if abs(energies.setdefault(z, energy) - energy) > CONTRADICTORY_ENERGY:
            raise ValueError(
                f"frame {k}: this isolated {chemical_symbols[z]} atom has energy {energy:.6f} eV, an earlier "
                f"one {energies[z]:.6f} eV; keep one of them, or pass e0={{{z}: ...}}"
            )
    return energies
