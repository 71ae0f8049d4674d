"""Triangular factors of the rows, one per noise group; never the rows.

A noise group g collects rows that share one noise sigma_g (scaled beforehand so
that they do). Its factor R_g is upper triangular with R_g' R_g = [A y]' [A y],
so that everything a Gaussian linear model asks of the rows is kept, in a
memory that does not depend on how many there were.
"""

from dataclasses import dataclass, field, replace

import numpy as np
from scipy.linalg import solve_triangular

from kernelff._linalg import fold


@dataclass
class Factor:
    """Rows of one noise group, folded.

    Attributes
    ----------
    R : ndarray of shape (m, m)
        Upper triangular, diagonal >= 0; the last column belongs to the targets.
    n_rows : int
    log_scale : float
        Sum of log(scale_t) when row t was divided by scale_t: its noise is
        sigma_g scale_t (sqrt(n_atoms) for energies and virials).
    """

    R: np.ndarray
    n_rows: int = 0
    log_scale: float = 0.0

    @classmethod
    def empty(cls, m):
        return cls(np.zeros((m, m)))

    def add(self, rows, log_scale=0.0):
        """Fold rows (n, m) in; `rows` is used as workspace."""
        fold(self.R, rows)
        self.n_rows += len(rows)
        self.log_scale += log_scale

    def merge(self, other):
        """Fold another factor of the same group in."""
        fold(self.R, other.R.copy())
        self.n_rows += other.n_rows
        self.log_scale += other.log_scale


@dataclass
class Factors:
    """The factors of all noise groups, in the order in which groups appeared."""

    m: int
    groups: dict = field(default_factory=dict)

    def group(self, name):
        if name not in self.groups:
            self.groups[name] = Factor.empty(self.m)
        return self.groups[name]

    def merge(self, other):
        for name, factor in other.groups.items():
            self.group(name).merge(factor)

    def copy(self):
        """Factors that can be extended without changing these."""
        return Factors(self.m, {name: replace(f, R=f.R.copy()) for name, f in self.groups.items()})

    def to_state(self):
        """(params, arrays) of plain data; upper triangles only."""
        upper = np.triu_indices(self.m)
        params = {name: [f.n_rows, f.log_scale] for name, f in self.groups.items()}
        return {"m": self.m, "groups": params}, {name: f.R[upper] for name, f in self.groups.items()}

    @classmethod
    def from_state(cls, params, arrays):
        factors = cls(int(params["m"]))
        upper = np.triu_indices(factors.m)
        for name, (n_rows, log_scale) in params["groups"].items():
            factor = factors.group(name)
            factor.R[upper] = arrays[name]
            factor.n_rows, factor.log_scale = int(n_rows), float(log_scale)
        return factors


@dataclass(frozen=True)
class Whitening:
    """Columns in which the prior is the identity: psi = phi @ W with W = U L^-1/2.

    Attributes
    ----------
    W : ndarray of shape (n_functions, rank)
    dropped : int
        Directions of K_MM below the tolerance.
    """

    W: np.ndarray
    dropped: int

    @classmethod
    def of(cls, K_MM, blocks, tolerance=1e-12, jitter=0.0):
        """Whiten a block-diagonal K_MM = U L U'.

        Parameters
        ----------
        K_MM : ndarray of shape (n, n)
        blocks : list of slice
            The diagonal blocks; each is decomposed by itself.
        tolerance : float
            Directions with L < tolerance max(L) of their block are dropped.
        jitter : float
            Added to L, to reproduce models fitted with a jitter on K_MM.
        """
        columns, dropped = [], 0
        for block in blocks:
            L, U = np.linalg.eigh(K_MM[block, block])
            keep = tolerance * L[-1] < L
            W = np.zeros((len(K_MM), int(keep.sum())))
            W[block] = U[:, keep] / np.sqrt(L[keep] + jitter)
            columns.append(W)
            dropped += int((~keep).sum())
        return cls(np.hstack(columns), dropped)


@dataclass(frozen=True)
class Solution:
    """Posterior of the linear model.

    Attributes
    ----------
    weights : ndarray of shape (n_functions,)
        Of the basis functions phi.
    nuisance : ndarray of shape (n_nuisance,)
    posterior : ndarray of shape (n_functions, rank)
        P with sd(a) = |a @ P| for any functional a of the basis functions.
    evidence : float
        log p(y) of the projected process (DTC), nuisance integrated out.
    """

    weights: np.ndarray
    nuisance: np.ndarray
    posterior: np.ndarray
    evidence: float


@dataclass(frozen=True)
class WhitenedFactor:
    """A noise group in whitened columns [nuisance, psi, y], where the prior is the identity."""

    T: np.ndarray  # (size, size), upper triangular
    n_rows: int
    log_scale: float


def whitened(factors, whitening, nuisance_std):
    """The factors in whitened columns, one WhitenedFactor per group.

    Nuisance columns come first, so that the last block of a posterior factor is the one with
    nuisance integrated out.

    Parameters
    ----------
    factors : Factors
        Columns [phi, nuisance, y].
    whitening : Whitening
    nuisance_std : ndarray of shape (n_nuisance,)
        Prior standard deviations of the nuisance columns.
    """
    n, n_nuisance = len(whitening.W), len(nuisance_std)
    groups = {}
    for name, factor in factors.groups.items():
        nuisance = factor.R[:, n : n + n_nuisance] * nuisance_std
        rows = np.hstack([nuisance, factor.R[:, :n] @ whitening.W, factor.R[:, -1:]])
        T = np.zeros((rows.shape[1],) * 2)
        fold(T, np.ascontiguousarray(rows))
        groups[name] = WhitenedFactor(T, factor.n_rows, factor.log_scale)
    return groups


def posterior_factor(groups, sigmas, n_nuisance, prior_std=1.0):
    """R of the posterior and log p(y), from whitened groups.

    Folding T_g / sigma_g of all groups into the identity of the prior gives R with posterior
    covariance (R'R)^-1; with prior_std = 1 every singular value is >= 1. The last column holds the
    targets, the last diagonal element the misfit.

    Parameters
    ----------
    groups : dict of WhitenedFactor
    sigmas : dict
        Group name -> noise sigma.
    n_nuisance : int
    prior_std : float
        Common factor on the prior standard deviation of psi (on delta).

    Returns
    -------
    R : ndarray of shape (size, size)
    evidence : float
        log p(y), nuisance integrated out [2]_.
    """
    size = len(next(iter(groups.values())).T)
    rank = size - n_nuisance - 1
    R = np.diag(np.r_[np.ones(n_nuisance), np.full(rank, 1.0 / prior_std), 0.0])
    minus_twice_log = 2.0 * rank * np.log(prior_std)
    for name, group in groups.items():
        fold(R, group.T / sigmas[name])
        minus_twice_log += 2 * (group.n_rows * np.log(sigmas[name]) + group.log_scale)
        minus_twice_log += group.n_rows * np.log(2 * np.pi)
    # -2 log p(y): misfit + log-determinants of posterior and prior + noise
    minus_twice_log += R[-1, -1] ** 2 + 2 * np.log(np.diag(R)[:-1]).sum()
    return R, -0.5 * float(minus_twice_log)


def solve(factors, whitening, sigmas, nuisance_std, prior_std=1.0):
    """Posterior mean and covariance from the factors.

    Parameters
    ----------
    factors : Factors
        Columns [phi, nuisance, y].
    whitening : Whitening
    sigmas : dict
        Group name -> noise sigma.
    nuisance_std : ndarray of shape (n_nuisance,)
        Prior standard deviations of the nuisance columns.
    prior_std : float
        Common factor on the prior standard deviation of the functions (on delta).

    References
    ----------
    .. [1] Foster et al., J. Mach. Learn. Res. 10, 857 (2009): stable sparse GP by QR.
    .. [2] Quiñonero-Candela, Rasmussen, J. Mach. Learn. Res. 6, 1939 (2005): DTC.
    """
    n_nuisance = len(nuisance_std)
    R, evidence = posterior_factor(whitened(factors, whitening, nuisance_std), sigmas, n_nuisance, prior_std)
    solution = solve_triangular(R[:-1, :-1], R[:-1, -1])
    R_psi = R[n_nuisance:-1, n_nuisance:-1]
    return Solution(
        weights=whitening.W @ solution[n_nuisance:],
        nuisance=solution[:n_nuisance] * nuisance_std,
        posterior=solve_triangular(R_psi, whitening.W.T, trans="T").T,
        evidence=evidence,
    )
