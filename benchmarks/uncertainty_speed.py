"""What do standard deviations, novelty and grades of local energies cost in the compiled pass, and what bounds them?

Steps of the MD loop on a rattled bcc cell with 58 neighbours, without uncertainties and with one kind in every step;
SOAP-GAP of n_max 8 and l_max 6 with sparse points near environments of the cell, moment tensors of levels 16 and 20;
random weights and covariances; one thread, median and smallest CPU time of turns. Then the measure alone: its
triangular product, n^2 flops per centre for n functions (a grade 2 n^2), beside dgemm and, if given, the peak of a loop
of FMAs.

    python benchmarks/uncertainty_speed.py [--sparse 1000] [--peak GFLOPS]
"""

import argparse
import time

import numpy as np
from gap_kernel_speed import dgemm_rate, sparse_points, system
from threadpoolctl import threadpool_limits

import kernelff as kff
from kernelff.error_bars.local_pass import row_measure
from kernelff.error_bars.uncertainty import Posterior
from kernelff.kernels import DotProduct
from kernelff.md.parts import parts_of
from kernelff.md.settings import MDSettings
from kernelff.md.state import make_system, start_state
from kernelff.md.watch import Watch
from kernelff.terms import BasisTerm, EnvironmentTerm

CUTOFF = 5.15
STEPS = 3


def gap(atoms, n_sparse, zeta):
    descriptor = kff.SOAP(CUTOFF, 8, 6, atom_sigma=0.5, scaling_exponent=0).build([26])
    points = sparse_points(descriptor, kff.NeighborList.from_atoms(atoms, CUTOFF), n_sparse)
    return EnvironmentTerm(descriptor, DotProduct(zeta), 1.0, points), ("std", "novelty")


def moment_tensors(atoms, level):
    return BasisTerm(kff.MomentTensors(level, CUTOFF).build_for([atoms], [26], 2.0)), ("std", "grade")


def potential_of(term):
    """Weights so small that the atoms stay where they are; any covariance costs the same."""
    rng, n = np.random.default_rng(0), term.n_functions
    P, weights = rng.normal(size=(n, n)), 1e-9 * rng.normal(size=n)
    active_set = None
    if isinstance(term, BasisTerm):
        active_set = kff.ActiveSet("neighborhood", [26], rng.normal(size=(n + 1, n + 1)), np.zeros((0, 2)))
    return kff.Potential([term], weights, {26: 0.0}, Posterior(P, P), active_set=active_set)


def loop(atoms, potential, kind):
    """Some steps of the MD loop."""
    settings = MDSettings.checked("nve", 300, timestep=0.01, uncertainty=kind, uncertainty_every=1)
    state, watch = start_state(atoms, settings), None if kind is None else Watch(potential, settings, atoms)
    made = make_system(atoms, state, parts_of(potential), settings, 1, 1, state.cell, watch)
    made.compute()
    return lambda: made.run(STEPS)


def times_of(calls, rounds):
    """Median and smallest CPU time of one call of each, s; they take turns."""
    found = []
    for _ in range(rounds):
        found.append([])
        for call in calls:
            start = time.thread_time()
            call()
            found[-1].append(time.thread_time() - start)
    return np.median(found, axis=0), np.min(found, axis=0)


def measured(potential, kind, n_functions, n_centres=960):
    """s per centre of the measure alone, and its flops."""
    measure, rows = row_measure(potential, kind), np.random.default_rng(1).normal(size=(n_centres, n_functions))
    elements, priors = np.full(n_centres, 26, np.int32), np.ones(n_centres)

    def blocks():
        for start in range(0, n_centres, 96):
            part = slice(start, start + 96)
            measure.measure(elements[part], rows[part], priors[part])

    flops = 2 * n_functions * (n_functions + 1) if kind == "grade" else n_functions * (n_functions + 1)
    return times_of([blocks], 15)[1][0] / n_centres, flops


def show(name, atoms, term, kinds, peak):
    potential, n = potential_of(term), len(atoms) * STEPS
    columns = (None, *kinds)
    medians, least = times_of([loop(atoms, potential, kind) for kind in columns], 15)
    for k, kind in enumerate(columns):
        line = f"{name if kind is None else '':12} {kind or 'without':8}"
        line += f" {1e6 * medians[k] / n:8.2f} {1e6 * least[k] / n:8.2f}"
        if kind is not None:
            seconds, flops = measured(potential, kind, term.n_functions)
            rate = 1e-9 * flops / seconds
            line += f" {medians[k] / medians[0]:7.2f} {1e6 * seconds:10.2f} {rate:8.1f} {100 * rate / peak:6.0f} %"
        print(line)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sparse", type=int, default=1000)
    parser.add_argument("--peak", type=float, help="GFLOP/s of FMAs in float64; dgemm of this process by default")
    options = parser.parse_args()
    with threadpool_limits(1):
        dgemm = 1e-9 * dgemm_rate()
        peak, atoms = options.peak or dgemm, system(1)
        print(f"dgemm {dgemm:.1f}, peak {peak:.1f} GFLOP/s; µs per atom and step, of the measure alone µs per atom")
        print(f"{'':21} {'median':>8} {'least':>8} {'ratio':>7} {'measure':>10} {'GFLOP/s':>8} {'of peak':>8}")
        for zeta in (4.0, 2.0):
            show(f"GAP zeta {zeta:.0f}", atoms, *gap(atoms, options.sparse, zeta), peak)
        for level in (16, 20):
            show(f"MTP level {level}", atoms, *moment_tensors(atoms, level), peak)


if __name__ == "__main__":
    main()
