"""How fast does a published GAP run here, beside QUIP, and do both agree?

    pip install quippy-ase
    OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 python benchmarks/gap_speed.py gap.xml frames.xyz

Energy, forces and stress of the largest frames of the file, both codes in this process, CPU time,
minimum of several runs; then the largest differences.
"""

import argparse
import time

import numpy as np
from ase.io import read

import kernelff as kff


def cpu_time(function, repeats):
    """Smallest CPU time of one call, s."""
    function()
    times = []
    for _ in range(repeats):
        start = time.process_time()
        function()
        times.append(time.process_time() - start)
    return min(times)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("gap")
    parser.add_argument("frames")
    parser.add_argument("--largest", type=int, default=3, help="how many frames")
    options = parser.parse_args()
    frames = sorted(read(options.frames, ":"), key=len)[-options.largest :]
    n_atoms = sum(len(atoms) for atoms in frames)
    ours = kff.load(options.gap)
    per_atom = 1e6 * cpu_time(lambda: [ours.compute(atoms) for atoms in frames], 5) / n_atoms
    print(f"kernelff  {per_atom:8.1f} µs per atom")
    try:
        from quippy.potential import Potential
    except ImportError:
        print("quippy    not installed")
        return
    theirs = Potential(param_filename=options.gap)

    def quip(atoms):
        theirs.calculate(atoms, properties=["energy", "forces", "stress"], system_changes=["positions"])
        return dict(theirs.results)

    peer = 1e6 * cpu_time(lambda: [quip(atoms) for atoms in frames], 2) / n_atoms
    print(f"quippy    {peer:8.1f} µs per atom, x {peer / per_atom:.1f}")
    for atoms in frames:
        one, two = ours.compute(atoms), quip(atoms)
        energy, force = abs(one.energy - two["energy"]), np.abs(one.forces - two["forces"]).max()
        print(f"{len(atoms)} atoms: energies differ by {energy:.1e} eV, forces by {force:.1e} eV/Å")


if __name__ == "__main__":
    main()
