"""The melting point of a model, by solid and liquid side by side in one cell.

At constant pressure and enthalpy such a cell finds the melting point by itself [1]_, [2]_: above it the solid melts and
the heat of melting cools the cell, below it the liquid freezes and warms it. If the guess is so far off that one phase
eats the other, it bounds the melting point, and the next guess is taken beyond it or between the bounds.

With other weights w the free energies of both phases change by the means of dU/dw, and the melting point, to first
order [3]_, by

    dT_m = T_m (<dU>_solid - <dU>_liquid) / (H_liquid - H_solid),

all per atom: a row over the basis functions, whose norm after the root of the posterior covariance is its sd.

References
----------
.. [1] J. R. Morris, C. Z. Wang, K. M. Ho, C. T. Chan, Phys. Rev. B 49, 3109 (1994), doi:10.1103/PhysRevB.49.3109
.. [2] S. Yoo, X. C. Zeng, J. R. Morris, J. Chem. Phys. 120, 1654 (2004), doi:10.1063/1.1633754
.. [3] D. Alfè, M. J. Gillan, G. D. Price, J. Chem. Phys. 116, 6170 (2002), doi:10.1063/1.1460865
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass

import numpy as np
from ase import Atoms

from kernelff.properties.coexistence import LONG, Cell, Coexistence, Runs, block_error, settled
from kernelff.properties.linear import PosteriorRows
from kernelff.properties.relaxation import require_crystal

_LIMITS = {
    "guess": (1.0, 1e5), "n_atoms": (16, 1e7), "overheat": (1.1, 10.0), "length": (1e-3, 1e6),
    "preparation": (1e-3, 1e6), "max_tries": (1, 1000),
}  # fmt: skip
_EATEN = 0.12  # share of one phase below which the other has eaten it
_STEP = 1.15  # of the next guess where there is no bound yet
_NEAR = 0.08  # of the melting point; cells made at a guess farther off are strained and made again


@dataclass(frozen=True, eq=False)
class MeltingPoint:
    """Solid and liquid in equilibrium.

    Attributes
    ----------
    temperature : float
        K.
    error : float
        Standard error by blocks of the run, K.
    temperature_std : float or None
        What the posterior of the model leaves open, K; None without one.
    heat, expansion : float
        Enthalpy and volume of melting, eV and Å^3 per atom.
    solid_share : float
        Of the atoms, at the end.
    settled : bool
        False if the temperature still drifted when the run ended.
    profile : ndarray
        Share of solid atoms along the cell.
    time, temperatures : ndarray
        Of the run at constant enthalpy, ps and K.
    tries : list of tuple
        (guess in K, "melted", "frozen" or "both phases").
    atoms : ase.Atoms
        Last frame.
    """

    temperature: float
    error: float
    temperature_std: float | None
    heat: float
    expansion: float
    solid_share: float
    settled: bool
    profile: np.ndarray
    time: np.ndarray
    temperatures: np.ndarray
    tries: list
    atoms: Atoms


def melting_point(
    atoms, potential, guess, *, pressure=0.0, n_atoms=600, timestep=2.0, length=40.0, preparation=4.0, overheat=2.0,
    max_tries=8, folder=None, seed=0, threads=1, status=None,
):  # fmt: skip
    """Melting point of a crystal by coexistence of solid and liquid at constant enthalpy.

    Parameters
    ----------
    atoms : ase.Atoms
        Crystal; better a cell with right angles.
    potential : Potential, fitted model or ase Calculator
    guess : float
        K; within some 20 % of the melting point the first try will do.
    pressure : float
        GPa.
    n_atoms : int
        About so many, in a cell 2.5 times as long as wide. Small cells melt some per cent too low or too high.
    timestep : float
        fs.
    length : float
        ps of the run at constant enthalpy; it goes on, up to three times as long, while the temperature still drifts.
    preparation : float
        ps of each step before it.
    overheat : float
        The liquid is made at so many times the guess; less for models that do not hold at such temperatures.
    max_tries : int
    folder : path-like, optional
        Keep the runs there; the same call goes on where it was stopped.
    seed, threads : int
    status : callable, optional
        Called with a text before each step.

    Returns
    -------
    MeltingPoint

    Raises
    ------
    ValueError
        For arguments that mean nothing.
    RuntimeError
        If one phase eats the other in every try, if they cannot be told apart, or if a guard rail stops a run.
    """
    require_crystal(atoms)
    check_search(
        guess=guess, n_atoms=n_atoms, overheat=overheat, length=length, preparation=preparation, max_tries=max_tries
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as scratch:
        runs = Runs(folder if folder is not None else scratch, potential, pressure, timestep, seed, threads)
        return _search(atoms, potential, runs, guess, Cell(n_atoms, length, preparation, overheat), max_tries, status)


def check_search(**arguments):
    """Refuse numbers among the arguments of `melting_point` that mean nothing.

    Raises
    ------
    ValueError
    """
    for name in arguments.keys() & _LIMITS.keys():
        value, (low, high) = arguments[name], _LIMITS[name]
        if not isinstance(value, int | float | np.number) or not low <= value <= high:
            raise ValueError(f"{name}: must be a number from {low:g} to {high:g}, got {value!r}.")


def _search(atoms, potential, runs, guess, cell, max_tries, status):
    say, tries, low, high, found = status or (lambda text: None), [], 0.0, np.inf, None
    for _ in range(max_tries):
        say(f"solid and liquid at {guess:.0f} K")
        both = Coexistence.of(atoms, runs, guess, cell)
        outcome = _outcome(both.share)
        tries.append((float(guess), outcome))
        say(f"{guess:.0f} K: {outcome}, solid {both.share:.2f}")
        if outcome == "both phases":
            near = abs(both.temperature / guess - 1) < _NEAR
            if near or found is not None:
                say(f"pure phases at {both.temperature:.0f} K")
                return _result(potential, runs, both, cell, tries)
            found, guess = both, both.temperature
            continue
        low, high = (max(low, guess), high) if outcome == "frozen" else (low, min(high, guess))
        guess = _next_guess(low, high)
    shown = ", ".join(f"{guess:.0f} K: {outcome}" for guess, outcome in tries)
    advice = "hotter" if np.isinf(high) else "colder" if low == 0.0 else "with more atoms, which fluctuate less"
    raise RuntimeError(f"one phase has eaten the other in each of {max_tries} tries ({shown}). Start {advice}.")


def _outcome(share):
    return "melted" if share < _EATEN else "frozen" if share > 1 - _EATEN else "both phases"


def _next_guess(low, high):
    """Beyond the bound that there is, or between the two."""
    if np.isinf(high):
        return _STEP * low
    return high / _STEP if low == 0.0 else 0.5 * (low + high)


def _result(potential, runs, both, cell, tries):
    temperature, ps = both.temperature, 2 * cell.preparation
    solid = runs.pure("at-melting-solid", both.solid, temperature, ps)
    liquid = runs.pure("at-melting-liquid", both.liquid, temperature, ps)
    heat = liquid.enthalpy - solid.enthalpy
    return MeltingPoint(
        temperature, block_error(both.settled), _model_std(potential, solid.frames, liquid.frames, temperature, heat),
        heat, liquid.volume - solid.volume, both.share, settled(both.settled), both.phases.profile(both.frames, LONG),
        both.time, both.temperatures, tries, both.frames[-1],
    )  # fmt: skip


def _model_std(potential, solid, liquid, temperature, heat):
    """sd of the melting point by the posterior, K."""
    rows = PosteriorRows.of(_Holder(getattr(potential, "potential_", potential)))
    if rows is None or not heat > 0:
        return None
    means = [np.mean([rows.energy(frame) / len(frame) for frame in frames], axis=0) for frames in (solid, liquid)]
    return float(temperature / heat * rows.std("energy", means[0] - means[1], solid[0]))


@dataclass(frozen=True)
class _Holder:
    """A potential, as a calculator has it."""

    potential: object
