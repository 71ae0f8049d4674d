"""Frames -> factors, chunk by chunk, in any number of threads, resumable.

The cut into chunks and the order in which their factors are merged depend on
the data alone, so the result is bitwise the same for any number of threads and
for a run that was killed and resumed. Memory: one chunk of rows per thread and
the factors, whatever the number of frames.
"""

import time
from dataclasses import dataclass

import numpy as np
from joblib import Parallel, delayed, effective_n_jobs

from kernelff.assembly import Targets, fill_gradient_rows, local_values, n_functions, neighbors_of
from kernelff.factors import Factors
from kernelff.noise import Noise
from kernelff.threads import one_blas_thread

_ROWS_PER_CHUNK = 4  # times the number of columns: merging then costs little beside folding
_MIN_ROWS = 2048
_SECONDS_BETWEEN_CHECKPOINTS = 10.0


@dataclass(frozen=True)
class Problem:
    """Everything the rows are made of.

    Attributes
    ----------
    terms : list
        Basis functions, see terms.py.
    frames : list of ase.Atoms
    targets : list of Targets
    noise : Noise
    """

    terms: list
    frames: list
    targets: list[Targets]
    noise: Noise

    def part(self, chosen):
        """The problem of some frames, chosen by a boolean mask."""
        keep = [k for k, one in enumerate(chosen) if one]
        frames, targets = [self.frames[k] for k in keep], [self.targets[k] for k in keep]
        return Problem(self.terms, frames, targets, self.noise)

    n_nuisance = 1  # the hydrostatic offset of the stress labels, eV/Å^3

    @property
    def m(self):
        """Columns of a row: functions, nuisance, target."""
        return n_functions(self.terms) + self.n_nuisance + 1

    def rows_of(self, k):
        """Number of rows of frame k by kind."""
        energy, forces, virial = self.targets[k]
        return {
            "energy": int(energy is not None),
            "forces": 0 if forces is None else forces.size,
            "virial": 0 if virial is None else 6,
        }

    def chunks(self):
        """Ranges of frames (start, stop) with about `_ROWS_PER_CHUNK` m rows each."""
        limit = max(_ROWS_PER_CHUNK * self.m, _MIN_ROWS)
        chunks, start, rows = [], 0, 0
        for k in range(len(self.frames)):
            rows += sum(self.rows_of(k).values())
            if rows >= limit or k == len(self.frames) - 1:
                chunks.append((start, k + 1))
                start, rows = k + 1, 0
        return chunks


def stream(problem, n_jobs=1, checkpoint=None, progress=None):
    """Fold all rows into factors.

    Parameters
    ----------
    problem : Problem
    n_jobs : int
        Threads; -1 for all cores.
    checkpoint : Checkpoint or None
        Holds the factors of the chunks that are done.
    progress : callable or None
        Called with (rows done, rows in all) after every chunk.

    Returns
    -------
    Factors
    """
    chunks = problem.chunks()
    rows = [sum(sum(problem.rows_of(k).values()) for k in range(*chunk)) for chunk in chunks]
    done, factors = checkpoint.load() if checkpoint else (0, None)
    factors = factors or Factors(problem.m)
    saved = time.monotonic()
    try:
        with one_blas_thread():
            for part in _in_order(chunk_factors, [(problem, *chunk) for chunk in chunks[done:]], n_jobs):
                factors.merge(part)
                done += 1
                if progress:
                    progress(sum(rows[:done]), sum(rows))
                if checkpoint and time.monotonic() - saved > _SECONDS_BETWEEN_CHECKPOINTS:
                    checkpoint.save(done, factors)
                    saved = time.monotonic()
    finally:  # also on Ctrl-C: nothing that is merged is lost
        if checkpoint:
            checkpoint.save(done, factors)
    return factors


def extend(factors, problem, n_jobs=1):
    """Fold the rows of new frames into factors, in place: those of one chunk directly, of many in parallel."""
    if len(problem.chunks()) > 1:
        factors.merge(stream(problem, n_jobs))
        return
    with one_blas_thread():
        chunk_factors(problem, 0, len(problem.frames), factors)


def predict_and_fold(problem, solution, factors, n_jobs=1):
    """Predict the labels of new frames by a solution, then fold their rows into the factors.

    Parameters
    ----------
    problem : Problem
        Of the new frames.
    solution : Solution
        Of a fit without them.
    factors : Factors
        Extended in place.
    n_jobs : int
        Threads.

    Returns
    -------
    dict
        Kind -> list of (errors, posterior sds), one pair of arrays per frame, those of energies and
        virials divided by sqrt(n_atoms).
    """
    weights = np.concatenate([solution.weights, solution.nuisance, [-1.0]])
    residuals = {}
    with one_blas_thread():
        tasks = [(problem, k) for k in range(len(problem.frames))]
        for atoms, rows in zip(problem.frames, _in_order(_frame_rows, tasks, n_jobs), strict=True):
            for kind, block in rows.items():
                root = 1.0 if kind == "forces" else np.sqrt(len(atoms))
                sds = np.linalg.norm(block[:, : len(solution.weights)] @ solution.posterior, axis=1)
                residuals.setdefault(kind, []).append((block @ weights / root, sds / root))
                name, scale = problem.noise.of(kind, atoms)
                block /= scale
                factors.group(name).add(block, len(block) * np.log(scale))
    return residuals


def _in_order(function, tasks, n_jobs):
    """Results of the tasks in their order, computed by threads in waves.

    What waits to be folded is bounded by the number of threads, not of tasks, also where many threads are
    faster than the one that folds.
    """
    wave = 4 * effective_n_jobs(n_jobs)
    for start in range(0, len(tasks), wave):
        calls = (delayed(function)(*task) for task in tasks[start : start + wave])
        yield from Parallel(n_jobs=n_jobs, prefer="threads", return_as="generator")(calls)


def _frame_rows(problem, k):
    """Rows of frame k by kind, as they are (not divided by their noise scale)."""
    rows = {kind: np.zeros((n, problem.m)) for kind, n in problem.rows_of(k).items()}
    _fill_frame(problem, k, rows)
    return {kind: block for kind, block in rows.items() if len(block)}


def chunk_factors(problem, start, stop, factors=None):
    """Factors of the frames start..stop, each noise group by itself, folded into `factors` if given."""
    blocks = _row_blocks(problem, range(start, stop))
    log_scales = dict.fromkeys(blocks, 0.0)
    filled = dict.fromkeys(blocks, 0)
    for k in range(start, stop):
        rows, scales = _empty_rows(problem, k, blocks, filled)
        _fill_frame(problem, k, rows)
        for kind, (name, scale) in scales.items():
            rows[kind] /= scale
            log_scales[name] += len(rows[kind]) * np.log(scale)
    factors = factors or Factors(problem.m)
    for name, block in blocks.items():
        factors.group(name).add(block, log_scales[name])
    return factors


def _row_blocks(problem, indices):
    """One zeroed array of rows per noise group."""
    counts = {}
    for k in indices:
        for kind, n in problem.rows_of(k).items():
            if n:
                name, _ = problem.noise.of(kind, problem.frames[k])
                counts[name] = counts.get(name, 0) + n
    return {name: np.zeros((n, problem.m)) for name, n in counts.items()}


def _empty_rows(problem, k, blocks, filled):
    """Views of the rows of frame k by kind, and (group, scale) of the kinds it carries."""
    rows = {kind: np.zeros((0, problem.m)) for kind in ("energy", "forces", "virial")}
    scales = {}
    for kind, n in problem.rows_of(k).items():
        if n:
            name, scale = problem.noise.of(kind, problem.frames[k])
            rows[kind] = blocks[name][filled[name] : filled[name] + n]
            filled[name] += n
            scales[kind] = name, scale
    return rows, scales


def _fill_frame(problem, k, rows):
    target = problem.targets[k]
    neighbors = neighbors_of(problem.terms, problem.frames[k])
    fill_gradient_rows(problem.terms, neighbors, rows["forces"], rows["virial"])
    if len(rows["energy"]):
        phi, _ = local_values(problem.terms, neighbors)
        rows["energy"][0, : phi.shape[1]] = phi.sum(axis=0)
        rows["energy"][0, -1] = target.energy
    if len(rows["forces"]):
        rows["forces"][:, -1] = target.forces.ravel()
    if len(rows["virial"]):
        # labels = true stress + p identity: the virial labels carry -volume p in xx, yy and zz
        rows["virial"][:3, -2] = -neighbors.volume
        rows["virial"][:, -1] = target.virial
