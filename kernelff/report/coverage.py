"""How often errors lie inside their error bars."""

from __future__ import annotations

import numpy as np
from ase.units import GPa
from scipy.stats import norm

_BY_SYMMETRY = 1e-6  # eV/Å; a force that small in label and prediction is one that symmetry forbids


def errors_and_sds(evaluation, kind):
    """Errors and predicted standard deviations of all labelled numbers of one kind.

    Parameters
    ----------
    evaluation : Evaluation
        With uncertainties.
    kind : {"energy", "forces", "stress"}

    Returns
    -------
    errors, sds : ndarray of shape (n,)
        meV per atom, meV/Å per component, GPa per component.
    """
    if kind == "energy":
        errors = 1e3 * (evaluation.energy - evaluation.energy_ref) / evaluation.n_atoms
        sds = 1e3 * evaluation.energy_std / evaluation.n_atoms
    elif kind == "forces":
        found, labels, sds = (
            1e3 * np.concatenate([np.zeros(0), *(frame.ravel() for frame in frames)])
            for frames in (evaluation.forces, evaluation.forces_ref, evaluation.forces_std)
        )
        free = np.abs(found) + np.abs(labels) > 1e3 * _BY_SYMMETRY
        errors, sds = (found - labels)[free], sds[free]
    else:
        errors = (evaluation.stress - evaluation.stress_ref).ravel() / GPa
        sds = np.asarray(evaluation.stress_std, dtype=float).ravel() / GPa
    known = np.isfinite(errors) & np.isfinite(sds) & (sds > 0)
    return errors[known], sds[known]


def coverage(errors, sds, levels):
    """Share of errors inside the central interval of each level, for normal errors of these sds.

    Parameters
    ----------
    errors, sds : ndarray of shape (n,)
    levels : ndarray of shape (n_levels,)

    Returns
    -------
    ndarray of shape (n_levels,)
    """
    within = np.abs(errors) / sds
    return np.array([(within <= norm.ppf(0.5 + 0.5 * level)).mean() for level in levels])
