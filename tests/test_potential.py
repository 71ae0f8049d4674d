"""Potential and calculator: derivatives, invariances, bad input."""

import warnings

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, fcc100, molecule
from ase.calculators.fd import calculate_numerical_forces, calculate_numerical_stress
from labelled import emt_frames, small_model

import kernelff as kff
from kernelff.potential import Potential


@pytest.fixture(scope="module")
def potential():
    return small_model(n_jobs=1).fit(emt_frames(10, 0)).potential_


def rattled(atoms, seed=0, amplitude=0.15):
    atoms = atoms.copy()
    atoms.positions += np.random.default_rng(seed).normal(0, amplitude, atoms.positions.shape)
    return atoms


def skewed():
    atoms = bulk("Cu", "fcc", a=3.5)
    shear = np.array([[0.0, 0.3, 0.1], [0, 0, 0.2], [0.4, 0, 0]])
    atoms.set_cell(atoms.cell.array + shear, scale_atoms=True)
    return atoms


FRAMES = {
    "bulk": rattled(bulk("Cu", cubic=True)),
    "one skewed atom": skewed(),
    "slab": rattled(fcc100("Cu", (1, 1, 3), vacuum=5)),
    "cluster": rattled(Atoms("Cu4", [[0, 0, 0], [2.4, 0, 0], [0, 2.4, 0], [0, 0, 2.4]])),
}


@pytest.mark.parametrize("name", FRAMES)
def test_forces_and_stress_against_finite_differences(potential, name):
    atoms = FRAMES[name].copy()
    atoms.calc = potential.calculator()
    forces = atoms.get_forces()
    expected = extrapolated(calculate_numerical_forces, atoms, 3e-4)
    np.testing.assert_allclose(forces, expected, rtol=0, atol=1e-6 * max(1, np.abs(forces).max()))
    if atoms.pbc.all():
        stress = atoms.get_stress()
        expected = extrapolated(calculate_numerical_stress, atoms, 1e-4)
        np.testing.assert_allclose(stress, expected, rtol=0, atol=1e-6 * max(1, np.abs(stress).max()))


def extrapolated(difference, atoms, eps):
    """Central differences of ASE with steps eps and 2 eps (Å or strain), error O(eps^4)."""
    return (4 * difference(atoms, eps=eps) - difference(atoms, eps=2 * eps)) / 3


def test_rotation_translation_permutation(potential):
    atoms = FRAMES["bulk"].copy()
    before = potential.compute(atoms)
    turned = atoms.copy()
    turned.rotate(40, (1, 2, 3), rotate_cell=True)
    turned.positions += [0.3, -5.0, 11.0]
    order = [2, 0, 3, 1]
    after = potential.compute(turned[order])
    assert after.energy == pytest.approx(before.energy, abs=1e-9)
    R = np.linalg.solve(atoms.cell.array, turned.cell.array)
    np.testing.assert_allclose(after.forces, (before.forces @ R)[order], atol=1e-8)
    np.testing.assert_allclose(after.virial, R.T @ before.virial @ R, atol=1e-7)


def test_supercell_and_wrapping(potential):
    atoms = FRAMES["bulk"]
    one, many = potential.compute(atoms), potential.compute(atoms.repeat((2, 1, 3)))
    assert many.energy == pytest.approx(6 * one.energy, abs=1e-8)
    np.testing.assert_allclose(many.stress, one.stress, atol=1e-10)
    np.testing.assert_allclose(many.forces, np.tile(one.forces, (6, 1)), atol=1e-8)


def test_left_handed_cell_is_the_same_crystal(potential):
    atoms = FRAMES["bulk"]
    mirrored = atoms.copy()
    mirrored.set_cell(atoms.cell.array[[1, 0, 2]])
    assert potential.compute(mirrored).energy == pytest.approx(potential.compute(atoms).energy, abs=1e-9)
    np.testing.assert_allclose(potential.compute(mirrored).stress, potential.compute(atoms).stress, atol=1e-10)


def test_energy_is_smooth_at_the_cutoff(potential):
    dimer = Atoms("Cu2", [[0, 0, 0], [0, 0, 1]])
    h, rc = 1e-5, potential.cutoff
    energies = []
    for r in (rc - h, rc, rc + h):
        dimer.positions[1, 2] = r
        energies.append(potential.compute(dimer).energy)
        assert np.abs(potential.compute(dimer).forces).max() < 1e-3
    assert np.ptp(energies) < 1e-8
    assert energies[-1] == pytest.approx(2 * potential.compute(Atoms("Cu")).energy, abs=1e-9)


def test_isolated_atom_and_empty_frame_have_answers(potential):
    lone = potential.compute(Atoms("Cu"))
    assert np.isfinite(lone.energy)
    np.testing.assert_array_equal(lone.forces, 0)
    assert lone.stress is None
    empty = potential.compute(Atoms())
    assert empty.energy == 0.0
    assert empty.forces.shape == (0, 3)


def test_input_is_not_changed(potential):
    atoms = FRAMES["bulk"].copy()
    before = atoms.copy()
    potential.compute(atoms)
    potential.uncertainty(atoms)
    assert atoms == before


def test_calculator_reports_what_ase_expects(potential):
    atoms = FRAMES["bulk"].copy()
    atoms.calc = potential.calculator(uncertainty=True)
    energy = atoms.get_potential_energy()
    assert energy == pytest.approx(atoms.get_potential_energies().sum())
    assert energy == atoms.get_potential_energy(force_consistent=True)
    found = atoms.calc.results
    assert found["forces_std"].shape == (4, 3)
    assert found["stress_std"].shape == (6,)
    assert (found["novelty"] >= 0).all()
    assert (found["novelty"] <= 1).all()


def test_novelty_flags_what_the_data_lack(potential):
    known = np.concatenate([potential.uncertainty(a, derivatives=False).novelty for a in emt_frames(5, 99)])
    chain = Atoms("Cu3", [[0, 0, 0], [0, 0, 2.2], [0, 0, 4.4]])
    assert potential.uncertainty(chain, derivatives=False).novelty.min() > 2 * known.max()


def test_local_sds_bound_the_total(potential):
    u = potential.uncertainty(FRAMES["bulk"])
    assert 0 < u.energy_std <= u.energies_std.sum()
    # translation costs nothing: the net force is certain, single forces are not
    assert (u.forces_std > 0).all()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda a: a.positions.__setitem__((1, 0), np.nan), "positions: atom 1"),
        (lambda a: a.positions.__setitem__((2, 2), 1e9), "positions: atom 2"),
        (lambda a: a.positions.__setitem__(1, a.positions[0]), "atoms 0 and 1"),
        (lambda a: a.set_cell([[3, 0, 0], [3, 0, 0], [0, 0, 3]]), "no volume"),
        (lambda a: a.set_cell(np.zeros((3, 3))), "no volume"),
        (lambda a: a.set_cell(np.full((3, 3), np.nan)), "not finite"),
    ],
)
def test_broken_geometry_is_refused_by_name(potential, spoil, message):
    atoms = FRAMES["bulk"].copy()
    spoil(atoms)
    with pytest.raises(ValueError, match=message):
        potential.compute(atoms)


def test_unknown_species_are_named(potential):
    for call in (potential.compute, potential.uncertainty):
        with pytest.raises(ValueError, match=r"species \[1, 8\] are unknown"):
            call(molecule("H2O"))


def test_potential_is_immutable(potential):
    with pytest.raises(ValueError, match="read-only"):
        potential.weights[0] = 1.0


def test_baseline_adds_up():
    from ase.calculators.lj import LennardJones

    frames = emt_frames(6, 1)
    lj = LennardJones(sigma=2.2, epsilon=0.1, rc=5.0)
    model = small_model(n_jobs=1, baseline=lj).fit(frames)
    assert isinstance(model.potential_, Potential)
    atoms = frames[0].copy()
    atoms.calc = model.potential_.calculator()
    np.testing.assert_allclose(atoms.get_forces(), calculate_numerical_forces(atoms, eps=1e-4), atol=1e-5)
    plain = small_model(n_jobs=1, baseline=kff.SparseGPR(model.descriptors, n_sparse=5).fit(frames).potential_)
    assert np.isfinite(plain.fit(frames).predict(frames)).all()


def test_no_warnings_on_good_input(potential):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for atoms in FRAMES.values():
            potential.compute(atoms)
            potential.uncertainty(atoms)
