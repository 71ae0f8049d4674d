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


def solve(factors, whitening, sigmas, nuisance_std):
    """Posterior mean and covariance from the factors.

    The columns of the factors are [phi, nuisance, y]. Folding R_g / sigma_g of
    all groups into the identity of the prior gives R with posterior covariance
    (R'R)^-1; every singular value is >= 1.

    Parameters
    ----------
    factors : Factors
    whitening : Whitening
    sigmas : dict
        Group name -> noise sigma.
    nuisance_std : ndarray of shape (n_nuisance,)
        Prior standard deviations of the nuisance columns.

    References
    ----------
    .. [1] Foster et al., J. Mach. Learn. Res. 10, 857 (2009): stable sparse GP by QR.
    .. [2] Quiñonero-Candela, Rasmussen, J. Mach. Learn. Res. 6, 1939 (2005): DTC.
    """
    n, n_nuisance = len(whitening.W), len(nuisance_std)
    size = n_nuisance + whitening.W.shape[1] + 1
    R = np.eye(size)
    R[-1, -1] = 0.0  # the targets have no prior
    log_noise, n_rows = 0.0, 0
    for name, factor in factors.groups.items():
        # nuisance first: the last block of R is then the posterior with nuisance integrated out
        psi = factor.R[:, :n] @ whitening.W
        nuisance = factor.R[:, n : n + n_nuisance] * nuisance_std
        rows = np.hstack([nuisance, psi, factor.R[:, -1:]])
        rows /= sigmas[name]
        fold(R, rows)
        log_noise += 2 * (factor.n_rows * np.log(sigmas[name]) + factor.log_scale)
        n_rows += factor.n_rows
    solution = solve_triangular(R[:-1, :-1], R[:-1, -1])
    # eq. for -2 log p(y): misfit + log-determinant of the posterior + noise; log|P| = 0 by whitening
    misfit = R[-1, -1] ** 2
    log_det = 2 * np.log(np.abs(np.diag(R)[:-1])).sum()
    R_psi = R[n_nuisance:-1, n_nuisance:-1]
    return Solution(
        weights=whitening.W @ solution[n_nuisance:],
        nuisance=solution[:n_nuisance] * nuisance_std,
        posterior=solve_triangular(R_psi, whitening.W.T, trans="T").T,
        evidence=-0.5 * float(misfit + log_det + log_noise + n_rows * np.log(2 * np.pi)),
    )
