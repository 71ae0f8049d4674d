"""Errors on frames that a fit has not seen, from one pass over the frames.

The frames are cut into folds of neighbouring snapshots. Each fold leaves a sample of its rows, and its normal
equations in the sums over all other folds: the errors of a fit without the fold are those on the sample, and other
sigmas or prior widths cost one small system per fold instead of a fit [1]_.

References
----------
.. [1] Golub, Heath, Wahba, Technometrics 21, 215 (1979): choosing a ridge parameter by cross-validation.
"""

from copy import copy

import numpy as np
from sklearn.model_selection import BaseCrossValidator, GroupKFold

from kernelff.regression.noise import KINDS, kind_of
from kernelff.regression.normal import System, combined, grams

N_FOLDS = 5
SAMPLE = {"energy": 500, "forces": 3000, "virial": 900}  # rows kept in all folds together
WEIGHTS = {"forces": 1.0, "energy": 0.25, "virial": 0.1}  # of log errors: 4 % of the energies are worth 1 % of forces
ALWAYS_TRAINED = -1  # "fold" of frames that are never held out
_POOLED = 10.0  # labels, see fold_scores
_SMOOTH = 1e-6  # eV per atom or eV/Å: rounds off |error|, and an error of zero has no logarithm


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


class BlockKFold(BaseCrossValidator):
    """Folds of neighbouring frames for scikit-learn's searches, those that our own fits use.

    Neighbouring snapshots of a trajectory are nearly copies: held out at random, they make every model look good and
    the most flexible one best. Here each config_type is cut into blocks, see `fold_of`.

    Parameters
    ----------
    n_splits : int

    Examples
    --------
    >>> search = GridSearchCV(SparseGPR(SOAP()), {"zeta": [2, 3]}, cv=BlockKFold()).fit(frames)  # doctest: +SKIP
    """

    def __init__(self, n_splits=N_FOLDS):
        self.n_splits = n_splits

    def get_n_splits(self, X=None, y=None, groups=None):
        """Number of splits; the arguments are ignored."""
        return self.n_splits

    def split(self, X, y=None, groups=None):
        """Yield (indices of training frames, indices of test frames).

        Parameters
        ----------
        X : list of ase.Atoms
        y : None
            Ignored.
        groups : sequence, optional
            A label per frame, e.g. the trajectory it comes from: frames of one group stay together, in place of the
            blocks of each config_type.

        Raises
        ------
        ValueError
            For fewer frames (or groups) than splits.
        """
        frames, n = list(X), self.n_splits
        if isinstance(n, bool) or not isinstance(n, (int, np.integer)) or n < 2:
            raise ValueError(f"n_splits: must be a whole number > 1, got {n!r}.")
        if groups is not None:
            yield from GroupKFold(n).split(frames, groups=groups)
            return
        folds = fold_of(frames, n)
        for fold in range(n):
            if not (folds == fold).any():
                raise ValueError(
                    f"n_splits: {len(frames)} frames (single atoms, which are never held out, included) are too few "
                    f"for {n} folds of neighbouring frames. Give more frames or fewer folds."
                )
        for fold in range(n):
            yield np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)


class CrossValidation:
    """The folds of a fit.

    Parameters
    ----------
    columns : Columns

    Attributes
    ----------
    total : dict of Gram
        All frames, those that are never held out included.
    training : list of dict of Gram
        All frames but those of each fold.
    shares : ndarray of shape (size - 1,)
        Factor on the prior std of each column, beside that of its family: where columns are selected (selection.py).
    fold_shares : list of ndarray
        The same for the fits without each fold, which select for themselves.
    """

    def __init__(self, columns):
        self.columns = columns
        self.shares, self.fold_shares = np.ones(columns.size), []
        self.training, self.samples, self.total = [], [], {}

    def add(self, factors, held_out=True):
        """One more fold, from its Factors."""
        part = grams(factors, self.columns)
        for k, others in enumerate(self.training):
            self.training[k] = combined(others, part)
        if held_out:
            self.training.append(self.total)
            self.fold_shares.append(np.ones(self.columns.size))
            self.samples.append(
                {
                    name: (self.columns.rows(factor.sample[:, :-2]), *factor.sample[:, -2:].T)
                    for name, factor in factors.groups.items()
                    if len(factor.sample)
                }
            )
        self.total = combined(self.total, part)

    def __len__(self):
        return len(self.training)

    def with_shares(self, shares, fold_shares):
        """The same folds with other `shares` and `fold_shares`."""
        other = copy(self)
        other.shares, other.fold_shares = shares, fold_shares
        return other

    def prior_std(self, parameters):
        """Prior standard deviation of every column for all frames, (size - 1,)."""
        return self.shares * self.columns.prior_std(parameters.priors, parameters.nuisance)

    def score(self, parameters):
        """Weighted sum of the logarithms of the mean held-out errors, and its derivatives.

        Mean absolute errors: squares would be those of the few frames unlike all others.

        Parameters
        ----------
        parameters : Hyperparameters

        Returns
        -------
        score : float
            `total_score` of the `deviations`.
        by_sigma : dict
            Derivative by each log sigma.
        by_column : ndarray of shape (size - 1,)
            Derivative by the log prior std of each column.
        """
        deviations, slopes = {}, []
        for number, (system, samples) in enumerate(self._systems(parameters)):
            w = np.append(system.mean, -1.0)
            products = {name: system.times_gram(name, w)[:-1] for name in system.groups}
            for name, (rows, units, _) in samples.items():
                errors = units * (rows @ w)
                sizes = self._count(deviations, number, name, errors)
                adjoint = system.solve((errors / sizes * units) @ rows[:, :-1])
                by_sigma = {name: 2 / parameters.sigmas[name] ** 2 * float(adjoint @ p) for name, p in products.items()}
                slopes.append((kind_of(name), by_sigma, 2 / system.prior_std**2 * adjoint * system.mean))
        share = {kind: WEIGHTS[kind] / values[:, 0].sum() for kind, values in deviations.items()}
        by_sigma = {key: sum(share[kind] * of.get(key, 0.0) for kind, of, _ in slopes) for key in parameters.sigmas}
        return total_score(deviations), by_sigma, sum(share[kind] * of for kind, _, of in slopes)

    def deviations(self, parameters):
        """Held-out errors of the sampled labels, kind of label -> array (n_folds, 2): sum of their sizes, number.

        In eV per atom and eV/Å.
        """
        found = {}
        for number, (system, samples) in enumerate(self._systems(parameters)):
            for name, (rows, units, _) in samples.items():
                self._count(found, number, name, units * (rows @ np.append(system.mean, -1.0)))
        return found

    def _count(self, deviations, number, name, errors):
        """Add the errors of a noise group in a fold to `deviations`; return their sizes."""
        sizes = np.sqrt(errors**2 + _SMOOTH**2)
        deviations.setdefault(kind_of(name), np.zeros((len(self), 2)))[number] += sizes.sum(), len(errors)
        return sizes

    def _systems(self, parameters):
        """The System of all folds but one, and the sample of that one, for every fold."""
        prior_std = self.columns.prior_std(parameters.priors, parameters.nuisance)
        for others, samples, shares in zip(self.training, self.samples, self.fold_shares, strict=True):
            yield System(others, parameters.sigmas, prior_std * shares), samples

    def residuals(self, parameters, kinds=KINDS):
        """Errors and posterior sds of the sampled labels, each by the folds that it is not in.

        Parameters
        ----------
        parameters : Hyperparameters
        kinds : sequence of str
            Kinds of labels that are wanted.

        Returns
        -------
        dict
            Kind of label -> array (n, 4): error and posterior sd in the unit of the noise sigma, what an error is to be
            multiplied with to be in eV per atom or eV/Å, and the number of the frame's set of elements.
        """
        found, n_rows = {}, sum(gram.n_rows for gram in self.total.values())
        for system, samples in self._systems(parameters):
            # more frames shrink a posterior sd about like n^-1/2: what the model of all frames will say
            shrink = np.sqrt(system.n_rows / n_rows)
            for name, (rows, units, elements) in samples.items():
                if kind_of(name) not in kinds:
                    continue
                functionals = rows[:, :-1].copy()
                functionals[:, : self.columns.n_nuisance] = 0.0
                sds = shrink * system.stds(functionals)
                errors = rows @ np.append(system.mean, -1.0)
                found.setdefault(kind_of(name), []).append(np.column_stack([errors, sds, units, elements]))
        return {kind: np.vstack(parts) for kind, parts in found.items()}


def total_score(deviations):
    """Weighted sum of the logarithms of the mean errors on all folds together."""
    return sum(WEIGHTS[kind] * np.log(np.divide(*values.sum(axis=0))) for kind, values in deviations.items())


def fold_scores(deviations):
    """Weighted sum of the logarithms of the mean errors on each fold, (n_folds,).

    Parameters
    ----------
    deviations : dict
        From `CrossValidation.deviations`. Few labels may be met by chance, and the logarithm of their error then knows
        no bound: each fold counts _POOLED labels with the mean error of all folds beside its own.
    """
    scores = 0.0
    for kind, values in deviations.items():
        mean = np.divide(*values.sum(axis=0))
        scores = scores + WEIGHTS[kind] * np.log((values[:, 0] + _POOLED * mean) / (values[:, 1] + _POOLED))
    return scores


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
