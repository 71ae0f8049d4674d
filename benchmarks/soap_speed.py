"""How fast are SOAP values, derivative rows and the adjoint, beside featomic, dscribe and QUIP?

One rattled silicon cell, 28 neighbours within 5 Å, n_max 8, l_max 6; every code in this process on one thread,
CPU time, minimum of many repetitions. Derivative rows are streamed in blocks of 8 centres as the fit takes them
(featomic and quippy return those of the whole cell); peers' figures include their neighbour lists. Codes that
are not installed are named and left out:

    pip install featomic dscribe quippy-ase
    python benchmarks/soap_speed.py
"""

import os
import time

import numpy as np
from ase.build import bulk
from threadpoolctl import threadpool_limits

import kernelff as kff
from kernelff._soap import available_isas
from kernelff.descriptors import SOAPDescriptor

CUTOFF, N_MAX, L_MAX, SIGMA, WIDTH = 5.0, 8, 6, 0.5, 1.0


def cpu_time(function, seconds=1.5, at_least=5):
    """Smallest CPU time of one call, s."""
    function()
    times, begin = [], time.perf_counter()
    while len(times) < at_least or time.perf_counter() - begin < seconds:
        start = time.process_time()
        function()
        times.append(time.process_time() - start)
    return min(times)


def silicon():
    atoms = bulk("Si", cubic=True).repeat(2)
    atoms.rattle(0.05, seed=1)
    return atoms


def flops(n_neighbors, n_max=N_MAX, l_max=L_MAX):
    """Operations per centre that the formulas need: values, derivative rows, adjoint (FMA = 2)."""
    n_lm, n_l, n_p = (l_max + 1) ** 2, l_max + 1, (l_max + 1) * n_max * (n_max + 1) // 2
    harmonics, table = 5 * n_lm, 12 * n_l * n_max
    values = n_neighbors * (harmonics + table + 2 * n_lm * n_max) + 2 * n_lm * n_max * (n_max + 1) / 2 + 4 * n_p
    contraction = 2 * n_max * (n_lm + 3 * l_max**2)  # of rows and their moves with the harmonics of a neighbour
    outer = 7 * n_p + 3 * 7 * n_p  # the symmetric part and its three directions, norm included
    derivatives = values + n_neighbors * (table + contraction + outer)
    adjoint = values + 2 * n_lm * n_max**2 + n_neighbors * (table + contraction + 8 * n_l * n_max)
    return values, derivatives, adjoint


def ours(atoms):
    """Rows (name, values, values + gradients, values + backward) in µs per atom."""
    soap = kff.SOAP(CUTOFF, N_MAX, L_MAX, atom_sigma=SIGMA, cutoff_width=WIDTH)
    start = time.process_time()
    built = soap.build((14,), 2.35)
    print(f"building the tables: {1e3 * (time.process_time() - start):.0f} ms, {built.table.knots.nbytes / 1e3:.0f} kB")
    neighbors = kff.NeighborList.from_atoms(atoms, CUTOFF)
    weights = np.random.default_rng(0).normal(size=(len(atoms), built.n_features))
    counted = flops(neighbors.n_pairs / len(atoms))
    table = []
    for isa in available_isas():
        descriptor = SOAPDescriptor.from_state(*built.to_state(), isa=isa)
        seconds = (
            cpu_time(lambda d=descriptor: d.compute(neighbors)),
            cpu_time(lambda d=descriptor: stream_gradients(d, neighbors)),
            cpu_time(lambda d=descriptor: (d.compute(neighbors), d.backward(neighbors, weights))),
        )
        table.append((f"kernelff {isa}", *(1e6 * s / len(atoms) for s in seconds)))
        rates = [f"{n * len(atoms) / s / 1e9:.1f}" for n, s in zip(counted[:2], seconds[:2], strict=True)]
        rates.append(f"{(counted[0] + counted[2]) * len(atoms) / seconds[2] / 1e9:.1f}")
        print(f"{isa}: {', '.join(rates)} GFLOP/s (values, + gradients, + backward)")
    seconds = cpu_time(lambda: kff.NeighborList.from_atoms(atoms, CUTOFF))
    print(f"our neighbour list, not in the rows below: {1e6 * seconds / len(atoms):.2f} µs per atom")
    return table


def stream_gradients(descriptor, neighbors, block=8):
    for start in range(0, neighbors.n_atoms, block):
        descriptor.gradients(neighbors, start, start + block)


def featomic(atoms):
    from featomic import SoapPowerSpectrum

    table = []
    for name, accuracy in (("featomic, splined", 1e-8), ("featomic, exact", None)):
        calculator = SoapPowerSpectrum(
            cutoff={"radius": CUTOFF, "smoothing": {"type": "ShiftedCosine", "width": WIDTH}},
            density={"type": "Gaussian", "width": SIGMA},
            basis={
                "type": "TensorProduct",
                "max_angular": L_MAX,
                "radial": {"type": "Gto", "max_radial": N_MAX - 1},
                "spline_accuracy": accuracy,
            },
        )
        values = cpu_time(lambda c=calculator: c.compute(atoms))
        slopes = cpu_time(lambda c=calculator: c.compute(atoms, gradients=["positions"]))
        table.append((name, 1e6 * values / len(atoms), 1e6 * slopes / len(atoms), None))
    return table


def dscribe(atoms):
    from dscribe.descriptors import SOAP

    calculator = SOAP(r_cut=CUTOFF, n_max=N_MAX, l_max=L_MAX, sigma=SIGMA, species=["Si"], periodic=True)
    return [("dscribe, GTO", 1e6 * cpu_time(lambda: calculator.create(atoms)) / len(atoms), None, None)]


def quippy(atoms):
    from quippy.descriptors import Descriptor

    text = f"soap cutoff={CUTOFF} cutoff_transition_width={WIDTH} n_max={N_MAX} l_max={L_MAX} atom_sigma={SIGMA}"
    calculator = Descriptor(text)
    values = cpu_time(lambda: calculator.calc(atoms))
    slopes = cpu_time(lambda: calculator.calc(atoms, grad=True))
    return [("quippy", 1e6 * values / len(atoms), 1e6 * slopes / len(atoms), None)]


def main():
    for variable in ("OMP_NUM_THREADS", "RAYON_NUM_THREADS"):  # read when the peers are first imported
        os.environ[variable] = "1"
    with threadpool_limits(1):
        report(silicon())


def report(atoms):
    table = ours(atoms)
    best = table[0]
    for peer in (featomic, dscribe, quippy):
        try:
            table += peer(atoms)
        except ImportError as error:
            print(f"{peer.__name__} is absent: {error}")
    print(f"\nµs per atom (times ours){'values':>16}{'+ gradients':>20}{'+ backward':>20}")
    for name, *figures in table:
        cells = ["-" if t is None else f"{t:.2f} ({t / ref:.1f})" for t, ref in zip(figures, best[1:], strict=True)]
        print(f"{name:<20}" + "".join(f"{cell:>20}" for cell in cells))


if __name__ == "__main__":
    main()
