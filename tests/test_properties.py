"""Properties of crystals, against second routes to the same numbers."""

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.calculators.lj import LennardJones
from ase.units import GPa

from kernelff.properties import (
    elastic_constants,
    equation_of_state,
    relax_volume,
    vacancy_energy,
)

# A smooth pair potential, argon with ten times the well depth.
PAIR = {"sigma": 3.4, "epsilon": 0.104, "rc": 8.5, "smooth": True}


@pytest.fixture(scope="module")
def crystal():
    return relax_volume(bulk("Ar", a=5.26, cubic=True), LennardJones(**PAIR))


def energy_at(atoms, strain):
    strained = atoms.copy()
    strained.set_cell(atoms.cell.array @ (np.eye(3) + strain), scale_atoms=True)
    strained.calc = LennardJones(**PAIR)
    return strained.get_potential_energy()


def second_derivative(atoms, direction, step=2e-3):
    """Second derivative of the energy by strain, divided by the volume, GPa."""
    plus, zero, minus = (energy_at(atoms, size * direction) for size in (step, 0.0, -step))
    return (plus - 2 * zero + minus) / step**2 / atoms.get_volume() / GPa


def test_relaxed_crystal_has_no_pressure_and_stays_cubic(crystal):
    assert np.abs(crystal.get_stress()).max() < 1e-5
    assert np.ptp(crystal.cell.lengths()) < 1e-10


def test_equation_of_state_agrees_with_relaxation_and_energy_curvature(crystal):
    found = equation_of_state(bulk("Ar", a=5.2, cubic=True), LennardJones(**PAIR))
    assert found.lattice_constant == pytest.approx(crystal.cell.lengths()[0], rel=2e-4)
    assert found.energy == pytest.approx(crystal.get_potential_energy() / 4, abs=1e-5)
    assert found.bulk_modulus == pytest.approx(second_derivative(crystal, np.eye(3)) / 9, rel=0.01)


def test_primitive_cell_gives_the_conventional_lattice_constant():
    cubic = equation_of_state(bulk("Cu", cubic=True), EMT())
    primitive = equation_of_state(bulk("Cu"), EMT())
    assert primitive.lattice_constant == pytest.approx(cubic.lattice_constant, abs=1e-4)
    assert cubic.lattice_constant == pytest.approx(3.59, abs=0.01)  # ASE's own documentation of EMT copper


def test_no_minimum_is_refused():
    with pytest.raises(ValueError, match="no minimum between"):
        equation_of_state(bulk("Cu", a=5.0), EMT())


def test_elastic_constants_are_energy_curvatures(crystal):
    found = elastic_constants(crystal, LennardJones(**PAIR))
    uniaxial = np.diag([1.0, 0.0, 0.0])
    shear = np.zeros((3, 3))
    shear[1, 2] = shear[2, 1] = 0.5
    assert found.c11 == pytest.approx(second_derivative(crystal, uniaxial), rel=0.01)
    assert found.c44 == pytest.approx(second_derivative(crystal, shear), rel=0.01)
    assert found.bulk_modulus == pytest.approx(second_derivative(crystal, np.eye(3)) / 9, rel=0.01)
    assert found.c12 == pytest.approx(found.c44, rel=0.02)  # Cauchy relation of pair potentials


def test_internal_strain_lowers_c44():
    """Sheared diamond has forces on its atoms: relaxed, it is softer."""
    stiff = {"sigma": 2.2, "epsilon": 1.0, "rc": 3.2, "smooth": True}
    diamond = relax_volume(bulk("Si", a=5.7, cubic=True), LennardJones(**stiff))
    relaxed = elastic_constants(diamond, LennardJones(**stiff))
    clamped = elastic_constants(diamond, LennardJones(**stiff), fmax=1e3)
    assert relaxed.c44 < 0.9 * clamped.c44
    assert relaxed.c11 == pytest.approx(clamped.c11, rel=1e-6)


def test_vacancy_relaxes_below_the_cut_bonds(crystal):
    supercell = crystal.repeat(2)
    relaxed = vacancy_energy(supercell, LennardJones(**PAIR))
    unrelaxed = vacancy_energy(supercell, LennardJones(**PAIR), fmax=1e3)
    # Unrelaxed, a pair crystal loses the bonds of one atom (twice its energy) and gains one bulk atom.
    assert unrelaxed == pytest.approx(-crystal.get_potential_energy() / 4, rel=1e-6)
    assert 0.9 * unrelaxed < relaxed < unrelaxed


def test_unfit_models_are_refused(crystal):
    with pytest.raises(RuntimeError, match="forces stay above"):
        vacancy_energy(crystal.repeat(2), LennardJones(**PAIR), fmax=1e-9, steps=3)
