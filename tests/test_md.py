"""The compiled loop of molecular dynamics: list, forces, integrators, against exact answers and against itself."""

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk
from ase.calculators.calculator import Calculator
from ase.calculators.emt import EMT
from ase.constraints import FixAtoms, Hookean
from ase.md.verlet import VelocityVerlet
from labelled import emt_frames, small_model
from scipy.stats import gamma
from systems import FRAMES, frame

import kernelff as kff
from kernelff._md import random_normals, random_words
from kernelff.md.parts import parts_of
from kernelff.md.settings import MDSettings
from kernelff.md.state import forces_of, make_system, start_state, state_of

pytestmark = pytest.mark.filterwarnings("ignore:atoms. Ar get e0 alone")  # free flight is a potential without terms


@pytest.fixture(scope="module")
def potential():
    return small_model(n_jobs=1).fit(emt_frames(8, 0)).potential_


@pytest.fixture(scope="module")
def moment_tensors():
    model = kff.MTP(level=8, cutoff=4.0, n_jobs=1)
    return model.fit(emt_frames(12, 1)).potential_


def copper(times=2, rattle=0.0):
    atoms = bulk("Cu", cubic=True).repeat(times)
    if rattle:
        atoms.rattle(rattle, seed=0)
    return atoms


def gas(n=24, edge=30.0):
    return Atoms(f"Ar{n}", np.random.default_rng(0).uniform(0, edge, (n, 3)), cell=[edge] * 3, pbc=True)


IDEAL = kff.Potential([], np.zeros(0), {18: 0.0})  # no terms: nothing but free flight


class Springs(Calculator):
    """Every atom on a spring of its own, 1 eV/Å^2."""

    implemented_properties = ("energy", "forces")

    def __init__(self, sites):
        super().__init__()
        self.sites = sites

    def calculate(self, atoms=None, properties=("energy",), system_changes=()):
        super().calculate(atoms, properties, system_changes)
        away = self.atoms.positions - self.sites
        self.results = {"energy": 0.5 * (away**2).sum(), "forces": -away}


def system_of(atoms, potential, threads=1, **settings):
    settings = MDSettings.checked(**{"ensemble": "nve", "temperature": 300} | settings)
    parts = parts_of(potential)
    state = start_state(atoms, settings)
    system = make_system(atoms, state, parts, settings, 100, threads, state.cell)
    system.compute()
    return system


def total(potential, system, atoms):
    return system.energy + sum(potential.e0[z] for z in atoms.numbers)


# ---- list and forces --------------------------------------------------------------------------------


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("name", FRAMES)
def test_forces_are_those_of_the_potential(name, threads, potential, moment_tensors):
    atoms = frame(name)
    atoms.numbers[:] = 29
    atoms.positions *= 2.2 if name in ("molecule", "chain", "triclinic") else 1.0
    atoms.cell *= 2.2 if name in ("molecule", "chain", "triclinic") else 1.0
    for model in (potential, moment_tensors):
        system, expected = system_of(atoms, model, threads, min_distance=0.0, max_force=1e9), model.compute(atoms)
        assert system.counts[1] == kff.NeighborList.from_atoms(atoms, model.cutoff + 0.5).n_pairs
        scale = max(np.abs(expected.forces).max(), 1.0)
        assert total(model, system, atoms) == pytest.approx(expected.energy, abs=1e-10 * max(abs(expected.energy), 1))
        assert np.abs(forces_of(system) - expected.forces).max() < 1e-10 * scale
        assert np.abs(system.virial - expected.virial).max() < 1e-9 * scale


@pytest.mark.parametrize("cell", [None, "isotropic", "flexible"])
def test_forces_stay_right_while_atoms_and_cell_move(cell, potential):
    atoms = copper((3, 2, 2), 0.05)
    moving = {"ensemble": "npt", "cell": cell, "barostat_time": 50} if cell else {"ensemble": "nvt"}
    system = system_of(atoms, potential, temperature=1500, timestep=2.0, **moving)
    for _ in range(8):
        system.run(37)
        state = state_of(system)
        now = Atoms(atoms.numbers, state.path, cell=state.cell, pbc=True)
        expected = potential.compute(now)
        assert np.abs(forces_of(system) - expected.forces).max() < 1e-9 * np.abs(expected.forces).max()
        assert np.abs(system.virial - expected.virial).max() < 1e-9 * np.abs(expected.virial).max()
    assert 2 <= system.counts[0] < 8 * 37 / 3


def test_terms_without_a_kernel_and_baselines_run_too():
    """Symmetry functions, a pair term and an ASE calculator as baseline, asked through Python."""
    frames = emt_frames(6, 0)
    functions = kff.SymmetryFunctions([kff.G2(0.5, 2.0)], cutoff=4.0)
    descriptors = [functions, kff.PairDistances(4.0)]
    springs = Springs(np.zeros(3))
    for model in (
        kff.SparseGPR(descriptors, n_sparse=8, n_jobs=1, hyperparameters="fixed").fit(frames).potential_,
        small_model(8, n_jobs=1, baseline=EMT()).fit(frames).potential_,
    ):
        atoms = copper(1, 0.1)
        system, expected = system_of(atoms, model), model.compute(atoms)
        assert np.abs(forces_of(system) - expected.forces).max() < 1e-9
        assert total(model, system, atoms) == pytest.approx(expected.energy, abs=1e-9)
    atoms = Atoms("Cu", [[0.0, 0.0, 1.0]])
    result = kff.md.run(atoms, springs, timestep=1.0, steps=100, thermo_every=1)
    assert np.ptp(result.thermo["conserved_eV"]) < 1e-4


def test_against_ase(potential):
    """The same path as ASE's velocity Verlet, with several rebuilds on the way."""
    atoms = copper(2, 0.1)
    atoms.set_momenta(np.random.default_rng(1).normal(0, 2.0, (len(atoms), 3)))
    moved = atoms.copy()
    moved.calc = potential.calculator()
    VelocityVerlet(moved, 2 * units.fs).run(60)
    result = kff.md.run(atoms, potential, timestep=2.0, steps=60, skin=0.1)
    assert np.abs(result.atoms.positions - moved.positions).max() < 1e-8
    assert np.abs(result.atoms.get_momenta() - moved.get_momenta()).max() < 1e-7


# ---- constant energy --------------------------------------------------------------------------------


@pytest.mark.parametrize("ensemble", ["nve", "nose-hoover", "nph"])
def test_energy_fluctuation_falls_with_the_square_of_the_timestep(ensemble, potential):
    found = []
    for timestep in (4.0, 2.0):
        settings = {"temperature": 600, "seed": 3} | ({"cell": "flexible"} if ensemble == "nph" else {})
        steps = int(800 / timestep)
        result = kff.md.run(copper(), potential, ensemble, timestep=timestep, steps=steps, thermo_every=1, **settings)
        energies = result.thermo["conserved_eV"]
        found.append(np.std(energies - np.polyval(np.polyfit(np.arange(steps + 1), energies, 1), np.arange(steps + 1))))
    assert 3.0 < found[0] / found[1] < 5.3
    assert found[1] < 1e-3


def test_momentum_is_conserved(potential):
    for ensemble in ("nve", "bussi", "nose-hoover"):
        result = kff.md.run(copper(2, 0.1), potential, ensemble, temperature=900, steps=200)
        assert np.abs(result.atoms.get_momenta().sum(axis=0)).max() < 1e-10


def test_a_molecule_keeps_its_angular_momentum(moment_tensors):
    atoms = Atoms("Cu4", [[0, 0, 0], [2.5, 0, 0.1], [0.1, 2.5, 0], [0.2, 0.3, 2.5]])
    result = kff.md.run(atoms, moment_tensors, temperature=100, steps=200, thermo_every=1)
    assert np.abs(result.atoms.get_angular_momentum()).max() < 1e-8
    kinetic, temperature = (result.thermo[name] for name in ("kinetic_eV", "temperature_K"))
    np.testing.assert_allclose(2 * kinetic / (6 * units.kB), temperature)  # 3 N - 6
    assert np.isnan(result.thermo["pressure_GPa"]).all()


def test_threads_agree(potential):
    atoms = copper((4, 3, 3), 0.1)
    results = [kff.md.run(atoms, potential, temperature=600, steps=40, threads=n, skin=0.15) for n in (1, 2, 2, 3)]
    one, two, again, three = (result.atoms.positions for result in results)
    assert np.array_equal(two, again)
    assert np.abs(one - two).max() < 1e-9 and np.abs(one - three).max() < 1e-9


def test_few_atoms_take_one_thread(potential):
    results = [kff.md.run(copper(2, 0.1), potential, temperature=600, steps=10, threads=n) for n in (1, 3)]
    assert np.array_equal(*(result.atoms.positions for result in results))


def test_fixed_atoms_stay(potential):
    atoms = copper(2, 0.1)
    atoms.set_constraint(FixAtoms(range(8)))
    for ensemble in ("nve", "langevin", "bussi", "nose-hoover"):
        result = kff.md.run(atoms, potential, ensemble, temperature=600, steps=50)
        np.testing.assert_allclose(result.atoms.positions[:8], atoms.positions[:8], rtol=0, atol=1e-12)
        assert np.abs(result.atoms.positions[8:] - atoms.positions[8:]).min(axis=0).max() > 0
        assert not result.atoms.get_momenta()[:8].any()
    with pytest.raises(ValueError, match="would move fixed atoms"):
        kff.md.run(atoms, potential, "npt", temperature=600)
    atoms.set_constraint(Hookean(0, 1, 1.0, 3.0))
    with pytest.raises(ValueError, match="Hookean is not known"):
        kff.md.run(atoms, potential)


# ---- random numbers and temperatures ----------------------------------------------------------------


def test_random_numbers():
    """Known answers of Random123 (kat_vectors, philox4x32 10), and moments of the normal deviates."""
    assert random_words(0, 0, 0, 0) == [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]
    words = random_words(0x299F31D0A4093822, 0x0370734413198A2E, 0x243F6A88, 0x85A308D3)
    assert words == [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1]
    normals = np.array([random_normals(1, step, 2, 3) for step in range(20000)])
    for power, expected in ((1, 0.0), (2, 1.0), (3, 0.0), (4, 3.0)):
        assert np.abs((normals**power).mean(axis=0) - expected).max() < 0.15
    assert np.abs(np.corrcoef(normals.T) - np.eye(4)).max() < 0.03


def gamma_distance(samples, shape, scale):
    """Deviations of mean and variance from a gamma distribution, in their standard errors."""
    expected = gamma(shape, scale=scale)
    mean, variance, _, excess = expected.stats("mvsk")
    n = len(samples)
    return (samples.mean() - mean) / np.sqrt(variance / n), (samples.var() / variance - 1) / np.sqrt((2 + excess) / n)


@pytest.mark.parametrize("thermostat, freedom", [("langevin", 72), ("bussi", 69)])
def test_kinetic_energies_are_distributed_as_they_should(thermostat, freedom):
    """Free atoms: a gamma distribution of half the degrees of freedom."""
    result = kff.md.run(
        gas(), IDEAL, thermostat, temperature=300, thermostat_time=10.0, steps=60_000, thermo_every=30, min_distance=0.0
    )
    kinetic = result.thermo["kinetic_eV"][10:]
    assert max(map(abs, gamma_distance(kinetic, freedom / 2, 300 * units.kB))) < 3.5
    assert abs(result.thermo["conserved_eV"][-1] - result.thermo["conserved_eV"][0]) < 1e-9


def test_nose_hoover_chains_heat_a_crystal(potential):
    result = kff.md.run(
        copper(2, 0.05), potential, "nose-hoover", temperature=500, thermostat_time=40.0, timestep=3.0, steps=12_000,
        thermo_every=10,
    )  # fmt: skip
    kinetic = result.thermo["kinetic_eV"][200:] / (units.kB * 500)
    assert kinetic.mean() == pytest.approx(93 / 2, rel=0.02)
    assert kinetic.var() == pytest.approx(93 / 2, rel=0.2)


def test_positions_of_langevin_oscillators_are_exact():
    """BAOAB samples harmonic positions without error of the timestep: <x^2> = kT / k, here with a large step."""
    sites = np.arange(150.0).reshape(50, 3) * 3
    atoms = Atoms("Ar50", sites)
    result = []
    settings = MDSettings.checked("langevin", 300, thermostat_time=50.0, timestep=25.0, max_step=5.0)
    parts = parts_of(Springs(sites))
    system = make_system(atoms, start_state(atoms, settings), parts, settings, 100, 1, np.eye(3))
    system.compute()
    for _ in range(300):
        system.run(5)
        result.append(((state_of(system).path - sites) ** 2).mean())
    assert np.mean(result[20:]) == pytest.approx(units.kB * 300, rel=0.03)


def test_ramp(potential):
    result = kff.md.run(
        copper(), potential, "bussi", temperature=(300, 900), thermostat_time=10.0, steps=3000, thermo_every=1
    )
    temperature = result.thermo["temperature_K"]
    assert temperature[100:600].mean() == pytest.approx(370, abs=60)
    assert temperature[-300:].mean() == pytest.approx(870, abs=60)


# ---- pressure ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("thermostat, n", [("langevin", 24), ("bussi", 23)])
def test_volumes_of_an_ideal_gas_are_distributed_as_they_should(thermostat, n):
    """p(V) ~ V^n exp(-P V / kT): a gamma distribution of shape n + 1; n is one less where momentum is conserved."""
    kt, pressure = 300 * units.kB, 24 * 300 * units.kB / 27000.0
    result = kff.md.run(
        gas(), IDEAL, "npt", thermostat=thermostat, temperature=300, pressure=pressure / units.GPa,
        thermostat_time=100.0, barostat_time=150.0, timestep=10.0, steps=150_000, thermo_every=500, min_distance=0.0,
        max_volume_change=50.0, max_step=50.0, seed=5,
    )  # fmt: skip
    volumes = result.thermo["volume_A3"][5:]
    assert max(map(abs, gamma_distance(volumes, n + 1, kt / pressure))) < 3.5


@pytest.mark.parametrize("thermostat", ["langevin", "nose-hoover"])
def test_pressure_of_a_crystal_is_that_asked_for(thermostat, potential):
    result = kff.md.run(
        copper(), potential, "npt", thermostat=thermostat, cell="flexible", temperature=300, pressure=2.0, timestep=3.0,
        thermostat_time=100.0, barostat_time=200.0, steps=8000, thermo_every=2,
    )  # fmt: skip
    assert result.thermo["pressure_GPa"][500:].mean() == pytest.approx(2.0, abs=0.1)
    assert np.std(result.thermo["volume_A3"][500:]) > 1.0
