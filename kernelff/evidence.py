"""Noise sigmas and delta from the data alone: the evidence of the model, maximised.

The evidence is that of the projected process (DTC), which is good at the noise
of forces and virials and at delta and poor at that of energies, for which it
asks far too loosely: sigma_energy is therefore tied to sigma_forces.
"""

from typing import NamedTuple

import numpy as np
from scipy.linalg import solve_triangular
from scipy.optimize import minimize

from kernelff.factors import posterior_factor

ENERGY_RATIO = 0.07  # sigma_energy (eV per atom) / sigma_forces (eV/Å)
# a wider prior than five deltas gains little and costs digits: weights grow and cancel
_BOUNDS = {"energy": (1e-5, 0.1), "forces": (1e-3, 1.0), "virial": (1e-3, 10.0), "delta": (0.1, 5.0)}


class Hyperparameters(NamedTuple):
    """What the evidence chose."""

    sigmas: dict  # group name -> noise sigma
    delta_scale: float  # factor on delta
    evidence: float  # log p(y)
    n_evaluations: int


def maximise_evidence(groups, sigmas, n_nuisance, given=frozenset()):
    """Choose the noise of every kind of label and the prior's width.

    Parameters
    ----------
    groups : dict of WhitenedFactor
    sigmas : dict
        Group name -> sigma: where the search starts, or what is given. Groups of one config_type
        ("forces:surface") are always given.
    n_nuisance : int
    given : set of str
        Kinds ("energy", "forces", "virial") and "delta" that stay as they are.

    Returns
    -------
    Hyperparameters

    References
    ----------
    .. [1] MacKay, Neural Computation 4, 415 (1992), doi:10.1162/neco.1992.4.3.415
    """
    tied = "forces" in groups and "energy" not in given
    free = [name for name in groups if ":" not in name and name not in given and not (tied and name == "energy")]
    names = free + ([] if "delta" in given else ["delta"])

    def at(logs):
        chosen = sigmas | dict(zip(free, map(float, np.exp(logs)), strict=False))
        if tied and "energy" in groups:
            chosen["energy"] = ENERGY_RATIO * chosen["forces"]
        return chosen, 1.0 if "delta" in given else float(np.exp(logs[-1]))

    def objective(logs):
        chosen, scale = at(logs)
        value, slopes, by_delta = evidence_gradient(groups, chosen, n_nuisance, scale)
        if tied and "forces" in free:
            slopes["forces"] += slopes.get("energy", 0.0)
        return -value, -np.array([*(slopes[name] for name in free), *([by_delta] if "delta" in names else [])])

    if not names:
        chosen, scale = at(np.zeros(0))
        return Hyperparameters(chosen, scale, posterior_factor(groups, chosen, n_nuisance, scale)[1], 1)
    bounds = [tuple(np.log(_BOUNDS[name])) for name in names]
    start = np.clip([np.log(sigmas.get(name, 1.0)) for name in names], *np.transpose(bounds))
    found = minimize(objective, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"ftol": 1e-8})
    return Hyperparameters(*at(found.x), -float(found.fun), int(found.nfev))


def evidence_gradient(groups, sigmas, n_nuisance, prior_std):
    """log p(y), its derivatives by log sigma of every group, and by log prior_std.

    With posterior covariance C = (R'R)^-1 and mean w, d log p / d log sigma_g
    = |T_g [w, -1]|^2 / sigma_g^2 + tr(C T_g' T_g) / sigma_g^2 - n_g.
    """
    R, value = posterior_factor(groups, sigmas, n_nuisance, prior_std)
    inverse = solve_triangular(R[:-1, :-1], np.eye(len(R) - 1))
    w = inverse @ R[:-1, -1]
    with_target = np.append(w, -1.0)
    slopes = {}
    for name, group in groups.items():
        misfit = np.sum((group.T @ with_target) ** 2)
        spread = np.sum((group.T[:, :-1] @ inverse) ** 2)
        slopes[name] = float((misfit + spread) / sigmas[name] ** 2 - group.n_rows)
    psi = slice(n_nuisance, None)
    by_prior = (np.sum(w[psi] ** 2) + np.sum(inverse[psi] ** 2)) / prior_std**2 - len(w[psi])
    return value, slopes, float(by_prior)
