"""Normal equations in whitened columns: what a search over hyperparameters costs per step.

The last solve goes through the factors by QR (factors.py). A search asks the same system hundreds of times for
other sigmas and prior widths and needs no more than eight digits: here each step is one Cholesky decomposition,
m^3 / 3 operations, whatever the number of labels. Columns are [nuisance, psi, y] and the prior of psi is the
identity, so that the matrix stays well conditioned (cond ~ 1e7 where the raw columns have 1e15).
"""

from typing import NamedTuple

import numpy as np
from scipy.linalg import cho_factor, cho_solve, solve_triangular
from scipy.linalg.blas import daxpy

_ROUNDING = 1e-12


class Gram(NamedTuple):
    """rows' rows of one noise group, a row being [nuisance, psi, y]."""

    G: np.ndarray  # (size, size)
    n_rows: int
    log_scale: float

    def __add__(self, other):
        return Gram(self.G + other.G, self.n_rows + other.n_rows, self.log_scale + other.log_scale)

    def restricted(self, kept):
        """Of rows with the columns `kept` alone."""
        return self._replace(G=self.G[np.ix_(kept, kept)])


def grams(factors, columns):
    """Gram of every noise group of Factors, in whitened Columns."""
    found = {}
    for name, factor in factors.groups.items():
        rows = columns.rows(factor.R)
        found[name] = Gram(rows.T @ rows, factor.n_rows, factor.log_scale)
    return found


def combined(first, second):
    """Sum of two dicts of Gram; a group may be missing on either side."""
    return first | {name: first[name] + gram if name in first else gram for name, gram in second.items()}


class System:
    """Posterior of the weights of [nuisance, psi] for given noise and prior widths.

    Parameters
    ----------
    groups : dict of Gram
    sigmas : dict
        Group name -> noise sigma.
    prior_std : ndarray of shape (size - 1,)
        Prior standard deviation of each column but the target's.
    """

    def __init__(self, groups, sigmas, prior_std):
        self.groups, self.sigmas, self.prior_std = groups, sigmas, prior_std
        size = len(prior_std) + 1
        total = np.zeros((size, size))
        for name, gram in groups.items():
            _add(total, gram.G, sigmas[name] ** -2)
        self._b, self._yy = total[:-1, -1].copy(), float(total[-1, -1])
        A = total[:-1, :-1]
        A[np.diag_indices_from(A)] += prior_std**-2.0
        self._cholesky = _decomposed(A)
        self.mean = self.solve(self._b)

    def times_gram(self, name, vector):
        """G of a noise group times a vector (size,)."""
        return self.groups[name].G @ vector

    def solve(self, right):
        """Posterior covariance times `right`."""
        return cho_solve(self._cholesky, right, check_finite=False)

    def covariance(self):
        return self.solve(np.eye(len(self.mean)))

    def stds(self, rows):
        """Posterior sds of functionals (n, size - 1)."""
        half = solve_triangular(self._cholesky[0], rows.T, lower=True, check_finite=False)
        return np.sqrt(np.einsum("bt,bt->t", half, half))

    @property
    def misfit(self):
        """Sum of squared residuals in units of their sigmas, plus |mean / prior_std|^2."""
        return max(self._yy - float(self._b @ self.mean), 0.0)

    @property
    def n_rows(self):
        return sum(gram.n_rows for gram in self.groups.values())

    def evidence(self):
        """log p(y) of all groups, nuisance columns integrated out."""
        log_determinants = 2 * np.log(np.diag(self._cholesky[0])).sum() + 2 * np.log(self.prior_std).sum()
        noise = sum(
            2 * (gram.n_rows * np.log(self.sigmas[name]) + gram.log_scale) + gram.n_rows * np.log(2 * np.pi)
            for name, gram in self.groups.items()
        )
        return -0.5 * (self.misfit + log_determinants + noise)


def _decomposed(A):
    """Cholesky factor; with a ridge of rounding size where a far too wide prior leaves no digit."""
    try:  # of a transposed copy (A is symmetric), which LAPACK can write into
        return cho_factor(np.array(A).T, lower=True, check_finite=False, overwrite_a=True)
    except np.linalg.LinAlgError:
        ridge = _ROUNDING * np.diag(A).max() * np.eye(len(A))
        return cho_factor(A + ridge, lower=True, check_finite=False)


def _add(total, G, factor):
    """total += factor G, in one pass."""
    daxpy(G.ravel(), total.ravel(), a=factor)
