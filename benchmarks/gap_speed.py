"""How fast does a published GAP run here, beside QUIP, and do both agree?

    pip install quippy-ase
    OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 python benchmarks/gap_speed.py gap.xml frames.xyz

Energy, forces and stress of the largest frames of the file, both codes in this process and in turn, CPU time, minimum
of several runs; how much of ours is the compiled kernel; then the largest differences.
"""

import argparse
import time

import numpy as np
from ase.io import read

import kernelff as kff
from kernelff.assembly import term_columns


def least_times(*functions, rounds=5):
    """Smallest CPU time of one call of each, s; they take turns, so that a busy machine slows all alike."""
    least = [np.inf] * len(functions)
    for _ in range(rounds):
        for k, function in enumerate(functions):
            start = time.process_time()
            function()
            least[k] = min(least[k], time.process_time() - start)
    return least


def evaluate_terms(potential, lists):
    """Local energies and pair gradients of all terms: what the kernels do."""
    for neighbors in lists:
        for term, columns in zip(potential.terms, term_columns(potential.terms), strict=True):
            term.evaluate(neighbors, potential.weights[columns])


def report(n_atoms, whole, terms, peer=None):
    print(f"kernelff  {1e6 * whole / n_atoms:8.1f} µs per atom, {1e6 * terms / n_atoms:.1f} of them in the kernels")
    if peer is not None:
        print(f"quippy    {1e6 * peer / n_atoms:8.1f} µs per atom, x {peer / whole:.1f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("gap")
    parser.add_argument("frames")
    parser.add_argument("--largest", type=int, default=3, help="how many frames")
    options = parser.parse_args()
    frames = sorted(read(options.frames, ":"), key=len)[-options.largest :]
    n_atoms = sum(len(atoms) for atoms in frames)
    ours = kff.load(options.gap)
    lists = [kff.NeighborList.from_atoms(atoms, ours.cutoff) for atoms in frames]
    calls = [lambda: [ours.compute(atoms) for atoms in frames], lambda: evaluate_terms(ours, lists)]
    try:
        from quippy.potential import Potential
    except ImportError:
        print("quippy    not installed")
        report(n_atoms, *least_times(*calls))
        return
    theirs = Potential(param_filename=options.gap)

    def quip(atoms):
        theirs.calculate(atoms, properties=["energy", "forces", "stress"], system_changes=["positions"])
        return dict(theirs.results)

    report(n_atoms, *least_times(*calls, lambda: [quip(atoms) for atoms in frames]))
    for atoms in frames:
        one, two = ours.compute(atoms), quip(atoms)
        energy, force = abs(one.energy - two["energy"]), np.abs(one.forces - two["forces"]).max()
        print(f"{len(atoms)} atoms: energies differ by {energy:.1e} eV, forces by {force:.1e} eV/Å")


if __name__ == "__main__":
    main()
