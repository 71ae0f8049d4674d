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

from kernelff._linalg import fold
from kernelff.radial_learning.gauge import Gauge
from kernelff.radial_learning.least_squares import damped_step, solve, with_prior
from kernelff.radial_learning.tangent import RadialTangent
from kernelff.regression.noise import kind_of
from kernelff.regression.streaming import stream
from kernelff.terms import BasisTerm

_FIRST_LEVEL, _LEVELS_PER_STAGE = 16, 4
_ITERATIONS = 16  # of a stage, at most
_RIDGE = 1e-8  # of the weights, in units of the squared norms of their columns
_RIDGES = (1.0, 1e2, 1e4)  # times the ridge, on validation frames
_SPOILT, _PATIENCE = 3.0, 3  # mean square on validation frames over its best, and for how many iterations
_DAMPING, _GROWN_DAMPING, _LEAST_DAMPING = 1e-2, 1e-2, 1e-7
_TRIALS = 5  # dampings that are tried in an iteration
_SLOW, _SLOW_BEFORE = 1e-2, 3e-2  # relative gain of an iteration; the last stage, another one ends after two such
_LEAST_NORM = 1e-9  # of the largest
_NOTHING = (
    "frames: no label depends on the positions of atoms: forces that symmetry makes zero say nothing. Give frames with "
    "displaced atoms, or energies."
)


@dataclass(frozen=True)
class Learning:
    """Radial functions so far; plain data, so that learning can go on elsewhere.

    Attributes
    ----------
    level : int
        Level of the scalars in use.
    coefficients : ndarray of shape (n_species, n_species, n_mu, n_beta)
    ridge : ndarray of shape (n_features,)
        Weight of each squared linear weight in the objective, fixed through a stage; empty before one begins.
    weights : ndarray of shape (n_features + 1,)
        Linear weights and, last, that of the nuisance column; empty likewise.
    best : ndarray
        Coefficients of least error on the validation frames in this stage; empty without such.
    damping : float
    slow : int
        Iterations in a row that gained little.
    history : list of dict
        level, iteration, objective (mean of squared residuals in units of their sigmas), forces (rms error, eV/Å;
        with force labels) and, with validation frames, validation and validation_forces: both on them.
    """

    level: int
    coefficients: np.ndarray
    ridge: np.ndarray = field(default_factory=lambda: np.zeros(0))
    weights: np.ndarray = field(default_factory=lambda: np.zeros(0))
    best: np.ndarray = field(default_factory=lambda: np.zeros(0))
    damping: float = 1e-2
    slow: int = 0
    history: list = field(default_factory=list)

    @property
    def iterations(self):
        """Entries of the history at this level."""
        return sum(entry["level"] == self.level for entry in self.history)

    @property
    def has_spoilt(self):
        """Whether the validation frames have been far worse than at their best, for some iterations in a row."""
        errors = [entry.get("validation") for entry in self.history if entry["level"] == self.level]
        return len(self.best) > 0 and min(errors[-_PATIENCE:]) > _SPOILT * min(errors)

    def to_state(self):
        """Plain data: a JSON-able dict and arrays."""
        params = {"level": self.level, "damping": self.damping, "slow": self.slow, "history": self.history}
        arrays = {name: getattr(self, name) for name in ("coefficients", "ridge", "weights", "best")}
        return params, arrays

    @classmethod
    def from_state(cls, params, arrays):
        """The state that `to_state` described."""
        return cls(**params, **arrays)


class Learner:
    """Learns radial functions from frames.

    Parameters
    ----------
    descriptor : MomentTensorsDescriptor
        With all scalars and radial functions to begin with.
    problem : Problem
        Frames to learn from, their targets and noise; its terms are not used.
    validation : Problem or None
        Frames to judge by.
    nuisance_std : ndarray of shape (1,)
        Prior standard deviation of the offset of stress labels.
    n_jobs : int
    """

    def __init__(self, descriptor, problem, validation, nuisance_std, n_jobs=1):
        self.descriptor, self.problem = descriptor, problem.with_lists(descriptor.cutoff)
        self.validation = validation and validation.with_lists(descriptor.cutoff)
        self.nuisance_std, self.n_jobs = nuisance_std, n_jobs
        self.gauge = Gauge.of(descriptor, problem.frames)
        self.levels = stages(int(descriptor.levels.max()))

    @property
    def most_iterations(self):
        return len(self.levels) * (_ITERATIONS + 1)

    def begin(self):
        """State before the first iteration."""
        first = self.descriptor.up_to(self.levels[0])
        return Learning(self.levels[0], self.gauge.orthonormal(first.coefficients), damping=_DAMPING)

    def learn(self, state, after_each=lambda state: None):
        """Go on from a state until the last level is done; `after_each` gets the state after each iteration."""
        while True:
            while state.slow < 2 and state.iterations <= _ITERATIONS and not state.has_spoilt:
                state = self._iterate(state) if len(state.ridge) else self._first(state)
                after_each(state)
            state = replace(state, coefficients=state.best) if state.has_spoilt else state
            if state.level == self.levels[-1]:
                return state
            state = self._grow(state)

    def _grow(self, state):
        level = self.levels[self.levels.index(state.level) + 1]
        following = self.descriptor.up_to(level)
        n_mu = following.coefficients.shape[2]
        coefficients = self.gauge.grown(state.coefficients, n_mu, following.coefficients)
        return Learning(level, coefficients, damping=_GROWN_DAMPING, history=state.history)

    def _first(self, state):
        """The ridge of a stage, in proportion to the squared norms of the columns, and its first fit."""
        rows = self._rows(self.problem, [self._term(state)])
        ridge = _RIDGE * (rows.R[:, :-2] ** 2).sum(axis=0)
        if not ridge.max() > 0:
            raise ValueError(_NOTHING)
        state = replace(state, ridge=np.maximum(ridge, _LEAST_NORM**2 * ridge.max()))
        return self._noted(state, rows, solve(rows.R, np.append(state.ridge, 1.0)))

    def _iterate(self, state):
        """One step of Levenberg-Marquardt."""
        R, directions = self._linearised(state)
        before = float(np.sum(R[len(state.weights) :, -1] ** 2))
        for _ in range(_TRIALS):
            step, expected = damped_step(R, len(state.weights), state.damping)
            change = (directions @ step).reshape(state.coefficients.shape)
            trial = replace(state, coefficients=self.gauge.orthonormal(state.coefficients + change))
            rows = self._rows(self.problem, [self._term(trial)])
            fit = solve(rows.R, np.append(state.ridge, 1.0))
            gain = before - fit.total
            if gain > 0:
                share = gain / max(before - expected, 1e-300)
                damping = max(state.damping / 5, _LEAST_DAMPING) if share > 0.6 else state.damping
                damping = 3 * damping if share < 0.25 else damping
                enough = _SLOW if state.level == self.levels[-1] else _SLOW_BEFORE
                slow = state.slow + 1 if gain < enough * before else 0
                return self._noted(replace(trial, damping=damping, slow=slow), rows, fit)
            state = replace(state, damping=8 * state.damping)
        return replace(state, slow=2)

    def _noted(self, state, rows, fit):
        """The state with a line more in its history."""
        entry = {"level": state.level, "iteration": state.iterations, "objective": fit.total / rows.n_rows}
        entry |= {"forces": rows.error("forces", fit.weights)} if "forces" in rows.groups else {}
        if self.validation is not None:
            entry |= self._judged(state, rows)
            before = [e["validation"] for e in state.history if e["level"] == state.level]
            if entry["validation"] < min(before, default=np.inf):
                state = replace(state, best=state.coefficients)
        return replace(state, weights=fit.weights, history=[*state.history, entry])

    def _judged(self, state, rows):
        """Errors on the validation frames, with the best of a few ridges: the linear fit will choose its own."""
        held = self._rows(self.validation, [self._term(state)])
        trials = [solve(rows.R, np.append(factor * state.ridge, 1.0)).weights for factor in _RIDGES]
        weights = min(trials, key=held.objective)
        entry = {"validation": held.objective(weights)}
        return entry | ({"validation_forces": held.error("forces", weights)} if "forces" in held.groups else {})

    def _term(self, state):
        return BasisTerm(self.descriptor.up_to(state.level).with_coefficients(state.coefficients))

    def _linearised(self, state):
        """R of [phi, nuisance, Jacobian along the gauge's directions, y] with the prior of the weights."""
        term = self._term(state)
        tangent = RadialTangent(term.descriptor, state.weights[:-1])
        n, R = term.n_functions, self._rows(self.problem, [term, tangent]).R
        directions = self.gauge.directions(state.coefficients)
        rows = np.hstack([R[:, :n], R[:, -2:-1], R[:, n:-2] @ directions, R[:, -1:]])
        return with_prior(rows, np.append(state.ridge, 1.0)), directions

    def _rows(self, problem, terms):
        factors = stream(replace(problem, terms=terms), self.n_jobs)
        for factor in factors.groups.values():
            factor.R[:, -2] *= self.nuisance_std[0]
        return _Rows(factors.groups, {name: problem.noise.sigma(name) for name in factors.groups})


class _Rows:
    """Triangular factors of some rows, nuisance in units of its prior."""

    def __init__(self, groups, sigmas):
        self.groups = groups
        self.n_rows = sum(factor.n_rows for factor in groups.values())
        self.R = np.zeros_like(next(iter(groups.values())).R)  # R'R = rows' rows in units of their noise
        for name, factor in groups.items():
            fold(self.R, factor.R / sigmas[name])

    def objective(self, weights):
        """Mean of the squared residuals in units of their noise."""
        return float(np.sum((self.R @ np.append(weights, -1.0)) ** 2) / self.n_rows)

    def error(self, name, weights):
        """Rms residual of a group."""
        factor = self.groups[name]
        return float(np.sqrt(np.sum((factor.R @ np.append(weights, -1.0)) ** 2) / factor.n_rows))


def stages(level):
    """Levels from the first on, each what learning grows to next."""
    return [*range(min(_FIRST_LEVEL, level), level, _LEVELS_PER_STAGE), level]


def column_norms(problem, descriptor, n_jobs=1):
    """Rms of what each function of weight 1 adds to force components (n_features,), eV/Å.

    To energies per atom where there are no forces but zero, or virials per atom where there is neither.
    """
    factors = stream(replace(problem, terms=[BasisTerm(descriptor)]), n_jobs)
    for kind in ("forces", "energy", "virial"):
        groups = [factor for name, factor in factors.groups.items() if kind_of(name) == kind]
        squares = sum(((factor.R[:, : descriptor.n_features] ** 2).sum(axis=0) for factor in groups), np.zeros(1))
        if squares.max() > 0:
            norms = np.sqrt(squares / sum(factor.n_rows for factor in groups))
            return np.maximum(norms, _LEAST_NORM * norms.max())
    raise ValueError(_NOTHING)
