"""Frames -> factors, chunk by chunk, in any number of threads, resumable.

The cut into chunks and the order in which their factors are merged depend on
the data alone, so the result is bitwise the same for any number of threads and
for a run that was killed and resumed. Memory: one chunk of rows per thread and
the factors, whatever the number of frames.
"""

import time
from collections import Counter
from dataclasses import dataclass, field, replace

import numpy as np
from joblib import Parallel, delayed, effective_n_jobs

from kernelff.assembly import (
    Targets,
    element_sets,
    elements_of,
    fill_gradient_rows,
    local_values,
    n_functions,
    neighbors_of,
)
from kernelff.neighbors import NeighborList
from kernelff.regression.factors import Factors
from kernelff.regression.noise import KINDS, Noise, kind_of
from kernelff.threads import one_blas_thread

_ROWS_PER_CHUNK = 4  # times the number of columns: merging then costs little beside folding
_MIN_ROWS = 2048
_SECONDS_BETWEEN_CHECKPOINTS = 10.0
_KEPT_PAIRS = 1_000_000  # of neighbour lists, 72 bytes each
_GOLDEN = 0.6180339887498949


@dataclass(frozen=True)
class Problem:
    """Everything the rows are made of.

    Attributes
    ----------
    terms : list
        Basis functions, see `kernelff.terms`.
    frames : list of ase.Atoms
    targets : list of Targets
    noise : Noise
    sampled : dict
        Kind of label -> share of the rows that are kept as they are beside the factors.
    element_sets : tuple of str
        The sets of elements that kept rows are told apart by, see `elements_of`.
    lists : list of (NeighborList or None), or None
        Of the frames, see `with_lists`.
    """

    terms: list
    frames: list
    targets: list[Targets]
    noise: Noise
    sampled: dict = field(default_factory=dict)
    element_sets: tuple = ()
    lists: list | None = None

    def part(self, chosen):
        """The problem of some frames, chosen by a boolean mask."""
        keep = [k for k, one in enumerate(chosen) if one]
        lists = self.lists and [self.lists[k] for k in keep]
        frames, targets = [self.frames[k] for k in keep], [self.targets[k] for k in keep]
        return replace(self, frames=frames, targets=targets, lists=lists)

    def with_lists(self, cutoff):
        """The same problem with neighbour lists kept, up to a limit, for frames that are gone through many times."""
        lists, pairs = [], 0
        for atoms in self.frames:
            lists.append(NeighborList.from_atoms(atoms, cutoff) if pairs < _KEPT_PAIRS else None)
            pairs += lists[-1].n_pairs if lists[-1] else 0
        return replace(self, lists=lists)

    def neighbors(self, k):
        """Neighbour list of frame k."""
        kept = self.lists and self.lists[k]
        return kept or neighbors_of(self.terms, self.frames[k])

    def sampling(self, most):
        """The same problem with at most about `most` rows in all kept, kind -> number."""
        totals = Counter()
        for k in range(len(self.frames)):
            totals.update(self.rows_of(k))
        sampled = {kind: min(1.0, n / max(totals[kind], 1)) for kind, n in most.items()}
        return replace(self, sampled=sampled, element_sets=element_sets(self.frames))

    @property
    def kinds(self):
        """Kinds of labels that occur."""
        return {kind for k in range(len(self.frames)) for kind, n in self.rows_of(k).items() if n}

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


def stream_folds(problem, folds, n_jobs=1, checkpoints=None, progress=None):
    """Yield (fold, its Factors) for every fold, in ascending order.

    Parameters
    ----------
    problem : Problem
    folds : ndarray of int, shape (n_frames,)
    n_jobs : int
    checkpoints : Checkpoints or None
    progress : callable or None
        Called with (rows done, rows in all), counting all folds.
    """
    counts = np.array([sum(problem.rows_of(k).values()) for k in range(len(problem.frames))])
    before = 0
    for fold in np.unique(folds):
        part = problem.part(folds == fold)
        checkpoint = checkpoints.of(fold, part) if checkpoints else None
        callback = progress and (lambda done, _, before=before: progress(before + done, counts.sum()))
        yield int(fold), stream(part, n_jobs, checkpoint, callback)
        before += counts[folds == fold].sum()


def extend(factors, problem, n_jobs=1):
    """Fold the rows of new frames into factors, in place: those of one chunk directly, of many in parallel."""
    if len(problem.chunks()) > 1:
        factors.merge(stream(problem, n_jobs))
        return
    with one_blas_thread():
        chunk_factors(problem, 0, len(problem.frames), factors)


def _in_order(function, tasks, n_jobs):
    """Results of the tasks in their order, computed by threads in waves.

    What waits to be folded is bounded by the number of threads, not of tasks, also where many threads are
    faster than the one that folds.
    """
    wave = 4 * effective_n_jobs(n_jobs)
    for start in range(0, len(tasks), wave):
        calls = (delayed(function)(*task) for task in tasks[start : start + wave])
        yield from Parallel(n_jobs=n_jobs, prefer="threads", return_as="generator")(calls)


def chunk_factors(problem, start, stop, factors=None):
    """Factors of the frames start..stop, each noise group by itself, folded into `factors` if given."""
    blocks, scales, marks = _row_blocks(problem, range(start, stop))
    filled = dict.fromkeys(blocks, 0)
    for k in range(start, stop):
        _fill_frame(problem, k, _empty_rows(problem, k, blocks, filled, scales, marks))
    factors = factors or Factors(problem.m)
    for name, block in blocks.items():
        kept = _kept(len(block), start, problem.sampled.get(kind_of(name), 0.0))
        factors.group(name).add(block, scales[name], kept, marks[name][kept])
    return factors


def _kept(n, offset, share):
    """Which of n rows to keep: evenly spread, in step with no pattern of atoms or components."""
    return np.flatnonzero(((np.arange(n) + 1) * _GOLDEN + offset * _GOLDEN**2) % 1.0 < share)


def _row_blocks(problem, indices):
    """By noise group: zeroed rows, their scales and their marks, still to be filled."""
    counts = Counter()
    for k in indices:
        for kind, n in problem.rows_of(k).items():
            if n:
                counts[problem.noise.of(kind, problem.frames[k])[0]] += n
    blocks = {name: np.zeros((n, problem.m)) for name, n in counts.items()}
    scales = {name: np.ones(n) for name, n in counts.items()}
    return blocks, scales, {name: np.zeros((n, 2)) for name, n in counts.items()}


def _empty_rows(problem, k, blocks, filled, scales, marks):
    """Views of the rows of frame k by kind, whose scales and marks are set."""
    atoms = problem.frames[k]
    elements = problem.element_sets.index(elements_of(atoms)) if problem.element_sets else 0
    rows = {kind: np.zeros((0, problem.m)) for kind in KINDS}
    for kind, n in problem.rows_of(k).items():
        if n:
            name, scale = problem.noise.of(kind, atoms)
            mine = slice(filled[name], filled[name] + n)
            rows[kind], scales[name][mine] = blocks[name][mine], scale
            marks[name][mine] = scale if kind == "forces" else scale / len(atoms), elements
            filled[name] += n
    return rows


def _fill_frame(problem, k, rows):
    target = problem.targets[k]
    neighbors = problem.neighbors(k)
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
