"""Uncertainty of every atom while a run lasts: made in the compiled loop where the potential has compiled rows."""

import warnings

import numpy as np
from ase import Atoms

from kernelff.assembly import elements_of
from kernelff.error_bars.coefficient_rows import require_known
from kernelff.error_bars.local_pass import LocalPass, local_numbers, require_kind
from kernelff.potential import Potential

_NAMES = {"std": ("energies_std", "_eV"), "novelty": ("novelty", ""), "grade": ("extrapolation_grades", "")}
_WORDS = {"std": "the sd of the local energy", "novelty": "the novelty", "grade": "the extrapolation grade"}


class Watch:
    """What a run looks at, and how it is told.

    The loop works with posterior sds; those that are reported, and the limit, are calibrated.

    Parameters
    ----------
    potential : Potential
    settings : MDSettings
        With `uncertainty`.
    atoms : ase.Atoms

    Attributes
    ----------
    name : str
        Of the array of a frame: energies_std (eV), novelty or extrapolation_grades.
    columns : tuple of str
        Of the thermo table: the largest and the mean.
    words : str
        The name in a sentence.

    Raises
    ------
    ValueError
        For a kind that the potential does not have, or a limit below all that it reports.
    """

    def __init__(self, potential, settings, atoms):
        if not isinstance(potential, Potential):
            raise ValueError(
                f"uncertainty: {settings.uncertainty!r} is of potentials of kernelff, not of ASE calculators. Leave it "
                "out, or pass a Potential."
            )
        self.kind, self.every = settings.uncertainty, settings.uncertainty_every
        require_kind(potential, self.kind)
        if self.kind == "grade":
            require_known(atoms.numbers, potential.active_set.species)
        self.name, unit = _NAMES[self.kind]
        self.words = _WORDS[self.kind]
        self.columns = (f"{self.name}_max{unit}", f"{self.name}_mean{unit}")
        self.potential, self.elements = potential, elements_of(atoms)
        self.compiled = LocalPass.of(potential, (self.kind,))
        self.limit = np.inf if settings.max_uncertainty is None else self._posterior(settings.max_uncertainty)

    def attach(self, system, n_kernels, atoms, order, state):
        """Have a System with that many kernels, those of the terms first, look at its atoms."""
        known = np.zeros(len(order)) if state.uncertainties is None else state.uncertainties[order]
        given = self.every, self.limit, known, state.uncertainty_step
        if self.compiled is None:
            system.watch(*given, asked=self._asked(atoms, order))
            return
        kernels, columns = self.compiled.kernels, self.compiled.columns
        rows = [(kernel.row_kernel, column) for kernel, column in zip(kernels, columns, strict=True)]
        rows += [(None, 0)] * (n_kernels - len(rows))
        system.watch(*given, rows, self.compiled.measures[self.kind])

    def told(self, numbers):
        """Numbers of the loop as they are reported."""
        calibrated = self.kind == "std" and self.compiled is not None
        return self._calibration.std("energy", numbers, 1, self.elements) if calibrated else np.asarray(numbers)

    def row(self, system):
        """Entries of a line of the thermo table."""
        numbers = self.told(system.uncertainties)
        return dict(zip(self.columns, (float(numbers.max()), float(numbers.mean())), strict=True))

    def arrays(self, system):
        """{name: numbers (n_atoms,)} in the caller's order, of the last step that they were made in."""
        return {self.name: self.told(system.uncertainties[np.argsort(system.ids)])}

    @property
    def _calibration(self):
        return self.potential.posterior.calibration

    def _posterior(self, limit):
        if self.kind != "std":
            return limit
        least = self._calibration.least("energy", self.elements)
        if limit < least:
            raise ValueError(
                f"max_uncertainty: {limit:g} eV is less than the smallest standard deviation that this model reports, "
                f"{least:.3g} eV. Give a larger one."
            )
        return limit if self.compiled is None else self._calibration.posterior_std("energy", limit, 1, self.elements)

    def _asked(self, atoms, order):
        """Function (positions, cell) -> numbers, through Python."""
        frame = Atoms(atoms.numbers, cell=atoms.cell, pbc=atoms.pbc)
        cell_given, place = atoms.cell.array.any(axis=1), np.argsort(order)

        def numbers(positions, cell):
            frame.set_cell(np.where(cell_given[:, None], cell, 0.0))
            frame.positions = positions[place]
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # said once, at the start
                return local_numbers(self.potential, frame, self.kind)[order]

        return numbers
