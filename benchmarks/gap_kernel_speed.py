"""How fast is the compiled GAP kernel, what bounds it, and how much faster is it than its parts?

Local energies and pair gradients of a rattled bcc cell, 58 neighbours within 5.15 Å, SOAP of n_max 8 and l_max 6,
sparse points near environments of the cell, random weights; one thread, CPU time, minimum of many repetitions, all
ways in turn. Without the products (zeta = 1) there remain spectra and adjoint; the difference is the time of the
products, 4 M d flops per centre (2 d^2 with zeta = 2), to compare with the rate of this machine's dgemm. "single"
is the kernel in single precision.

    python benchmarks/gap_kernel_speed.py --sparse 1000 --elements 1
"""

import argparse
import time
from functools import partial

import numpy as np
from ase.build import bulk
from threadpoolctl import threadpool_limits

import kernelff as kff
from kernelff._soap import available_isas
from kernelff.descriptors import SOAPDescriptor
from kernelff.kernels import DotProduct
from kernelff.terms import EnvironmentTerm

ELEMENTS = (26, 24, 25, 28)


def least_times(*functions, rounds=9):
    """Smallest CPU time of one call of each, s; they take turns, so that a busy machine slows all alike."""
    least = [np.inf] * len(functions)
    for _ in range(rounds):
        for k, function in enumerate(functions):
            start = time.thread_time()
            function()
            least[k] = min(least[k], time.thread_time() - start)
    return least


def dgemm_rate(n=1000):
    """Flops per second of a product of large square matrices."""
    a, out = np.random.default_rng(0).random((n, n)), np.empty((n, n))
    return 2 * n**3 / least_times(lambda: np.dot(a, a, out=out))[0]


def system(n_elements):
    atoms = bulk("Fe", cubic=True) * (6, 6, 6)
    atoms.numbers = np.array(ELEMENTS)[np.random.default_rng(0).integers(n_elements, size=len(atoms))]
    atoms.rattle(0.05, seed=1)
    return atoms


def sparse_points(descriptor, neighbors, n_sparse):
    """Environments of the cell for every element, moved a little."""
    q, rng = descriptor.compute(neighbors), np.random.default_rng(2)
    points = {}
    for z in descriptor.species:
        chosen = rng.choice(np.flatnonzero(neighbors.numbers == z), n_sparse)
        points[z] = q[chosen] * (1.0 + 0.01 * rng.normal(size=(n_sparse, q.shape[1])))
    return points


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sparse", type=int, default=1000, help="sparse points of each element")
    parser.add_argument("--elements", type=int, default=1, choices=range(1, 5))
    parser.add_argument("--channels", type=int, help="mix the channels into this many (SOAP's n_channels)")
    options = parser.parse_args()
    atoms = system(options.elements)
    soap = kff.SOAP(5.15, 8, 6, atom_sigma=0.5, scaling_exponent=0, n_channels=options.channels, mixing="random")
    descriptor = soap.build(sorted(set(atoms.numbers)))
    neighbors = kff.NeighborList.from_atoms(atoms, descriptor.cutoff)
    points = sparse_points(descriptor, neighbors, options.sparse)
    n, d, per_atom = len(atoms), descriptor.n_features, neighbors.n_pairs / len(atoms)
    print(f"{n} atoms, {per_atom:.1f} neighbours, {d} features, {options.sparse} sparse points of each element")
    with threadpool_limits(1):
        print(f"dgemm {dgemm_rate() / 1e9:.1f} GFLOP/s; µs per atom of the")
    print(f"{'':14} {'kernel':>11} {'single':>11} {'parts':>11} {'no products':>11} {'products':>11} {'GFLOP/s':>11}")
    for isa in available_isas():
        loops = SOAPDescriptor.from_state(*descriptor.to_state(), isa=isa)
        linear = EnvironmentTerm(loops, DotProduct(1.0), 1.0, points)
        weights = np.random.default_rng(1).normal(size=linear.n_functions)
        for zeta in (4.0, 2.0):
            term = EnvironmentTerm(loops, DotProduct(zeta), 1.0, points)
            single = term.with_precision("single").compiled(weights)
            single_call = partial(
                single.evaluate, *loops.plain(neighbors)[:3], neighbors.numbers.astype(np.int32), 0, n
            )
            calls = [partial(f, neighbors, weights) for f in (term.evaluate, term.evaluate_by_parts, linear.evaluate)]
            with threadpool_limits(1):
                whole, single, parts, without = (1e6 * t / n for t in least_times(calls[0], single_call, *calls[1:]))
            flops = 2 * d * d if zeta == 2 and d < 2 * options.sparse else 4 * d * options.sparse
            products = whole - without
            print(
                f"{isa:7} zeta {zeta:.0f} {whole:11.1f} {single:11.1f} {parts:11.1f} {without:11.1f} {products:11.1f}"
                f" {1e-3 * flops / products:11.1f}"
            )


if __name__ == "__main__":
    main()
