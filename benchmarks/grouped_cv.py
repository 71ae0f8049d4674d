"""Which default settings generalise? Grouped cross-validation from factors, one pass over the frames per setting.

Frames are cut into blocks of neighbouring snapshots within each config_type; a fold holds out one block
of every config_type. The rows of each fold are folded into their own factors, so training on the others
is a merge, every choice of sigmas costs one small solve, and the held-out error is |R [w, -1]|.

    python benchmarks/grouped_cv.py Si_train.xyz Mo_train.xyz Cu_train.xyz --n-sparse 500 --every 2 \\
        --set "n_max=8" --set "n_max=6" --set "cutoff=5.5 radial_scaling=4"

Prints the held-out RMSE (energy meV/atom, forces eV/Å, stress GPa without the fitted offset).
"""

import argparse
import ast
import time

import numpy as np
from ase.io import read
from ase.units import GPa

import kernelff as kff
from kernelff.factors import Factors, Whitening, solve
from kernelff.io.label_keys import labels
from kernelff.models.base import _STRESS_OFFSET_STD
from kernelff.streaming import Problem, stream

SIGMAS = "0.001,0.05,0.05 0.003,0.05,0.05 0.003,0.05,0.2 0.01,0.05,0.05"


def main():
    options = parse()
    for path in options.files:
        frames = read(path, ":")[:: options.every]
        for text in options.set or [""]:
            settings = {k: ast.literal_eval(v) for k, v in (pair.split("=") for pair in text.split())}
            report(path, text or "defaults", frames, settings, options)


def report(path, text, frames, settings, options):
    start = time.process_time()
    fit = {k: settings.pop(k) for k in ("n_sparse", "zeta", "sparse_method", "delta") if k in settings}
    model = kff.SparseGPR(kff.SOAP(**settings), **{"n_sparse": options.n_sparse} | fit)
    problem = model._make_problem(frames, [labels(atoms) for atoms in frames])
    folds = [fold_factors(problem, frames, fold, options.folds, options.jobs) for fold in range(options.folds)]
    print(f"{path} {text}: {time.process_time() - start:.0f} CPU s")
    whitening = Whitening.of(problem.terms[0].gram(), problem.terms[0].blocks)
    for sigmas in ([float(s) for s in three.split(",")] for three in options.sigmas.split()):
        errors = np.mean([held_out(folds, k, whitening, sigmas, frames) for k in range(options.folds)], axis=0)
        energy, forces, stress = np.sqrt(errors)
        print(f"   sigmas {sigmas}: {1e3 * energy:7.2f} {forces:8.4f} {stress:7.3f}", flush=True)


def fold_factors(problem, frames, fold, n_folds, n_jobs):
    mine = [k for k, f in enumerate(fold_of(frames, n_folds)) if f == fold]
    part = Problem(problem.terms, [frames[k] for k in mine], [problem.targets[k] for k in mine], problem.noise)
    return stream(part, n_jobs)


def fold_of(frames, n_folds):
    """Fold of every frame: contiguous blocks within each config_type."""
    kinds = np.array([str(atoms.info.get("config_type")) for atoms in frames])
    folds = np.zeros(len(frames), dtype=int)
    for kind in set(kinds):
        members = np.flatnonzero(kinds == kind)
        folds[members] = np.arange(len(members)) * n_folds // len(members)
    return folds


def held_out(folds, k, whitening, sigmas, frames):
    """Mean squared error of fold k by the others: per-atom energy, forces, stress (GPa)."""
    train = Factors(folds[0].m)
    for other, factors in enumerate(folds):
        if other != k:
            train.merge(factors)
    groups = dict(zip(("energy", "forces", "virial"), sigmas, strict=True))
    solution = solve(train, whitening, {g: groups[g] for g in train.groups}, np.array([_STRESS_OFFSET_STD]))
    weights = np.concatenate([solution.weights, solution.nuisance, [-1.0]])
    squares = {g: np.sum((f.R @ weights) ** 2) / f.n_rows for g, f in folds[k].groups.items()}
    atoms = np.median([len(a) for a in frames])
    volume = np.median([a.get_volume() / len(a) for a in frames])
    # energy and virial rows are divided by sqrt(n_atoms)
    stress = squares.get("virial", np.nan) / atoms / volume**2 / GPa**2
    return squares["energy"] / atoms, squares["forces"], stress


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+")
    parser.add_argument("--set", action="append", help="SOAP and SparseGPR settings, e.g. 'n_max=6 zeta=3'")
    parser.add_argument("--sigmas", default=SIGMAS, help="triples energy,forces,virial")
    parser.add_argument("--n-sparse", type=int, default=500)
    parser.add_argument("--every", type=int, default=1, help="use every n-th frame")
    parser.add_argument("--folds", type=int, default=4)
    parser.add_argument("--jobs", type=int, default=1)
    return parser.parse_args()


if __name__ == "__main__":
    main()
