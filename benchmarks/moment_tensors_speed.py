"""How fast are moment tensors, their adjoint, derivative rows and Jacobian, and what bounds them; beside motep?

Levels 8, 16 and 20 on rattled cells with 34 (diamond) and 58 neighbours (bcc), one thread, CPU time, minimum of many
repetitions. GFLOP/s count what the formulas need (FMA = 2), for the derivative rows every moment of every scalar
once, for the Jacobian by radial coefficients what its programs do. motep's figure is energy, forces and stress with
its C extension, ours beside it values + backward; both keep their neighbour list. It reads potentials from a folder
with files *l08_1sp.mtp, *l16_1sp.mtp, *l20_1sp.mtp:

    pip install motep
    python benchmarks/moment_tensors_speed.py [FOLDER]
"""

import sys
import time
from pathlib import Path

import numpy as np
from ase.build import bulk
from threadpoolctl import threadpool_limits

import kernelff as kff
from kernelff._moments import PANEL, lanes_of
from kernelff._soap import available_isas
from kernelff.descriptors import MomentTensorsDescriptor
from kernelff.descriptors.moment_tables import graph_tables
from kernelff.descriptors.moment_tangents import tangent_tables

LEVELS = (8, 16, 20)
CENTRES = 8  # per block of derivative rows, so that the block stays in the cache


def cpu_time(function, seconds=1.0, at_least=5):
    """Smallest CPU time of one call, s."""
    function()
    times, begin = [], time.perf_counter()
    while len(times) < at_least or time.perf_counter() - begin < seconds:
        start = time.process_time()
        function()
        times.append(time.process_time() - start)
    return min(times)


def flops(tables, arrays, n_neighbors, n_beta):
    """Operations per centre of values, adjoint and rows."""
    n_mu, moments, products = len(tables.degree), tables.n_accumulated, len(arrays["weights"])
    monomials = (max(tables.degree) + 1) ** 2
    radial = 3 * n_beta + 2 * n_beta * n_mu
    values = n_neighbors * (radial + monomials + 2 * moments) + 3 * products
    adjoint = values + n_neighbors * (radial + 4 * moments) + 5 * products
    rows = values + n_neighbors * (radial + 9 * moments + 6 * len(arrays["moments"]))
    n_visited = sum(len(tables.sums[k - tables.n_accumulated - 1]) for k in arrays["sums"])
    return values, adjoint, rows + 5 * n_visited


def jacobian_flops(tables, shape, n_neighbors, isa):
    """Operations per centre, beside adjoints; `shape` of the coefficients: (n_species, n_mu, n_beta)."""
    lanes, _ = lanes_of(isa)
    n_species, _, n_beta = shape
    arrays = tangent_tables(tables, n_species, n_beta, PANEL, lanes)
    ends = np.array(arrays["first_entry"])[arrays["first_row"]]
    entries = sum(ends[p + 1] - ends[p] for p in arrays["panel_program"])
    sums = 2 * n_neighbors * (max(tables.degree) + 1) ** 2 * n_beta
    return 2 * PANEL * entries + 6 * n_neighbors * (lanes * len(arrays["support"]) + np.prod(shape[1:])) + sums


def ours(atoms, cutoff, level, isa):
    """µs per atom and GFLOP/s of values, adjoint, rows and Jacobian."""
    built = kff.MomentTensors(level, cutoff).build_for([atoms], [int(atoms.numbers[0])], 2.5)
    descriptor = MomentTensorsDescriptor.from_state(*built.to_state(), isa=isa)
    neighbors, n = kff.NeighborList.from_atoms(atoms, cutoff), len(atoms)
    weights = np.random.default_rng(0).normal(size=(n, descriptor.n_features))

    def in_blocks(function, *arguments):
        for start in range(0, n, CENTRES):
            function(neighbors, *arguments, start, start + CENTRES)

    seconds = [
        cpu_time(lambda: descriptor.compute(neighbors)),
        cpu_time(lambda: descriptor.backward(neighbors, weights)),
        cpu_time(lambda: in_blocks(descriptor.gradients)),
        cpu_time(lambda: in_blocks(descriptor.coefficient_gradients, weights[0])),
    ]
    tables, arrays = graph_tables(descriptor.graphs, lanes_of(isa)[0])
    needed = flops(tables, arrays, neighbors.n_pairs / n, 10)
    jacobian = needed[1] + jacobian_flops(tables, descriptor.coefficients.shape[1:], neighbors.n_pairs / n, isa)
    needed = (*needed, jacobian)
    return [1e6 * s / n for s in seconds], [f * n / s / 1e9 for f, s in zip(needed, seconds, strict=True)]


def motep(atoms, cutoff, path):
    """µs per atom for energy, forces and stress."""
    from motep.calculator import make_mtp_engine
    from motep.io.mlip.mtp import read_mtp

    data = read_mtp(path)
    data.species, data.max_dist = [int(atoms.numbers[0])], cutoff
    engine = make_mtp_engine("cext")(data, mode="run")
    return 1e6 * cpu_time(lambda: engine.calculate(atoms)) / len(atoms)


def main(folder=None):
    silicon, iron = bulk("Si", cubic=True).repeat(2), bulk("Fe", a=2.87, cubic=True).repeat(4)
    with threadpool_limits(1):
        for atoms, cutoff in ((silicon, 5.6), (iron, 5.1)):
            atoms.rattle(0.05, seed=1)
            n_neighbors = kff.NeighborList.from_atoms(atoms, cutoff).n_pairs / len(atoms)
            print(f"\n{n_neighbors:.1f} neighbours, µs per atom (GFLOP/s)")
            print(f"{'':18}{'values':>16}{'backward':>16}{'rows':>16}{'Jacobian':>16}")
            for level in LEVELS:
                for isa in available_isas():
                    times, rates = ours(atoms, cutoff, level, isa)
                    cells = [f"{t:.2f} ({rate:.1f})" for t, rate in zip(times, rates, strict=True)]
                    print(f"level {level:2} {isa:<9}" + "".join(f"{cell:>16}" for cell in cells))
                for path in Path(folder).glob(f"*l{level:02}_1sp.mtp") if folder else ():
                    try:
                        print(f"level {level:2} motep    {motep(atoms, cutoff, path):>32.2f}")
                    except ImportError as error:
                        print(f"motep is absent: {error}")


if __name__ == "__main__":
    main(*sys.argv[1:])
