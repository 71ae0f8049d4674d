"""Units and sign of forces against energies: energy differences of similar frames that the forces predict."""

from __future__ import annotations

import numpy as np
from ase.units import Bohr, Hartree, Rydberg, kcal, kJ, mol, nm

NEIGHBORS = 4
LEAST_PAIRS = 40
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


def energy_slope(model, fit):
    """Energy differences between similar frames over those that the forces alone predict.

    A median over pairs, weighted with the predicted difference: half of the frames may be wrong.

    Parameters
    ----------
    model : CrudeModel
    fit : Fit
        Of the forces alone.

    Returns
    -------
    slope : float
        1 where energies and forces agree; NaN where nothing can be said.
    n_pairs : int
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
    expected, seen = predicted[a] - predicted[b], labels[a] - labels[b]
    large = np.abs(expected) > 1e-9 * model.scale
    if large.sum() < LEAST_PAIRS:
        return np.nan, int(large.sum())
    ratio, weight = seen[large] / expected[large], np.abs(expected[large])
    low, middle, high = _weighted_quantiles(ratio, weight, (0.25, 0.5, 0.75))
    if low * high <= 0:
        return np.nan, int(large.sum())
    near = middle > 0 and abs(np.log(middle)) < NEAR
    trusted = max(low / high, high / low) < (NEAR_SPREAD if near else LARGEST_SPREAD)
    return (float(middle) if trusted else np.nan), int(large.sum())


def energies_and_forces(data, model, fit):
    """Units and sign in which energies and forces contradict each other.

    Parameters
    ----------
    data : DataSet
    model : CrudeModel
    fit : Fit
        Of the forces alone.

    Returns
    -------
    list of Finding
    """
    slope, n_pairs = energy_slope(model, fit)
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
