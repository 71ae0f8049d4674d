"""Dispersion as a baseline: DFT-D3 by the dftd3 library, for what lies beyond the cutoff of a descriptor.

Dispersion falls off as r^-6 and reaches far beyond any local environment [1]_. Subtracted from the labels
before a fit and added again by the model, it leaves a remainder that is local.

References
----------
.. [1] Grimme, Antony, Ehrlich, Krieg, J. Chem. Phys. 132, 154104 (2010), doi:10.1063/1.3382344
.. [2] Grimme, Ehrlich, Goerigk, J. Comput. Chem. 32, 1456 (2011), doi:10.1002/jcc.21759: rational damping
"""

from dataclasses import asdict, dataclass

import numpy as np
from ase.geometry import complete_cell
from ase.units import Bohr, Hartree

from kernelff.neighbors import NeighborList
from kernelff.results import Results, stress_of

_DAMPINGS = {
    "d3bj": "RationalDampingParam",
    "d3zero": "ZeroDampingParam",
    "d3bjm": "ModifiedRationalDampingParam",
    "d3zerom": "ModifiedZeroDampingParam",
    "d3op": "OptimizedPowerDampingParam",
}
_LAST_ELEMENT = 103  # of the library's tables; what is beyond gets nothing from it, or a crash
_MARGIN = 1.0  # Å


@dataclass(frozen=True)
class DFTD3:
    """DFT-D3 dispersion, plain data: it goes into the model file of a model that was fitted on top of it.

    Parameters
    ----------
    method : str
        Density functional whose damping parameters are taken, such as "PBE". The labels must contain the
        dispersion too, since the model learns what this leaves of them.
    damping : {"d3bj", "d3zero", "d3bjm", "d3zerom", "d3op"}
        Rational (Becke and Johnson) [2]_, zero, their modified forms, optimised power.
    three_body : bool
        Also the Axilrod-Teller-Muto energy of triples; in a periodic frame hundreds of times slower.

    Raises
    ------
    ImportError
        If the library is not there; the extra that brings it is named.
    ValueError
        For a method or damping without parameters.

    Examples
    --------
    >>> model = SparseGPR(baseline=DFTD3("PBE")).fit(train)  # doctest: +SKIP
    """

    method: str
    damping: str = "d3bj"
    three_body: bool = False

    def __post_init__(self):
        if not isinstance(self.method, str) or not self.method.strip():
            raise ValueError(f'method: must be the name of a density functional such as "PBE", got {self.method!r}.')
        if self.damping not in _DAMPINGS:
            raise ValueError(f"damping: must be one of {tuple(_DAMPINGS)}, got {self.damping!r}.")
        if not isinstance(self.three_body, (bool, np.bool_)):
            raise ValueError(f"three_body: must be True or False, got {self.three_body!r}.")
        self._parameters(_library())

    def compute(self, atoms):
        """Energy and derivatives of a frame from dispersion alone, as `Potential.compute`.

        Parameters
        ----------
        atoms : ase.Atoms

        Returns
        -------
        Results

        Raises
        ------
        ValueError
            For elements without parameters, or broken geometry.
        """
        unknown = sorted({int(z) for z in atoms.numbers if not 1 <= z <= _LAST_ELEMENT})
        if unknown:
            raise ValueError(f"atoms: DFT-D3 has no parameters for the atomic numbers {unknown}.")
        volume = NeighborList.from_atoms(atoms, 1.0).volume  # refuses broken geometry
        library = _library()
        parameters = self._parameters(library)
        positions, cell, periodic = _boxed(atoms)
        try:
            model = library.DispersionModel(atoms.numbers, positions / Bohr, cell, periodic)
            found = model.get_dispersion(parameters, grad=True)
            pairs = model.get_pairwise_dispersion(parameters)
        except RuntimeError as error:
            raise ValueError(f"atoms: DFT-D3 refuses this frame: {error}.") from None
        energies = Hartree * sum(part.sum(axis=1) for part in pairs.values())
        strain_gradient = Hartree * found["virial"]
        virial = -0.5 * (strain_gradient + strain_gradient.T)
        forces = -Hartree / Bohr * found["gradient"]
        return Results(Hartree * float(found["energy"]), energies, forces, virial, stress_of(virial, volume))

    def to_state(self):
        """JSON-able dict."""
        return {"kind": "dftd3"} | asdict(self)

    @classmethod
    def from_state(cls, params):
        return cls(**{name: value for name, value in params.items() if name != "kind"})

    def _parameters(self, library):
        """The library's damping parameters; made anew for every call, since a handle cannot be copied or saved."""
        try:
            return getattr(library, _DAMPINGS[self.damping])(method=self.method, atm=bool(self.three_body))
        except RuntimeError as error:
            raise ValueError(
                f"method: DFT-D3 has no {self.damping} parameters for {self.method!r} ({error}). "
                "Take a functional or damping that it knows."
            ) from None


def _library():
    try:
        from dftd3 import interface
    except ImportError:
        raise ImportError(
            "DFTD3: needs the library dftd3, which is not installed. It is an extra: pip install 'kernelff[dftd3]'."
        ) from None
    return interface


def _boxed(atoms):
    """Positions (Å), cell (bohr) and periodicity as the library wants them; no cell for a molecule.

    It wraps atoms into the cell along directions that are not periodic too, and needs a vector there: a box
    around all atoms, perpendicular to the periodic directions, keeps them together.
    """
    periodic = np.array(atoms.pbc, dtype=bool)
    positions, cell = np.array(atoms.positions, dtype=float), np.array(atoms.cell.array, dtype=float)
    if not periodic.any():
        return positions, None, None
    cell[~periodic] = 0.0
    cell = complete_cell(cell)
    for normal in np.flatnonzero(~periodic):
        heights = positions @ cell[normal]
        positions -= (heights.min() - _MARGIN) * cell[normal]
        cell[normal] *= np.ptp(heights) + 2 * _MARGIN
    return positions, cell / Bohr, periodic
