"""Errors on frames that a fit has not seen, from one pass over the frames.

The frames are cut into folds of neighbouring snapshots. Each fold leaves its normal equations and a sample of
its rows: training on all folds but one is a subtraction, the squared error on the one left out is w' G w, and
other sigmas or prior widths cost one small system per fold instead of a fit [1]_.

References
----------
.. [1] Golub, Heath, Wahba, Technometrics 21, 215 (1979): choosing a ridge parameter by cross-validation.
"""

import numpy as np
from sklearn.model_selection import BaseCrossValidator, GroupKFold

from kernelff.noise import kind_of
from kernelff.normal import System, combined, grams

N_FOLDS = 5
SAMPLE = {"energy": 500, "forces": 3000, "virial": 900}  # rows kept in all folds together
WEIGHTS = {"forces": 1.0, "energy": 0.25, "virial": 0.1}  # of log errors: 4 % of the energies are worth 1 % of forces
ALWAYS_TRAINED = -1  # "fold" of frames that are never held out
_POOLED = 10.0  # labels, see fold_scores
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
            Mean of `fold_scores`.
        by_sigma : dict
            Derivative by each log sigma.
        by_column : ndarray of shape (size - 1,)
            Derivative by the log prior std of each column.
        """
        prior_std = self.columns.prior_std(parameters.priors, parameters.nuisance)
        squares, slopes = self._empty_squares(), []
        for number, fold in enumerate(self.folds):
            system = System(self.total, parameters.sigmas, prior_std, without=fold)
            w = np.append(system.mean, -1.0)
            products = {name: system.times_gram(name, w)[:-1] for name in system.groups}
            for kind, (square, product) in _squares(fold, w).items():
                squares[kind][number, 0] = square
                adjoint = system.solve(2 * product[:-1])
                by_sigma = {name: 2 / parameters.sigmas[name] ** 2 * float(adjoint @ p) for name, p in products.items()}
                slopes.append((kind, number, by_sigma, 2 / prior_std**2 * adjoint * system.mean))
        score, by_square = _score(squares)
        by_sigma, by_column = dict.fromkeys(parameters.sigmas, 0.0), np.zeros(len(prior_std))
        for kind, number, of_sigma, of_column in slopes:
            by_column += by_square[kind][number] * of_column
            for name, slope in of_sigma.items():
                by_sigma[name] += by_square[kind][number] * slope
        return score, by_sigma, by_column

    def squares(self, parameters):
        """Held-out errors of each fold, kind of label -> array (n_folds, 2).

        The sum of their squares in the unit of the noise sigma (squared), and the number of labels.
        """
        prior_std = self.columns.prior_std(parameters.priors, parameters.nuisance)
        found = self._empty_squares()
        for number, fold in enumerate(self.folds):
            system = System(self.total, parameters.sigmas, prior_std, without=fold)
            for kind, (square, _) in _squares(fold, np.append(system.mean, -1.0)).items():
                found[kind][number, 0] = square
        return found

    def _empty_squares(self):
        """`squares` with the numbers of labels and no errors."""
        found = {kind: np.zeros((len(self), 2)) for kind in WEIGHTS if any(kind_of(n) == kind for n in self.total)}
        for number, fold in enumerate(self.folds):
            for name, gram in fold.items():
                found[kind_of(name)][number, 1] += gram.n_rows
        return {kind: values for kind, values in found.items() if values[:, 1].any()}

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


def fold_scores(squares):
    """Weighted sum of the logarithms of the rms errors on each fold, (n_folds,).

    Parameters
    ----------
    squares : dict
        From `CrossValidation.squares`. Few labels may be met by chance, and the logarithm of their error then knows no
        bound: each fold counts _POOLED labels with the mean error of all folds beside its own.
    """
    scores = 0.0
    for kind, values in squares.items():
        mean = values[:, 0].sum() / values[:, 1].sum()
        scores = scores + 0.5 * WEIGHTS[kind] * np.log((values[:, 0] + _POOLED * mean) / (values[:, 1] + _POOLED))
    return scores


def _score(squares):
    """Mean of `fold_scores`, and its derivatives by each square: kind -> (n_folds,)."""
    slopes = {}
    for kind, values in squares.items():
        total = values[:, 1].sum()
        inverse = 1 / (values[:, 0] + _POOLED * values[:, 0].sum() / total)
        slopes[kind] = 0.5 * WEIGHTS[kind] / len(values) * (inverse + _POOLED / total * inverse.sum())
    return float(np.mean(fold_scores(squares))), slopes


def _squares(fold, w):
    """Kind of label -> sum of squared errors w' G w of w = [mean, -1] on a fold, and G w."""
    found = {}
    for kind in WEIGHTS:
        group = [gram for name, gram in fold.items() if kind_of(name) == kind]
        if group:
            product = sum(gram.G @ w for gram in group)
            tiny = _TINY * sum(gram.G[-1, -1] for gram in group) + 1e-300
            # a difference of large numbers: rounding may leave less than nothing
            found[kind] = max(float(w @ product), 0.0) + tiny, product
    return found


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
