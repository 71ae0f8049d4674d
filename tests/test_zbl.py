"""Screened nuclear repulsion: the formula, its switch, and what it must leave alone."""

import json

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.emt import EMT
from ase.calculators.fd import calculate_numerical_forces, calculate_numerical_stress
from ase.calculators.lj import LennardJones
from ase.calculators.singlepoint import SinglePointCalculator
from ase.data import covalent_radii
from labelled import emt_frames, small_model, small_soap
from sklearn.base import clone
from systems import FRAMES, frame

import kernelff as kff
from kernelff.baselines.zbl import ZBL
from kernelff.calculator import PotentialCalculator
from kernelff.io import silicon_set
from kernelff.io.model_file import write_model
from kernelff.neighbors import NeighborList
from kernelff.potential import Potential

SPECIES = (1, 6, 8, 14, 29)
OUTER = np.add.outer(covalent_radii[list(SPECIES)], covalent_radii[list(SPECIES)]) * 1.3  # above the bonds of FRAMES


@pytest.fixture(scope="module")
def repulsion():
    return ZBL(SPECIES, OUTER)


@pytest.fixture(scope="module")
def frames():
    return emt_frames(8, 0)


@pytest.fixture(scope="module")
def models(frames):
    return {zbl: small_model(n_jobs=1, zbl=zbl).fit(frames) for zbl in (True, False)}


def dimer(r, symbols="Si2"):
    return Atoms(symbols, [[0.1, 0.2, 0.3], [0.1, 0.2 + 0.6 * r, 0.3 + 0.8 * r]])


def energies_of(potential, distances, symbols="Si2"):
    return np.array([potential.compute(dimer(r, symbols)).energy for r in distances])


def shortest(frames, cutoff=4.0):
    return min(NeighborList.from_atoms(atoms, cutoff).distances.min() for atoms in frames)


# ---- formula and switch ---------------------------------------------------------------------------


def universal(r, z_1, z_2):
    """Universal potential in numbers as textbooks round them; e^2 / (4 pi eps0) = 14.399645 eV Å (CODATA 2018)."""
    x = r * (z_1**0.23 + z_2**0.23) / (0.8854 * 0.529177)
    phi = 0.1818 * np.exp(-3.2 * x) + 0.5099 * np.exp(-0.9423 * x)
    phi += 0.2802 * np.exp(-0.4029 * x) + 0.02817 * np.exp(-0.2016 * x)
    return 14.399645 * z_1 * z_2 / r * phi


@pytest.mark.parametrize(("symbols", "z_1", "z_2"), [("Si2", 14, 14), ("CSi", 6, 14), ("HCu", 1, 29)])
def test_unswitched_part_is_the_universal_potential(symbols, z_1, z_2):
    far = ZBL(SPECIES, np.full((5, 5), 10.0))
    for r in (0.05, 0.3, 1.0, 2.0):
        assert far.compute(dimer(r, symbols)).energy == pytest.approx(universal(r, z_1, z_2), rel=1e-3)


def test_energy_of_silicon_worked_by_hand():
    """r = 1 Å, a = 0.46850 / (2 x 1.83488) Å, phi(7.8330) = 2e-12 + 3.176e-4 + 1.1937e-2 + 5.806e-3 = 0.018061."""
    assert ZBL((14,), [[4.0]]).compute(dimer(1.0)).energy == pytest.approx(14 * 14 * 14.39964 * 0.018061, rel=1e-4)


@pytest.mark.parametrize("end", [0.6, 2.0])
def test_switch_is_twice_differentiable_at_both_ends(end):
    """One-sided differences over a step h meet as h -> 0, those of energy and those of force."""
    zbl = ZBL((14,), [[2.0]])
    jumps = []
    for h in (1e-2, 1e-3, 1e-4):
        points = [zbl.compute(dimer(end + k * h)) for k in (-1, 0, 1)]
        energies, forces = [p.energy for p in points], [np.linalg.norm(p.forces[0]) for p in points]
        jumps.append([abs(np.diff(y)[1] - np.diff(y)[0]) / h for y in (energies, forces)])
    assert (np.array(jumps[1:]) < 0.2 * np.array(jumps[:-1])).all()
    assert (np.diff(energies_of(zbl, np.linspace(0.5, 2.0, 151))) < 0).all()


def test_zero_from_the_outer_distance_on():
    zbl = ZBL((14,), [[2.0]])
    for r in (2.0 + 1e-12, 2.3, 5.0):
        results = zbl.compute(dimer(r))
        assert results.energy == 0.0
        assert not results.forces.any()
    assert zbl.compute(dimer(1.99)).energy > 0


@pytest.mark.parametrize("name", FRAMES)
def test_forces_and_stress_against_finite_differences(repulsion, name):
    atoms = frame(name)
    atoms.calc = PotentialCalculator(repulsion)
    forces = atoms.get_forces()
    expected = calculate_numerical_forces(atoms, eps=1e-4)
    scale = max(1.0, np.abs(forces).max())
    np.testing.assert_allclose(forces, expected, rtol=0, atol=1e-6 * scale)
    assert np.abs(forces).max() > 0.01 or name in ("isolated", "one_atom")
    if atoms.pbc.all():
        stress = atoms.get_stress()
        np.testing.assert_allclose(stress, calculate_numerical_stress(atoms, eps=1e-5), rtol=0, atol=1e-6)
        assert np.abs(stress).max() > 1e-4


def test_isolated_atoms_and_unknown_elements_feel_nothing(repulsion):
    assert repulsion.compute(Atoms("Si")).energy == 0.0
    assert repulsion.compute(Atoms()).energy == 0.0
    assert repulsion.compute(dimer(0.5, "SiAu")).energy == 0.0
    assert repulsion.compute(dimer(0.5, "SiC")).energy > 0.0


def test_bad_distances_are_refused():
    with pytest.raises(ValueError, match="symmetric"):
        ZBL((6, 14), [[1.0, 2.0], [1.5, 1.0]])
    with pytest.raises(ValueError, match="> 0 Å"):
        ZBL((14,), [[0.0]])
    for given in ([2.0], [[-1.0]], [[np.nan]]):
        with pytest.raises(ValueError, match="given: must be like outer"):
            ZBL((14,), [[2.0]], given)


# ---- where it ends --------------------------------------------------------------------------------


def test_ends_at_the_shortest_distance_of_each_pair():
    frames = [dimer(2.3, "SiC"), dimer(1.8, "CSi"), dimer(2.2), dimer(9.0, "C2"), dimer(1.0, "SiH"), Atoms("H")]
    zbl = ZBL.below(frames)
    assert zbl.species == (1, 6, 14)
    bond = np.add.outer(covalent_radii[[1, 6, 14]], covalent_radii[[1, 6, 14]])
    expected = bond.copy()  # H-H, H-C and C-C never meet
    expected[2, 2], expected[1, 2], expected[0, 2] = 2.2, 1.8, 1.0
    np.testing.assert_allclose(zbl.outer, np.maximum(np.triu(expected), np.triu(expected).T), rtol=1e-12)
    for atoms in frames:
        assert zbl.compute(atoms).energy == 0.0


def test_periodic_images_count():
    atoms = Atoms("Si", cell=[2.1, 9, 9], pbc=True)
    assert ZBL.below([atoms]).outer[0, 0] == pytest.approx(2.1, rel=1e-12)


# ---- in a model -----------------------------------------------------------------------------------


def test_fit_is_untouched_to_the_bit(models, frames):
    with_it, without = models[True], models[False]
    assert without.potential_.repulsion is None
    assert np.array_equal(with_it.potential_.weights, without.potential_.weights)
    assert np.array_equal(with_it.potential_.posterior.P, without.potential_.posterior.P)
    for atoms in frames:
        assert not with_it.potential_.repulsion.compute(atoms).forces.any()
        for one, other in zip(with_it.potential_.compute(atoms), without.potential_.compute(atoms), strict=True):
            assert np.array_equal(one, other)


def test_model_is_fit_plus_repulsion(models):
    atoms = dimer(1.3, "Cu2")
    parts = models[False].potential_.compute(atoms), models[True].potential_.repulsion.compute(atoms)
    both = models[True].potential_.compute(atoms)
    assert both.energy == pytest.approx(sum(part.energy for part in parts), rel=1e-12)
    np.testing.assert_allclose(both.forces, sum(part.forces for part in parts), rtol=1e-12)
    atoms.calc = models[True].potential_.calculator()
    np.testing.assert_allclose(atoms.get_forces(), calculate_numerical_forces(atoms, eps=1e-4), atol=1e-3)


def test_copper_dimer_is_repulsive_down_to_half_an_angstrom(models, frames):
    end = shortest(frames)
    distances = np.arange(0.5, end, 0.02)
    assert (np.diff(energies_of(models[True].potential_, distances, "Cu2")) < 0).all()
    assert (np.diff(energies_of(models[False].potential_, distances, "Cu2")) > 0).any()  # what it is there for


def test_silicon_dimer_is_repulsive_down_to_half_an_angstrom():
    train = silicon_set("train")
    potential = kff.SparseGPR(n_sparse=100, calibrate=False).fit(train).potential_
    energies = energies_of(potential, np.arange(0.5, shortest(train), 0.02))
    assert (np.diff(energies) < 0).all()
    assert energies[0] - energies[-1] > 200.0


def test_cutoff_covers_a_repulsion_that_reaches_beyond_the_descriptor(models):
    fitted = models[False].potential_
    zbl = ZBL((29,), [[fitted.cutoff + 0.5]])
    longer = Potential(fitted.terms, fitted.weights, fitted.e0, repulsion=zbl)
    assert longer.cutoff == zbl.cutoff
    atoms = frame("one_atom")
    expected = fitted.compute(atoms).energy + zbl.compute(atoms).energy
    assert longer.compute(atoms).energy == pytest.approx(expected, rel=1e-9)


def test_stands_beside_a_baseline(frames):
    lj = LennardJones(sigma=2.2, epsilon=0.1, rc=5.0)
    model = small_model(n_sparse=8, n_jobs=1, baseline=lj, calibrate=False).fit(frames)
    bare = clone(model).set_params(zbl=False).fit(frames)
    assert np.array_equal(model.potential_.weights, bare.potential_.weights)
    close = dimer(1.5, "Cu2")
    difference = model.potential_.compute(close).energy - bare.potential_.compute(close).energy
    assert difference == pytest.approx(model.potential_.repulsion.compute(close).energy, rel=1e-6)


@pytest.fixture(scope="module")
def on_top(models):
    """Two more copper models on a first one, whose data end closer and farther out than theirs."""
    base = models[True].potential_
    found = []
    for reach in (1.8, 2.4):
        shifted = ZBL((29,), [[reach]])
        base = Potential(base.terms, base.weights, base.e0, base.posterior, base.baseline, repulsion=shifted)
        found.append(small_model(10, n_jobs=1, baseline=base, calibrate=False).fit(emt_frames(8, 3)))
    return found


@pytest.mark.parametrize("k", [0, 1])
def test_repulsion_of_a_baseline_is_not_added_again(on_top, k):
    """All of them together are V of the largest outer distance: see the module's formula."""
    potential = on_top[k].potential_
    own, there = potential.repulsion, potential.baseline.repulsion
    largest = ZBL((29,), np.maximum(own.outer, there.outer))
    assert (own.outer > there.outer).all() == (k == 0)
    for r in np.arange(0.3, 2.5, 0.1):
        atoms = dimer(r, "Cu2")
        parts, whole = (own.compute(atoms), there.compute(atoms)), largest.compute(atoms)
        assert sum(part.energy for part in parts) == pytest.approx(whole.energy, rel=1e-11, abs=1e-11)
        np.testing.assert_allclose(sum(part.forces for part in parts), whole.forces, rtol=1e-9, atol=1e-8)
        assert parts[0].energy >= 0
    bare = clone(on_top[k]).set_params(zbl=False).fit(emt_frames(8, 3))
    assert np.array_equal(bare.potential_.weights, potential.weights)


def test_what_a_repulsion_adds_to_another_has_its_own_derivatives():
    atoms = Atoms("Cu3", [[0, 0, 0], [1.3, 0.2, 0.1], [0.4, 1.9, 0.3]])
    atoms.calc = PotentialCalculator(ZBL((29,), [[2.2]], [[1.7]]))
    np.testing.assert_allclose(atoms.get_forces(), calculate_numerical_forces(atoms, eps=1e-4), rtol=1e-6, atol=1e-6)


def test_repulsion_of_a_baseline_is_found_wherever_it_is(models, frames):
    zbl = models[True].potential_.repulsion
    nested = small_model(8, n_jobs=1, zbl=False, baseline=models[True].potential_, calibrate=False).fit(frames)
    for baseline in (zbl, models[True].potential_.calculator(), nested.potential_):
        added = ZBL.below(frames, baseline=baseline)
        assert added.compute(dimer(0.7, "Cu2")).energy == 0.0
    for baseline in (None, EMT(), models[False].potential_, ZBL((14,), [[2.0]])):
        added = ZBL.below(frames, baseline=baseline)
        assert added.compute(dimer(0.7, "Cu2")).energy == zbl.compute(dimer(0.7, "Cu2")).energy


def test_model_on_a_repulsive_baseline_is_saved_and_goes_on(on_top, tmp_path):
    on_top[0].save(tmp_path / "cu.kff")
    for atoms in (dimer(0.7, "Cu2"), dimer(1.9, "Cu2")):
        assert kff.load(tmp_path / "cu.kff").compute(atoms).energy == on_top[0].potential_.compute(atoms).energy
    again = kff.load_model(tmp_path / "cu.kff").partial_fit(emt_frames(1, 9))
    assert np.array_equal(again.potential_.repulsion.given, on_top[0].potential_.repulsion.given)


@pytest.mark.parametrize("zbl", [True, False])
def test_model_file_and_clone_keep_it(models, zbl, tmp_path):
    model = models[zbl]
    assert clone(model).get_params()["zbl"] is zbl
    model.save(tmp_path / "cu.kff")
    assert kff.load_model(tmp_path / "cu.kff").zbl is zbl
    for r in (0.7, 1.5, 2.5):
        again = kff.load(tmp_path / "cu.kff").compute(dimer(r, "Cu2"))
        assert again.energy == model.potential_.compute(dimer(r, "Cu2")).energy


def test_state_is_json_and_older_files_have_none(models):
    params, arrays = models[True].potential_.to_state()
    params = json.loads(json.dumps(params))
    assert np.array_equal(Potential.from_state(params, arrays).repulsion.outer, models[True].potential_.repulsion.outer)
    del params["repulsion"]
    assert Potential.from_state(params, arrays).repulsion is None


def test_estimator_of_an_older_file_is_without(models, tmp_path):
    state, arrays = models[False].to_state()
    del state["settings"]["zbl"]
    write_model(tmp_path / "old.kff", models[False].potential_, (state, arrays), "0")
    assert kff.load_model(tmp_path / "old.kff").zbl is False


def test_zbl_is_a_switch(frames):
    with pytest.raises(ValueError, match="zbl: must be True or False"):
        small_model(zbl="no").fit(frames)


def test_gap_xml_leaves_it_out_and_says_so(frames, tmp_path):
    soap = small_soap().set_params(radial_basis="quip", scaling_exponent=0)
    model = kff.SparseGPR(soap, n_sparse=8, n_jobs=1, calibrate=False).fit(frames)
    with pytest.warns(UserWarning, match="ZBL repulsion"):
        kff.write_gap(tmp_path / "cu.xml", model)
    again = kff.load(tmp_path / "cu.xml")
    assert again.compute(frames[0]).energy == pytest.approx(model.potential_.compute(frames[0]).energy, abs=1e-8)
    assert again.compute(dimer(1.0, "Cu2")).energy < model.potential_.compute(dimer(1.0, "Cu2")).energy - 10.0


def test_new_frames_that_come_closer_push_the_repulsion_inwards():
    model = small_model(20, n_jobs=1).fit(emt_frames(12, 0))
    before = model.potential_.repulsion.outer[0, 0]
    close = emt_frames(1, 5)[0]
    close.set_cell(0.85 * close.cell.array, scale_atoms=True)
    close.calc = EMT()
    energy, forces, stress = close.get_potential_energy(), close.get_forces(), close.get_stress()
    close.calc = SinglePointCalculator(close, energy=energy, forces=forces, stress=stress)
    model.partial_fit([close])
    after = model.potential_.repulsion.outer[0, 0]
    distances = NeighborList.from_atoms(close, 3.0).distances
    assert after == distances.min() < before
    assert model.partial_fit(emt_frames(2, 7)).potential_.repulsion.outer[0, 0] == after
