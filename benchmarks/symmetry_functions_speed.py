"""How fast are symmetry functions, their derivative rows and their adjoint, beside dscribe?

8 G2 and 12 G4 (three widths, zeta 1 and 4, lambda -1 and 1) on one rattled silicon cell of 64 atoms, cutoff 5 Å, 28
neighbours; both codes in this process on one thread, CPU time, minimum of many repetitions. dscribe's figure
includes its neighbour list, ours stands in a line of its own:

    pip install dscribe
    python benchmarks/symmetry_functions_speed.py
"""

import time

import numpy as np
from ase.build import bulk
from threadpoolctl import threadpool_limits

import kernelff as kff
from kernelff._soap import available_isas
from kernelff.descriptors import SymmetryFunctionsDescriptor

CUTOFF = 5.0
G2_PARAMETERS = [(eta, 0.0) for eta in (0.05, 0.1, 0.5, 1.0)] + [(4.0, r_s) for r_s in (2.0, 2.5, 3.0, 3.5)]
G4_PARAMETERS = [(eta, zeta, lambda_) for eta in (0.005, 0.02, 0.08) for zeta in (1, 4) for lambda_ in (-1, 1)]


def cpu_time(function, seconds=1.5, at_least=5):
    """Smallest CPU time of one call, s."""
    function()
    times, begin = [], time.perf_counter()
    while len(times) < at_least or time.perf_counter() - begin < seconds:
        start = time.process_time()
        function()
        times.append(time.process_time() - start)
    return min(times)


def flops(n_neighbors, n_radials=10, n_widths=3, n_angulars=4, n_g4=12):
    """Operations per centre that the formulas need: values, adjoint (FMA = 2)."""
    exponential, cutoff_function = 33, 43
    n_triplets = 0.5 * n_neighbors * (n_neighbors - 1)
    pairs = n_neighbors * (n_radials * (exponential + 8) + cutoff_function)
    triplet = 12 + n_widths * (exponential + 8 + 3) + cutoff_function + 4 * n_angulars + 2 * n_g4
    adjoint = triplet + n_widths * 15 + 2 * n_g4 + 45
    return pairs + n_triplets * triplet, pairs + n_triplets * adjoint


def ours(atoms):
    """Rows (name, values, values + gradients, values + backward) in µs per atom."""
    functions = [kff.G2(*p) for p in G2_PARAMETERS] + [kff.G4(*p) for p in G4_PARAMETERS]
    built = kff.SymmetryFunctions(functions, CUTOFF).build((14,))
    neighbors = kff.NeighborList.from_atoms(atoms, CUTOFF)
    weights = np.random.default_rng(0).normal(size=(len(atoms), built.n_features))
    values, adjoint = flops(neighbors.n_pairs / len(atoms))
    table = []
    for isa in available_isas():
        descriptor = SymmetryFunctionsDescriptor.from_state(*built.to_state(), isa=isa)
        seconds = (
            cpu_time(lambda d=descriptor: d.compute(neighbors)),
            cpu_time(lambda d=descriptor: d.gradients(neighbors)),
            cpu_time(lambda d=descriptor: (d.compute(neighbors), d.backward(neighbors, weights))),
        )
        table.append((f"kernelff {isa}", *(1e6 * s / len(atoms) for s in seconds)))
        rates = (n * len(atoms) / s / 1e9 for n, s in ((values, seconds[0]), (values + adjoint, seconds[2])))
        print(f"{isa}: {', '.join(f'{rate:.1f}' for rate in rates)} GFLOP/s (values, + backward)")
    seconds = cpu_time(lambda: kff.NeighborList.from_atoms(atoms, CUTOFF))
    print(f"our neighbour list, not in the rows below: {1e6 * seconds / len(atoms):.2f} µs per atom")
    return table, built.compute(neighbors)


def dscribe(atoms, expected):
    """Row of dscribe's values, after a check that both compute the same."""
    from dscribe.descriptors import ACSF

    calculator = ACSF(r_cut=CUTOFF, g2_params=G2_PARAMETERS, g4_params=G4_PARAMETERS, species=["Si"], periodic=True)
    found = calculator.create(atoms)[:, 1:]  # without its G1
    print(f"largest difference to dscribe: {np.abs(found - expected).max():.1e}")
    return [("dscribe", 1e6 * cpu_time(lambda: calculator.create(atoms)) / len(atoms), None, None)]


def main():
    atoms = bulk("Si", cubic=True).repeat(2)
    atoms.rattle(0.05, seed=1)
    with threadpool_limits(1):
        table, values = ours(atoms)
        try:
            table += dscribe(atoms, values)
        except ImportError as error:
            print(f"dscribe is absent: {error}")
    best = table[0]
    print(f"\nµs per atom (times ours){'values':>16}{'+ gradients':>20}{'+ backward':>20}")
    for name, *figures in table:
        cells = ["-" if t is None else f"{t:.2f} ({t / ref:.1f})" for t, ref in zip(figures, best[1:], strict=True)]
        print(f"{name:<20}" + "".join(f"{cell:>20}" for cell in cells))
    if len(table) > 1 and table[-1][0] == "dscribe":
        print(f"\ndscribe's values take {table[-1][1] / best[3]:.1f} times our values + backward")


if __name__ == "__main__":
    main()
