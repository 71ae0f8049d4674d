"""Does the energy of a molecular dynamics at constant energy stay what it is, and what moves it where it does not?

Velocity Verlet conserves not the energy H but, to order dt^2, the modified energy

    H + dt^2 [ v.H''v / 12 - |M^-1/2 F|^2 / 24 ],   H''v the change of -F along v,

(E. Hairer, C. Lubich, G. Wanner, Acta Numerica 12, 399 (2003), doi:10.1017/S0962492902000144). H fluctuates by dt^2
around it, so that slopes of the modified energy are some hundred times sharper. Both are fitted by a line in each of
ten blocks of the run: mean slope and its standard error. The forces of a potential with a cutoff function (r_c - r)^2
have a kink at r_c, which the expansion in dt does not know of: each pair that crosses r_c shifts the modified energy by
a little, up or down, and it walks at random. `--smooth` takes a model of the same form whose radial functions end as
(r_c - r)^3, refitted to the bundled silicon set: the walk is gone.

    python benchmarks/md_conservation.py si.kff [--ns 1] [--timesteps 1] [--smooth]
"""

import argparse
import time

import numpy as np
from ase import Atoms, units
from ase.build import bulk

import kernelff as kff
from kernelff.assembly import frame_rows
from kernelff.io import silicon_set
from kernelff.md.parts import parts_of
from kernelff.md.settings import MDSettings
from kernelff.md.state import forces_of, make_system, start_state, state_of
from kernelff.potential import Potential
from kernelff.terms import BasisTerm

N_BLOCKS = 10
EVERY = 100.0  # fs between samples
ALONG = 1e-3  # Å sqrt(amu/eV); of the derivative of the forces along v


def smooth_end(potential):
    """The potential with radial functions that end as (r_c - r)^3: their Chebyshev series vanish at r_c."""
    term = potential.terms[0]
    params, arrays = term.to_state()
    name = next(name for name in arrays if name.endswith("coefficients"))
    arrays = {**arrays, name: arrays[name] - arrays[name].mean(axis=-1, keepdims=True)}
    term = BasisTerm.from_state(params, arrays)
    rows, targets = [], []
    for atoms in silicon_set("train"):
        found, n = frame_rows([term], atoms, virial=False), len(atoms)
        energy = atoms.get_potential_energy() - n * potential.e0[14]
        rows += [found.energy / (0.005 * n), found.forces / 0.1]
        targets += [[energy / (0.005 * n)], atoms.get_forces().ravel() / 0.1]
    rows, sizes = np.vstack(rows), np.linalg.norm(np.vstack(rows), axis=0)
    rows = np.vstack([rows / sizes, 1e-3 * np.eye(len(sizes))])
    targets = np.concatenate([*targets, np.zeros(len(sizes))])
    weights = np.linalg.lstsq(rows, targets, rcond=None)[0] / sizes
    return Potential([term], weights, potential.e0, repulsion=potential.repulsion)


def start(potential, options):
    atoms = bulk("Si", a=5.45, cubic=True).repeat(2)
    found = kff.md.run(atoms, potential, "langevin", temperature=options.temperature, steps=20_000, seed=options.seed)
    momenta = found.atoms.get_momenta()
    found.atoms.set_momenta(momenta - momenta.mean(axis=0))
    return found.atoms


def correction(system, potential, numbers, masses, timestep):
    """Modified energy less energy, eV."""
    state, forces, ends = state_of(system), forces_of(system), []
    for sign in (1, -1):
        moved = Atoms(numbers, state.path + sign * ALONG * state.velocities, cell=state.cell, pbc=True)
        ends.append(potential.compute(moved).forces)
    curvature = -(state.velocities * (ends[0] - ends[1])).sum() / (2 * ALONG)
    return timestep**2 * (curvature / 12 - (forces**2 / masses[:, None]).sum() / 24)


def sample(atoms, potential, timestep, options):
    """Energy and modified energy, eV per atom, every EVERY fs."""
    settings = MDSettings.checked("nve", timestep=timestep)
    state, parts = start_state(atoms, settings), parts_of(potential)
    system = make_system(atoms, state, parts, settings, 1, 1, state.cell)
    system.compute()
    found = []
    for _ in range(int(1e6 * options.ns / EVERY)):
        shift = correction(system, potential, atoms.numbers, atoms.get_masses(), timestep * units.fs)
        found.append((system.conserved, system.conserved + shift))
        system.run(round(EVERY / timestep))
    return np.array(found) / len(atoms)


def show(name, energies):
    blocks = np.array_split(energies, N_BLOCKS)
    slopes = [np.polyfit(np.arange(len(block)) * EVERY * 1e-6, block, 1)[0] for block in blocks]
    error = np.std(slopes, ddof=1) / np.sqrt(N_BLOCKS)
    whole = np.polyfit(np.arange(len(energies)) * EVERY * 1e-6, energies, 1)[0]
    print(f"  {name:16} sd {energies.std():.1e} eV/atom, slope {np.mean(slopes):+.1e} +- {error:.1e} eV/atom/ns, "
          f"of one line {whole:+.1e}")  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="moment tensor potential of silicon")
    parser.add_argument("--ns", type=float, default=1.0)
    parser.add_argument("--timesteps", default="1", help="fs, separated by commas")
    parser.add_argument("--temperature", type=float, default=300.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--smooth", action="store_true", help="radial functions that end as (r_c - r)^3")
    options = parser.parse_args()
    potential = kff.load(options.model)
    potential = smooth_end(potential) if options.smooth else potential
    atoms = start(potential, options)
    for timestep in map(float, options.timesteps.split(",")):
        began = time.perf_counter()
        found = sample(atoms, potential, timestep, options)
        print(f"{len(atoms)} atoms, {options.ns:g} ns by {timestep:g} fs, {time.perf_counter() - began:.0f} s")
        show("energy", found[:, 0])
        show("modified energy", found[:, 1])


if __name__ == "__main__":
    main()
