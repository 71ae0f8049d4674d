"""Small least-squares problems on triangular factors [phi, nuisance, y] or [phi, nuisance, Jacobian, y]."""

from typing import NamedTuple

import numpy as np
from scipy.linalg import qr, solve_triangular

_FLAT = 1e-3  # of the largest column norm: damping of directions that hardly matter


class Fit(NamedTuple):
    """Least squares with a ridge.

    Attributes
    ----------
    weights : ndarray of shape (n_features + 1,)
        The last is that of the nuisance column.
    total : float
        Squared residuals, in units of their sigmas, and what the ridge adds.
    """

    weights: np.ndarray
    total: float


def with_prior(R, prior):
    """R of the rows and of a prior: `prior` (n,) squared weights of the first n columns."""
    rows = np.zeros((len(prior), R.shape[1]))
    rows[:, : len(prior)] = np.diag(np.sqrt(prior))
    return qr(np.vstack([R, rows]), mode="r")[0][: R.shape[1]]


def solve(R, prior):
    """`Fit` of the last column of R by all others."""
    T = with_prior(R, prior)
    return Fit(solve_triangular(T[:-1, :-1], T[:-1, -1]), float(T[-1, -1] ** 2))


def damped_step(R, n, damping):
    """Step along the columns n, n + 1, .., all columns before them eliminated.

    Returns
    -------
    step : ndarray
    expected : float
        Squared residuals that it leads to if all is linear.
    """
    inner, y = R[n:-1, n:-1], R[n:-1, -1]
    norms = np.sqrt((R[:, n:-1] ** 2).sum(axis=0))
    norms = np.maximum(norms, _FLAT * norms.max(initial=0.0))
    T = with_prior(np.column_stack([inner, y]), damping * norms**2) if len(y) else np.zeros((1, 1))
    return solve_triangular(T[:-1, :-1], T[:-1, -1]), float(T[-1, -1] ** 2 + R[-1, -1] ** 2)
