"""Stresses against a model that never saw them, where no strained frames can judge them."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np

from kernelff.doctor.forces import unexplained_share
from kernelff.io.label_keys import VOIGT
from kernelff.io.stress_check import nearest_unit, remedy_of_energies

LEAST_FRAMES = 8
LEAST_CORRELATION = 0.9  # between labels, read one way, and predictions; below nothing is concluded
UNRELATED, SURE_FRAMES, WELL_LEARNT = 0.3, 30, 0.3  # correlation below which, frames and share of forces learnt with
# which, stresses are said to be of something else
BETTER = 0.05  # by which another way of reading must beat the present one
TOLERANCE = 0.35  # of a logarithm, between slope and unit; sound data 0.2
_NO_STRESS = "leave stresses out with use_stress=False (--no-stress)"


def predicted_stresses(data, model, fit):
    """Sign, unit and order of the stresses by what energies and forces say about them.

    The mean of the normal components is left out: forces of one volume say nothing of the pressure, and a plane-wave
    basis shifts it.

    Parameters
    ----------
    data : DataSet
    model : CrudeModel
    fit : Fit
        Of energies and forces.

    Returns
    -------
    list of Finding
    """
    labels, predictions, volumes = _stresses(data, model, fit)
    if len(labels) < LEAST_FRAMES:
        return []
    ways = {}
    for order, extensive in product(permutations((3, 4, 5)), (False, True)):
        read = labels[:, [0, 1, 2, *order]] * (1 / volumes[:, None] if extensive else 1.0)
        ways[order, extensive] = _line(_deviator(predictions), _deviator(read))
    present, plain = ways[(3, 4, 5), False], (3, 4, 5)
    # the volumes of most sets differ too little to tell a virial from a stress by the fit alone
    # (at one volume not at all: then rounding must not decide, and the plain reading comes first)
    (order, extensive), (correlation, slope) = max(ways.items(), key=lambda way: round(abs(way[1][0]), 9))
    if abs(correlation) < abs(present[0]) + BETTER:
        order, extensive, (correlation, slope) = plain, False, present
        other, as_written = ways[plain, True], _unit(slope)
        wrong = as_written[1] is None or as_written[0] != "eV/Å^3" or slope < 0
        is_virial = _unit(other[1])[0] == "eV/Å^3" and _unit(other[1])[1] is not None
        if wrong and is_virial and (as_written[1] is None or abs(other[0]) > abs(correlation)):
            extensive, (correlation, slope) = True, other
    learnt = unexplained_share(model, fit)[0] < WELL_LEARNT
    if abs(correlation) < UNRELATED and len(labels) >= SURE_FRAMES and learnt:
        return [data.finding(
            "warning", "stress",
            f"the stresses have nothing to do with what energies and forces predict (correlation {correlation:.2f})",
            f"check that they are of the same frames, and stress_key (--stress-key), or {_NO_STRESS}",
            data.labelled("stress"),
        )]  # fmt: skip
    if abs(correlation) < LEAST_CORRELATION or (_unit(slope)[1] is None and not learnt):
        return []
    return _verdict(data, order, extensive, correlation, slope)


def _stresses(data, model, fit):
    labels, predictions, volumes = [], [], []
    for k, row in zip(model.indices, model.rows, strict=True):
        if data.labels[k].stress is not None:
            volumes.append(data.frames[k].get_volume())
            labels.append(data.labels[k].stress)
            predictions.append(-(row.virial @ fit.weights) / volumes[-1])
    return np.array(labels), np.array(predictions), np.array(volumes)


def _deviator(stress):
    """Without the pressure; shear components count twice, as in the norm of the tensor."""
    normal = stress[:, :3] - stress[:, :3].mean(axis=1, keepdims=True)
    return np.concatenate([normal, np.sqrt(2) * stress[:, 3:]], axis=1).ravel()


def _line(x, y):
    """Correlation and slope of y over x, through zero."""
    if not x.any() or not y.any():
        return 0.0, np.nan
    return float(x @ y / np.sqrt((x @ x) * (y @ y))), float(x @ y / (x @ x))


def _unit(slope):
    if not np.isfinite(slope) or slope == 0:
        return "none", None
    return nearest_unit(1 / slope, TOLERANCE)


def _verdict(data, order, extensive, correlation, slope):
    carriers = data.labelled("stress")
    seen = f"slope {slope:.4g} and correlation {correlation:.2f} against what energies and forces predict"
    unit, factor = _unit(slope)
    if factor is None:
        return [data.finding(
            "warning", "stress", f"the stresses are in no unit known here ({seen})",
            remedy_of_energies(1 / slope), carriers,
        )]  # fmt: skip
    if extensive:
        remedy = "name them with virial_key (--virial-key)" if slope < 0 else "divide them by the volume"
        return [data.finding(
            "error", "stress", f"the stresses grow with the volume like a virial ({seen}, times the volume)", remedy,
            carriers,
        )]  # fmt: skip
    if order != (3, 4, 5):
        words = " ".join(VOIGT[(0, 1, 2, *order).index(k)] for k in range(6))
        more = "" if unit == "eV/Å^3" and factor > 0 else f" and stress_factor={factor:.6g} (--stress-factor)"
        return [data.finding(
            "error", "stress", f"the shear components of the stresses are in another order ({seen})",
            f"read them with stress_order={words!r} (--stress-order){more}, or {_NO_STRESS}", carriers,
        )]  # fmt: skip
    if unit == "eV/Å^3" and factor > 0:
        return []
    sign = "with the opposite sign" if factor < 0 else "with the right sign"
    return [data.finding(
        "error", "stress",
        f"the stresses seem to be written in {unit} {sign} ({seen}, where eV/Å^3 in ASE's sign gives 1)",
        f"read them with stress_factor={factor:.6g} (--stress-factor {factor:.6g}), or {_NO_STRESS}", carriers,
    )]  # fmt: skip
