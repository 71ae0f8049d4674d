"""ASE calculator: units and names of ASE, nothing else."""

import numpy as np
from ase.calculators.calculator import Calculator, PropertyNotImplementedError, all_changes


class PotentialCalculator(Calculator):
    """A Potential as ASE calculator.

    Parameters
    ----------
    potential : Potential
    uncertainty : bool or "local"
        Also put ``energy_std``, ``energies_std``, ``forces_std``, ``stress_std``
        and ``novelty`` into ``results`` (eV, eV/Å, eV/Å^3; novelty in 0..1). With "local" none of forces and
        stress, and the others in the same compiled pass as the energies: cheap, while with those of forces and stress
        a call costs seven to forty times as much.
    extrapolation : bool
        Also put ``extrapolation_grade``, the largest of the frame, and, if the potential's active set is one of
        environments, ``extrapolation_grades`` of the atoms into ``results``.

    Raises
    ------
    ValueError
        For error bars or grades that the potential does not have.
    """

    implemented_properties = ("energy", "free_energy", "energies", "forces", "stress")

    def __init__(self, potential, uncertainty=False, extrapolation=False):
        super().__init__()
        if not isinstance(uncertainty, bool) and uncertainty != "local":
            raise ValueError(f'uncertainty: must be True, False or "local", got {uncertainty!r}.')
        if not isinstance(extrapolation, bool):
            raise ValueError(f"extrapolation: must be True or False, got {extrapolation!r}.")
        if uncertainty:
            potential.require_posterior()
        if extrapolation:
            potential.require_active_set("extrapolation")
        self.potential, self.uncertainty, self.extrapolation = potential, uncertainty, extrapolation

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        local, found, grades = self.uncertainty == "local", None, None
        if local or self.extrapolation:
            wanted = {"uncertainty": local, "grades": self.extrapolation}
            results, found, grades = self.potential.compute_with(self.atoms, **wanted)
        else:
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
        if self.uncertainty and not local:
            found = self.potential.uncertainty(self.atoms)
        if found is not None:
            self.results |= {name: value for name, value in found._asdict().items() if value is not None}
        if self.extrapolation:
            self.results["extrapolation_grade"] = float(np.max(grades, initial=0.0))
            if np.ndim(grades):
                self.results["extrapolation_grades"] = grades
