"""ASE calculator: units and names of ASE, nothing else."""

from ase.calculators.calculator import Calculator, PropertyNotImplementedError, all_changes


class PotentialCalculator(Calculator):
    """A Potential as ASE calculator.

    Parameters
    ----------
    potential : Potential
    uncertainty : bool
        Also put ``energy_std``, ``energies_std``, ``forces_std``, ``stress_std``
        and ``novelty`` into ``results`` (eV, eV/Å, eV/Å^3; novelty in 0..1).
    """

    implemented_properties = ("energy", "free_energy", "energies", "forces", "stress")

    def __init__(self, potential, uncertainty=False):
        super().__init__()
        self.potential, self.uncertainty = potential, uncertainty

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
