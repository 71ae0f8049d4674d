"""DFT-D3 as a baseline: derivatives, what a fit learns on top of it, and its way through files."""

import json
import sys

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.emt import EMT
from ase.calculators.fd import calculate_numerical_forces, calculate_numerical_stress
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write
from labelled import emt_frames, small_model
from sklearn.base import clone
from systems import FRAMES, frame
from typer.testing import CliRunner

import kernelff as kff
from kernelff.calculator import PotentialCalculator
from kernelff.cli import app
from kernelff.config import FitConfig, read_config
from kernelff.potential import Potential

BENZENE_PBE_D3BJ = -0.010957092628442036  # Hartree, Python interface of dftd3 1.7.0, ase.build.molecule("C6H6")


@pytest.fixture(scope="module")
def dispersion():
    return kff.DFTD3("PBE")


def dispersed_frames(n, seed, dispersion):
    """Copper by EMT plus dispersion, as a functional with dispersion would label it."""
    frames = emt_frames(n, seed, sizes=((1, 1, 1),))
    for atoms in frames:
        added, found = dispersion.compute(atoms), atoms.calc.results
        labels = {kind: found[kind] + getattr(added, kind) for kind in ("energy", "forces", "stress")}
        atoms.calc = SinglePointCalculator(atoms, **labels)
    return frames


# ---- the dispersion itself ------------------------------------------------------------------------


def test_energy_is_the_librarys():
    benzene = molecule("C6H6")
    results = kff.DFTD3("PBE").compute(benzene)
    assert results.energy == pytest.approx(27.211386 * BENZENE_PBE_D3BJ, rel=1e-6)
    assert results.energies.sum() == pytest.approx(results.energy, rel=1e-12)
    assert np.ptp(results.energies[:6]) < 1e-4 * abs(results.energies[0])  # six carbons alike, six hydrogens alike
    assert results.energies[0] < results.energies[6] < 0
    assert results.stress is None


@pytest.mark.parametrize("name", FRAMES)
def test_forces_and_stress_against_finite_differences(dispersion, name):
    """Periodic energies have steps of 1e-7 eV where pairs cross the library's cutoffs, seen over 2e-3 Å."""
    atoms = frame(name)
    tolerance = 1e-4 if atoms.pbc.any() else 2e-6
    atoms.calc = PotentialCalculator(dispersion)
    forces = atoms.get_forces()
    np.testing.assert_allclose(forces, calculate_numerical_forces(atoms, eps=1e-3), rtol=0, atol=tolerance)
    assert np.abs(forces).max() > 5e-4 or name in ("isolated", "one_atom")
    if atoms.pbc.all():
        stress = atoms.get_stress()
        np.testing.assert_allclose(stress, calculate_numerical_stress(atoms, eps=1e-4), rtol=0, atol=tolerance)
        assert np.abs(stress).max() > 1e-3


@pytest.mark.parametrize("damping", ["d3bj", "d3zero", "d3bjm", "d3zerom", "d3op"])
@pytest.mark.parametrize("three_body", [False, True])
def test_every_damping_attracts_and_differs(dispersion, damping, three_body):
    benzene = molecule("C6H6")
    other = kff.DFTD3("PBE", damping, three_body)
    energy = other.compute(benzene).energy
    assert energy < 0
    assert (energy == dispersion.compute(benzene).energy) == (other == dispersion)
    assert other.compute(benzene).energies.sum() == pytest.approx(energy, rel=1e-10)


@pytest.mark.parametrize("pbc", [(True, True, False), (True, False, False), (False, False, False)])
def test_where_the_box_stands_is_irrelevant_along_open_directions(dispersion, pbc):
    """The library wraps atoms into their cell along these, too."""
    atoms = bulk("Si", cubic=True)
    atoms.pbc = pbc
    reference = dispersion.compute(atoms)
    for shift, length in ((-3.0, 5.43), (40.0, 5.43), (0.0, 1.0), (0.0, 0.0), (2.0, -30.0)):
        moved = atoms.copy()
        moved.positions += np.where(pbc, 0.0, shift)
        moved.cell[~np.array(pbc)] *= length / 5.43
        found = dispersion.compute(moved)
        assert found.energy == pytest.approx(reference.energy, rel=1e-10)
        np.testing.assert_allclose(found.forces, reference.forces, atol=1e-10)


def test_slab_is_the_limit_of_a_thick_vacuum(dispersion):
    slab = bulk("Si", cubic=True)
    slab.pbc = (True, True, False)
    thick = slab.copy()
    thick.cell[2, 2] = 200.0
    thick.pbc = True
    assert dispersion.compute(slab).energy == pytest.approx(dispersion.compute(thick).energy, rel=1e-6)


def test_size_consistent_and_input_unchanged(dispersion):
    atoms = frame("triclinic")
    before = atoms.copy()
    one, eight = dispersion.compute(atoms), dispersion.compute(atoms.repeat(2))
    assert atoms == before
    assert eight.energy == pytest.approx(8 * one.energy, rel=1e-9)
    np.testing.assert_allclose(eight.stress, one.stress, rtol=0, atol=1e-9)
    assert dispersion.compute(Atoms()).energy == 0.0


def test_bad_parameters_are_refused():
    with pytest.raises(ValueError, match="method: DFT-D3 has no d3bj parameters for 'nonsense'"):
        kff.DFTD3("nonsense")
    with pytest.raises(ValueError, match="method: must be the name"):
        kff.DFTD3(None)
    with pytest.raises(ValueError, match="damping: must be one of"):
        kff.DFTD3("PBE", "bj")
    with pytest.raises(ValueError, match="three_body: must be True or False"):
        kff.DFTD3("PBE", three_body="yes")


def test_bad_frames_are_refused(dispersion):
    for number in (0, 104, 118):
        with pytest.raises(ValueError, match="no parameters for the atomic numbers"):
            dispersion.compute(Atoms(numbers=[number, 6], positions=np.eye(3)[:2]))
    with pytest.raises(ValueError, match="positions"):
        dispersion.compute(Atoms("H2", [[0, 0, np.nan], [0, 0, 1]]))
    with pytest.raises(ValueError, match="apart"):
        dispersion.compute(Atoms("H2"))
    with pytest.raises(ValueError, match="cell"):
        dispersion.compute(Atoms("H", pbc=True))


def test_without_the_library_the_extra_is_named(dispersion, monkeypatch):
    monkeypatch.setitem(sys.modules, "dftd3", None)
    monkeypatch.setitem(sys.modules, "dftd3.interface", None)
    for call in (lambda: kff.DFTD3("PBE"), lambda: dispersion.compute(Atoms("H"))):
        with pytest.raises(ImportError, match=r"pip install 'kernelff\[dftd3\]'"):
            call()


# ---- as a baseline --------------------------------------------------------------------------------


def test_fit_learns_the_remainder(dispersion):
    """EMT + dispersion on top of dispersion is EMT: the same weights as from EMT alone."""
    on_top = small_model(n_jobs=1, calibrate=False, baseline=dispersion).fit(dispersed_frames(8, 0, dispersion))
    bare = small_model(n_jobs=1, calibrate=False).fit(emt_frames(8, 0, sizes=((1, 1, 1),)))
    assert on_top.e0_[29] == pytest.approx(bare.e0_[29], rel=1e-9)
    for atoms in emt_frames(3, 1, sizes=((1, 1, 1),)):
        both, fitted, added = (x.compute(atoms) for x in (on_top.potential_, bare.potential_, dispersion))
        assert both.energy == pytest.approx(fitted.energy + added.energy, rel=1e-7)
        np.testing.assert_allclose(both.forces, fitted.forces + added.forces, atol=1e-5)
        np.testing.assert_allclose(both.stress, fitted.stress + added.stress, atol=1e-6)


def test_model_file_holds_it(dispersion, tmp_path):
    model = small_model(10, n_jobs=1, baseline=dispersion).fit(dispersed_frames(6, 0, dispersion))
    assert clone(model).baseline == dispersion
    model.save(tmp_path / "cu.kff")
    atoms = emt_frames(1, 5)[0]
    loaded = kff.load(tmp_path / "cu.kff")
    assert loaded.baseline == dispersion
    assert loaded.compute(atoms).energy == model.potential_.compute(atoms).energy
    again = kff.load_model(tmp_path / "cu.kff")
    assert again.baseline == dispersion
    new = dispersed_frames(1, 9, dispersion)
    energies = [one.partial_fit(new).potential_.compute(atoms).energy for one in (again, model)]
    assert energies[0] == energies[1]


def test_state_of_a_model_on_a_model_on_dispersion_is_json():
    first = kff.DFTD3("PBE", "d3zero")
    frames = emt_frames(6, 0)
    base = small_model(8, n_jobs=1, calibrate=False, baseline=first).fit(frames)
    model = small_model(8, n_jobs=1, calibrate=False, baseline=base.potential_).fit(frames)
    params, arrays = model.potential_.to_state()
    again = Potential.from_state(json.loads(json.dumps(params)), arrays)
    assert again.baseline.baseline == first
    assert again.compute(frames[0]).energy == model.potential_.compute(frames[0]).energy


# ---- from the command line ------------------------------------------------------------------------


def test_config_and_command(dispersion, tmp_path):
    config = tmp_path / "fit.toml"
    config.write_text('[dftd3]\nmethod = "PBE"\ndamping = "d3zero"\n')
    assert read_config(config).make_model().baseline == kff.DFTD3("PBE", "d3zero")
    assert FitConfig().make_model().baseline is None
    with pytest.raises(ValueError, match=r"\[dftd3\] must have method"):
        FitConfig(dftd3={}).make_model()
    write(tmp_path / "train.xyz", dispersed_frames(10, 0, dispersion))
    small = "--n-sparse 10 --cutoff 3.8 --n-max 3 --l-max 2 --jobs 1".split()
    model = str(tmp_path / "cu.kff")
    command = ["fit", str(tmp_path / "train.xyz"), *small, "--dftd3", "PBE", "--output", model]
    found = CliRunner().invoke(app, command)
    assert found.exit_code == 0, found.output
    assert kff.load(model).baseline == dispersion
    assert "dftd3: method PBE" in CliRunner().invoke(app, ["info", model]).output
    wrong = CliRunner().invoke(app, [*command[:-4], "--dftd3", "nonsense", "--output", model])
    assert wrong.exit_code == 1 and "no d3bj parameters" in " ".join(wrong.output.split())


def test_calculators_as_baseline_are_still_asked_for(tmp_path):
    model = small_model(8, n_jobs=1, calibrate=False, baseline=EMT()).fit(emt_frames(6, 0))
    model.save(tmp_path / "cu.kff")
    with pytest.raises(ValueError, match="baseline: this model adds to the ASE calculator EMT"):
        kff.load(tmp_path / "cu.kff")
