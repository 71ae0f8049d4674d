"""How fast do fitted moment tensor potentials run, and what bounds them; beside motep?

Energy, forces and virial from a neighbour list that is kept, levels 8, 16 and 20, in double and single precision, with
one and four elements, on a rattled bcc cell of 1024 atoms with 58 neighbours; one thread, smallest CPU time of calls
that take turns; then the kernel alone. Its share of the peak of one core counts what the formulas need (FMA = 2); the
peak is that of dgemm of this process, unless that of a loop of FMAs is given. With the path of an .mtp file of one
element and motep installed both run it on the same cells, in turns:

    pip install motep
    python benchmarks/potential_speed.py [--peak GFLOPS] [FILE.mtp ELEMENT]

Where a whole call of Potential.compute spends its time is printed last.
"""

import argparse
import time
from functools import partial

import numpy as np
from ase.build import bulk
from threadpoolctl import threadpool_limits

import kernelff as kff
from kernelff._soap import available_isas
from kernelff.descriptors import MomentTensorsDescriptor
from kernelff.potential import Potential
from kernelff.terms import BasisTerm

LEVELS = (8, 16, 20)
ELEMENTS = (26, 28, 29, 13)
CUTOFF = 5.1
BLOCK = 96  # ext/block.h


def cpu_times(functions, seconds=4.0):
    """Smallest CPU time of one call of each, s; they take turns."""
    best = [np.inf] * len(functions)
    for function in functions:
        function()
    begin = time.perf_counter()
    while time.perf_counter() - begin < seconds:
        for k, function in enumerate(functions):
            start = time.process_time()
            function()
            best[k] = min(best[k], time.process_time() - start)
    return best


def dgemm_rate(n=1000):
    """GFLOP/s of one thread."""
    a, b = np.random.default_rng(0).normal(size=(2, n, n))
    return 2e-9 * n**3 / cpu_times([lambda: a @ b], 1.0)[0]


def operations(tables, n_neighbors):
    """Operations per centre that the formulas need, from the tables of a kernel."""
    degree = [int(n) for n in tables["degree"] if n >= 0]
    monomials = (tables["highest"] + 1) ** 2
    radial = 2 * tables["n_beta"] + len(degree) * (4 * tables["n_beta"] + 6)
    moments = monomials + 2 * sum((n + 1) ** 2 for n in degree)
    horner = sum(2 * d * (d + 1) + 2 * (3 * d - 3 if d else 0) for n in degree for d in (n, n - 1) if d >= 0)
    pulls = 14 * len(degree) + 26
    products = sum(np.count_nonzero(tables[f"{name}.weights"]) for name in ("nodes", "adjoints"))
    return n_neighbors * (25 + radial + moments + horner + pulls) + 3 * products


def frame(n_elements):
    atoms = bulk("Fe", a=2.87, cubic=True).repeat(8)
    atoms.rattle(0.05, seed=1)
    atoms.numbers = np.random.default_rng(3).choice(ELEMENTS[:n_elements], len(atoms))
    return atoms


def term_of(atoms, level, n_elements, isa=None):
    """A term with small weights, so that single precision is not refused."""
    built = kff.MomentTensors(level, CUTOFF).build_for([atoms], ELEMENTS[:n_elements], 2.5)
    term = BasisTerm(MomentTensorsDescriptor.from_state(*built.to_state(), isa=isa))
    return term, 1e-8 * np.random.default_rng(0).normal(size=term.n_functions)


def evaluation(term, weights, neighbors):
    """A call from Python for a list that is there: energies, forces and virial."""
    potential = Potential([term], weights, dict.fromkeys(ELEMENTS, 0.0))
    return lambda: potential.evaluate(neighbors)


def alone(term, weights, neighbors):
    """The kernel in ranges of centres as the loops have them."""
    plain = neighbors.first, neighbors.j, neighbors.vectors, neighbors.numbers.astype(np.int32)
    kernel, n = term.compiled(weights).kernel, neighbors.n_atoms

    def run():
        for start in range(0, n, BLOCK):
            kernel.evaluate(*plain, start, min(start + BLOCK, n))

    return run


def own_kernels(n_elements, isas, peak):
    atoms = frame(n_elements)
    neighbors, n = kff.NeighborList.from_atoms(atoms, CUTOFF), len(atoms)
    print(f"\n{n_elements} element(s), {neighbors.n_pairs / n:.1f} neighbours: µs/atom; kernel alone (share of peak)")
    print(f"{'':14}" + "".join(f"{isa + ' ' + p:>30}" for isa in isas for p in ("double", "single")))
    for level in LEVELS:
        runs, needed = [], 0.0
        for isa in isas:
            term, weights = term_of(atoms, level, n_elements, isa)
            for precision in ("double", "single"):
                same = term.with_precision(precision)
                runs += [evaluation(same, weights, neighbors), alone(same, weights, neighbors)]
            needed = operations(term.descriptor.potential_tables(weights, "double"), neighbors.n_pairs / n)
        cells = []
        times = cpu_times(runs)
        for k, (whole, kernel) in enumerate(zip(times[::2], times[1::2], strict=True)):
            share = 1e-9 * n * needed / kernel / peak / (1 + k % 2)
            cells.append(f"{1e6 * whole / n:.2f}, kernel {1e6 * kernel / n:.2f} ({100 * share:.0f} %)")
        print(f"level {level:2}      " + "".join(f"{cell:>30}" for cell in cells))


def beside_motep(path, element):
    """A file in both codes on the same cells."""
    from motep.calculator import make_mtp_engine
    from motep.io.mlip.mtp import read_mtp

    potential = kff.load(path, species=[element])
    data = read_mtp(path)
    data.species = list(potential.species)
    engine = make_mtp_engine("cext")(data, mode="run")
    atoms = bulk(element, cubic=True).repeat(6)
    atoms.rattle(0.05, seed=1)
    neighbors, n = kff.NeighborList.from_atoms(atoms, potential.cutoff), len(atoms)
    own = partial(potential.evaluate, neighbors)
    single = partial(potential.with_precision("single").evaluate, neighbors)
    theirs = engine.calculate(atoms)
    difference = np.abs(potential.compute(atoms).forces - np.asarray(theirs["forces"])).max()
    print(f"\n{path}: {neighbors.n_pairs / n:.1f} neighbours; largest difference of forces {difference:.1e} eV/Å")
    runs = [own, lambda: engine.calculate(atoms)]
    try:
        single()
        runs.append(single)
    except ValueError as error:
        print(error)
    times = [1e6 * seconds / n for seconds in cpu_times(runs, 20.0)]
    print(f"kernelff {times[0]:.2f}, motep {times[1]:.1f} µs per atom, ratio {times[1] / times[0]:.1f}")
    if len(times) > 2:
        print(f"kernelff in single precision {times[2]:.2f} µs per atom, ratio {times[1] / times[2]:.1f}")


def parts_of_a_call():
    atoms = frame(1)
    term, weights = term_of(atoms, 16, 1)
    potential = Potential([term], weights, {26: 0.0})
    neighbors, n = kff.NeighborList.from_atoms(atoms, CUTOFF), len(atoms)
    times = cpu_times(
        [
            lambda: potential.compute(atoms),
            lambda: kff.NeighborList.from_atoms(atoms, CUTOFF),
            lambda: potential.evaluate(neighbors),
            alone(term, weights, neighbors),
            lambda: term.evaluate_by_parts(neighbors, weights),
        ]
    )
    total, search, sums, kernel, parts = (1e6 * seconds / n for seconds in times)
    print(
        f"\nPotential.compute of {n} atoms, level 16: {total:.2f} µs per atom, of which neighbour list {search:.2f}, "
        f"energies, forces and virial {sums:.2f} (kernel {kernel:.2f}); features and adjoint in its place {parts:.2f}"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", nargs="*", help="an .mtp file and its element")
    parser.add_argument("--peak", type=float, help="GFLOP/s of FMAs in float64")
    given = parser.parse_args()
    with threadpool_limits(1):
        peak = given.peak or dgemm_rate()
        print(f"peak of one core {peak:.0f} GFLOP/s in float64")
        own_kernels(1, available_isas(), peak)
        own_kernels(4, available_isas()[:1], peak)
        if given.file:
            beside_motep(*given.file)
        parts_of_a_call()


if __name__ == "__main__":
    main()
