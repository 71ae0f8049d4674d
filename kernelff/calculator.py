"""ASE calculator: units and names of ASE, nothing else."""

import numpy as np
from ase.calculators.calculator import Calculator, PropertyNotImplementedError, all_changes


class PotentialCalculator(Calculator):
    """A Potential as ASE calculator.

    Parameters
    ----------
    potential : Potential
    uncertainty : bool
        Also put ``energy_std``, ``energies_std``, ``forces_std``, ``stress_std``
        and ``novelty`` into ``results`` (eV, eV/Å, eV/Å^3; novelty in 0..1).
    extrapolation : bool
        Also put ``extrapolation_grade``, the largest of the frame, and, if the potential's active set is one of
        environments, ``extrapolation_grades`` of the atoms into ``results``.
    """

    implemented_properties = ("energy", "free_energy", "energies", "forces", "stress")

    def __init__(self, potential, uncertainty=False, extrapolation=False):
        super().__init__()
        self.potential, self.uncertainty, self.extrapolation = potential, uncertainty, extrapolation

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        results = self.potential.compute(self.atoms)
        self.results = {
            "energy": results.energy,
            "free_energy": results.energy,
            "energies": results.energies,
            "forces": results.forces,
        }
        if results.stress is not None:
            self.results["stress"] = results.stress
        elif "stress" in properties:
            raise PropertyNotImplementedError("stress: the frame is not periodic in three directions.")
        if self.uncertainty:
            found = self.potential.uncertainty(self.atoms)._asdict()
            self.results |= {name: value for name, value in found.items() if value is not None}
        if self.extrapolation:
            grades = self.potential.extrapolation_grade(self.atoms)
            self.results["extrapolation_grade"] = float(np.max(grades, initial=0.0))
            if np.ndim(grades):
                self.results["extrapolation_grades"] = grades
