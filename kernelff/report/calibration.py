"""From posterior standard deviations to error bars: one factor per kind of label, and how well it does."""

from __future__ import annotations

from dataclasses import fields

import numpy as np

ONE_SIGMA = 0.6827
_LEAST_SAMPLES = 10


def errors_and_sds(evaluation, kind):
    """Errors and predicted standard deviations of all labelled numbers of one kind.

    Parameters
    ----------
    evaluation : Evaluation
        With uncertainties.
    kind : {"energy", "forces"}

    Returns
    -------
    errors, sds : ndarray of shape (n,)
        eV per atom, or eV/Å per component.
    """
    if kind == "energy":
        errors = (evaluation.energy - evaluation.energy_ref) / evaluation.n_atoms
        sds = evaluation.energy_std / evaluation.n_atoms
    else:
        pairs = zip(evaluation.forces, evaluation.forces_ref, strict=True)
        errors = np.concatenate([(forces - labels).ravel() for forces, labels in pairs])
        sds = np.concatenate([sd.ravel() for sd in evaluation.forces_std])
    known = np.isfinite(errors) & (sds > 1e-6 * sds.max(initial=0.0))  # symmetry makes some forces zero: no error bar
    return errors[known], sds[known]


def scale(evaluation, kind):
    """Factor by which 68 % of the errors lie within one standard deviation.

    The posterior of a projected process knows the noise of the labels and what the data leave open within the
    model, not what the model cannot express: it is too sure by a factor that frames kept aside can tell.

    Parameters
    ----------
    evaluation : Evaluation
        Of frames that were not fitted, with uncertainties.
    kind : {"energy", "forces"}

    Returns
    -------
    float
        1 where fewer than ten labels could tell.
    """
    errors, sds = errors_and_sds(evaluation, kind)
    if len(errors) < _LEAST_SAMPLES:
        return 1.0
    return float(np.quantile(np.abs(errors) / sds, ONE_SIGMA))


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
    from scipy.stats import norm

    within = np.abs(errors) / sds
    return np.array([(within <= norm.ppf(0.5 + 0.5 * level)).mean() for level in levels])


def subset(evaluation, chosen):
    """An evaluation of some of its frames.

    Parameters
    ----------
    evaluation : Evaluation
    chosen : ndarray of shape (n_frames,), bool

    Returns
    -------
    Evaluation
    """
    parts = {}
    for entry in fields(evaluation):
        value = getattr(evaluation, entry.name)
        if isinstance(value, np.ndarray):
            value = value[chosen]
        elif value is not None:
            value = [item for item, keep in zip(value, chosen, strict=True) if keep]
        parts[entry.name] = value
    return type(evaluation)(**parts)
