"""What of a potential the compiled loop runs by itself, and what it asks Python for."""

import warnings
from typing import NamedTuple

import numpy as np
from ase import Atoms

from kernelff.assembly import term_columns
from kernelff.potential import Potential, baseline_results, has_virials, isolated_energies


class Parts(NamedTuple):
    """A potential as the compiled loop takes it."""

    kernels: list  # objects with `address`
    rest: object  # callable (positions, cell, of_atoms) -> energy, forces, virial, or None
    cutoff: float  # Å, of the kernels
    e0: dict  # atomic number -> eV, in neither of the two


def parts_of(potential):
    """Sort the terms of a potential.

    Parameters
    ----------
    potential : Potential or ase Calculator

    Returns
    -------
    Parts
        With `rest` = None or what gives such a function for the atoms of a run by `bound`.
    """
    if not isinstance(potential, Potential):
        return Parts([], _Rest(None, potential), 0.0, {})
    kernels, cutoffs, terms, weights = [], [], [], []
    for term, columns in zip(potential.terms, term_columns(potential.terms), strict=True):
        kernel = term.compiled(potential.weights[columns])
        if kernel is None:
            terms.append(term)
            weights.append(potential.weights[columns])
        else:
            kernels.append(kernel)
            cutoffs.append(term.cutoff)
    repulsion = None if potential.repulsion is None else potential.repulsion.compiled()
    if repulsion is not None:
        kernels.append(repulsion)
        cutoffs.append(potential.repulsion.cutoff)
    rest = None
    if terms or potential.baseline is not None:
        none = dict.fromkeys(potential.e0, 0.0)
        rest = _Rest(Potential(terms, np.concatenate(weights), none) if terms else None, potential.baseline)
    return Parts(kernels, rest, max(cutoffs, default=0.0), potential.e0)


class _Rest:
    """Terms without a kernel and the baseline."""

    def __init__(self, potential, baseline):
        self.potential, self.baseline = potential, baseline

    @property
    def has_virials(self):
        """Whether all parts know the virials of atoms."""
        return all(has_virials(part) for part in (self.potential, self.baseline) if part is not None)

    def bound(self, atoms):
        """Function (positions, cell, of_atoms) -> energy, forces, virial (NaN where there is none) of these atoms.

        With `of_atoms` also their local energies, without those of isolated atoms, and virials (n_atoms, 3, 3).
        """
        frame = Atoms(atoms.numbers, cell=atoms.cell, pbc=atoms.pbc)
        cell_given = atoms.cell.array.any(axis=1)

        def compute(positions, cell, of_atoms=False):
            frame.set_cell(np.where(cell_given[:, None], cell, 0.0))
            frame.positions = positions
            energy, forces, virial, energies, virials = 0.0, 0.0, 0.0, 0.0, 0.0
            for part in (self.potential, self.baseline):
                if part is not None:
                    with warnings.catch_warnings():
                        warnings.simplefilter("ignore", UserWarning)  # said once, at the start
                        found = baseline_results(part, frame, of_atoms)
                    energy, forces, virial = energy + found.energy, forces + found.forces, virial + found.virial
                    if of_atoms:
                        energies, virials = (
                            energies + found.energies - isolated_energies(part, frame),
                            virials + found.virials,
                        )
            return (energy, forces, virial, energies, virials) if of_atoms else (energy, forces, virial)

        return compute
