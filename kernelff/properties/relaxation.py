"""Atoms at rest and cells without stress, or a clear refusal."""

import numpy as np
from ase.calculators.calculator import PropertyNotImplementedError
from ase.filters import FrechetCellFilter, StrainFilter
from ase.optimize import BFGS, FIRE

_VOLUME_RANGE = (0.4, 2.5)  # of the start; beyond, the model has lost the crystal
_MOST_ATOMS = 1e6


def relax_atoms(atoms, calculator, *, fmax=1e-3, steps=500, optimizer=FIRE):
    """Move atoms to rest at fixed cell, in place.

    Parameters
    ----------
    atoms : ase.Atoms
        Gets the calculator.
    calculator : ase.calculators.calculator.Calculator
    fmax : float
        Largest force left, eV/Å.
    steps : int
        Refuse after this many.
    optimizer : type
        Of `ase.optimize`.

    Raises
    ------
    RuntimeError
        If the forces do not vanish in `steps` steps, or are not finite.
    """
    atoms.calc = calculator
    _require_finite(atoms)
    if not optimizer(atoms, logfile=None).run(fmax=fmax, steps=steps):
        raise RuntimeError(f"forces stay above {fmax} eV/Å after {steps} steps; is the model fit for this structure?")


def relax_volume(atoms, calculator, *, smax=1e-5, steps=200):
    """A copy of a cubic crystal at zero pressure.

    Parameters
    ----------
    atoms : ase.Atoms
    calculator : ase.calculators.calculator.Calculator
    smax : float
        Largest stress left, eV/Å^3.
    steps : int
        Refuse after this many.

    Returns
    -------
    ase.Atoms
        Scaled equally along the three axes, with the calculator attached.

    Raises
    ------
    RuntimeError
        If the stress does not vanish in `steps` steps.
    """
    relaxed = atoms.copy()
    relaxed.calc = calculator
    hydrostatic = StrainFilter(relaxed, mask=[1, 1, 1, 0, 0, 0])
    if not BFGS(hydrostatic, logfile=None).run(fmax=smax * relaxed.get_volume(), steps=steps):
        raise RuntimeError(f"the cell did not relax in {steps} steps; is the model fit for this crystal?")
    return relaxed


def relax_crystal(atoms, calculator, *, fmax=1e-4, steps=500, constant_volume=False):
    """A copy of any crystal with cell and atoms relaxed together.

    Parameters
    ----------
    atoms : ase.Atoms
        Periodic in three directions.
    calculator : ase.calculators.calculator.Calculator
    fmax : float
        Largest force left, eV/Å, and largest virial per atom, eV.
    steps : int
        Refuse after this many.
    constant_volume : bool
        Relax atoms and the shape of the cell only.

    Returns
    -------
    ase.Atoms
        With the calculator attached.

    Raises
    ------
    ValueError
        If the structure is not a crystal.
    RuntimeError
        If the cell collapses, flies apart, or does not come to rest.
    """
    require_crystal(atoms)
    relaxed = atoms.copy()
    relaxed.calc = calculator
    _require_finite(relaxed)
    start = relaxed.get_volume()
    optimizer = BFGS(FrechetCellFilter(relaxed, constant_volume=constant_volume), logfile=None)
    for _ in optimizer.irun(fmax=fmax, steps=steps):
        _require_volume(relaxed.get_volume() / start)
    if not optimizer.converged():
        raise RuntimeError(
            f"the crystal did not relax in {steps} steps (forces or virial per atom above {fmax}); start from a "
            "structure nearer to equilibrium, or use a model that was fitted to it"
        )
    return relaxed


def require_crystal(atoms):
    """Refuse what is not periodic in three directions.

    Parameters
    ----------
    atoms : ase.Atoms

    Raises
    ------
    ValueError
        If it is empty, not periodic, or its cell is flat.
    """
    if not len(atoms):
        raise ValueError("atoms: the structure has no atoms; give a crystal")
    if not atoms.pbc.all() or abs(atoms.cell.volume) < 1e-3:
        raise ValueError(
            f"atoms: properties are those of a crystal, but the structure has pbc {atoms.pbc.tolist()} and a cell of "
            f"{abs(atoms.cell.volume):.3g} Å^3; give a bulk cell, periodic in three directions"
        )


def energies_of_atoms(atoms):
    """Local energies (n_atoms,), eV, or None where the calculator of these atoms has none."""
    try:
        return np.asarray(atoms.get_potential_energies())
    except (PropertyNotImplementedError, NotImplementedError):  # what calculators of ASE say
        return None


def supercell_of(atoms, min_length):
    """A copy repeated until planes of equal atoms are `min_length` apart in all three directions.

    Parameters
    ----------
    atoms : ase.Atoms
    min_length : float
        Å.

    Returns
    -------
    ase.Atoms
    """
    return atoms.repeat(repeats_of(atoms, min_length))


def repeats_of(atoms, min_length):
    """How often `supercell_of` repeats the cell along each vector.

    Parameters
    ----------
    atoms : ase.Atoms
    min_length : float
        Å.

    Returns
    -------
    list of int

    Raises
    ------
    ValueError
        If that makes more than a million atoms.
    """
    heights = 1 / np.linalg.norm(atoms.cell.reciprocal().array, axis=1)
    length = min_length if 0 < min_length < np.inf else 0.0
    repeats = [max(1, int(np.ceil(length / height - 1e-6))) for height in heights]
    if not length or len(atoms) * np.prod(repeats, dtype=float) > _MOST_ATOMS:
        raise ValueError(f"min_length: must be positive and make a supercell of use, got {min_length} Å; 10 is usual")
    return repeats


def _require_finite(atoms):
    if not np.isfinite(atoms.get_forces()).all():
        raise RuntimeError("the model gives forces that are not finite; do atoms of the structure overlap?")


def _require_volume(ratio):
    low, high = _VOLUME_RANGE
    if not low < ratio < high:
        raise RuntimeError(
            f"the cell went to {ratio:.2g} times its volume while it relaxed; the model does not hold this crystal "
            "together. Start nearer to equilibrium, or use a model that was fitted to it."
        )
