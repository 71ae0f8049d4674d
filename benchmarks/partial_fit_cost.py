"""What does one more frame cost a fitted model?

500 rattled, strained copper cells labelled by EMT, 1000 sparse points, then one frame more: checking, rows,
fold, solve, a new potential, error bars included (target: below 1 s). The default shape is that of an active
learning run; `--repeat` says how many frames are added one after the other.

    python benchmarks/partial_fit_cost.py
    python benchmarks/partial_fit_cost.py --frames 500 --n-sparse 1000 --atoms 32 --n-max 8 --l-max 6
"""

import argparse
import time

import numpy as np
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator

import kernelff as kff


def main():
    options = parse()
    times = {4: (1, 1, 1), 8: (2, 1, 1), 16: (2, 2, 1), 32: (2, 2, 2), 108: (3, 3, 3)}[options.atoms]
    frames = emt_frames(options.frames + options.repeat, times)
    soap = kff.SOAP(cutoff=options.cutoff, n_max=options.n_max, l_max=options.l_max)
    model = kff.SparseGPR(soap, n_sparse=options.n_sparse, n_jobs=options.n_jobs)
    start = time.perf_counter()
    model.fit(frames[: options.frames])
    print(
        f"fit: {options.frames} frames of {options.atoms} atoms, {model.n_sparse_} sparse points, rank {model.rank_}, "
        f"{time.perf_counter() - start:.1f} s ({model.fit_time_['solve']:.2f} s after the rows)",
        flush=True,
    )
    seconds = []
    for atoms in frames[options.frames :]:
        start = time.perf_counter()
        model.partial_fit([atoms])
        seconds.append(time.perf_counter() - start)
        parts = ", ".join(f"{name} {value:.3f} s" for name, value in model.fit_time_.items())
        print(f"one more frame: {seconds[-1]:.3f} s ({parts})", flush=True)
    print(f"one more frame, median of {len(seconds)}: {np.median(seconds):.3f} s, {options.n_jobs} thread(s)")


def emt_frames(n, times):
    rng = np.random.default_rng(0)
    frames = []
    for _ in range(n):
        atoms = bulk("Cu", "fcc", a=3.6, cubic=True).repeat(times)
        atoms.set_cell(atoms.cell.array @ (np.eye(3) + rng.normal(0, 0.02, (3, 3))), scale_atoms=True)
        atoms.positions += rng.normal(0, rng.uniform(0.02, 0.25), atoms.positions.shape)
        atoms.calc = EMT()
        found = {"energy": atoms.get_potential_energy(), "forces": atoms.get_forces(), "stress": atoms.get_stress()}
        atoms.calc = SinglePointCalculator(atoms, **found)
        frames.append(atoms)
    return frames


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=500)
    parser.add_argument("--n-sparse", type=int, default=1000)
    parser.add_argument("--atoms", type=int, default=8, choices=[4, 8, 16, 32, 108], help="of every frame")
    parser.add_argument("--cutoff", type=float, default=5.0)
    parser.add_argument("--n-max", type=int, default=8)
    parser.add_argument("--l-max", type=int, default=6)
    parser.add_argument("--n-jobs", type=int, default=1)
    parser.add_argument("--repeat", type=int, default=5, help="frames added one by one")
    return parser.parse_args()


if __name__ == "__main__":
    main()
