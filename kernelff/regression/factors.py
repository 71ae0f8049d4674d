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
from kernelff.regression.noise import kind_of

_SAMPLE = "sample."


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
    sample : ndarray of shape (n_kept, m + 2)
        A few of the rows themselves, to judge errors by. The last two columns are what an error of the row is to be
        multiplied with to be in eV per atom (energies, virials) or eV/Å, and the number of its frame's elements.
    """

    R: np.ndarray
    n_rows: int = 0
    log_scale: float = 0.0
    sample: np.ndarray | None = None

    @classmethod
    def empty(cls, m):
        return cls(np.zeros((m, m)), sample=np.zeros((0, m + 2)))

    def add(self, rows, scales=None, kept=(), marks=()):
        """Fold rows (n, m) in, divided by their `scales` (n,); `rows` is used as workspace.

        Those numbered `kept` also go into the sample, with their `marks` (n_kept, 2): unit and elements.
        """
        if scales is not None:
            rows /= scales[:, None]
            self.log_scale += float(np.log(scales).sum())
        if len(kept):
            self.sample = np.vstack([self.sample, np.column_stack([rows[kept], marks])])
        fold(self.R, rows)
        self.n_rows += len(rows)

    def merge(self, other):
        """Fold another factor of the same group in."""
        _fold_triangle(self.R, other.R)
        self.n_rows += other.n_rows
        self.log_scale += other.log_scale
        if len(other.sample):
            self.sample = np.vstack([self.sample, other.sample])


def _fold_triangle(R, other, step=256):
    """Fold a triangular factor into another: its zeros save two thirds of the operations."""
    for start in range(0, len(R), step):
        corner = np.ascontiguousarray(R[start:, start:])
        fold(corner, np.array(other[start : start + step, start:]))
        R[start:, start:] = corner


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

    @property
    def kinds(self):
        """Kinds of labels that occur."""
        return {kind_of(name) for name in self.groups}

    def drop_samples(self):
        """Forget the rows that were kept."""
        for factor in self.groups.values():
            factor.sample = factor.sample[:0]

    def restricted(self, kept):
        """The factors of rows with the columns `kept` alone; without samples."""
        found = Factors(len(kept))
        for name, factor in self.groups.items():
            fold(found.group(name).R, np.ascontiguousarray(factor.R[:, kept]))
            found.groups[name] = replace(found.groups[name], n_rows=factor.n_rows, log_scale=factor.log_scale)
        return found

    def copy(self):
        """Factors that can be extended without changing these."""
        return Factors(self.m, {name: replace(f, R=f.R.copy()) for name, f in self.groups.items()})

    def to_state(self):
        """(params, arrays) of plain data; upper triangles only."""
        upper = np.triu_indices(self.m)
        params = {name: [f.n_rows, f.log_scale] for name, f in self.groups.items()}
        arrays = {name: f.R[upper] for name, f in self.groups.items()}
        arrays |= {_SAMPLE + name: f.sample for name, f in self.groups.items() if len(f.sample)}
        return {"m": self.m, "groups": params}, arrays

    @classmethod
    def from_state(cls, params, arrays):
        factors = cls(int(params["m"]))
        upper = np.triu_indices(factors.m)
        for name, (n_rows, log_scale) in params["groups"].items():
            factor = factors.group(name)
            factor.R[upper] = arrays[name]
            factor.n_rows, factor.log_scale = int(n_rows), float(log_scale)
            factor.sample = arrays.get(_SAMPLE + name, factor.sample)
        return factors


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


def whitened(factors, columns):
    """The factors in whitened columns, one WhitenedFactor per group."""
    groups = {}
    for name, factor in factors.groups.items():
        rows = columns.rows(factor.R)
        T = np.zeros((rows.shape[1],) * 2)
        fold(T, rows)
        groups[name] = WhitenedFactor(T, factor.n_rows, factor.log_scale)
    return groups


def posterior_factor(groups, sigmas, prior_std):
    """R of the posterior and log p(y), from whitened groups.

    Folding T_g / sigma_g of all groups into the diagonal of the prior gives R with posterior
    covariance (R'R)^-1; with prior_std = 1 every singular value is >= 1. The last column holds the
    targets, the last diagonal element the misfit.

    Parameters
    ----------
    groups : dict of WhitenedFactor
    sigmas : dict
        Group name -> noise sigma.
    prior_std : ndarray of shape (size - 1,)
        Prior standard deviation of each column.

    Returns
    -------
    R : ndarray of shape (size, size)
    evidence : float
        log p(y), nuisance integrated out [2]_.
    """
    R = np.diag(np.append(1.0 / prior_std, 0.0))
    minus_twice_log = 2.0 * np.log(prior_std).sum()
    for name, group in groups.items():
        fold(R, group.T / sigmas[name])
        minus_twice_log += 2 * (group.n_rows * np.log(sigmas[name]) + group.log_scale)
        minus_twice_log += group.n_rows * np.log(2 * np.pi)
    # -2 log p(y): misfit + log-determinants of posterior and prior + noise
    minus_twice_log += R[-1, -1] ** 2 + 2 * np.log(np.diag(R)[:-1]).sum()
    return R, -0.5 * float(minus_twice_log)


def solve(factors, columns, sigmas, prior_factors=(1.0,), nuisance=1.0):
    """Posterior mean and covariance from the factors.

    Parameters
    ----------
    factors : Factors
        Columns [phi, nuisance, y].
    columns : Columns
    sigmas : dict
        Group name -> noise sigma.
    prior_factors : sequence of float
        Factor on the prior standard deviation of the functions of each owner (on delta).
    nuisance : float
        Factor on nuisance_std.

    References
    ----------
    .. [1] Foster et al., J. Mach. Learn. Res. 10, 857 (2009): stable sparse GP by QR.
    .. [2] Quiñonero-Candela, Rasmussen, J. Mach. Learn. Res. 6, 1939 (2005): DTC.
    """
    n_nuisance, W = columns.n_nuisance, columns.whitening.W
    R, evidence = posterior_factor(whitened(factors, columns), sigmas, columns.prior_std(prior_factors, nuisance))
    solution = solve_triangular(R[:-1, :-1], R[:-1, -1])
    R_psi = R[n_nuisance:-1, n_nuisance:-1]
    return Solution(
        weights=W @ solution[n_nuisance:],
        nuisance=solution[:n_nuisance] * columns.nuisance_std,
        posterior=solve_triangular(R_psi, W.T, trans="T").T,
        evidence=evidence,
    )
