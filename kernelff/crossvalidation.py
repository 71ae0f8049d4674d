"""Errors on frames that a fit has not seen, from one pass over the frames.

The frames are cut into folds of neighbouring snapshots. Each fold leaves its normal equations and a sample of
its rows: training on all folds but one is a subtraction, the squared error on the one left out is w' G w, and
other sigmas or prior widths cost one small system per fold instead of a fit [1]_.

References
----------
.. [1] Golub, Heath, Wahba, Technometrics 21, 215 (1979): choosing a ridge parameter by cross-validation.
"""

import numpy as np

from kernelff.noise import kind_of
from kernelff.normal import System, combined, grams

N_FOLDS = 5
SAMPLE = {"energy": 500, "forces": 3000, "virial": 900}  # rows kept in all folds together
WEIGHTS = {"forces": 1.0, "energy": 0.25, "virial": 0.1}  # of log errors: 4 % of the energies are worth 1 % of forces
ALWAYS_TRAINED = -1  # "fold" of frames that are never held out
_TINY = 1e-24  # of the squared labels: an error of zero has no logarithm


def fold_of(frames, n_folds=N_FOLDS):
    """Fold of every frame: contiguous blocks within each config_type, so that neighbours stay together.

    Parameters
    ----------
    frames : list of ase.Atoms
    n_folds : int

    Returns
    -------
    ndarray of int, shape (n_frames,)
        Each config_type is cut into twice as many blocks as folds, so that a fold gets two places of a trajectory.
        Single atoms belong to no fold (ALWAYS_TRAINED), and nothing does where frames are fewer than folds.
    """
    kinds = np.array([str(atoms.info.get("config_type")) for atoms in frames])
    single = np.array([len(atoms) == 1 for atoms in frames])
    folds = np.full(len(frames), ALWAYS_TRAINED)
    if len(frames) - single.sum() >= n_folds:
        for kind in sorted(set(kinds)):
            members = np.flatnonzero((kinds == kind) & ~single)
            folds[members] = np.arange(len(members)) * 2 * n_folds // max(len(members), 1) % n_folds
    return folds


class CrossValidation:
    """The folds of a fit.

    Parameters
    ----------
    columns : Columns

    Attributes
    ----------
    total : dict of Gram
        All frames, those that are never held out included.
    """

    def __init__(self, columns):
        self.columns = columns
        self.folds, self.samples, self.total = [], [], {}

    def add(self, factors, held_out=True):
        """One more fold, from its Factors."""
        fold = grams(factors, self.columns)
        self.total = combined(self.total, fold)
        if held_out:
            self.folds.append(fold)
            self.samples.append({name: factor.sample for name, factor in factors.groups.items()})

    def __len__(self):
        return len(self.folds)

    def score(self, parameters):
        """Weighted mean of the logarithms of the held-out rms errors, and its derivatives.

        Parameters
        ----------
        parameters : Hyperparameters

        Returns
        -------
        score : float
        by_sigma : dict
            Derivative by each log sigma.
        by_column : ndarray of shape (size - 1,)
            Derivative by the log prior std of each column.
        """
        prior_std = self.columns.prior_std(parameters.priors, parameters.nuisance)
        score, by_sigma, by_column = 0.0, dict.fromkeys(parameters.sigmas, 0.0), np.zeros(len(prior_std))
        for fold in self.folds:
            system = System(self.total, parameters.sigmas, prior_std, without=fold)
            w = np.append(system.mean, -1.0)
            value, slope = _log_errors(fold, w)
            score += value
            adjoint = system.solve(slope)
            for name in system.groups:
                by_sigma[name] += 2 / parameters.sigmas[name] ** 2 * float(adjoint @ system.times_gram(name, w)[:-1])
            by_column += 2 / prior_std**2 * adjoint * system.mean
        n = len(self.folds)
        return score / n, {name: slope / n for name, slope in by_sigma.items()}, by_column / n

    def residuals(self, parameters):
        """Errors and posterior sds of the sampled labels, each by the folds that it is not in.

        Parameters
        ----------
        parameters : Hyperparameters

        Returns
        -------
        dict
            Kind of label -> array (n, 3): error and posterior sd in the unit of the noise sigma, and what an error is
            to be multiplied with to be in eV per atom or eV/Å.
        """
        found, prior_std = {}, self.columns.prior_std(parameters.priors, parameters.nuisance)
        for fold, samples in zip(self.folds, self.samples, strict=True):
            system = System(self.total, parameters.sigmas, prior_std, without=fold)
            # more frames shrink a posterior sd about like n^-1/2: what the model of all frames will say
            shrink = np.sqrt(system.n_rows / (system.n_rows + sum(gram.n_rows for gram in fold.values())))
            for name, sample in samples.items():
                rows = self.columns.rows(sample[:, :-1])
                errors = rows @ np.append(system.mean, -1.0)
                rows[:, : self.columns.n_nuisance] = 0.0
                sds = shrink * system.stds(rows[:, :-1])
                found.setdefault(kind_of(name), []).append(np.column_stack([errors, sds, sample[:, -1]]))
        return {kind: np.vstack(parts) for kind, parts in found.items()}


def _log_errors(fold, w):
    """Weighted sum of log rms errors of weights [mean, -1] on a fold, and its derivative by the mean."""
    value, slope = 0.0, np.zeros(len(w) - 1)
    for kind, weight in WEIGHTS.items():
        group = [gram for name, gram in fold.items() if kind_of(name) == kind]
        if group:
            product = sum(gram.G @ w for gram in group)
            squares = float(w @ product) + _TINY * sum(gram.G[-1, -1] for gram in group) + 1e-300
            value += 0.5 * weight * np.log(squares / sum(gram.n_rows for gram in group))
            slope += weight * product[:-1] / squares
    return value, slope


def mean_errors(residuals):
    """Mean absolute and rms errors of `CrossValidation.residuals`, kind -> dict, eV per atom or eV/Å."""
    found = {}
    for kind, values in residuals.items():
        errors = values[:, 0] * values[:, 2]
        found[kind] = {
            "mae": float(np.abs(errors).mean()),
            "rmse": float(np.sqrt(np.mean(errors**2))),
            "n": len(errors),
        }
    return found
