"""A fitted model beside smaller ones of its kind and fits to fewer frames, measured for a comparison."""

import time
import warnings

import numpy as np
from ase.build import bulk
from sklearn.base import clone

from kernelff.cli.console import console
from kernelff.cli.tables import basis_of
from kernelff.report.comparison import Candidate

_FRACTIONS = (8, 4, 2)
_TIMINGS = 5


def compared(name, model, sets, evaluation):
    """Measure a fitted model of silicon.

    Parameters
    ----------
    name : str
    model : SparseGPR or MTP
        Fitted; not changed.
    sets : dict
        "train", "test" -> frames.
    evaluation : Evaluation
        On the test frames.

    Returns
    -------
    Candidate
    """
    history = getattr(model, "radial_history_", [])
    seconds, cost = sum(model.fit_time_.values()), evaluation_cost(model.potential_)
    sizes = [(_size_label(model), cost, _mean_errors(evaluation)[1])]
    for smaller in _smaller(model):
        with console.status(f"fitting a smaller {name}, to see what size costs and brings"):
            found = _fitted_quietly(smaller, sets["train"])
            sizes.append((_size_label(smaller), evaluation_cost(found.potential_), _tested(found, sets)[1]))
    learning = []
    for step in _FRACTIONS:
        with console.status(f"fitting the {name} to 1/{step} of the frames, to see how errors fall"):
            part = sets["train"][::step]
            learning.append((len(part), *_tested(_fitted_quietly(clone(model), part), sets)))
    learning.append((len(sets["train"]), *_mean_errors(evaluation)))
    return Candidate(name, basis_of(model), evaluation, seconds, cost, sizes[::-1], learning, history)


def evaluation_cost(potential):
    """CPU µs per atom of energy, forces and stress of 512 atoms of silicon, the least of a few timings."""
    atoms = bulk("Si", cubic=True).repeat(4)
    atoms.rattle(0.05, seed=0)
    potential.compute(atoms)
    seconds = []
    for _ in range(_TIMINGS):
        start = time.process_time()
        potential.compute(atoms)
        seconds.append(time.process_time() - start)
    return 1e6 * min(seconds) / len(atoms)


def _smaller(model):
    """Unfitted smaller models of the same kind, the largest first."""
    if hasattr(model, "n_sparse"):
        counts = sorted({max(model.n_sparse * tenths // 10, 1) for tenths in (1, 3)} - {model.n_sparse})
        return [clone(model).set_params(n_sparse=n) for n in reversed(counts)]
    return [clone(model).set_params(level=level) for level in (model.level - 4, model.level - 8) if level > 2]


def _size_label(model):
    return f"{model.n_sparse_} sparse" if hasattr(model, "n_sparse") else f"level {model.level}"


def _fitted_quietly(model, frames):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # the same frames were shown with the data
        return model.fit(frames)


def _tested(model, sets):
    return _mean_errors(model.evaluate(sets["test"]))


def _mean_errors(evaluation):
    """Of energies, meV/atom, and forces, meV/Å."""
    return tuple(float(np.abs(evaluation.residuals(kind)).mean()) for kind in ("energy", "forces"))
