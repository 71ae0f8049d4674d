"""Time and memory of a fit before it starts."""

import time
from dataclasses import dataclass

import numpy as np
from joblib import effective_n_jobs

from kernelff.assembly import n_functions, neighbors_of
from kernelff.radial_learning.tangent import RadialTangent
from kernelff.regression.crossvalidation import SAMPLE
from kernelff.terms import BasisTerm
from kernelff.threads import one_blas_thread

_BASE_MEMORY = 280e6  # bytes: interpreter, libraries, compiled loops
_SAMPLED_FRAMES = 100
_PER_FRAME = 4e-4  # s: the list of neighbours, and Python around the loops
_LINEAR = 450.0  # FLOP in whose time a derivative row of moment tensors is made, per pair and feature
_STEPS = 15.0  # of a search over hyperparameters, m^3 / 3 operations each and a few products


@dataclass(frozen=True)
class Forecast:
    """What a fit will need.

    Attributes
    ----------
    rows, columns : int
        Of the linear problem.
    flops : float
        Of the two large parts: derivative rows and their factorisation.
    seconds : float
        On all threads of the fit, from a matrix product timed on this machine.
    memory : float
        Bytes at the peak; does not depend on the number of frames.
    """

    rows: int
    columns: int
    flops: float
    seconds: float
    memory: float

    def __str__(self):
        return (
            f"{self.rows} rows x {self.columns} columns, {self.flops:.2g} FLOP, about {self.seconds:.0f} s, "
            f"{self.memory / 1e9:.2f} GB"
        )


def forecast(problem, n_jobs, n_folds=0, earlier=()):
    """Forecast of a fit.

    Parameters
    ----------
    problem : Problem
    n_jobs : int
        Threads.
    n_folds : int
        Folds of a cross-validation; 0 for none.
    earlier : list of tuple
        (number, Problem): passes over frames before this one, to learn basis functions.

    Returns
    -------
    Forecast
    """
    m, threads = problem.m, effective_n_jobs(n_jobs)
    rows = [problem.rows_of(k) for k in range(len(problem.frames))]
    n_rows = sum(sum(r.values()) for r in rows)
    kinds = len(problem.kinds)
    passes = [(1.0, problem), *earlier]
    flops = sum(number * _pass(one) for number, one in passes) + n_folds * (4.0 * kinds + _STEPS) * m**3
    visits = sum(number * len(one.frames) for number, one in passes)
    seconds = flops / (threads * 0.6 * _gemm_rate()) + _PER_FRAME * visits / threads
    largest = max(sum(sum(rows[k].values()) for k in range(*chunk)) for chunk in problem.chunks())
    squares = 2 * kinds + 4 + (n_folds > 0) * ((n_folds + 2) * kinds + 3)  # matrices of shape (m, m)
    sample = (n_folds > 0) * 2 * sum(SAMPLE.values())
    memory = _BASE_MEMORY + 8.0 * m * (threads * (largest + m + 3 * 256 * 2) + squares * m + sample)
    return Forecast(n_rows, m, flops, seconds, memory)


def _pass(problem):
    """FLOP of the rows of all frames and of their factorisation."""
    rows = [problem.rows_of(k) for k in range(len(problem.frames))]
    pairs = _count_pairs(problem, [k for k, r in enumerate(rows) if r["forces"] or r["virial"]])
    terms, m = problem.terms, problem.m
    linear = [term for term in terms if isinstance(term, (BasisTerm, RadialTangent))]
    kernels = [term for term in terms if term not in linear]
    features = max((getattr(term.descriptor, "n_features", 1) for term in kernels), default=0)
    per_pair = 6.0 * features * n_functions(kernels) + sum(_LINEAR * term.descriptor.n_features for term in linear)
    return per_pair * pairs + 2.0 * sum(sum(r.values()) for r in rows) * m**2 + 12.0 * m**3


def _count_pairs(problem, frames):
    """Neighbour pairs in the frames, extrapolated from an even sample."""
    if not frames:
        return 0
    sample = np.unique(np.linspace(0, len(frames) - 1, min(_SAMPLED_FRAMES, len(frames))).astype(int))
    chosen = [frames[s] for s in sample]
    counted = sum(neighbors_of(problem.terms, problem.frames[k]).n_pairs for k in chosen)
    atoms = sum(len(problem.frames[k]) for k in chosen)
    return counted * sum(len(problem.frames[k]) for k in frames) / atoms


def _gemm_rate(n=700):
    """Measured rate of a matrix product on one core, FLOP/s."""
    a = np.ones((n, n))
    best = np.inf
    with one_blas_thread():
        for _ in range(3):
            start = time.perf_counter()
            a @ a
            best = min(best, time.perf_counter() - start)
    return 2.0 * n**3 / best
