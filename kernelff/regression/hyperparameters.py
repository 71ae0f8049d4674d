"""Noise sigmas and prior widths that nobody has given: chosen from the data.

"cv" minimises the errors of held-out frames. They depend on ratios of the sigmas and deltas only; the factor common
to all of them has its maximum of evidence in closed form. "evidence" maximises the evidence, except for the noise of
energies, at which it is poor: that one is the ratio to the noise of forces which cross-validation likes best.
"""

from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize

from kernelff.regression.crossvalidation import total_score
from kernelff.regression.evidence import evidence_gradient
from kernelff.regression.noise import KINDS, kind_of
from kernelff.regression.normal import System

METHODS = ("fixed", "cv", "evidence")
ENERGY_RATIO = 0.07  # sigma_energy (eV per atom) / sigma_forces (eV/Å) where there are no folds to choose it by
# a wider prior than a few deltas gains little and costs digits: weights grow and cancel
_BOUNDS = {"energy": (1e-4, 0.1), "forces": (1e-3, 1.0), "virial": (1e-2, 10.0), "prior": (0.02, 5.0)}
NO_NUISANCE = 1e-6
_CLEARLY = 3.0  # calibrated sds
_PINNED = {"forces": 0.05, "energy": 0.0025, "virial": 0.2}  # held-out errors know ratios only: one sigma is held
_WIDTHS = (0.1, 0.3, 1.0, 3.0)  # of the prior, where a search may begin
_RATIOS = {"energy": (0.01, 0.05, 0.25), "virial": (0.5, 4.0, 30.0)}  # to the noise of forces, likewise
_COARSE = 0.02  # less is left to the search itself
_LEAST_FACTOR = 1e-3
_PRIOR_FRAMES = 1.0  # a factor of ten away from the start costs as much as so many frames can tell


class Hyperparameters(NamedTuple):
    """What a fit uses."""

    sigmas: dict  # group name -> noise sigma
    priors: tuple  # factor on delta of each family of functions
    nuisance: float = 1.0  # factor on the prior std of nuisance columns


class Search:
    """A search over the logarithms of some sigmas and prior widths.

    Parameters
    ----------
    columns : Columns
    start : Hyperparameters
    free : list
        Group names and numbers of families that may change.
    floors : dict
        Kind of label -> least sigma.
    """

    def __init__(self, columns, start, free, floors):
        self.columns, self.start, self.free, self.floors = columns, start, free, floors
        self.bounds = [self._bound(key, floors) for key in free]

    def at(self, logs):
        """The hyperparameters for a vector of logarithms."""
        sigmas, priors = dict(self.start.sigmas), list(self.start.priors)
        for key, value in zip(self.free, map(float, np.exp(logs)), strict=True):
            (sigmas if isinstance(key, str) else priors)[key] = value
        return self.start._replace(sigmas=sigmas, priors=tuple(priors))

    def gradient(self, by_sigma, by_column):
        """Derivatives by the free logarithms."""
        owners = self.columns.by_owner(by_column)
        return np.array([by_sigma[key] if isinstance(key, str) else owners[key] for key in self.free])

    def minimise(self, objective, n_frames):
        """Hyperparameters of least objective(hyperparameters) -> (value, by_sigma, by_column).

        A weak prior keeps them near the start where few frames tell little.
        """
        if not self.free:
            return self.start
        logs = np.log([self._value(key) for key in self.free])
        origin = logs = np.clip(logs, *np.transpose(self.bounds))
        weight = _PRIOR_FRAMES / n_frames / np.log(10) ** 2

        def total(logs):
            value, by_sigma, by_column = objective(self.at(logs))
            away = logs - origin
            return value + 0.5 * weight * away @ away, self.gradient(by_sigma, by_column) + weight * away

        options = {"ftol": 1e-5, "maxiter": 50}
        found = minimize(total, logs, jac=True, method="L-BFGS-B", bounds=self.bounds, options=options)
        return self.at(found.x)

    def _value(self, key):
        return self.start.sigmas[key] if isinstance(key, str) else self.start.priors[key]

    def _bound(self, key, floors):
        low, high = _BOUNDS[key if isinstance(key, str) else "prior"]
        low = max(low, floors.get(key, 0.0))
        return np.log(low), np.log(max(low, high))


def choose(method, folds, start, given, floors, n_frames):
    """Choose what is not given.

    Parameters
    ----------
    method : {"cv", "evidence"}
    folds : CrossValidation
    start : Hyperparameters
        Where the search begins, or what is given.
    given : set
        Kinds of labels and numbers of families that stay as they are; sigmas of one config_type
        ("forces:surface") always do.
    floors : dict
        Kind of label -> least sigma, the noise that copies of a structure show.
    n_frames : int

    Returns
    -------
    Hyperparameters
    """
    kinds = [kind for kind in KINDS if kind in folds.total and kind not in given]
    free = kinds + [family for family in range(len(start.priors)) if family not in given]
    if not free:
        found = start
    elif method == "evidence":
        found = _by_evidence(folds, start, free, floors, n_frames)
    else:
        found = _by_errors(folds, start, free, floors, n_frames) if len(folds) > 1 else start
    return without_needless_nuisance(folds, found)


def without_needless_nuisance(folds, parameters):
    """The hyperparameters, without nuisance columns unless one is clearly not zero.

    Clearly: beyond three of its posterior sds, times the factor by which those of held-out labels are too small.
    """
    if len(folds) < 2 or parameters.nuisance == NO_NUISANCE:
        return parameters
    n_nuisance = folds.columns.n_nuisance
    system = System(folds.total, parameters.sigmas, folds.prior_std(parameters))
    rows = np.eye(n_nuisance, len(system.mean))
    kinds = {kind_of(name) for samples in folds.samples for name in samples}
    kind = "energy" if "energy" in kinds else min(kinds)
    errors, sds = folds.residuals(parameters, [kind])[kind][:, :2].T
    factor = max(1.0, np.sqrt(np.mean(errors**2) / max(np.mean(sds**2), 1e-300)))
    clear = np.abs(system.mean[:n_nuisance]) > _CLEARLY * factor * system.stds(rows)
    return parameters if clear.any() else parameters._replace(nuisance=NO_NUISANCE)


def _by_errors(folds, start, free, floors, n_frames):
    """Least held-out errors; where nothing is given, the common factor by evidence."""
    everything = len(free) == len(folds.total) + len(start.priors)
    if not everything:
        return _least_errors(folds, Search(folds.columns, start, free, floors), n_frames)
    pinned = next(kind for kind in ("forces", "energy", "virial") if kind in folds.total)
    start = _times(start, _PINNED[pinned] / start.sigmas[pinned])
    ratios = [key for key in free if key != pinned]
    found = _least_errors(folds, Search(folds.columns, start, ratios, {}), n_frames)
    system = System(folds.total, found.sigmas, folds.prior_std(found))
    factor = np.sqrt(system.misfit / system.n_rows)  # d log p / d log factor = 0: the mean does not depend on it
    least = [floor / found.sigmas[kind] for kind, floor in floors.items() if kind in found.sigmas]
    return _times(found, max(factor, *least, _LEAST_FACTOR))


def _times(parameters, factor):
    """All sigmas and prior widths times a factor: the same posterior mean."""
    sigmas = {name: float(factor * sigma) for name, sigma in parameters.sigmas.items()}
    return parameters._replace(sigmas=sigmas, priors=tuple(float(factor * prior) for prior in parameters.priors))


def _by_evidence(folds, start, free, floors, n_frames):
    """Most evidence, the noise of energies tied to that of forces; then its ratio by held-out errors."""
    tied = "energy" in free and "forces" in folds.total
    search = Search(folds.columns, start, [key for key in free if not (tied and key == "energy")], floors)

    def with_energy(parameters):
        ratio = {"energy": ENERGY_RATIO * parameters.sigmas["forces"]} if tied else {}
        return parameters._replace(sigmas=parameters.sigmas | ratio)

    def objective(parameters):
        parameters = with_energy(parameters)
        system = System(folds.total, parameters.sigmas, folds.prior_std(parameters))
        value, by_sigma, by_column = evidence_gradient(system)
        if tied:
            by_sigma["forces"] += by_sigma["energy"]
        return -value / n_frames, {name: -slope / n_frames for name, slope in by_sigma.items()}, -by_column / n_frames

    found = with_energy(search.minimise(objective, n_frames))
    if tied and len(folds) > 1:
        found = _least_errors(folds, Search(folds.columns, found, ["energy"], floors), n_frames)
    return found


def _least_errors(folds, search, n_frames):
    """From the best of a few places, without nuisance columns if they do not help."""
    start = _coarsely(folds, search.start, search.free)
    search = Search(search.columns, start, search.free, search.floors)
    found = search.minimise(folds.score, n_frames)
    better = without_needless_nuisance(folds, found)
    if better is found or found.nuisance == NO_NUISANCE:
        return found
    return Search(search.columns, better, search.free, search.floors).minimise(folds.score, n_frames)


def _coarsely(folds, start, free):
    """Best of a few prior widths and noise ratios, one after the other: the score has more than one minimum."""
    families = [key for key in free if not isinstance(key, str)]
    forces = start.sigmas.get("forces", _PINNED["forces"])
    moves = [lambda at, width=width: _with_priors(at, families, width) for width in _WIDTHS if families]
    for kind, ratios in _RATIOS.items():
        if kind in free:
            moves += [
                lambda at, kind=kind, ratio=ratio: at._replace(sigmas=at.sigmas | {kind: ratio * forces})
                for ratio in ratios
            ]
    known = {}

    def score_of(parameters):
        key = (*parameters.sigmas.items(), *parameters.priors)
        if key not in known:
            known[key] = total_score(folds.deviations(parameters))
        return known[key]

    best, least, before = start, score_of(start), None
    while before is not best:  # every round of moves lowers the score or is the last
        before = best
        for move in moves:
            score = score_of(move(best))
            if score < least - _COARSE:
                best, least = move(best), score
    return best


def _with_priors(parameters, families, width):
    priors = [width if family in families else prior for family, prior in enumerate(parameters.priors)]
    return parameters._replace(priors=tuple(priors))
