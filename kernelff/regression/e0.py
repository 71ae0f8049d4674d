"""Energies of isolated atoms, the part of the energy that composition alone explains."""

import warnings

import numpy as np
from ase.data import atomic_numbers
from scipy.optimize import least_squares


def fit_e0(frames, energies, isolated, given=None):
    """Find e0 of every species: given, else of an isolated atom, else by robust least squares.

    Parameters
    ----------
    frames : list of ase.Atoms
    energies : list of float or None
        Total energies, eV.
    isolated : dict
        Atomic number -> eV, of isolated-atom frames.
    given : dict or None
        Atomic number or symbol -> eV; species that it lacks are found from the data.

    Returns
    -------
    dict
        Atomic number -> eV.

    Raises
    ------
    ValueError
        For a key of `given` that is no element.

    Warns
    -----
    UserWarning
        When the compositions of the frames cannot tell the species apart; the
        split between species is then arbitrary (of least norm), their sum right.
    """
    species = sorted({int(z) for atoms in frames for z in set(atoms.numbers)})
    e0 = {_atomic_number(key): float(e) for key, e in (given or {}).items()}
    e0 = {**isolated, **e0}
    missing = [z for z in species if z not in e0]
    labelled = [k for k, e in enumerate(energies) if e is not None]
    if missing and labelled:
        counts = np.array([[np.sum(frames[k].numbers == z) for z in species] for k in labelled], dtype=float)
        known = np.array([e0.get(z, 0.0) for z in species])
        rest = np.array([energies[k] for k in labelled]) - counts @ known
        columns = [species.index(z) for z in missing]
        fitted = _robust_fit(counts[:, columns] / counts.sum(1)[:, None], rest / counts.sum(1), missing)
        e0 |= dict(zip(missing, fitted, strict=True))
    return {z: e0.get(z, 0.0) for z in species}


def _atomic_number(key):
    number = atomic_numbers.get(key, key)
    if isinstance(number, str) or number not in atomic_numbers.values():
        raise ValueError(f"e0: {key!r} is neither an element's symbol nor an atomic number.")
    return int(number)


def _robust_fit(fractions, per_atom, missing):
    start, _, rank, _ = np.linalg.lstsq(fractions, per_atom, rcond=1e-8)
    if rank < len(missing):
        warnings.warn(
            f"e0: the compositions of the frames cannot tell the species {missing} apart, so their energies "
            "are split arbitrarily. Add isolated atoms, or give e0={element: energy}.",
            stacklevel=4,
        )
        return [float(e) for e in start]
    spread = max(float(np.median(np.abs(per_atom - fractions @ start))), 1e-6)
    fit = least_squares(lambda e: fractions @ e - per_atom, start, loss="soft_l1", f_scale=spread)
    return [float(e) for e in fit.x]
