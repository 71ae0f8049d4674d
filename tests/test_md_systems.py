"""Molecular dynamics of a melt, a slab, a molecule, a cell of two atoms, strained cells, one atom."""

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk, fcc111
from labelled import emt_frames

import kernelff as kff
from kernelff.io import silicon_set
from kernelff.md.parts import parts_of
from kernelff.md.settings import MDSettings
from kernelff.md.state import forces_of, make_system, start_state, state_of


@pytest.fixture(scope="module")
def silicon():
    return kff.MTP(level=8, n_jobs=1).fit(silicon_set("train")[::2]).potential_


@pytest.fixture(scope="module")
def copper():
    return kff.MTP(level=8, cutoff=4.0, n_jobs=1).fit(emt_frames(12, 1)).potential_


def system_of(atoms, potential, **settings):
    settings = MDSettings.checked(**{"ensemble": "nve"} | settings)
    state, parts = start_state(atoms, settings), parts_of(potential)
    system = make_system(atoms, state, parts, settings, 1, 1, state.cell)
    system.compute()
    return system


def follow(atoms, potential, rounds, steps, **settings):
    """Energies (rounds,) of a run at constant energy whose forces are those of the potential all along."""
    system, energies = system_of(atoms, potential, **settings), []
    for _ in range(rounds):
        system.run(steps)
        state = state_of(system)
        frame = Atoms(atoms.numbers, state.path, cell=atoms.cell, pbc=atoms.pbc)
        expected = potential.compute(frame)
        assert np.abs(forces_of(system) - expected.forces).max() < 1e-9 * np.abs(expected.forces).max()
        offset = sum(potential.e0[z] for z in atoms.numbers)
        assert system.energy + offset == pytest.approx(expected.energy, abs=1e-9 * abs(expected.energy))
        energies.append(system.conserved)
    return np.array(energies)


def test_a_melt(silicon):
    """Silicon at 3000 K: atoms leave their sites, nothing diverges, and the energy of the liquid is conserved."""
    start = bulk("Si", a=5.43, cubic=True).repeat(2)
    hot = kff.md.run(start, silicon, "langevin", temperature=3000, steps=3000, thermostat_time=50.0).atoms
    away = hot.positions - start.positions - (hot.positions - start.positions).mean(axis=0)
    assert np.sqrt((away**2).sum(axis=1).mean()) > 1.5
    hot.set_momenta(hot.get_momenta() - hot.get_momenta().mean(axis=0))
    results = [kff.md.run(hot, silicon, timestep=dt, steps=int(600 / dt), thermo_every=1) for dt in (1.0, 0.5)]
    for result in results:
        assert result.thermo["temperature_K"].mean() == pytest.approx(3000, rel=0.3)
    spreads = [np.std(result.thermo["conserved_eV"]) / 64 for result in results]
    assert spreads[0] < 5e-4 and 2.5 < spreads[0] / spreads[1] < 6.0
    follow(hot, silicon, 4, 25)


def test_the_energy_that_the_integrator_conserves(copper):
    """Velocity Verlet keeps H + dt^2 [v.H''v / 12 - |M^-1/2 F|^2 / 24] to a higher order than H, and for long [1]_.

    .. [1] E. Hairer, C. Lubich, G. Wanner, Acta Numerica 12, 399 (2003), doi:10.1017/S0962492902000144
    """
    atoms = bulk("Cu", cubic=True).repeat(2)
    start = kff.md.run(atoms, copper, "langevin", temperature=300, steps=1000, seed=1).atoms
    start.set_momenta(start.get_momenta() - start.get_momenta().mean(axis=0))
    system, step, energies = system_of(start, copper, timestep=4.0), 1e-3, []
    for _ in range(150):
        system.run(40)
        state, forces, ends = state_of(system), forces_of(system), []
        for sign in (step, -step):
            moved = Atoms(atoms.numbers, state.path + sign * state.velocities, cell=atoms.cell, pbc=True)
            ends.append(copper.compute(moved).forces)
        curvature = -(state.velocities * (ends[0] - ends[1])).sum() / (2 * step)
        extra = curvature / 12 - (forces**2).sum() / (24 * atoms.get_masses()[0])
        energies.append([system.conserved, system.conserved + (4.0 * units.fs) ** 2 * extra])
    spreads = np.std(energies, axis=0)
    assert spreads[1] < spreads[0] / 10
    slope = np.polyfit(np.arange(150) * 160e-6, np.array(energies)[:, 1] / 32, 1)[0]  # eV/atom/ns
    assert abs(slope) < 1e-4


def test_a_slab(copper):
    """Periodic along the surface alone: nothing falls through the missing boundary, the momentum stays zero."""
    slab = fcc111("Cu", (3, 3, 4), a=3.6, vacuum=8.0)
    assert slab.pbc.tolist() == [True, True, False]
    energies = follow(slab, copper, 10, 40, temperature=600, timestep=2.0)
    assert np.ptp(energies) / len(slab) < 5e-5
    result = kff.md.run(slab, copper, temperature=600, timestep=2.0, steps=400)
    assert np.abs(result.atoms.get_momenta().sum(axis=0)).max() < 1e-10
    assert result.atoms.pbc.tolist() == [True, True, False] and np.isnan(result.thermo["pressure_GPa"]).all()
    slab.positions[:, 2] += 100.0  # not wrapped where nothing is periodic
    moved = kff.md.run(slab, copper, temperature=600, timestep=2.0, steps=400)
    assert np.abs(moved.atoms.positions - result.atoms.positions - [0, 0, 100]).max() < 1e-7


def test_a_turning_molecule(copper):
    """Without a cell: energy, momentum and angular momentum about any point stay, however it flies and turns."""
    atoms = Atoms("Cu4", [[0, 0, 0], [2.5, 0, 0.1], [0.1, 2.5, 0], [0.2, 0.3, 2.5]])
    atoms.set_momenta(np.random.default_rng(0).normal(0, 0.7, (4, 3)))
    before = atoms.get_momenta().sum(axis=0), atoms.get_angular_momentum()
    energies = follow(atoms, copper, 10, 50, timestep=1.0)
    assert np.ptp(energies) < 1e-3
    after = kff.md.run(atoms, copper, steps=500).atoms
    np.testing.assert_allclose(after.get_momenta().sum(axis=0), before[0], atol=1e-10)
    np.testing.assert_allclose(after.get_angular_momentum(), before[1], atol=1e-8)
    assert np.linalg.norm(before[1]) > 0.5


def test_two_atoms_in_a_primitive_cell_smaller_than_the_cutoff(silicon):
    """Every atom sees its own images, many times."""
    atoms = bulk("Si", a=5.43)
    atoms.positions[1] += [0.05, -0.1, 0.08]
    assert silicon.cutoff > atoms.cell.lengths().max()
    energies = follow(atoms, silicon, 10, 50, temperature=500, timestep=1.0)
    assert np.ptp(energies) < 1e-3
    result = kff.md.run(atoms, silicon, "npt", temperature=300, cell="flexible", barostat_time=500.0, steps=500)
    expected = silicon.compute(result.atoms)
    assert result.energy == pytest.approx(expected.energy, abs=1e-8)


def test_virials_are_slopes_of_the_energy_by_strain(silicon):
    """In the loop's own energies, a skewed cell of two atoms."""
    atoms = bulk("Si", a=5.6)
    atoms.set_cell(atoms.cell.array @ [[1.0, 0.03, 0.0], [0.0, 1.02, 0.0], [0.01, 0.0, 0.98]], scale_atoms=True)
    atoms.positions[1] += [0.1, 0.05, 0.0]
    step, virial = 1e-5, system_of(atoms, silicon).virial
    for a, b in ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2)):
        ends = []
        for sign in (1, -1):
            strain = np.eye(3)
            strain[a, b] += sign * step
            strained = atoms.copy()
            strained.set_cell(atoms.cell.array @ strain, scale_atoms=True)
            ends.append(system_of(strained, silicon).energy)
        assert -(ends[0] - ends[1]) / (2 * step) == pytest.approx(virial[a, b], abs=1e-6 * np.abs(virial).max())


def test_one_atom(silicon, copper):
    """In a cell of its own it has no forces and flies straight on; without one too."""
    for atoms in (bulk("Cu"), Atoms("Cu")):
        atoms.set_momenta([[1.0, 2.0, 3.0]])
        result = kff.md.run(atoms, copper, steps=100)
        expected = atoms.positions + atoms.get_velocities() * 100 * units.fs
        np.testing.assert_allclose(result.atoms.positions, expected, atol=1e-10)
    for ensemble in ("langevin", "bussi", "nose-hoover"):
        for atoms in (bulk("Cu"), Atoms("Cu")):
            thermo = kff.md.run(atoms, copper, ensemble, temperature=300, steps=50, thermo_every=1).thermo
            assert np.isfinite(thermo["temperature_K"]).all() and np.isfinite(thermo["conserved_eV"]).all()
