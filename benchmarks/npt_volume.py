"""Are volumes at constant pressure those of theory, and those of ASE's Martyna-Tobias-Klein dynamics?

A crystal of silicon by a fitted model at one temperature and zero pressure: mean volume, and its variance as a bulk
modulus, B = kT <V> / <dV^2>, with errors from blocks. Beside them: ASE's `IsotropicMTKNPT` and `MTKNPT` (flexible) [1]_
on the same potential, and B = -V dP/dV from the pressures of runs at two fixed volumes, which no barostat has touched.

    python benchmarks/npt_volume.py si.kff [--temperature 600] [--ps 400] [--ase 100]

.. [1] G. J. Martyna, D. J. Tobias, M. L. Klein, J. Chem. Phys. 101, 4177 (1994), doi:10.1063/1.467468
"""

import argparse
import time

import numpy as np
from ase import units
from ase.build import bulk
from ase.md.nose_hoover_chain import MTKNPT, IsotropicMTKNPT
from ase.md.velocitydistribution import MaxwellBoltzmannDistribution, Stationary

import kernelff as kff
from kernelff.md.settings import CELLS, THERMOSTATS

TIMESTEP, EVERY = 2.0, 10  # fs, steps
BURN = 0.1  # of a run, not looked at
N_BLOCKS = 10
LENGTH = 0.005  # by which edges differ from the mean, of the runs at fixed volume


def crystal():
    return bulk("Si", a=5.46, cubic=True).repeat(2)


def mean_and_error(values):
    means = [block.mean() for block in np.array_split(values, N_BLOCKS)]
    return np.mean(means), np.std(means, ddof=1) / np.sqrt(N_BLOCKS)


def show(name, volumes, temperature, seconds):
    volumes = volumes[int(BURN * len(volumes)) :]
    mean, error = mean_and_error(volumes)
    square, square_error = mean_and_error((volumes - volumes.mean()) ** 2)
    modulus = units.kB * temperature * mean / square / units.GPa
    print(f"{name:26} volume {mean:.2f} +- {error:.2f} Å^3, sd {np.sqrt(square):.2f}, bulk modulus {modulus:.1f} +- "
          f"{modulus * square_error / square:.1f} GPa, {seconds:.0f} s", flush=True)  # fmt: skip
    return mean


def ours(potential, options, thermostat, cell):
    began = time.perf_counter()
    result = kff.md.run(
        crystal(), potential, "npt", temperature=options.temperature, pressure=0.0, thermostat=thermostat, cell=cell,
        timestep=TIMESTEP, steps=int(1e3 * options.ps / TIMESTEP), thermo_every=EVERY, barostat_time=500.0, seed=1,
    )  # fmt: skip
    seconds = time.perf_counter() - began
    return show(f"{thermostat}, {cell}", result.thermo["volume_A3"], options.temperature, seconds)


def of_ase(potential, options, dynamics):
    atoms, began, volumes = crystal(), time.perf_counter(), []
    atoms.calc = potential.calculator()
    MaxwellBoltzmannDistribution(atoms, temperature_K=2 * options.temperature, rng=np.random.default_rng(1))
    Stationary(atoms)
    run = dynamics(
        atoms, TIMESTEP * units.fs, temperature_K=options.temperature, pressure_au=0.0, tdamp=100 * units.fs,
        pdamp=500 * units.fs,
    )  # fmt: skip
    run.attach(lambda: volumes.append(atoms.get_volume()), EVERY)
    run.run(int(1e3 * options.ase / TIMESTEP))
    show(f"ASE, {dynamics.__name__}", np.array(volumes), options.temperature, time.perf_counter() - began)


def from_pressures(potential, options, volume):
    """The bulk modulus by pressures at two fixed volumes."""
    found = []
    for scale in (1 - LENGTH, 1 + LENGTH):
        atoms = crystal()
        atoms.set_cell(atoms.cell * (volume / atoms.get_volume()) ** (1 / 3) * scale, scale_atoms=True)
        result = kff.md.run(
            atoms, potential, "langevin", temperature=options.temperature, timestep=TIMESTEP,
            steps=int(1e3 * options.ps / 2 / TIMESTEP), thermo_every=EVERY, seed=2,
        )  # fmt: skip
        pressures = result.thermo["pressure_GPa"]
        found.append(mean_and_error(pressures[int(BURN * len(pressures)) :]))
    (low, low_error), (high, high_error) = found
    per_strain = (1 + LENGTH) ** 3 - (1 - LENGTH) ** 3
    print(f"{'pressures, fixed volumes':26} bulk modulus {(low - high) / per_strain:.1f} +- "
          f"{np.hypot(low_error, high_error) / per_strain:.1f} GPa")  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="potential of silicon")
    parser.add_argument("--temperature", type=float, default=600.0)
    parser.add_argument("--ps", type=float, default=400.0, help="of each of our runs")
    parser.add_argument("--ase", type=float, default=100.0, help="ps of ASE's run")
    options = parser.parse_args()
    potential = kff.load(options.model)
    means = [ours(potential, options, thermostat, cell) for thermostat in THERMOSTATS for cell in CELLS]
    from_pressures(potential, options, np.mean(means))
    for dynamics in (IsotropicMTKNPT, MTKNPT):
        of_ase(potential, options, dynamics)


if __name__ == "__main__":
    main()
