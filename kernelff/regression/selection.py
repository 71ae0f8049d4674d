"""Which functions of a linear model are needed: prior widths of their own (ARD), or an L1 penalty (lasso).

Both see the normal equations alone (normal.py), in whitened columns and for noise that has been chosen before. What
is left is fitted by ridge regression as usual, so that error bars exist, conditional on the selection. The fit
without a fold selects for itself: held-out errors do not know what was held out.

References
----------
.. [1] MacKay, Neural Computation 4, 415 (1992), doi:10.1162/neco.1992.4.3.415
.. [2] Tipping, J. Mach. Learn. Res. 1, 211 (2001): sparse Bayesian learning.
.. [3] Faul, Tipping, Adv. Neural Inf. Process. Syst. 14, 383 (2002): columns that have no place in the maximum.
.. [4] Efron, Hastie, Johnstone, Tibshirani, Ann. Stat. 32, 407 (2004): the whole path of the lasso (LARS).
.. [5] Zou, J. Am. Stat. Assoc. 101, 1418 (2006): adaptive lasso.
.. [6] Meinshausen, Comput. Stat. Data Anal. 52, 374 (2007): relaxed lasso.
"""

import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import lars_path_gram

from kernelff.assembly import term_columns
from kernelff.regression.crossvalidation import total_score
from kernelff.regression.normal import Gram, System

METHODS = ("ridge", "ard", "lasso")
GONE = 1e-7  # factor on the prior std of a column that is not selected
_NARROWEST, _WIDEST = 1e-5, 1e3  # of one that is; no digit is left beyond
_MOST_STEPS = 100
_SETTLED = 0.01  # rise of the evidence in a step, e-folds
_SMALL = 0.1  # share of a weight that the data determine; below, its column hardly changes what others need
_FIRST_PENALTY, _LEAST = 1e6, 1e-300
_PENALTIES = 30  # tried along the path
_WORTH_FEWER = 0.02  # of the score, about the relative error of forces, is given away for fewer functions


def select(method, folds, parameters):
    """The folds with some columns selected, and for ARD with prior widths of their own.

    Parameters
    ----------
    method : {"ridge", "ard", "lasso"}
        Ridge regression keeps all columns.
    folds : CrossValidation
    parameters : Hyperparameters
        Chosen for all columns.

    Returns
    -------
    CrossValidation
        With `shares` and `fold_shares` of GONE where a column is not selected. At least one is.

    Raises
    ------
    ValueError
        If the penalty of the lasso cannot be chosen, for want of folds.
    """
    if method == "ridge":
        return folds
    return (_by_evidence if method == "ard" else _by_errors)(folds, parameters)


def terms_left(terms, shares):
    """The terms with the selected functions alone; `shares` (n_functions,) multiply their prior std."""
    if (shares == 1.0).all():
        return terms
    return [term.restricted(shares[columns], GONE) for term, columns in zip(terms, term_columns(terms), strict=True)]


def together(groups, sigmas):
    """The Gram of all noise groups, in units of their sigmas."""
    return Gram(
        sum(sigmas[name] ** -2 * gram.G for name, gram in groups.items()),
        sum(gram.n_rows for gram in groups.values()),
        float(sum(gram.log_scale + gram.n_rows * np.log(sigmas[name]) for name, gram in groups.items())),
    )


def relevant(gram, prior_std, n_fixed=0):
    """Automatic relevance determination [1]_ [2]_: the prior std of each column for most evidence.

    Fixed-point steps std^2 = mean^2 / gamma, where gamma = 1 - C_jj / std^2 is the share of the weight that the data
    determine. The evidence falls with std from 0 on where q^2 <= s of [3]_, which is mean^2 <= std^2 gamma (1 - gamma):
    such columns are removed once their gamma is small.

    Parameters
    ----------
    gram : Gram
        In units of the noise.
    prior_std : ndarray of shape (size - 1,)
        Where the steps begin.
    n_fixed : int
        The first columns keep their prior.

    Returns
    -------
    kept : ndarray of int
        Columns with a prior std > 0, ascending; one that is not fixed at least.
    std : ndarray of shape (n_kept,)
    evidence : list of float
        log p(y) after every step.
    """
    kept, std, evidence = np.arange(len(prior_std)), np.array(prior_std, dtype=float), []
    for _ in range(_MOST_STEPS):
        system = System({"": gram.restricted(np.append(kept, -1))}, {"": 1.0}, std)
        evidence.append(system.evidence())
        if len(evidence) > 1 and evidence[-1] - evidence[-2] < _SETTLED:
            break
        gamma = np.maximum(1.0 - np.diag(system.covariance()) / std**2, 1e-12)
        free = kept >= n_fixed
        needless = free & (gamma < _SMALL) & (system.mean**2 <= std**2 * gamma * (1.0 - gamma))
        if not (free & ~needless).any():
            break
        start = prior_std[kept]
        new = np.clip(np.abs(system.mean) / np.sqrt(gamma), _NARROWEST * start, _WIDEST * start)
        std, kept = np.where(free, new, std)[~needless], kept[~needless]
    return kept, std, evidence


def lasso_path(gram, prior_std, n_fixed=0, adaptive=True):
    """All solutions of |y - X w|^2 / 2 + alpha sum_j |w_j| / s_j, by LARS [4]_.

    The scales s_j = |w_j| of ridge regression [5]_ reach the same held-out errors with a quarter less functions than
    s_j = 1 where columns are as correlated as moment tensors.

    Parameters
    ----------
    gram : Gram
        In units of the noise.
    prior_std : ndarray of shape (size - 1,)
        Of the ridge regression.
    n_fixed : int
        The first columns have their Gaussian prior in place of the penalty.
    adaptive : bool
        False for s_j = 1.

    Returns
    -------
    alphas : ndarray of shape (n_knots,)
        Descending.
    weights : ndarray of shape (n_knots, size - 1 - n_fixed)
        Linear in between.
    """
    f, prior = n_fixed, np.diag(prior_std**-2.0)
    A, b = gram.G[:-1, :-1], gram.G[:-1, -1]
    eliminated = np.linalg.solve(A[:f, :f] + prior[:f, :f], np.column_stack([A[:f, f:], b[:f]]))
    A, b = A[f:, f:] - A[f:, :f] @ eliminated[:, :-1], b[f:] - A[f:, :f] @ eliminated[:, -1]
    scales = np.abs(np.linalg.solve(A + prior[f:, f:], b)) if adaptive else np.ones(len(b))
    A, b = A * np.outer(scales, scales), b * scales
    # scikit-learn's thresholds are absolute: columns of length one, the last penalties far above 1e-7
    square, unit = max(np.diag(A).mean(), _LEAST), max(np.abs(b).max(), _LEAST) / _FIRST_PENALTY
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a column that depends on others is left out
        alphas, _, weights = lars_path_gram(
            b / unit, A / square, n_samples=1, method="lasso", max_iter=20 * len(b), copy_X=False, copy_Gram=False
        )
    return alphas * unit, weights.T * scales * (unit / square)


def _by_evidence(folds, parameters):
    """Selected by the evidence of all frames, and of those outside each fold."""
    start, n_nuisance = folds.prior_std(parameters), folds.columns.n_nuisance

    def shares(groups):
        if not groups:  # all frames are in one fold
            return np.ones(len(start))
        kept, std, _ = relevant(together(groups, parameters.sigmas), start, n_nuisance)
        found = np.full(len(start), GONE)
        found[kept] = std / start[kept]
        return found

    return folds.with_shares(shares(folds.total), [shares(groups) for groups in folds.training])


def _by_errors(folds, parameters):
    """Selected by the lasso, then ridge regression [6]_: the fewest functions with held-out errors near the least."""
    if len(folds) < 2:
        raise ValueError(
            "regression: 'lasso' chooses its penalty by the errors of held-out frames, for which there are too few. "
            "Give five frames or more, or regression='ard'."
        )
    start, n_nuisance = folds.prior_std(parameters), folds.columns.n_nuisance

    def path(groups):
        return lasso_path(together(groups, parameters.sigmas), start, n_nuisance)

    whole, parts = path(folds.total), [path(groups) for groups in folds.training]

    def selected(alpha):
        shares = [np.append(np.ones(n_nuisance), np.where(_support(*one, alpha), 1.0, GONE)) for one in [whole, *parts]]
        return folds.with_shares(shares[0], shares[1:])

    n_knots = len(whole[0])
    alphas = whole[0][np.unique(np.linspace(1, n_knots - 1, _PENALTIES).astype(int))] if n_knots > 1 else []
    candidates = [folds if alpha is None else selected(alpha) for alpha in [None, *reversed(alphas)]]
    scores = np.array([total_score(candidate.deviations(parameters)) for candidate in candidates])
    return candidates[np.flatnonzero(scores <= scores.min() + _WORTH_FEWER).max()]


def _support(alphas, weights, alpha):
    """Which weights are not zero at, and below, a penalty."""
    k = min(np.searchsorted(-alphas, -alpha, side="right"), len(alphas) - 1)
    return (weights[max(k - 1, 0)] != 0) | (weights[k] != 0)
