"""Variable projection: radial coefficients by Levenberg-Marquardt, linear weights eliminated [1]_ [2]_.

At every step the weights are those of least squares for the radial functions at hand, and the Jacobian that of the
rows at these weights (Kaufman): one linear least-squares problem in weights and radial coefficients together. Rows
are streamed: the memory does not depend on how many there are. The level grows from 16 on: what the radial functions
of one level have learnt, those of the next begin with.

References
----------
.. [1] Golub, Pereyra, Inverse Problems 19, R1 (2003), doi:10.1088/0266-5611/19/2/201: variable projection.
.. [2] Kaufman, BIT Numer. Math. 15, 49 (1975), doi:10.1007/BF01932995
"""

from dataclasses import dataclass, field, replace

import numpy as np
from scipy.linalg import qr, solve_triangular

from kernelff._linalg import fold
from kernelff.basis_term import BasisTerm
from kernelff.noise import kind_of
from kernelff.radial_learning.gauge import Gauge
from kernelff.radial_learning.tangent import RadialTangent
from kernelff.streaming import stream

_FIRST_LEVEL, _LEVELS_PER_STAGE = 16, 4
_ITERATIONS = 12  # of a stage, at most
_RIDGE = 1e-8  # of the weights, in units of the squared norms of their columns
_DAMPING, _LEAST_DAMPING = 1e-2, 1e-7
_TRIALS = 5  # dampings that are tried in an iteration
_SLOW = 2e-3  # relative gain of an iteration; a stage ends after two such
_FLAT = 1e-3  # of the largest column norm: damping of coefficients that hardly matter
_LEAST_NORM = 1e-9  # of the largest


@dataclass
class Learning:
    """Radial functions so far; plain data, so that learning can go on elsewhere.

    Attributes
    ----------
    level : int
        Level of the scalars in use.
    coefficients : ndarray of shape (n_species, n_species, n_mu, n_beta)
    ridge : ndarray of shape (n_features,)
        Weight of each squared linear weight in the objective, fixed through a stage; empty before one begins.
    damping : float
    slow : int
        Iterations in a row that gained little.
    history : list of dict
        level, iteration, objective (mean of squared residuals in units of their sigmas) and, with validation
        frames, that on them.
    """

    level: int
    coefficients: np.ndarray
    ridge: np.ndarray = field(default_factory=lambda: np.zeros(0))
    damping: float = _DAMPING
    slow: int = 0
    history: list = field(default_factory=list)


def start(level):
    """First level of a growth that ends with `level`."""
    return min(level, _FIRST_LEVEL)


class Learner:
    """Learns radial functions from frames.

    Parameters
    ----------
    descriptor : MomentTensorsDescriptor
        With all scalars and radial functions to begin with.
    problem : Problem
        Frames to learn from, their targets and noise; its terms are not used.
    validation : Problem or None
        Frames to stop by.
    nuisance_std : ndarray of shape (1,)
        Prior standard deviation of the offset of stress labels.
    n_jobs : int
    """

    def __init__(self, descriptor, problem, validation, nuisance_std, n_jobs=1):
        self.descriptor, self.problem, self.validation = descriptor, problem, validation
        self.nuisance_std, self.n_jobs = nuisance_std, n_jobs
        self.gauge = Gauge.of(descriptor, problem.frames)
        self.top = int(descriptor.levels.max())

    def begin(self):
        """State before the first iteration."""
        level = start(self.top)
        first = self.descriptor.up_to(level)
        return Learning(level, self.gauge.orthonormal(first.coefficients))

    def learn(self, state, after_each=lambda state: None):
        """Go on from a state until the last level is done; `after_each` gets the state after each iteration."""
        while True:
            while self._wants_more(state):
                state = self._iterate(state)
                after_each(state)
            if state.level == self.top:
                return state
            state = self._grow(state)

    def _wants_more(self, state):
        own = [entry for entry in state.history if entry["level"] == state.level]
        return state.slow < 2 and len(own) <= _ITERATIONS

    def _grow(self, state):
        level = min(state.level + _LEVELS_PER_STAGE, self.top)
        following = self.descriptor.up_to(level)
        n_mu = following.coefficients.shape[2]
        coefficients = self.gauge.grown(state.coefficients, n_mu, following.coefficients)
        return Learning(level, coefficients, history=state.history)

    def _iterate(self, state):
        """One step of Levenberg-Marquardt."""
        if not len(state.ridge):
            return self._first(state)
        fit = self._fit(state, state.coefficients)
        R, directions = self._linearised(state, fit)
        for _ in range(_TRIALS):
            step, expected = _damped(R, fit.n, state.damping)
            trial = self.gauge.orthonormal(state.coefficients + (directions @ step).reshape(state.coefficients.shape))
            found = self._fit(state, trial)
            gained = (fit.objective - found.objective) / max(fit.objective - expected / fit.n_rows, 1e-300)
            if found.objective < fit.objective:
                damping = max(state.damping / 5, _LEAST_DAMPING) if gained > 0.6 else state.damping
                damping = 3 * damping if gained < 0.25 else damping
                slow = state.slow + 1 if fit.objective - found.objective < _SLOW * fit.objective else 0
                state = replace(state, coefficients=trial, damping=damping, slow=slow)
                return self._noted(state, found)
            state = replace(state, damping=8 * state.damping)
        return replace(state, slow=2)

    def _first(self, state):
        """The ridge of a stage: in proportion to the squared norms of the columns."""
        state = replace(state, ridge=np.zeros(self.descriptor.up_to(state.level).n_features))
        fit = self._fit(state, state.coefficients)
        state = replace(state, ridge=_RIDGE * fit.squares)
        return self._noted(state, self._fit(state, state.coefficients))

    def _noted(self, state, fit):
        entry = {"level": state.level, "iteration": sum(e["level"] == state.level for e in state.history)}
        entry["objective"] = fit.objective
        if self.validation is not None:
            entry["validation"] = self._judge(state, fit)
        return replace(state, history=[*state.history, entry])

    def _at(self, state, coefficients):
        return self.descriptor.up_to(state.level).with_coefficients(coefficients)

    def _fit(self, state, coefficients):
        """Weights of least squares for some radial functions."""
        term = BasisTerm(self._at(state, coefficients))
        R, n_rows = self._triangle(self.problem, [term])
        squares = (R[:, : term.n_functions] ** 2).sum(axis=0)
        ridge = state.ridge if state.ridge.any() else _RIDGE * squares
        return _Fit.of(R, n_rows, ridge, squares)

    def _linearised(self, state, fit):
        """R of [phi, nuisance, Jacobian along the gauge's directions, y] with the prior of the weights."""
        descriptor = self._at(state, state.coefficients)
        terms = [BasisTerm(descriptor), RadialTangent(descriptor, fit.weights[:-1])]
        R, _ = self._triangle(self.problem, terms)
        n, size = terms[0].n_functions, terms[1].n_functions
        directions = self.gauge.directions(state.coefficients)
        rows = np.hstack([R[:, :n], R[:, n + size : -1], R[:, n : n + size] @ directions, R[:, -1:]])
        prior = np.zeros((n + 1, rows.shape[1]))
        prior[:, : n + 1] = np.diag(np.sqrt(np.append(state.ridge, 1.0)))
        return qr(np.vstack([rows, prior]), mode="r")[0][: rows.shape[1]], directions

    def _judge(self, state, fit):
        """Mean of the squared residuals on the validation frames."""
        R, n_rows = self._triangle(self.validation, [BasisTerm(self._at(state, state.coefficients))])
        return float(np.sum((R @ np.append(fit.weights, -1.0)) ** 2) / n_rows)

    def _triangle(self, problem, terms):
        """R with R'R = rows' rows of all groups in units of their noise, nuisance in units of its prior."""
        factors = stream(replace(problem, terms=terms), self.n_jobs)
        R, n_rows = np.zeros((factors.m,) * 2), 0
        for name, factor in factors.groups.items():
            fold(R, factor.R / problem.noise.sigma(name))
            n_rows += factor.n_rows
        R[:, -2] *= self.nuisance_std[0]
        return R, n_rows


@dataclass(frozen=True)
class _Fit:
    """Least squares with a ridge: weights (n_features + 1,), the last that of the nuisance column."""

    weights: np.ndarray
    objective: float
    squares: np.ndarray
    n_rows: int

    @property
    def n(self):
        return len(self.weights)

    @classmethod
    def of(cls, R, n_rows, ridge, squares):
        prior = np.zeros((len(ridge) + 1, R.shape[1]))
        prior[:, :-1] = np.diag(np.sqrt(np.append(ridge, 1.0)))
        T = qr(np.vstack([R, prior]), mode="r")[0]
        n = len(ridge) + 1
        return cls(solve_triangular(T[:n, :n], T[:n, -1]), float(T[n, n] ** 2 / n_rows), squares, n_rows)


def _damped(R, n, damping):
    """Step of the directions after the first n columns, and the sum of squares that it leads to if all were linear."""
    inner, y = R[n:-1, n:-1], R[n:-1, -1]
    norms = np.sqrt((R[:, n:-1] ** 2).sum(axis=0))
    norms = np.maximum(norms, _FLAT * norms.max(initial=0.0))
    rows = np.column_stack([np.vstack([inner, np.diag(np.sqrt(damping) * norms)]), np.append(y, np.zeros(len(y)))])
    T = qr(rows, mode="r")[0]
    k = len(y)
    return solve_triangular(T[:k, :k], T[:k, -1]), float(T[k, k] ** 2 + R[-1, -1] ** 2)


def column_norms(problem, descriptor, n_jobs=1):
    """Rms of what each function of weight 1 adds to force components (n_features,), eV/Å.

    To energies per atom where there are no forces, or virials per atom where there is neither.
    """
    factors = stream(replace(problem, terms=[BasisTerm(descriptor)]), n_jobs)
    squares, n_rows = np.zeros(descriptor.n_features), 0
    kind = next(kind for kind in ("forces", "energy", "virial") if kind in factors.kinds)
    for name, factor in factors.groups.items():
        if kind_of(name) == kind:
            squares += (factor.R[:, : descriptor.n_features] ** 2).sum(axis=0)
            n_rows += factor.n_rows
    norms = np.sqrt(squares / n_rows)
    return np.maximum(norms, _LEAST_NORM * norms.max())
