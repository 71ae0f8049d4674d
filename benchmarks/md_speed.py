"""What does the loop of molecular dynamics cost beside its kernel, what do threads bring, how much memory does it take?

A fitted moment tensor potential on a rattled bcc crystal at 300 K and constant energy. The overhead is the time of a
step, rebuilds included, beside that of the kernel alone on a list that is kept, in ranges of centres as the loop has
them: one thread, smallest CPU time, both in turns.
Threads: smallest wall time of a step. Memory: what a process grows by, from the second call of the loop on.

    python benchmarks/md_speed.py model.kff Mo 3.16 [--repeat 10] [--threads 2] [--large 80]
"""

import argparse
import resource
import time

import numpy as np
from ase.build import bulk

import kernelff as kff
from kernelff.md.parts import parts_of
from kernelff.md.settings import MDSettings
from kernelff.md.state import make_system, start_state

STEPS = 20
BLOCK = 96  # ext/block.h


def crystal(options, repeat):
    atoms = bulk(options.element, "bcc", a=options.lattice, cubic=True).repeat(repeat)
    atoms.rattle(0.05, seed=1)
    return atoms


def system_of(atoms, potential, ensemble="nve", threads=1):
    settings = MDSettings.checked(ensemble, 300)
    state, parts = start_state(atoms, settings), parts_of(potential)
    system = make_system(atoms, state, parts, settings, 1, threads, state.cell)
    system.compute()
    system.run(2 * STEPS)
    return system


def least(calls, clock, rounds=8):
    """Smallest time of each call; they take turns."""
    best = [np.inf] * len(calls)
    for _ in range(rounds):
        for k, call in enumerate(calls):
            start = clock()
            call()
            best[k] = min(best[k], clock() - start)
    return best


def overhead(potential, options):
    atoms = crystal(options, options.repeat)
    neighbors = kff.NeighborList.from_atoms(atoms, potential.cutoff)
    term = potential.terms[0]
    kernel = term.compiled(potential.weights[: term.n_functions])
    kernel = getattr(kernel, "kernel", kernel)
    plain = neighbors.first, neighbors.j, neighbors.vectors, atoms.numbers.astype(np.int32)
    ranges = [(k, min(k + BLOCK, len(atoms))) for k in range(0, len(atoms), BLOCK)]

    def evaluate():
        for start, stop in ranges:
            kernel.evaluate(*plain, start, stop)

    print(f"{len(atoms)} atoms, {neighbors.n_pairs / len(atoms):.1f} neighbours")
    for ensemble in ("nve", "langevin", "bussi", "nose-hoover", "npt"):
        system = system_of(atoms, potential, ensemble)
        loop, alone = least([lambda s=system: s.run(STEPS), evaluate], time.process_time)
        loop, alone = (1e6 * t / len(atoms) for t in (loop / STEPS, alone))
        more = 100 * (loop / alone - 1)
        print(f"{ensemble:12} {loop:.3f} µs per atom and step, kernel {alone:.3f}: {more:.0f} % more")


def threads(potential, options):
    atoms = crystal(options, options.repeat)
    systems = [system_of(atoms, potential, threads=n) for n in (1, options.threads)]
    one, many = least([lambda s=s: s.run(STEPS) for s in systems], time.perf_counter)
    print(f"{options.threads} threads: {one / many:.2f} times as fast as one")


def large(potential, options):
    atoms = crystal(options, options.large)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    system = system_of(atoms, potential)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    step = least([lambda: system.run(5)], time.process_time, 3)[0] / 5
    cost, size = 1e6 * step / len(atoms), 1024 * grown / len(atoms)
    print(f"{len(atoms)} atoms: {cost:.3f} µs per atom and step, {size:.0f} B per atom")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("element")
    parser.add_argument("lattice", type=float, help="Å, of the bcc crystal")
    parser.add_argument("--repeat", type=int, default=10)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--large", type=int, default=37, help="repeats of the large cell, 2 n^3 atoms")
    options = parser.parse_args()
    potential = kff.load(options.model)
    overhead(potential, options)
    threads(potential, options)
    large(potential, options)


if __name__ == "__main__":
    main()
