"""Vacancies of crystals."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from ase.data import chemical_symbols

from kernelff.properties.linear import PosteriorRows
from kernelff.properties.relaxation import energies_of_atoms, relax_atoms, require_crystal, supercell_of

_SAME_ENERGY = 1e-5  # eV; sites whose local energies differ by less are taken for equivalent


@dataclass(frozen=True, eq=False)
class Vacancy:
    """Formation of a vacancy, eV.

    Attributes
    ----------
    symbol : str
        Element of the atom that left.
    site : int
        Its index in the crystal's cell.
    energy, unrelaxed_energy : float
        E(N - 1) - E(N) + mu, with the other atoms at rest and where they were.
    chemical_potential : float
        mu, eV.
    reservoir : str
        Where the atom went: "the crystal", "the free atom" or "as given".
    n_sites : int
        Of the supercell.
    energy_std : float or None
        Of `energy`, without that of a given mu; see linear.py.
    """

    symbol: str
    site: int
    energy: float
    unrelaxed_energy: float
    chemical_potential: float
    reservoir: str
    n_sites: int
    energy_std: float | None = None


def vacancies(atoms, calculator, *, min_length=10.0, chemical_potentials=None, fmax=1e-3, steps=500, error_bars=False):
    """Formation energies of the vacancies of a crystal, one for each kind of site, at fixed cell.

    Parameters
    ----------
    atoms : ase.Atoms
        Perfect crystal at zero stress.
    calculator : ase.calculators.calculator.Calculator
    min_length : float
        Vacancies are at least this far apart, Å.
    chemical_potentials : dict, optional
        Symbol -> eV per atom. By default the atom joins the crystal if that has one element, and becomes a free atom
        by the model's e0 (0 without) if it has several.
    fmax : float
        Forces left after relaxation, eV/Å.
    steps : int
        Refuse after this many.
    error_bars : bool
        Also standard deviations, if the calculator's potential has a posterior.

    Returns
    -------
    list of Vacancy

    Raises
    ------
    ValueError
        If `atoms` is not a crystal, or chemical potentials are of elements it does not have.
    RuntimeError
        If the atoms do not come to rest.
    """
    require_crystal(atoms)
    given = dict(chemical_potentials or {})
    foreign = sorted(set(given) - set(atoms.get_chemical_symbols()))
    if foreign:
        raise ValueError(f"chemical_potentials: {', '.join(foreign)} not in the crystal {atoms.get_chemical_formula()}")
    perfect = supercell_of(atoms, min_length)
    if len(perfect) < 2:
        raise ValueError(f"min_length: {min_length} Å leaves no atom beside the vacancy; give a larger one")
    perfect.calc = calculator
    whole = perfect.get_potential_energy()
    rows = PosteriorRows.of(calculator) if error_bars else None
    whole_row = None if rows is None else rows.energy(perfect)
    found = []
    for site in distinct_sites(atoms, calculator):
        symbol = atoms.symbols[site]
        mu, reservoir, share = _reservoir(symbol, atoms, calculator, given, whole / len(perfect), len(perfect))
        relaxed = perfect.copy()
        del relaxed[site]  # copies of the cell come one after the other, the first is the cell itself
        relaxed.calc = calculator
        unrelaxed = relaxed.get_potential_energy() - whole + mu
        relax_atoms(relaxed, calculator, fmax=fmax, steps=steps)
        energy = relaxed.get_potential_energy() - whole + mu
        std = None if rows is None else rows.std("energy", rows.energy(relaxed) - (1 - share) * whole_row, perfect)
        found.append(
            Vacancy(
                symbol, int(site), float(energy), float(unrelaxed), float(mu), reservoir, len(perfect),
                None if std is None else float(std),
            )
        )  # fmt: skip
    return found


def distinct_sites(atoms, calculator):
    """Index of one site of each kind: of every element, and of every local energy where the calculator has them.

    Parameters
    ----------
    atoms : ase.Atoms
        Perfect crystal.
    calculator : ase.calculators.calculator.Calculator

    Returns
    -------
    list of int
    """
    crystal = atoms.copy()
    crystal.calc = calculator
    energies = energies_of_atoms(crystal)
    energies = np.zeros(len(crystal)) if energies is None else energies
    chosen = []
    for k in range(len(crystal)):
        alike = (
            crystal.numbers[k] == crystal.numbers[c] and abs(energies[k] - energies[c]) < _SAME_ENERGY for c in chosen
        )
        if not any(alike):
            chosen.append(k)
    return chosen


def vacancy_energy(supercell, calculator, *, index=0, fmax=1e-3, steps=500, relaxed_atoms=None):
    """Energy to take one atom out of a crystal and add it to the bulk, at fixed cell.

    Parameters
    ----------
    supercell : ase.Atoms
        Perfect crystal at zero pressure.
    calculator : ase.calculators.calculator.Calculator
    index : int
        The atom that leaves.
    fmax : float
        Forces left after relaxation, eV/Å.
    steps : int
        Refuse after this many.
    relaxed_atoms : ase.Atoms, optional
        Start the relaxation from these positions of the other atoms.

    Returns
    -------
    energy : float
        E(N - 1, relaxed) - (N - 1) / N E(N), eV.

    Raises
    ------
    RuntimeError
        If the atoms do not come to rest.
    """
    perfect = supercell.copy()
    perfect.calc = calculator
    vacancy = supercell.copy()
    del vacancy[index]
    if relaxed_atoms is not None:
        vacancy.positions = relaxed_atoms.positions
    relax_atoms(vacancy, calculator, fmax=fmax, steps=steps)
    n = len(supercell)
    return float(vacancy.get_potential_energy() - (n - 1) / n * perfect.get_potential_energy())


def _reservoir(symbol, atoms, calculator, given, per_atom, n_sites):
    """mu, where the atom went, and the share of the perfect supercell's energy that mu is."""
    if symbol in given:
        return given[symbol], "as given", 0.0
    if len(set(atoms.numbers)) == 1:
        return per_atom, "the crystal", 1 / n_sites
    e0 = getattr(getattr(calculator, "potential", None), "e0", {})
    return e0.get(chemical_symbols.index(symbol), 0.0), "the free atom", 0.0
