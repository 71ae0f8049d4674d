"""Virials of atoms and the heat flux: against pair potentials, against d/dt sum r_i E_i, loop against Python."""

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk
from ase.calculators.emt import EMT
from labelled import emt_frames, label, small_model
from systems import frame

import kernelff as kff
from kernelff.baselines.zbl import ZBL
from kernelff.md.observables.heat_flux import flux
from kernelff.md.observables.sample import sample_of
from kernelff.md.parts import parts_of
from kernelff.md.settings import MDSettings
from kernelff.md.state import make_system, start_state

REPULSION = kff.Potential([], np.zeros(0), {29: -3.0}, repulsion=ZBL([29], [[6.0]]))  # a pair potential

pytestmark = pytest.mark.filterwarnings("ignore:atoms. Cu get e0 alone")


@pytest.fixture(scope="module")
def models():
    """A Gaussian process, moment tensors of two elements, and terms that run through Python, one upon another."""
    frames = emt_frames(6, 0)
    alloys = []
    for k, atoms in enumerate(emt_frames(8, 2, keep=())):
        atoms.numbers[k % 3 :: 2] = 47
        alloys.append(label(atoms))
    functions = kff.SymmetryFunctions([kff.G2(0.5, 2.0)], cutoff=4.0)
    pairs = [functions, kff.PairDistances(4.0)]
    lower = small_model(8, n_jobs=1).fit(frames).potential_
    return {
        "gap": small_model(n_jobs=1).fit(frames).potential_,
        "mtp": kff.MTP(level=8, cutoff=4.0, learn_radial=False, n_jobs=1).fit(alloys).potential_,
        "python": kff.SparseGPR(pairs, n_sparse=8, n_jobs=1, hyperparameters="fixed", baseline=lower)
        .fit(frames)
        .potential_,
        "repulsion": REPULSION,
    }


def cluster(elements=(29,), seed=0):
    """A piece of a crystal in motion, not periodic."""
    rng = np.random.default_rng(seed)
    atoms = bulk("Cu", cubic=True).repeat(2)
    atoms = Atoms(rng.choice(elements, len(atoms)), atoms.positions + rng.normal(0, 0.1, (32, 3)))
    atoms.set_momenta(rng.normal(0, 2.0, (32, 3)))
    return atoms


def system_of(atoms, potential, threads=1, **settings):
    settings = MDSettings.checked("nve", min_distance=0.0, max_force=1e9, **settings)
    parts, state = parts_of(potential), start_state(atoms, settings)
    return make_system(atoms, state, parts, settings, 100, threads, state.cell)


def isolated(potential, atoms):
    """Sum of e0, those of the baseline included, (n_atoms,)."""
    e0 = np.array([potential.e0[z] for z in atoms.numbers])
    return e0 if potential.baseline is None else e0 + isolated(potential.baseline, atoms)


# ---- virials of atoms -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["gap", "mtp", "python", "repulsion"])
def test_virials_of_the_loop_are_those_of_the_potential(name, models):
    model = models[name]
    for atoms in (frame("one_atom"), frame("slab"), bulk("Cu", cubic=True).repeat(2)):
        atoms.rattle(0.1, seed=1)
        if name == "mtp":
            atoms.numbers[1::2] = 47
        expected = model.compute(atoms, virials=True)
        assert model.compute(atoms).virials is None
        scale = np.abs(expected.virials).max()
        assert np.abs(expected.virials.sum(axis=0) - expected.virial).max() < 1e-9 * scale
        for threads in (1, 3):
            sample = {}
            for again in range(2):
                system = system_of(atoms, model, threads)
                system.compute(of_atoms=True)
                sample[again] = sample_of(system)
            assert np.abs(sample[0].virials - expected.virials).max() < 1e-10 * scale
            assert np.abs(sample[0].energies + isolated(model, atoms) - expected.energies).max() < 1e-10 * scale
            assert np.array_equal(sample[0].virials, sample[1].virials)
            system.compute()
            assert sample_of(system).virials is None


def test_the_virial_is_not_symmetric_atom_by_atom(models):
    virials = models["gap"].compute(cluster(), virials=True).virials
    assert np.abs(virials - virials.transpose(0, 2, 1)).max() > 0.01


def test_what_has_no_virials_of_atoms_is_refused():
    model = small_model(8, n_jobs=1, baseline=EMT()).fit(emt_frames(4, 0)).potential_
    atoms = bulk("Cu", cubic=True)
    with pytest.raises(ValueError, match="EMT gives no virials of atoms"):
        model.compute(atoms, virials=True)
    with pytest.raises(ValueError, match="without ASE calculators"):
        kff.md.heat_flux(atoms, model)
    for potential in (model, EMT()):
        with pytest.raises(ValueError, match="heat_flux needs local energies"):
            kff.md.run(atoms, potential, temperature=300, steps=2, observe="heat_flux")


# ---- the heat flux ----------------------------------------------------------------------------------


def test_pair_potential():
    """J = sum E_i v_i + 1/2 sum_(i<j) (r_i - r_j) F_ij . (v_i + v_j), F_ij the force on i by j, e_i half of pairs."""
    atoms = cluster()
    v, r = atoms.get_velocities(), atoms.positions
    expected = 0.5 * atoms.get_masses() * (v**2).sum(axis=1) @ v
    for i in range(len(atoms)):
        for j in range(i):
            pair = REPULSION.compute(atoms[[i, j]])
            energy, force = pair.energy + 6.0, pair.forces[0]
            expected += 0.5 * energy * (v[i] + v[j]) + 0.5 * (r[i] - r[j]) * (force @ (v[i] + v[j]))
    np.testing.assert_allclose(kff.md.heat_flux(atoms, REPULSION), expected, rtol=1e-10)


@pytest.mark.parametrize("name", ["gap", "mtp", "python", "repulsion"])
def test_heat_flux_is_how_energy_moves(name, models):
    """J = d/dt sum_i r_i E_i along dynamics at constant energy; central differences, error as the step squared."""
    atoms, model, errors = cluster((29, 47) if name == "mtp" else (29,)), models[name], []
    masses = atoms.get_masses()
    for timestep in (0.2, 0.1):
        system, moments = system_of(atoms, model, timestep=timestep), []
        system.compute()
        system.run(round(1.2 / timestep) - 1)
        for step in range(3):  # about 1.2 fs
            system.run(1, of_atoms=True)
            sample = sample_of(system)
            energies = 0.5 * masses * (sample.velocities**2).sum(axis=1) + sample.energies
            moments.append(energies @ sample.positions)
            if step == 1:
                found = flux(masses, sample.velocities, sample.energies, sample.virials)
        differences = (moments[2] - moments[0]) / (2 * timestep * units.fs)
        errors.append(np.abs(found - differences).max() / np.abs(found).max())
    assert errors[1] < 1e-3 and errors[0] / errors[1] == pytest.approx(4.0, rel=0.15)


def test_a_cluster_that_flies_carries_its_energy_and_works_on_itself(models):
    atoms, v = cluster(), np.array([0.02, -0.01, 0.03])
    atoms.set_momenta(atoms.get_masses()[:, None] * v)
    found = models["gap"].compute(atoms)
    energy = found.energy - isolated(models["gap"], atoms).sum() + atoms.get_kinetic_energy()
    np.testing.assert_allclose(kff.md.heat_flux(atoms, models["gap"]), energy * v + found.virial @ v, rtol=1e-9)


def test_a_baseline_may_stand_behind_its_calculator(models):
    """Its energies of isolated atoms are no part of the flux either way."""
    atoms, direct = cluster(), models["python"]
    assert all(direct.baseline.e0.values())
    calculator = direct.baseline.calculator()
    wrapped = kff.Potential(direct.terms, direct.weights, direct.e0, baseline=calculator, repulsion=direct.repulsion)
    np.testing.assert_allclose(kff.md.heat_flux(atoms, wrapped), kff.md.heat_flux(atoms, direct), rtol=1e-12)
