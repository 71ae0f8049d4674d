"""Units and sign of forces against energies: energy differences of similar frames that the forces predict."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from ase.units import Bohr, Hartree, Rydberg, kcal, kJ, mol, nm

from kernelff.doctor.paths import path_ratios

NEIGHBORS = 4
LEAST_PAIRS, LEAST_PATHS = 40, 5
LARGEST_SPREAD = 3.0  # of the middle half of the ratios; beyond it nothing is concluded
NEAR, NEAR_SPREAD = 1.0, 1.4  # logarithm of a ratio that is not far from 1, and the spread allowed there
CERTAIN = 0.04  # of a logarithm: so near a unit that others further off are out of question
TOLERANCE = 0.32  # of a logarithm: how near a ratio must be to that of a unit; halfway from 1 to Bohr
LEAST_FORCE = 0.1  # of the typical one; forces that symmetry forbids say nothing

_ENERGY = {
    "hartree": Hartree,
    "rydberg": Rydberg,
    "kcal/mol": kcal / mol,
    "kJ/mol": kJ / mol,
}
_FORCE = {
    "hartree/bohr": Hartree / Bohr,
    "rydberg/bohr": Rydberg / Bohr,
    "eV/bohr": 1 / Bohr,
    "kcal/mol/Å": kcal / mol,
    "kJ/mol/Å": kJ / mol,
    "kJ/mol/nm": kJ / mol / nm,
}
_BOTH = (("hartree", "hartree/bohr"), ("rydberg", "rydberg/bohr"))


class Ratio(NamedTuple):
    """Energy differences over what the forces predict: 1 where they agree."""

    slope: float  # weighted median over pairs; NaN where they do not agree with each other
    spread: float  # upper over lower quartile
    n_pairs: int


def model_ratio(model, fit):
    """Energy differences between similar frames over those that the forces alone predict.

    Parameters
    ----------
    model : CrudeModel
    fit : Fit
        Of the forces alone.

    Returns
    -------
    Ratio
    """
    psi = np.array([row.energy[model.n_species :] for row in model.rows])
    predicted, labels = psi @ fit.weights[model.n_species :], model.energy_labels
    moved = [len(row.force_labels) and np.sqrt(np.mean(row.force_labels**2)) > LEAST_FORCE * model.scale
             for row in model.rows]  # fmt: skip
    usable = np.isfinite(labels) & np.array(moved, dtype=bool)
    distance = np.where(usable & usable[:, None], model.distances(), np.inf)
    nearest = np.argsort(distance, axis=1)[:, :NEIGHBORS]
    a, b = np.repeat(np.arange(len(labels)), nearest.shape[1]), nearest.ravel()
    known = np.isfinite(distance[a, b])
    a, b = a[known], b[known]
    return typical_ratio(labels[a] - labels[b], predicted[a] - predicted[b], LEAST_PAIRS)


def typical_ratio(seen, expected, least):
    """The ratio that most pairs agree on; half of the frames may be wrong.

    Parameters
    ----------
    seen, expected : ndarray of shape (n_pairs,)
        Energy differences, eV; pairs weigh as much as is expected of them.
    least : int
        Pairs that are needed.

    Returns
    -------
    Ratio
    """
    large = np.abs(expected) > 1e-9 * np.abs(expected).max(initial=0.0)
    n_pairs = int(large.sum())
    if n_pairs < least:
        return Ratio(np.nan, np.inf, n_pairs)
    ratio, weight = seen[large] / expected[large], np.abs(expected[large])
    low, middle, high = _weighted_quantiles(ratio, weight, (0.25, 0.5, 0.75))
    if low * high <= 0:
        return Ratio(np.nan, np.inf, n_pairs)
    near = middle > 0 and abs(np.log(middle)) < NEAR
    spread = float(max(low / high, high / low))
    trusted = spread < (NEAR_SPREAD if near else LARGEST_SPREAD)
    return Ratio(float(middle) if trusted else np.nan, spread, n_pairs)


def energies_and_forces(data, model=None, fit=None):
    """Units and sign in which energies and forces contradict each other, along paths or else by a model.

    Parameters
    ----------
    data : DataSet
    model : CrudeModel, optional
    fit : Fit, optional
        Of the forces alone.

    Returns
    -------
    list of Finding
    """
    ratios = [typical_ratio(*path_ratios(data), LEAST_PATHS)]
    if model is not None:
        ratios.append(model_ratio(model, fit))
    slope, _, n_pairs = min(ratios, key=lambda ratio: ratio.spread)
    if not np.isfinite(slope) or (slope > 0 and abs(np.log(slope)) < TOLERANCE):
        return []
    carriers = data.labelled("energy", "forces")
    seen = (
        f"energy differences between similar frames are {slope:.4g} times what the forces predict ({n_pairs} pairs), "
        "where eV and eV/Å give 1"
    )
    ways = _explanations(slope)
    if not ways:
        return [data.finding(
            "warning", "energies against forces", seen,
            "check units and sign of both (energy_factor, forces_factor), and that they are of the same frames",
            carriers,
        )]  # fmt: skip
    texts, remedies = zip(*ways, strict=True)
    return [data.finding(
        "error", "energies against forces", f"{seen}: {', or '.join(texts)}",
        f"read them with {', or '.join(remedies)}", carriers,
    )]  # fmt: skip


def _explanations(slope):
    """Units whose ratio is near the slope, the nearest first, as (what is wrong, options that mend it)."""
    sign = -1.0 if slope < 0 else 1.0
    flipped = " with the opposite sign" if sign < 0 else ""
    ways = []

    def consider(ratio, what, energy, force):
        distance = abs(np.log(abs(slope) / ratio))
        options = [
            f"{name}_factor={factor:.8g} (--{name}-factor {factor:.8g})"
            for name, factor in (("energy", energy), ("forces", force))
            if factor != 1.0
        ]
        if distance < TOLERANCE:
            ways.append((distance, what, " and ".join(options)))

    if sign < 0:
        consider(1.0, "the forces have the opposite sign (they are gradients)", 1.0, -1.0)
    for unit, value in _ENERGY.items():
        consider(1 / value, f"the energies are in {unit}{flipped and ', the forces of opposite sign'}", value, sign)
    for unit, value in _FORCE.items():
        consider(value, f"the forces are in {unit}{flipped}", 1.0, sign * value)
    for energy, force in _BOTH:
        ratio = _FORCE[force] / _ENERGY[energy]
        text = f"energies are in {energy} and forces in {force}{flipped}"
        consider(ratio, text, _ENERGY[energy], sign * _FORCE[force])
    ways.sort()
    # a ratio that hits a unit within a few per cent is not likely to be another one's
    near = min((distance for distance, *_ in ways), default=0.0)
    return [(what, options) for distance, what, options in ways if near > CERTAIN or distance < 2 * CERTAIN]


def _weighted_quantiles(values, weights, levels):
    order = np.argsort(values)
    share = np.cumsum(weights[order])
    return np.interp(np.array(levels) * share[-1], share, values[order])
