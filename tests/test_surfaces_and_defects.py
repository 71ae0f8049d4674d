"""Elastic tensors, surfaces, vacancies and barriers, against bond counting and energy curvatures."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.emt import EMT
from ase.calculators.lj import LennardJones
from ase.units import GPa

from kernelff.properties import (
    Stiffness,
    Survey,
    barrier,
    elastic_constants,
    equation_of_state,
    relax_atoms,
    relax_crystal,
    stiffness,
    supercell_of,
    surfaces,
    survey,
    vacancies,
    vacancy_jump,
)
from kernelff.properties.overview import _surface_rows, _warnings
from kernelff.properties.surfaces import JOULE_PER_M2

NEAREST = {"sigma": 2.2, "epsilon": 1.0, "rc": 3.2, "smooth": True}  # reaches the first shell alone
RIGID = 1e6  # eV/Å: no relaxation


def relaxed_energy(atoms, strain, calculator):
    strained = atoms.copy()
    strained.set_cell(atoms.cell.array @ (np.eye(3) + strain), scale_atoms=True)
    relax_atoms(strained, calculator, fmax=1e-5, steps=1000)
    return strained.get_potential_energy()


def curvature(atoms, a, b, calculator, step=3e-3):
    """d^2 E / da db / V (GPa) by engineering strains along Voigt directions, atoms relaxed."""

    def tensor(index):
        found = np.zeros((3, 3))
        i, j = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))[index]
        found[i, j] += 0.5
        found[j, i] += 0.5
        return found

    energies = {
        (s, t): relaxed_energy(atoms, step * (s * tensor(a) + t * tensor(b)), calculator)
        for s in (1, -1)
        for t in (1, -1)
    }
    total = energies[1, 1] - energies[1, -1] - energies[-1, 1] + energies[-1, -1]
    return total / (4 * step**2) / atoms.get_volume() / GPa


@pytest.fixture(scope="module")
def hexagonal():
    calculator = LennardJones(sigma=3.4, epsilon=0.104, rc=7.0, smooth=True)
    return relax_crystal(bulk("Ar", "hcp", a=3.75, c=6.12), calculator, fmax=1e-6), calculator


def nearest_neighbour_diamond():
    return relax_crystal(bulk("Si", a=5.7, cubic=True), LennardJones(**NEAREST), fmax=1e-6)


def test_stiffness_of_a_cubic_crystal_is_its_three_constants():
    copper = relax_crystal(bulk("Cu", cubic=True), EMT(), fmax=1e-6)
    found, three = stiffness(copper, EMT()), elastic_constants(copper, EMT())
    assert found.is_cubic and found.stable and found.std is None
    values = found.quantities()
    for name in ("c11", "c12", "c44"):
        assert values[name.upper()][0] == pytest.approx(getattr(three, name), rel=1e-3)
    assert values["bulk modulus by Hill"][0] == pytest.approx(three.bulk_modulus, rel=1e-6)
    assert found.asymmetry < 1e-6


def test_stiffness_of_a_hexagonal_crystal_is_the_curvature_of_relaxed_energies(hexagonal):
    atoms, calculator = hexagonal
    found = stiffness(atoms, calculator, fmax=1e-6)
    assert not found.is_cubic and found.stable
    for a, b in ((0, 0), (0, 1), (0, 2), (2, 2), (3, 3)):
        assert found.tensor[a, b] == pytest.approx(curvature(atoms, a, b, calculator), rel=0.02)
    # hexagonal symmetry, which holds only if the two atoms answer to the strain
    c = found.tensor
    assert c[5, 5] == pytest.approx((c[0, 0] - c[0, 1]) / 2, rel=5e-3)
    assert c[0, 0] == pytest.approx(c[1, 1], rel=1e-3) and c[3, 3] == pytest.approx(c[4, 4], rel=1e-3)
    clamped = stiffness(atoms, calculator, fmax=RIGID)
    assert clamped.tensor[0, 0] > c[0, 0] + 0.01 * abs(c[0, 0])


def test_constants_that_contradict_each_other_are_told():
    found = Survey(None, found={"elastic": Stiffness(np.diag([100.0] * 6), asymmetry=20.0)})
    assert "differ by up to 20 GPa" in _warnings("elastic", found)[0]
    found.found["elastic"] = Stiffness(np.diag([100.0] * 5 + [-1.0]), asymmetry=0.0)
    assert "unstable against a small strain" in _warnings("elastic", found)[0]


def test_isotropic_stiffness_has_its_own_moduli():
    bulk_modulus, shear = 100.0, 40.0
    tensor = np.diag([2 * shear] * 3 + [shear] * 3)
    tensor[:3, :3] += bulk_modulus - 2 / 3 * shear
    values = Stiffness(tensor, 0.0).quantities()
    assert values["bulk modulus by Hill"] == (pytest.approx(bulk_modulus), None)
    assert values["shear modulus by Hill"] == (pytest.approx(shear), None)
    assert not Stiffness(-tensor, 0.0).stable


def test_surfaces_of_nearest_neighbours_are_broken_bonds():
    """An fcc atom has 12 bonds and loses 4 at (100), 3 at (111); areas per atom a^2/2 and sqrt(3) a^2/4."""
    calculator = LennardJones(**NEAREST)
    crystal = relax_crystal(bulk("Cu", a=3.49, cubic=True), calculator, fmax=1e-6)
    a, bond = crystal.cell.lengths()[0], -crystal.get_potential_energy() / 4 / 6
    for miller, broken, area in (((1, 0, 0), 4, a**2 / 2), ((1, 1, 1), 3, np.sqrt(3) / 4 * a**2)):
        (found,) = surfaces(crystal, calculator, miller, fmax=RIGID)
        assert found.energy == pytest.approx(JOULE_PER_M2 * broken * bond / 2 / area, rel=1e-4)
        assert found.faces_alike and found.n_atoms == len(found.slab)


def test_both_cuts_of_diamond_are_found():
    """(111) breaks one bond per atom of a plane, or three between planes that are near."""
    found = surfaces(nearest_neighbour_diamond(), LennardJones(**NEAREST), (1, 1, 1), fmax=RIGID)
    assert len(found) == 2
    assert found[1].energy == pytest.approx(3 * found[0].energy, rel=1e-4)
    assert [row.name[-7:] for row in _surface_rows(found)] == [", cut 1", ", cut 2"]


def test_faces_of_a_compound_are_told_apart():
    crystal = Atoms("NiAl", scaled_positions=[[0, 0, 0], [0.5, 0.5, 0.5]], cell=[2.95] * 3, pbc=True)
    (polar,) = surfaces(crystal, EMT(), (1, 0, 0), min_thickness=6, fmax=RIGID)
    (mixed,) = surfaces(crystal, EMT(), (1, 1, 0), min_thickness=6, fmax=RIGID)
    assert not polar.faces_alike and set(polar.cut.split("|")) == {"Ni", "Al"}
    assert mixed.faces_alike and mixed.cut == "AlNi|AlNi"


@pytest.mark.parametrize("miller", [(0, 0, 0), (1, 1), (1, 0, 0, 0)])
def test_miller_indices_are_checked(miller):
    with pytest.raises(ValueError, match="three integers"):
        surfaces(bulk("Cu", cubic=True), EMT(), miller)


def test_vacancies_of_a_compound_go_where_they_are_told():
    crystal = Atoms("CuAu", scaled_positions=[[0, 0, 0], [0.5, 0.5, 0.5]], cell=[2.8, 2.8, 3.7], pbc=True)
    crystal = relax_crystal(crystal, EMT(), fmax=1e-3)
    free = vacancies(crystal, EMT(), min_length=5.0, fmax=0.05)
    given = vacancies(crystal, EMT(), min_length=5.0, fmax=0.05, chemical_potentials={"Cu": -0.5})
    assert [one.symbol for one in free] == ["Cu", "Au"]
    assert free[0].reservoir == "the free atom" and given[0].reservoir == "as given"
    assert given[0].energy == pytest.approx(free[0].energy - 0.5)
    assert all(one.energy <= one.unrelaxed_energy for one in free)
    with pytest.raises(ValueError, match="Ga not in the crystal"):
        vacancies(crystal, EMT(), chemical_potentials={"Ga": 1.0})


def test_vacancy_of_an_element_joins_the_crystal():
    crystal = nearest_neighbour_diamond()
    (found,) = vacancies(crystal, LennardJones(**NEAREST), min_length=8.0, fmax=1e-3)
    # four bonds are cut and two won by the atom that joins the crystal
    assert found.unrelaxed_energy == pytest.approx(-crystal.get_potential_energy() / len(crystal), rel=1e-4)
    assert found.n_sites == 64 and found.reservoir == "the crystal"


def test_vacancy_jump_has_its_saddle_in_the_middle():
    copper = relax_crystal(bulk("Cu", cubic=True), EMT())
    initial, final = vacancy_jump(copper, min_length=7.0)
    found = barrier(initial, final, EMT(), n_images=1, fmax=0.03)
    assert found.energy == pytest.approx(found.reverse_energy, abs=1e-6)
    # by symmetry the saddle is the relaxed state with the jumping atom half-way
    mover = int(np.argmax(np.linalg.norm(final.positions - initial.positions, axis=1)))
    middle = initial.copy()
    middle.positions[mover] = 0.5 * (initial.positions[mover] + final.positions[mover])
    relax_atoms(middle, EMT(), fmax=0.02)
    relax_atoms(initial, EMT(), fmax=0.01)
    assert found.energy == pytest.approx(middle.get_potential_energy() - initial.get_potential_energy(), abs=3e-3)


def test_states_of_a_barrier_are_checked():
    initial, final = vacancy_jump(bulk("Cu", cubic=True), min_length=5.0)
    with pytest.raises(ValueError, match="same order"):
        barrier(initial, final[1:], EMT())
    with pytest.raises(ValueError, match="relaxes to the same state"):
        barrier(initial, initial, EMT())


def test_equation_of_state_relaxes_what_symmetry_does_not_fix(hexagonal):
    atoms, calculator = hexagonal
    stretched = atoms.copy()
    stretched.set_cell(atoms.cell.array * [[1.01] * 3, [1.01] * 3, [0.98] * 3], scale_atoms=True)
    rigid = equation_of_state(stretched, calculator)
    relaxed = equation_of_state(stretched, calculator, relax=True)
    assert relaxed.energy == pytest.approx(atoms.get_potential_energy() / 2, abs=3e-5) and rigid.energy > relaxed.energy
    assert relaxed.volume == pytest.approx(atoms.get_volume() / 2, rel=1e-3)
    tensor = stiffness(atoms, calculator, fmax=1e-6).tensor
    reuss = 1 / np.linalg.inv(tensor)[:3, :3].sum()
    assert relaxed.bulk_modulus == pytest.approx(reuss, rel=0.01)


def test_what_is_no_crystal_is_refused():
    with pytest.raises(ValueError, match="periodic in three directions"):
        stiffness(molecule("H2O"), EMT())
    with pytest.raises(ValueError, match="has no atoms"):
        survey(Atoms(pbc=True, cell=[3, 3, 3]), EMT())
    with pytest.raises(ValueError, match="got dos"):
        survey(bulk("Cu"), EMT(), ["eos", "dos"])
    with pytest.raises(ValueError, match="guess: must be a number from 1"):
        survey(bulk("Cu"), EMT(), ["eos"], melting=-5)
    with pytest.raises(ValueError, match="melting_settings: atoms_n means nothing, only"):
        survey(bulk("Cu"), EMT(), ["eos"], melting=1300, melting_settings={"atoms_n": 5})
    with pytest.raises(ValueError, match="5 points"):
        equation_of_state(bulk("Cu"), EMT(), n_points=3)
    with pytest.raises(ValueError, match="supercell of use"):
        supercell_of(bulk("Cu"), 1e9)


def test_crystals_that_do_not_hold_together_are_refused():
    with pytest.raises(RuntimeError, match="times its volume"):
        relax_crystal(bulk("Cu", a=5.0), LennardJones(sigma=2.3, epsilon=1.0, rc=7.0, smooth=True))
    with pytest.raises(RuntimeError, match="did not relax in 1 steps"):
        relax_crystal(bulk("Cu", a=3.4), EMT(), steps=1)


def test_survey_goes_on_after_a_failure(monkeypatch):
    def fails(*args, **kwargs):
        raise RuntimeError("forces stay above 0.005 eV/Å")

    monkeypatch.setattr("kernelff.properties.overview.surfaces", fails)
    found = survey(bulk("Cu"), EMT(), ["surfaces", "eos", "elastic"])
    assert found.failures == {"surfaces": "forces stay above 0.005 eV/Å"}
    assert [row.name for row in found.rows if row.kind == "elastic"][:3] == ["C11", "C12", "C44"]
    assert all(row.std is None for row in found.rows)
