"""Phonons against the analytic ones of springs and against ASE's."""

import sys

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.calculators.lj import LennardJones
from ase.phonons import Phonons as AsePhonons
from ase.units import _amu, _e

from kernelff.properties import phonons, relax_crystal, survey

NEAREST = {"sigma": 2.2, "epsilon": 1.0, "rc": 3.2, "smooth": True}  # reaches the first shell alone


def at(found, name):
    """Frequencies at a point of the path, ascending, THz."""
    for (a, b), leg in zip(found.labels, found.frequencies, strict=True):
        if name in (a, b):
            return np.sort(leg[0 if name == a else -1])
    raise AssertionError(name)


def spring_constant(r, step=1e-3):
    pair = bulk("Cu").repeat((2, 1, 1))
    energies = []
    for distance in (r - step, r, r + step):
        pair = pair[:2].copy()
        pair.set_pbc(False)
        pair.positions[:] = [[0, 0, 0], [distance, 0, 0]]
        pair.calc = LennardJones(**NEAREST)
        energies.append(pair.get_potential_energy())
    return (energies[0] - 2 * energies[1] + energies[2]) / step**2


def test_springs_between_nearest_neighbours_of_fcc():
    """omega^2 = 8 k/m (longitudinal) and 4 k/m at X, 8 k/m and 2 k/m at L, without pressure."""
    crystal = relax_crystal(bulk("Cu", a=3.49), LennardJones(**NEAREST), fmax=1e-7)
    found = phonons(crystal, LennardJones(**NEAREST), min_length=6.0, displacement=1e-3, mesh=8)
    k = spring_constant(crystal.cell.lengths()[0]) * _e * 1e20  # N/m
    unit = np.sqrt(k / (crystal.get_masses()[0] * _amu)) / (2 * np.pi) / 1e12
    assert at(found, "X") == pytest.approx(unit * np.sqrt([4, 4, 8]), rel=2e-3)
    assert at(found, "L") == pytest.approx(unit * np.sqrt([2, 2, 8]), rel=2e-3)
    assert np.abs(at(found, "G")).max() < 1e-3 and abs(found.drift) < 0.05
    assert found.stable and found.highest == pytest.approx(unit * np.sqrt(8), rel=2e-3)
    assert np.trapezoid(found.dos, found.dos_frequencies) == pytest.approx(3, rel=0.02)


def test_same_as_phonons_of_ase(tmp_path):
    crystal = relax_crystal(bulk("Cu"), EMT(), fmax=1e-6)
    found = phonons(crystal, EMT(), min_length=8.0, mesh=4)
    n = round(found.n_atoms ** (1 / 3))
    other = AsePhonons(crystal, EMT(), supercell=(n, n, n), delta=0.01, name=str(tmp_path / "phonons"))
    other.run()
    other.read(acoustic=True)
    points = crystal.cell.bandpath().special_points
    expected = other.band_structure([points["X"], points["L"], points["W"]], verbose=False) * 241.7989
    for name, frequencies in zip("XLW", expected, strict=True):
        assert at(found, name) == pytest.approx(np.sort(frequencies.real), rel=5e-3)


def test_conventional_cell_gives_the_bands_of_the_primitive_one():
    crystal = relax_crystal(bulk("Cu", a=3.49, cubic=True), LennardJones(**NEAREST), fmax=1e-7)
    found = phonons(crystal, LennardJones(**NEAREST), min_length=6.0, mesh=4)
    assert found.frequencies[0].shape[1] == 3 and found.n_atoms == 32


def test_left_handed_cell_is_turned():
    crystal = relax_crystal(bulk("Cu", a=3.49), LennardJones(**NEAREST), fmax=1e-7)
    expected = phonons(crystal, LennardJones(**NEAREST), min_length=6.0, mesh=4)
    crystal.set_cell(crystal.cell.array[[1, 0, 2]])
    found = phonons(crystal, LennardJones(**NEAREST), min_length=6.0, mesh=4)
    assert found.highest == pytest.approx(expected.highest, rel=1e-4)


def test_stretched_crystal_has_imaginary_modes():
    found = phonons(bulk("Cu", a=4.1), LennardJones(**NEAREST), min_length=6.0, mesh=4)
    assert not found.stable and found.lowest < -0.5


def test_survey_warns_of_imaginary_modes(monkeypatch):
    monkeypatch.setattr("kernelff.properties.overview.relax_crystal", lambda atoms, calculator: atoms.copy())
    found = survey(bulk("Cu", a=4.1), LennardJones(**NEAREST), ["phonons"], min_length=6.0)
    assert len(found.warnings) == 1 and "imaginary modes, down to" in found.warnings[0]


def test_forces_that_are_left_are_refused():
    atoms = bulk("Cu", cubic=True)
    atoms.positions[0, 0] += 0.1
    with pytest.raises(RuntimeError, match="relax the crystal first"):
        phonons(atoms, EMT())
    with pytest.raises(ValueError, match="displacement: must lie"):
        phonons(bulk("Cu"), EMT(), displacement=3.0)


def test_missing_phonopy_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "phonopy", None)
    for compute in (lambda: phonons(bulk("Cu"), EMT()), lambda: survey(bulk("Cu"), EMT(), ["phonons"])):
        with pytest.raises(ImportError, match=r"pip install 'kernelff\[phonons\]'"):
            compute()
